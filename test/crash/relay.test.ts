/**
 * The crash matrix for those who work without being asked: the job that gives lapsed holds back, the resolver that
 * carries it out and asks about open outcomes, and the clock they go by. Each test cuts the worker off at a named point.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import type { FailpointOrder } from '../../src/main/failpoints.ts'
import type { Merchant } from '../support/merchant.ts'
import { audit, recovered } from '../support/outside.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { freeJobsOfTheDead, holdSchedule } from '../support/schedule.ts'
import { paying } from './works.ts'

const TEST_MS = 300_000
const HOLDS = 3
const DAY_MS = 86_400_000

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
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
  // A test that failed before it restarted what it killed fails alone.
  if (!worker.is_alive) await restartWorker()
})
/** What a test that failed had armed is not for the next one. */
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await worker.kill()
})

type Arming = Extract<FailpointOrder, { arm: unknown }>

const restartWorker = async () => {
  await freeJobsOfTheDead(plant)
  worker = await plant.start({ role: 'worker' })
}

/** What the clock asks for by itself, now. */
const runJob = (name: string) => plant.db.one`
  select job_enqueue(${name}, '{"payload":{}}', null, null, 21, null) as id`
const runExpiry = () => runJob('payment_intents.expire_holds')

const makeHolds = () =>
  Promise.all(
    Array.from({ length: HOLDS }, () =>
      merchant.post(at, '/v1/payment_intents', paying({ confirm: true, capture_method: 'manual' })),
    ),
  )

/** Their time is over since a minute, or will be after `in_interval`. */
const lapse = (in_interval = '-1 minute') => plant.db.run`
  update payment_intents set capture_before = now() + ${in_interval}::interval
  where account_id = ${merchant.account_id}`

async function statuses(): Promise<string[]> {
  const rows = await plant.db.many<{ status: string }>`
    select status from payment_intents where account_id = ${merchant.account_id}`
  return rows.map(row => row.status)
}

/** Every hold is given back once, whoever did it in the end. */
async function expectVoided(): Promise<void> {
  await runExpiry()
  await expect.poll(statuses, { timeout: 60_000, interval: 100 }).not.toContain('requires_capture')
  await recovered(plant, [merchant])
  expect(await statuses()).toEqual(Array.from({ length: HOLDS }, () => 'canceled'))
  expect(await audit(plant, [merchant], at)).toEqual([])
}

/**
 * Lets the worker be struck while it gives three lapsed holds back. Armed before they lapse: a job of the test before,
 * whose worker was killed, is run again some seconds later, and would give them back unstruck.
 */
async function strikeExpiry(order: Arming): Promise<void> {
  await makeHolds()
  const { struck } = await worker.arm(order)
  await lapse()
  await runExpiry()
  await struck
}

/**
 * As above, at the next commit of a payment after all three have come to `point`. Commits are not counted, because
 * however many are ready at once share one.
 */
async function strikeCommitAfter(
  point: 'attempt.prepared' | 'attempt.sent',
  action: Arming['action'],
): Promise<void> {
  await makeHolds()
  const gathered = await worker.arm({ arm: point, match: 'void', action: 'hang', together: HOLDS })
  await lapse()
  await runExpiry()
  await gathered.struck
  const { struck } = await worker.arm({ arm: 'commit.sent', match: 'payments_record', action })
  await worker.release(point)
  await struck
}

describe('a relay', () => {
  test('row 1: a job killed before its COMMIT has done nothing', { timeout: TEST_MS }, async () => {
    await strikeExpiry({ arm: 'transaction.open', match: 'payments_record', action: 'kill' })
    expect(await statuses()).toEqual(Array.from({ length: HOLDS }, () => 'requires_capture'))
    await restartWorker()
    await expectVoided()
  })

  test.for([
    [2, 'attempt.taken'],
    [3, 'attempt.prepared'],
    [4, 'attempt.sent'],
    [4, 'processor.asked'],
    [5, 'processor.answered'],
    [9, 'job.done'],
    [14, 'job.batch'],
  ] as const)('row %i: killed at %s', { timeout: TEST_MS }, async ([, arm]) => {
    const match = arm.startsWith('job.') ? 'payment_intents.expire_holds' : ''
    await strikeExpiry({ arm, match, action: 'kill' })
    await restartWorker()
    await expectVoided()
  })

  test('row 14: killed between a seal and its checkpoints', { timeout: TEST_MS }, async () => {
    const pay = () => merchant.post(at, '/v1/payment_intents', paying({ confirm: true }))
    const unsealed = async () =>
      (
        await plant.db.one<{ count: number }>`
          select count(*)::integer as count from ledger_transfers
          where account_id = ${merchant.account_id}
            and recorded_xid >= (select until_xid from ledger_seal_head)`
      ).count
    // What was posted can be sealed when everything that began before it has ended, in whichever database.
    const isSealable = async () =>
      (
        await plant.db.one<{ is_so: boolean }>`
          select max(recorded_xid) < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
            + (select xid_offset from ledger_seal_head) as is_so
          from ledger_transfers
          where account_id = ${merchant.account_id}`
      ).is_so
    await pay()
    await expect.poll(isSealable, { timeout: 60_000, interval: 50 }).toBe(true)
    const { struck } = await worker.arm({ arm: 'job.batch', match: 'ledger.seal', action: 'kill' })
    await runJob('ledger.seal')
    await struck
    expect(await unsealed()).toBe(0)
    await pay()
    expect(await unsealed()).toBeGreaterThan(0)
    await restartWorker()
    await runJob('ledger.seal')
    await expect.poll(unsealed, { timeout: 60_000, interval: 100 }).toBe(0)
    // Verifies the books too: the chain, and what checkpoints there are.
    expect(await audit(plant, [merchant], at)).toEqual([])
  })

  test('row 5: killed when a look-up has told the outcome', { timeout: TEST_MS }, async () => {
    await plant.simulator.fault({ operation: 'authorize', kind: 'reset', moment: 'after', count: 1 })
    await plant.simulator.fault({ operation: 'lookup', kind: 'error', count: 1 })
    // Once a minute its feed is read, which would tell the outcome before anybody looks it up.
    await plant.simulator.fault({ operation: 'events', kind: 'error' })
    onTestFinished(() => plant.simulator.clearFaults())
    const { struck } = await worker.arm({ arm: 'processor.found', action: 'kill' })
    const { body } = await merchant.post(at, '/v1/payment_intents', paying({ confirm: true }))
    expect(body.status).toBe('processing')
    await struck
    await restartWorker()
    await recovered(plant, [merchant])
    expect(await statuses()).toEqual(['succeeded'])
    expect(await audit(plant, [merchant], at)).toEqual([])
  })

  // Of the resolver: "sent", and the outcome.
  test.for([
    ['attempt.prepared', 'kill'],
    ['attempt.sent', 'kill'],
    ['attempt.prepared', 'drop_connection'],
    ['attempt.sent', 'drop_connection'],
  ] as const)('row 6: the commit after %s sent, then %s', { timeout: TEST_MS }, async ([point, action]) => {
    await strikeCommitAfter(point, action)
    if (action === 'kill') await restartWorker()
    await expectVoided()
  })

  test('row 8: stopped until another has finished, it wakes and writes nothing', {
    timeout: TEST_MS,
  }, async () => {
    await strikeExpiry({ arm: 'processor.answered', action: 'stop' })
    const late = worker
    onTestFinished(() => late.kill())
    await restartWorker()
    await expectVoided()
    const { events } = await countEvents()
    late.signal('SIGCONT')
    // It takes orders again: what it had begun is behind it.
    await late.release('job.batch')
    await expectVoided()
    expect(await countEvents()).toEqual({ events })
  })

  test.for([1, 2])('row 9: done %i times without being marked', { timeout: TEST_MS }, async times => {
    await makeHolds()
    for (let time = 0; time < times; time++) {
      const { struck } = await worker.arm({ arm: 'job.done', match: 'expire_holds', action: 'error' })
      await lapse()
      await runExpiry()
      await struck
    }
    await expectVoided()
  })

  test('row 13: killed inside a batch of the resolver', { timeout: TEST_MS }, async () => {
    await strikeExpiry({ arm: 'attempt.prepared', match: 'void', action: 'kill', together: HOLDS })
    await plant.db.run`
      update payment_attempts set next_check_at = now() + interval '1 hour'
      where account_id = ${merchant.account_id} and next_check_at is not null`
    const { open } = await plant.db.one<{ open: number }>`
      select count(*)::integer as open from payment_attempts
      where account_id = ${merchant.account_id} and state = 'prepared'`
    expect(open).toBe(HOLDS)
    await restartWorker()
    await worker.arm({ arm: 'attempt.prepared', action: 'tell', together: open })
    const { struck } = await worker.arm({ arm: 'batch.sent', match: String(open), action: 'kill' })
    await plant.hurry()
    await struck
    await restartWorker()
    await expectVoided()
  })

  test.for([-DAY_MS, DAY_MS])(
    'row 15: the clock is wrong by %i ms',
    { timeout: TEST_MS },
    async offset_ms => {
      onTestFinished(async () => void (await Promise.all([api.shiftClock(0), worker.shiftClock(0)])))
      await Promise.all([api.shiftClock(offset_ms), worker.shiftClock(offset_ms)])
      await makeHolds()
      // Half a day from now is early, whatever the worker's clock says.
      await lapse('12 hours')
      const { struck } = await worker.arm({ arm: 'job.done', match: 'expire_holds', action: 'tell' })
      await runExpiry()
      await struck
      expect(await statuses()).toEqual(Array.from({ length: HOLDS }, () => 'requires_capture'))
      await lapse()
      await expectVoided()
    },
  )
})

const countEvents = () => plant.db.one<{ events: bigint }>`
  select count(*) as events from events where account_id = ${merchant.account_id}`
