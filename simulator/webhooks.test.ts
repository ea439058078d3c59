/** Webhooks leave the simulator signed, again when refused, and in disorder when asked; never at the payments' cost. */
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
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
let hook: string

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
  hook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
  simulator = await startSimulator({
    port: 0,
    data_dir: folder,
    settle_after_ms: 30,
    webhook_url: hook,
    webhook_secret: SECRET,
  })
})
afterEach(async () => {
  await simulator.close()
  receiver.close()
  receiver.closeAllConnections()
  rmSync(folder, { recursive: true })
})

/** Events come within moments; a machine may be busy. */
const WAITS = { timeout: 30_000, interval: 20 }

const post = (path: string, body: object) =>
  fetch(`${simulator.url}${path}`, { method: 'POST', body: JSON.stringify(body), redirect: 'manual' })
const pay = async (reference: string, payment_token = 'pm_card_visa', capture = true) =>
  (
    await post('/v1/authorizations', { reference, amount: 900, currency: 'usd', payment_token, capture })
  ).json()
const types = () => received.map(event => event.type)
/** What of which operation, in the order of the alphabet. */
const told = () => received.map(event => `${event.type} ${event.data.object.reference}`).sort()
async function receive(count: number) {
  await vi.waitFor(() => expect(received.length).toBeGreaterThanOrEqual(count), WAITS)
  expect(wrong_signatures).toBe(0)
}

test('each outcome has its event, with the operation as it was', async () => {
  await pay('held', 'pm_card_visa', false)
  await pay('paid')
  await pay('declined', 'pm_card_chargeDeclined')
  const { id } = (await pay('refunded', 'pm_card_pendingRefund')) as { id: string }
  await receive(4)
  // Several lanes deliver, so that two events of one moment arrive in either order.
  expect(told()).toEqual([
    'payment.authorized held',
    'payment.captured paid',
    'payment.captured refunded',
    'payment.failed declined',
  ])
  await post(`/v1/payments/${id}/refund`, { reference: 'refund' })
  await receive(6)
  expect(
    received
      .slice(4)
      .map(event => `${event.type} ${event.data.object.status}`)
      .sort(),
  ).toEqual(['refund.updated approved', 'refund.updated pending'])
  await pay('disputed', 'pm_card_createDispute')
  await receive(8)
  expect(types().slice(6).sort()).toEqual(['dispute.created', 'payment.captured'])
})

test('a passed challenge is told', async () => {
  const { redirect_url } = (await pay('3ds', 'pm_card_authenticationRequired')) as { redirect_url: string }
  await receive(1)
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
  const late_ms = 2_000
  const references = Array.from({ length: 20 }, (_, i) => `event-${i}`)
  const timers = vi.spyOn(globalThis, 'setTimeout')
  onTestFinished(() => timers.mockRestore())
  /** How long each event was told to wait, in the order in which they happened. */
  const waits = async (out_of_order: boolean) => {
    await post('/webhooks', { late_ms, out_of_order })
    timers.mockClear()
    for (const reference of references) await pay(`${reference}-${out_of_order}`)
    // Those of connections are longer.
    const found = () =>
      timers.mock.calls
        .map(([, wait_ms = 0]) => wait_ms)
        .filter(wait_ms => wait_ms >= late_ms && wait_ms < 2 * late_ms)
    await vi.waitFor(() => expect(found()).toHaveLength(references.length), WAITS)
    return found()
  }
  const began_ms = performance.now()
  const disordered = await waits(true)
  await receive(1)
  // A timer may strike up to a millisecond early.
  expect(performance.now() - began_ms).toBeGreaterThan(late_ms - 1)
  // Not by when they arrive: several lanes deliver, so that what is due together comes in any order, and a busy machine
  // makes everything due together.
  expect(disordered).not.toEqual(disordered.toSorted((a, b) => a - b))
  expect(await waits(false)).toEqual(references.map(() => late_ms))
  await receive(40)
  expect(told()).toEqual(
    references
      .flatMap(reference => [`${reference}-false`, `${reference}-true`])
      .map(reference => `payment.captured ${reference}`)
      .sort(),
  )
})

test('a setting that makes no sense is refused, and nothing of it is taken', async () => {
  const settings = async () => (await fetch(`${simulator.url}/webhooks`)).text()
  const before = await settings()
  for (const body of [
    { duplicate_rate: 2 },
    { drop_rate: 'often' },
    { late_ms: 'soon' },
    { late_ms: 86_400_000 },
    { out_of_order: 1 },
    { notify: 'some' },
    { url: 'ftp://example.test' },
    { secret: 7 },
    { twice: true },
    { out_of_order: true, twice: true },
  ]) {
    expect((await post('/webhooks', body)).status).toBe(400)
  }
  expect(await settings()).toBe(before)
  expect(before).not.toContain(SECRET)
})

test('when only what was not answered is told, an answered payment costs no webhook', async () => {
  await post('/webhooks', { notify: 'unanswered' })
  await post('/v1/authorizations', {
    reference: 'fund',
    amount: 100_000,
    currency: 'usd',
    payment_token: 'pm_card_visa',
  })
  const { id } = (await pay('answered', 'pm_card_pendingRefund')) as { id: string }
  await post(`/v1/payments/${id}/refund`, { reference: 'answered-refund' })
  const { redirect_url } = (await pay('3ds', 'pm_card_authenticationRequired')) as { redirect_url: string }
  await fetch(`${redirect_url}/complete`, { method: 'POST' })
  await post('/disputes', { reference: '3ds', reason: 'general', amount: 1 })
  await post('/v1/payouts', { reference: 'payout', amount: 5, currency: 'usd' })
  await post('/faults', { operation: 'authorize', kind: 'slow_body', ms: 20, count: 1 })
  await pay('slowly-answered')
  await post('/faults', { operation: 'authorize', kind: 'error', moment: 'after', count: 1 })
  await pay('failed')
  await post('/faults', { operation: 'authorize', kind: 'late_success', ms: 20, count: 1 })
  pay('late').catch(() => undefined)
  await receive(7)
  expect(told()).toEqual([
    'dispute.created 3ds',
    'payment.captured 3ds',
    'payment.captured failed',
    'payment.captured late',
    'payment.captured slowly-answered',
    'payout.paid payout',
    'refund.updated answered-refund',
  ])
})

test('where webhooks go and what signs them changes while it runs', async () => {
  await post('/webhooks', { url: null })
  await pay('untold')
  await post('/webhooks', { url: hook, secret: 'another' })
  await pay('told')
  await vi.waitFor(() => expect(received).toHaveLength(1), WAITS)
  expect(received[0]?.data.object.reference).toBe('told')
  expect(wrong_signatures).toBe(1)
})

test('a seed decides which events are lost, and the feed has them all', async () => {
  await post('/webhooks', { drop_rate: 0.5 })
  const references = Array.from({ length: 40 }, (_, i) => `maybe-${10 + i}`)
  for (const reference of references) await pay(reference)
  const state = async () =>
    ((await (await fetch(`${simulator.url}/webhooks`)).json()) as { counts: Record<string, number> }).counts
  await vi.waitFor(async () => {
    const { delivered = 0, lost = 0 } = await state()
    expect(delivered + lost).toBe(40)
  }, WAITS)
  // Binomial(40, 0.5): 20 expected, 3.2 the deviation; five of them on each side.
  expect(received.length).toBeGreaterThan(4)
  expect(received.length).toBeLessThan(36)
  const feed = (await (await fetch(`${simulator.url}/v1/events?limit=500`)).json()) as { events: Received[] }
  expect(feed.events.map(event => event.data.object.reference)).toEqual(references)
  // The same history on a book of its own loses the same ones.
  const survivors = received.map(event => event.data.object.reference).sort()
  const other = mkdtempSync(join(tmpdir(), 'bursar-webhooks-'))
  const again = await startSimulator({ port: 0, data_dir: other, webhook_url: hook, webhook_secret: SECRET })
  received.length = 0
  const send = (path: string, body: object) =>
    fetch(`${again.url}${path}`, { method: 'POST', body: JSON.stringify(body) })
  await send('/webhooks', { drop_rate: 0.5 })
  for (const reference of references) {
    await send('/v1/authorizations', {
      reference,
      amount: 900,
      currency: 'usd',
      payment_token: 'pm_card_visa',
      capture: true,
    })
  }
  await vi.waitFor(() => expect(received).toHaveLength(survivors.length), WAITS)
  expect(received.map(event => event.data.object.reference).sort()).toEqual(survivors)
  await again.close()
  rmSync(other, { recursive: true })
})

test('a receiver that is gone costs the payments nothing and is counted', async () => {
  receiver.close()
  receiver.closeAllConnections()
  for (let i = 0; i < 20; i++) await pay(`alone-${i}`)
  const { counts } = (await (await fetch(`${simulator.url}/webhooks`)).json()) as { counts: object }
  expect(counts).toMatchObject({ delivered: 0 })
})
