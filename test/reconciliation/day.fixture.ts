/**
 * A day at a merchant's, with everything that moves money and everything that goes wrong on the way, through the API and
 * the simulator; and then the two accounts of it: ours, and the processor's.
 */
import { once } from 'node:events'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { openWork } from '../support/audit.ts'
import { expect } from 'vitest'
import type { Json, TestAccount, World } from '../support/testing.ts'
import { eventually } from '../support/testing.ts'

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts')

export interface Books {
  /** What we say, by `bursar ledger export --what settlements`. */
  ledger: string
  /** What the processor says. */
  csv: string
  camt053: string
}

export async function playDay(world: World, account: TestAccount): Promise<Books> {
  const pay = async (amount: number, currency: string, card: string, more: object = {}): Promise<Json> => {
    const payment_method_id = `pm_card_${card}`
    const params = { amount, currency, payment_method_id, confirm: true, ...more }
    return (await account.api.post('/v1/payment_intents', params)).body
  }
  const refund = (intent: Json, amount?: number) =>
    account.api.post('/v1/refunds', { payment_intent_id: intent.id, ...(amount && { amount }) })

  // What sells, in currencies of two, none and three decimals; what is declined or let go moves nothing.
  const coffee = await pay(1_250, 'usd', 'visa')
  const desk = await pay(48_900, 'eur', 'mastercard')
  const kimono = await pay(12_800, 'jpy', 'jcb')
  await pay(7_345, 'kwd', 'visa')
  await pay(1_250, 'usd', 'visa')
  await pay(3_600, 'usd', 'chargeDeclinedInsufficientFunds')
  const room = await pay(20_000, 'usd', 'visa', { capture_method: 'manual' })
  await account.api.post(`/v1/payment_intents/${room.id}/capture`, { amount_to_capture: 13_350 })
  const bike = await pay(8_000, 'eur', 'visa', { capture_method: 'manual' })
  await account.api.post(`/v1/payment_intents/${bike.id}/cancel`)

  // What comes back: whole, in parts, later, and what bounces.
  await refund(kimono)
  await refund(desk, 4_000)
  await refund(desk, 2_500)
  await refund(await pay(2_200, 'usd', 'pendingRefund'))
  await refund(await pay(2_300, 'usd', 'refundFail'))

  // What networks do: nobody hears the answer of what was done, or of what was not.
  await world.fault({ operation: 'authorize', kind: 'drop_response', count: 1, rate: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', count: 1, rate: 1 })
  await pay(5_100, 'usd', 'visa')
  await world.fault({ operation: 'authorize', kind: 'drop_request', count: 1, rate: 1 })
  await pay(5_200, 'usd', 'visa')
  await world.fault({ operation: 'refund', kind: 'drop_response', count: 1, rate: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', count: 1, rate: 1 })
  await refund(coffee, 250)
  await world.fault({ operation: 'refund', kind: 'error', count: 1, rate: 1 })
  await refund(coffee, 100)
  await world.clearFaults()

  // What customers contest: one is won, one lost, one still open.
  for (const amount of [9_100, 9_200, 9_300]) await pay(amount, 'usd', 'createDispute')
  const disputes = async (): Promise<Json[]> => (await account.api.get('/v1/disputes')).body.data
  await eventually(async () => {
    await world.catchUp()
    expect(await disputes()).toHaveLength(3)
  })
  const [last, second] = await disputes()
  await account.api.post(`/v1/disputes/${last?.id}`, {
    evidence: { uncategorized_text: 'winning_evidence' },
    submit: true,
  })
  await account.api.post(`/v1/disputes/${second?.id}/close`)

  // What is paid out, and what the bank sends back.
  await pay(90_000, 'usd', 'bypassPending')
  await world.releaseFunds()
  await account.api.post('/v1/payouts', { amount: 30_000, currency: 'usd' })
  await account.api.post('/v1/payouts', { amount: 4_000, currency: 'usd', destination: 'btok_us_returned' })

  await settle(world, account)
  return {
    ledger: await exported(world, 'ledger', 'export', '--what', 'settlements'),
    csv: await statement(world, 'csv'),
    camt053: await statement(world, 'camt053'),
  }
}

/** Until both sides have said their last word about everything. */
async function settle(world: World, account: TestAccount): Promise<void> {
  await eventually(async () => {
    await world.resolve()
    await world.follow()
    await world.catchUp()
    expect(await openWork(world, account)).toEqual([])
    const { data: payouts } = (await account.api.get('/v1/payouts')).body
    expect(payouts.map(({ status }: Json) => status).toSorted()).toEqual(['failed', 'paid'])
    const { data: refunds } = (await account.api.get('/v1/refunds')).body
    const states = refunds.map(({ status }: Json) => status)
    expect(states).toContain('failed')
    expect(states).not.toContain('pending')
    const { data: disputes } = (await account.api.get('/v1/disputes')).body
    expect(disputes.map(({ status }: Json) => status)).toEqual(['won', 'lost', 'needs_response'])
  })
}

async function statement(world: World, format: string): Promise<string> {
  const response = await fetch(`${world.simulator.url}/statement?format=${format}`)
  expect(response.status).toBe(200)
  return response.text()
}

/** By the command line, as whoever runs it every night does. */
async function exported(world: World, ...args: string[]): Promise<string> {
  const child = spawn(process.execPath, [CLI, ...args], {
    env: { ...process.env, DATABASE_URL: world.url, BURSAR_DATA_DIR: world.data_dir },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text))
  const [code] = (await once(child, 'close')) as [number | null]
  expect(code).toBe(0)
  return out
}
