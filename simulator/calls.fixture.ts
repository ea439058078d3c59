/** A simulator in this process for each test, on a book of its own, and the calls that tests make. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach } from 'vitest'
import { type Simulator, startSimulator } from './main.ts'

export interface Movement {
  seq: number
  type: string
  processor_id: string
  reference: string
  amount: number
  currency: string
  at: string
  answered: boolean
}

let folder: string
/** The one of the test that runs; made anew for each. */
export let simulator: Simulator
const start = () => startSimulator({ port: 0, data_dir: folder, settle_after_ms: 60_000 })

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bursar-simulator-'))
  simulator = await start()
})
afterEach(async () => {
  await simulator.close()
  rmSync(folder, { recursive: true })
})

export interface Answer {
  status: number
  body: {
    id: string
    status: string
    payment_state: string
    amount: number
    redirect_url: string
    decline: { decline_code: string }
    error: { code: string; param?: string }
    data: { struck: number; count: number | null }[]
  }
}

export async function call(method: string, path: string, body?: object | string): Promise<Answer> {
  const text = typeof body === 'object' ? JSON.stringify(body) : body
  const response = await fetch(`${simulator.url}${path}`, {
    method,
    ...(text === undefined ? {} : { body: text }),
    redirect: 'manual',
  })
  const json = await response.text()
  return { status: response.status, body: json === '' ? {} : JSON.parse(json) }
}

export const pay = (reference: string, over: object = {}) =>
  call('POST', '/v1/authorizations', {
    reference,
    amount: 1000,
    currency: 'usd',
    payment_token: 'pm_card_visa',
    capture: true,
    ...over,
  })
export const refund = (payment_id: string, reference: string, amount?: number) =>
  call('POST', `/v1/payments/${payment_id}/refund`, {
    reference,
    ...(amount === undefined ? {} : { amount }),
  })
export const lookup = (reference: string) => call('GET', `/v1/operations/${reference}`)

export async function book(): Promise<Movement[]> {
  const text = await (await fetch(`${simulator.url}/book`)).text()
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Movement)
}
export const moved = async () => (await book()).map(({ type, amount }) => [type, amount])

export async function restart() {
  await simulator.close()
  simulator = await start()
}
