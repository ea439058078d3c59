/** Webhooks leave the simulator signed, again when refused, and in disorder when asked; never at the payments' cost. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type Simulator, startSimulator } from './main.ts'

interface Received {
  id: string
  type: string
  data: { object: { reference: string; status: string } }
}

const SECRET = 'a secret for tests'
let folder: string
let receiver: Server
let simulator: Simulator
let received: Received[]
let answers: number[]
let wrong_signatures: number

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bursar-webhooks-'))
  received = []
  answers = []
  wrong_signatures = 0
  receiver = createServer((request, response) => {
    let body = ''
    request.on('data', chunk => {
      body += chunk
    })
    request.on('end', () => {
      const [, seconds, digest] =
        /^t=(\d+),v1=(.+)$/.exec(String(request.headers['simulator-signature'])) ?? []
      if (digest !== createHmac('sha256', SECRET).update(`${seconds}.${body}`).digest('hex')) {
        wrong_signatures += 1
      }
      const status = answers.shift() ?? 200
      if (status === 200) received.push(JSON.parse(body) as Received)
      response.writeHead(status)
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  simulator = await startSimulator({
    port: 0,
    data_dir: folder,
    settle_after_ms: 30,
    webhook_url: `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`,
    webhook_secret: SECRET,
  })
})
afterEach(async () => {
  await simulator.close()
  receiver.close()
  receiver.closeAllConnections()
  rmSync(folder, { recursive: true })
})

const post = (path: string, body: object) =>
  fetch(`${simulator.url}${path}`, { method: 'POST', body: JSON.stringify(body), redirect: 'manual' })
const pay = async (reference: string, payment_token = 'pm_card_visa', capture = true) =>
  (
    await post('/v1/authorizations', { reference, amount: 900, currency: 'usd', payment_token, capture })
  ).json()
const types = () => received.map(event => event.type)
async function receive(count: number) {
  await vi.waitFor(() => expect(received.length).toBeGreaterThanOrEqual(count), {
    timeout: 8_000,
    interval: 20,
  })
  expect(wrong_signatures).toBe(0)
}

test('each outcome has its event, with the operation as it was', async () => {
  await pay('held', 'pm_card_visa', false)
  await pay('paid')
  await pay('declined', 'pm_card_chargeDeclined')
  const { id } = (await pay('refunded', 'pm_card_pendingRefund')) as { id: string }
  await receive(4)
  expect(types()).toEqual(['payment.authorized', 'payment.captured', 'payment.failed', 'payment.captured'])
  await post(`/v1/payments/${id}/refund`, { reference: 'refund' })
  await receive(6)
  expect(received.slice(4).map(event => [event.type, event.data.object.status])).toEqual([
    ['refund.updated', 'pending'],
    ['refund.updated', 'approved'],
  ])
  await pay('disputed', 'pm_card_createDispute')
  await receive(8)
  expect(types().slice(6)).toEqual(['payment.captured', 'dispute.created'])
})

test('a passed challenge is told', async () => {
  const { redirect_url } = (await pay('3ds', 'pm_card_authenticationRequired')) as { redirect_url: string }
  await fetch(`${redirect_url}/complete`, { method: 'POST' })
  await receive(2)
  expect(types()).toEqual(['payment.requires_action', 'payment.captured'])
})

test('a refused event comes again', async () => {
  answers = [500]
  await pay('again')
  await receive(1)
  expect(received[0]?.data.object.reference).toBe('again')
})

test('events come twice on demand, with the same id', async () => {
  await post('/webhooks', { duplicate_rate: 1 })
  await pay('twice')
  await receive(2)
  expect(received[0]?.id).toBe(received[1]?.id)
})

test('events come late and out of order on demand', async () => {
  await post('/webhooks', { late_ms: 200, out_of_order: true })
  const references = Array.from({ length: 20 }, (_, i) => `event-${i}`)
  for (const reference of references) await pay(reference)
  const before_count = received.length
  await receive(20)
  const order = received.map(event => event.data.object.reference)
  expect(before_count).toBeLessThan(20)
  expect(order).not.toEqual(references)
  expect(order.sort()).toEqual(references.sort())
})

test('a setting that makes no sense is refused', async () => {
  for (const body of [{ duplicate_rate: 2 }, { late_ms: 'soon' }, { out_of_order: 1 }, { twice: true }]) {
    expect((await post('/webhooks', body)).status).toBe(400)
  }
})

test('a receiver that is gone costs the payments nothing and is counted', async () => {
  receiver.close()
  receiver.closeAllConnections()
  for (let i = 0; i < 20; i++) await pay(`alone-${i}`)
  const { counts } = (await (await fetch(`${simulator.url}/webhooks`)).json()) as { counts: object }
  expect(counts).toMatchObject({ delivered: 0 })
})
