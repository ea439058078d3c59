/**
 * The crash matrix for those who carry requests out: an API whose requests die, and a worker whose completer dies while
 * it finishes them. Each test cuts one of them off at a named point, starts it again, lets the clients retry with their
 * keys, and audits from outside. The relay's part is in relay.test.ts, the database's in lost.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import type { FailpointOrder } from '../../src/main/failpoints.ts'
import { sleep } from '#kernel'
import type { Merchant } from '../support/merchant.ts'
import { audit, recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { holdSchedule } from '../support/schedule.ts'
import { startAll, type Started } from './works.ts'

const TEST_MS = 300_000
const ALL = 5
const MANY = 60
/** What a completer takes at once. */
const TAKEOVERS = 20
const LOOKS_MS = 3_000
const DAY_MS = 86_400_000

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
  // Every five minutes it releases what is available at once, a refund's part: that is written, and by nobody who woke.
  await holdSchedule(database.url)
  plant = await startPlant({ database_url: database.url })
  ;[api, worker] = await Promise.all([plant.start({ role: 'api' }), plant.start({ role: 'worker' })])
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)
beforeEach(async () => {
  merchant = await plant.account()
})
/** A test that failed in the middle leaves its dead, its sleepers and what it armed: the next one is to fail for its own reasons. */
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await Promise.all([api.kill(), worker.kill()])
  for (const server of [api, worker]) server.signal('SIGCONT')
  if (api.is_alive) await api.release('attempt.prepared')
  else await restartApi()
  if (worker.is_alive) await worker.release('key.taken_over')
  else await restartWorker()
}, TEST_MS)

type Arming = Extract<FailpointOrder, { arm: unknown }>

/**
 * Everything ends as if nothing had happened, and the audit finds nothing. An answer may say that the outcome was not
 * known yet: whoever gave it asked before the processor's silence was long enough to mean anything.
 */
async function expectDone(started: readonly Started[]): Promise<void> {
  const settled = Promise.all(started.map(({ answer }) => answer))
  await recovered(plant, [merchant])
  const answers = await settled
  const now = await Promise.all(
    started.map(async ({ name, work }, i) => {
      const told = answers[i]?.body
      expect([work.status, work.asks === 'refund' ? 'pending' : 'processing'], name).toContain(told.status)
      const list = work.asks === 'refund' ? 'refunds' : 'payment_intents'
      return `${name}: ${(await merchant.get(at, `/v1/${list}/${told.id}`)).status}`
    }),
  )
  expect(now).toEqual(started.map(({ name, work }) => `${name}: ${work.status}`))
  expect(await audit(plant, [merchant], at)).toEqual([])
}

/** Starts all five and lets the API strike them at the point. */
async function strikeHandlers(order: Arming, names?: readonly string[]): Promise<Started[]> {
  let struck: Promise<unknown> = Promise.resolve()
  const started = await startAll(
    merchant,
    at,
    async () => {
      ;({ struck } = await api.arm(order))
    },
    names,
  )
  await struck
  return started
}

const manyCreates = (count: number) => Array.from({ length: count }, () => 'create and confirm')

const restartWorker = async () => {
  worker = await plant.start({ role: 'worker' })
}
const restartApi = async () => {
  api = await plant.start({ role: 'api' })
}

describe('a handler', () => {
  test.for([
    [1, 'request.begun'],
    [3, 'attempt.prepared'],
    [4, 'attempt.sent'],
    [4, 'processor.asked'],
    [5, 'processor.answered'],
    [7, 'attempt.settled'],
    [7, 'request.answered'],
  ] as const)('row %i: killed at %s', { timeout: TEST_MS }, async ([, arm]) => {
    const started = await strikeHandlers({ arm, action: 'kill', together: ALL })
    await restartApi()
    await expectDone(started)
  })

  const WITH_PHASES = ['confirm', 'capture', 'cancel', 'refund']
  // A refund would wait for the balance that the confirm holds.
  const SIDE_BY_SIDE = ['confirm', 'capture', 'cancel']

  test('row 1: killed before the COMMIT of its first phase', { timeout: TEST_MS }, async () => {
    const order = { arm: 'transaction.open', match: 'payments_record', action: 'kill' } as const
    const started = await strikeHandlers({ ...order, together: SIDE_BY_SIDE.length }, SIDE_BY_SIDE)
    const { count } = await plant.db.one<{ count: bigint }>`
      select count(*) from payment_attempts
      where account_id = ${merchant.account_id} and operation <> 'authorize'`
    expect(count).toBe(0n)
    await restartApi()
    await expectDone(started)
  })

  test('row 2: killed when it has taken over a dead key', { timeout: TEST_MS }, async () => {
    const started = await strikeHandlers({ arm: 'attempt.prepared', action: 'kill', together: ALL })
    // The worker would be first; stopped, it holds nothing.
    worker.signal('SIGSTOP')
    await restartApi()
    const { struck } = await api.arm({ arm: 'key.taken_over', action: 'kill', together: ALL })
    await plant.hurry()
    await struck
    worker.signal('SIGCONT')
    await restartApi()
    await expectDone(started)
  })

  test('row 6: killed when the COMMIT of its first phase is sent', { timeout: TEST_MS }, async () => {
    const order = { arm: 'commit.sent', match: 'payments_record', action: 'kill' } as const
    const started = await strikeHandlers({ ...order, together: WITH_PHASES.length }, WITH_PHASES)
    await restartApi()
    await expectDone(started)
  })

  // Opened, sent, settled: each is one statement that commits itself.
  test.for([0, 1, 2])(
    'row 6: killed when commit %i of a create is sent',
    { timeout: TEST_MS },
    async after => {
      const order = { arm: 'commit.sent', match: 'payments_record', action: 'kill', after } as const
      const started = await strikeHandlers(order, ['create and confirm'])
      await restartApi()
      await expectDone(started)
    },
  )

  test.for([
    [1, 0],
    [1, 1],
    [1, 2],
    [WITH_PHASES.length, 0],
  ] as const)(
    'row 6: cut off from the database when the COMMITs of %i requests are sent, after %i before',
    { timeout: TEST_MS },
    async ([together, after]) => {
      const names = together === 1 ? ['create and confirm'] : WITH_PHASES
      const order = { arm: 'commit.sent', match: 'payments_record', action: 'drop_connection' } as const
      const started = await strikeHandlers({ ...order, together, after }, names)
      expect(api.is_alive).toBe(true)
      await expectDone(started)
    },
  )

  test.for(['attempt.prepared', 'attempt.sent', 'processor.answered'] as const)(
    'row 8: stopped at %s until another has finished, it wakes and writes nothing',
    { timeout: TEST_MS },
    async arm => {
      const started = await strikeHandlers({ arm, action: 'stop', together: ALL })
      await recovered(plant, [merchant])
      const before = await tracesOf(merchant)
      api.signal('SIGCONT')
      await expectDone(started)
      expect(await tracesOf(merchant)).toEqual(before)
    },
  )
})

describe('a handler, once more', () => {
  test('row 8: stopped, it wakes while another is at work and writes nothing', {
    timeout: TEST_MS,
  }, async () => {
    const started = await strikeHandlers({ arm: 'attempt.prepared', action: 'stop', together: ALL })
    const { struck } = await worker.arm({ arm: 'key.taken_over', action: 'hang', together: ALL })
    await plant.hurry()
    await struck
    // A client that asks again takes over what hangs for longer than a lease, and would be right to write.
    await plant.db.run`
      update idempotency_keys set lease_until = now() + interval '10 minutes'
      where account_id = ${merchant.account_id} and finished_at is null`
    const before = await tracesOf(merchant)
    api.signal('SIGCONT')
    // It goes on at once, or not at all.
    await sleep(LOOKS_MS)
    expect(await tracesOf(merchant)).toEqual(before)
    await worker.release('key.taken_over')
    await expectDone(started)
  })

  test('row 13: killed inside a batch of 60 payments', { timeout: TEST_MS }, async () => {
    await api.arm({ arm: 'request.begun', action: 'tell', together: MANY })
    const { struck } = await api.arm({ arm: 'batch.sent', action: 'kill' })
    const started = await startAll(merchant, at, async () => undefined, manyCreates(MANY))
    expect(await struck).toBe(String(MANY))
    await restartApi()
    await expectDone(started)
  })

  test.for([-DAY_MS, DAY_MS])(
    'row 15: its clock is wrong by %i ms',
    { timeout: TEST_MS },
    async offset_ms => {
      await api.shiftClock(offset_ms)
      const started = await strikeHandlers({ arm: 'attempt.sent', action: 'kill', together: ALL })
      await restartApi()
      await api.shiftClock(offset_ms)
      await expectDone(started)
      await api.shiftClock(0)
    },
  )
})

describe('a completer', () => {
  /** Its runners hang in the API; the worker is struck when it has taken over. */
  async function strikeCompleter(order: Arming, names?: readonly string[]): Promise<Started[]> {
    const together = names?.length ?? ALL
    const started = await strikeHandlers({ arm: 'attempt.prepared', action: 'hang', together }, names)
    const { struck } = await worker.arm(order)
    await plant.hurry()
    await struck
    return started
  }

  async function finishElsewhere(started: readonly Started[]): Promise<void> {
    await recovered(plant, [merchant])
    // The first runners are still there, and late.
    await api.release('attempt.prepared')
    await expectDone(started)
  }

  test.for([
    [2, 'key.taken_over'],
    [3, 'attempt.prepared'],
    [4, 'attempt.sent'],
    [4, 'processor.asked'],
    [5, 'processor.answered'],
    [7, 'attempt.settled'],
  ] as const)('row %i: killed at %s', { timeout: TEST_MS }, async ([, arm]) => {
    const started = await strikeCompleter({ arm, action: 'kill', together: ALL })
    await restartWorker()
    await finishElsewhere(started)
  })

  // "Sent", and the outcome.
  test.for([
    [0, 'kill'],
    [1, 'kill'],
    [0, 'drop_connection'],
    [1, 'drop_connection'],
  ] as const)('row 6: commit %i sent, then %s', { timeout: TEST_MS }, async ([after, action]) => {
    const order = { arm: 'commit.sent', match: 'payments_record', action, after } as const
    const started = await strikeCompleter(order, ['create and confirm'])
    if (action === 'kill') await restartWorker()
    await finishElsewhere(started)
  })

  test('row 8: stopped until another has finished, it wakes and writes nothing', {
    timeout: TEST_MS,
  }, async () => {
    const started = await strikeCompleter({ arm: 'processor.answered', action: 'stop', together: ALL })
    const late = worker
    onTestFinished(() => late.kill())
    await restartWorker()
    await finishElsewhere(started)
    const before = await tracesOf(merchant)
    late.signal('SIGCONT')
    await late.release('job.batch')
    await expectDone(started)
    expect(await tracesOf(merchant)).toEqual(before)
  })

  test('row 13: killed inside a batch of 20 takeovers', { timeout: TEST_MS }, async () => {
    await worker.arm({ arm: 'attempt.prepared', action: 'tell', together: TAKEOVERS })
    const order = { arm: 'batch.sent', match: String(TAKEOVERS), action: 'kill' } as const
    const started = await strikeCompleter(order, manyCreates(TAKEOVERS))
    await restartWorker()
    await finishElsewhere(started)
  })

  test.for([-DAY_MS, DAY_MS])(
    'row 15: its clock is wrong by %i ms',
    { timeout: TEST_MS },
    async offset_ms => {
      await worker.shiftClock(offset_ms)
      const started = await strikeHandlers({ arm: 'attempt.prepared', action: 'hang', together: ALL })
      // It looks every second: by its own clock a lease of 20 s would have been over for long.
      await sleep(LOOKS_MS)
      const { epochs } = await plant.db.one<{ epochs: number[] }>`
      select array_agg(distinct epoch) as epochs from idempotency_keys
      where account_id = ${merchant.account_id} and finished_at is null`
      expect(epochs).toEqual([1])
      await finishElsewhere(started)
      await worker.shiftClock(0)
    },
  )
})

/** What was written for a merchant, and what moved for it. */
async function tracesOf({ account_id }: Merchant) {
  const rows = await plant.db.one<Record<string, bigint>>`
    select
      (select count(*) from events where account_id = ${account_id}) as events,
      (select count(*) from ledger_transfers where account_id = ${account_id}) as transfers,
      (select count(*) from payment_attempts where account_id = ${account_id}) as attempts,
      (select count(*) from charges where account_id = ${account_id}) as charges,
      (select coalesce(sum(version), 0)::bigint from payment_intents where account_id = ${account_id}) as versions`
  return { ...rows, movements: (await plant.simulator.book()).length }
}
