/**
 * What happens to the engine itself: rows 5, 10, 13 and 16 of the matrix in docs/testing.md. Nothing is lost: each event
 * ends as succeeded, dead or canceled.
 *
 * @every-postgresql deadlocks, timeouts and transactions held open are the database's.
 */
import { describe, expect, onTestFinished, test } from 'vitest'
import { openDatabase } from '#db'
import { asAdmin } from '#db/testing'
import { createConsumers, emit, eventOf } from '#events'
import { newId, systemClock, type Tenant } from '#kernel'
import { createWebhooks, webhooksConsumer } from '#webhooks'
import { type TestEndpoint, useEngine } from '#webhooks/testing'
import * as misbehaving from '../support/misbehaving.ts'
import { onQuietPort } from '../support/ports.ts'
import { answers, useReceivers } from '../support/receiver.ts'

const room = useEngine()
const receivers = useReceivers()
const TEST_MS = 60_000

const became = async (of: TestEndpoint): Promise<[string, string][]> =>
  (await room.deliveries(of)).map(({ event, status }) => [event, status])
const succeeded = (events: readonly string[]): [string, string][] => events.map(event => [event, 'succeeded'])

describe('engine 5: the database refuses a batch of results', { timeout: TEST_MS }, () => {
  /** Writing a try is refused where its response is `poison`; at most so often. */
  async function refusing(code: string, times: number): Promise<void> {
    await asAdmin(room.url, 'create sequence refusals')
    await asAdmin(room.url, 'grant usage on sequence refusals to public')
    await asAdmin(
      room.url,
      `create function refuse() returns trigger language plpgsql as $$
      begin
        if new.response = 'poison' and nextval('refusals') <= ${times} then
          raise exception 'refused by a test' using errcode = '${code}';
        end if;
        return new;
      end $$`,
    )
    await asAdmin(
      room.url,
      'create trigger refuse before insert on webhook_attempts for each row execute function refuse()',
    )
    onTestFinished(async () => {
      await asAdmin(room.url, 'drop function refuse cascade')
      await asAdmin(room.url, 'drop sequence refusals')
    })
  }

  /** Many good results, and a poisoned one among those of each batch. */
  async function play(): Promise<{ poisoned: TestEndpoint; good: TestEndpoint; events: string[] }> {
    const bad = await receivers.open()
    bad.answer = answers(500, {}, 'poison')
    const well = await receivers.open()
    well.answer = answers(200, {}, 'thank you')
    // Tried once: its next try is not to come while the others are still written.
    const poisoned = await room.endpoint(bad.url, { retry_schedule: [0, 3_600] })
    const good = await room.endpoint(well.url)
    await room.emit(poisoned, 3)
    const events = await room.emit(good, 60)
    await room.drain()
    return { poisoned, good, events }
  }

  test('for one row that can never be stored: it stands alone, the others are written as they are', async () => {
    await refusing('22021', 1_000_000)
    const { poisoned, good, events } = await play()
    expect(await became(good)).toEqual(succeeded(events))
    expect(new Set((await room.attempts(good)).map(({ response }) => response))).toEqual(
      new Set(['thank you']),
    )
    expect(await room.attempts(poisoned)).toMatchObject(
      Array.from({ length: 3 }, () => ({
        status_code: 500,
        failure: 'failed',
        message: 'What was answered could not be stored.',
        response: null,
        is_retried: true,
      })),
    )
    expect((await room.queue(poisoned)).map(({ tries }) => tries)).toEqual([1, 1, 1])
  })

  test.each([
    ['a deadlock', '40P01'],
    ['a statement timeout', '57014'],
    ['a full disk', '53100'],
  ])('by %s, once: it is written again, and nothing of it is missing', async (_name, code) => {
    await refusing(code, 1)
    const { poisoned, good, events } = await play()
    expect(await became(good)).toEqual(succeeded(events))
    expect(new Set((await room.attempts(good)).map(({ response }) => response))).toEqual(
      new Set(['thank you']),
    )
    expect((await room.attempts(poisoned)).map(({ response }) => response)).toEqual([
      'poison',
      'poison',
      'poison',
    ])
    expect((await room.queue(poisoned)).map(({ tries }) => tries)).toEqual([1, 1, 1])
  })
})

test('engine 10: when nobody can be reached it is our own fault: all pauses, no try is used up, nobody is blamed', {
  timeout: TEST_MS,
}, async () => {
  const gone = await Promise.all(
    Array.from({ length: 4 }, () => onQuietPort(port => misbehaving.answer(200, {}, '', { port }))),
  )
  const sent = await Promise.all(
    gone.map(async ({ url }) => {
      const endpoint = await room.endpoint(url)
      return { endpoint, events: await room.emit(endpoint, 25) }
    }),
  )
  // From here on every connection is refused.
  for (const receiver of gone) await receiver.close()
  const worker = room.another()
  onTestFinished(() => worker.stop())
  worker.start()
  await expect.poll(() => worker.is_paused, { timeout: TEST_MS }).toBe(true)
  for (const { endpoint } of sent) {
    await expect
      .poll(async () => (await room.queue(endpoint)).map(({ tries }) => tries), { timeout: TEST_MS })
      .toEqual(Array.from({ length: 25 }, () => 0))
    await expect
      .poll(async () => (await room.attempts(endpoint)).filter(({ is_counted }) => is_counted), {
        timeout: TEST_MS,
      })
      .toEqual([])
  }
  const { disabled } = await room.db.one<{ disabled: number }>`
    select count(*)::integer as disabled from webhook_endpoints where status = 'disabled'`
  expect(disabled).toBe(0)

  const back = await Promise.all(gone.map(({ port }) => misbehaving.answer(200, {}, '', { port })))
  onTestFinished(async () => {
    for (const receiver of back) await receiver.close()
  })
  await expect.poll(() => worker.is_paused, { timeout: TEST_MS }).toBe(false)
  for (const { endpoint, events } of sent) {
    await room.makeDue(endpoint)
    await expect.poll(() => became(endpoint), { timeout: TEST_MS }).toEqual(succeeded(events))
  }
})

test('engine 13: a transaction that is held open holds up nothing but what it has written itself', {
  timeout: TEST_MS,
}, async () => {
  const receiver = await receivers.open()
  const endpoint = await room.endpoint(receiver.url)
  const webhooks = createWebhooks({
    ...room,
    clock: systemClock,
    installation_secret: 'a secret of the tests alone',
  })
  const consumers = createConsumers({
    db: room.db,
    clock: systemClock,
    log: room.log,
    consumers: [webhooksConsumer(webhooks)],
  })
  const received = () => new Set(receiver.received.map(({ event_id }) => event_id)).size
  const deliver = async () => {
    await consumers.runOnce()
    await room.drain()
    return received()
  }
  const write = (of: Tenant) =>
    room.db.transaction(tx => emit(tx, eventOf(causeOf(of), 'customer.created', objectNow())))

  // It begins where the stream is when it is first seen.
  await consumers.runOnce()
  const other = openDatabase({ url: room.url, connections: 1 })
  onTestFinished(() => other.close())
  const [begun, end] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const long = other.transaction(async tx => {
    // With its own number, before those that come after it.
    await emit(tx, eventOf(causeOf(endpoint), 'customer.created', objectNow()))
    begun.resolve()
    await end.promise
  })
  onTestFinished(() => end.resolve())
  await begun.promise
  for (let i = 1; i <= 20; i++) {
    await write(endpoint)
    if (i % 5 === 0) await expect.poll(deliver, { timeout: TEST_MS }).toBe(i)
  }
  end.resolve()
  await long
  await expect.poll(deliver, { timeout: TEST_MS }).toBe(21)
  expect(receiver.received).toHaveLength(21)
  expect((await became(endpoint)).filter(([, status]) => status === 'succeeded')).toHaveLength(21)
})

const causeOf = ({ account_id, livemode }: Tenant) => ({
  tenant: { account_id, livemode },
  clock: systemClock,
  request_id: null,
  idempotency_key: null,
})
const objectNow = () => {
  const id = newId(systemClock.now())
  return { prefix: 'cus_' as const, id, version: 1n, text: JSON.stringify({ id }) }
}

describe('engine 16: a delivery that cannot be made', { timeout: TEST_MS }, () => {
  test.each([
    [
      'its secret cannot be opened',
      (of: TestEndpoint) => room.db.run`
      update webhook_secrets set sealed = '\\x00' where endpoint_id = ${of.id}`,
      /signing secret cannot be opened/,
    ],
    [
      'it has no secret',
      (of: TestEndpoint) => room.db.run`
      delete from webhook_secrets where endpoint_id = ${of.id}`,
      /no signing secret/,
    ],
    [
      'its event is no longer kept',
      (of: TestEndpoint) => asAdmin(room.url, `delete from events where account_id = '${of.account_id}'`),
      /no longer kept/,
    ],
  ])(
    'because %s is a failed try that the account sees, and in the end a dead letter',
    async (_name, spoil, sentence) => {
      const receiver = await receivers.open()
      const endpoint = await room.endpoint(receiver.url, { retry_schedule: [0, 60] })
      const [event] = await room.emit(endpoint)
      await spoil(endpoint)
      await room.drain()
      expect(await room.attempts(endpoint)).toMatchObject([
        {
          number: 1,
          is_counted: true,
          status_code: null,
          failure: 'payload',
          message: expect.stringMatching(sentence),
          is_retried: true,
        },
      ])
      await room.makeDue(endpoint)
      await room.drain()
      expect(await became(endpoint)).toEqual([[event, 'dead']])
      expect(receiver.received).toEqual([])
    },
  )
})
