import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest'
import { systemClock, type Tenant } from '#kernel'
import { createLog } from '#metrics'
import { type Completer, createCompleter, startCompleter } from './completer.ts'
import { createNotes, type Hooks, noteEndpoints } from './notes.fixture.ts'
import { type TestAccount, type TestApi, testApi } from './testing.ts'

let api: TestApi
let completer: Completer
const hooks: Hooks = {}
const lines: Record<string, unknown>[] = []
const log = createLog({
  level: 'debug',
  destination: { write: line => void lines.push(JSON.parse(line) as Record<string, unknown>) },
})
beforeAll(async () => {
  api = await testApi(noteEndpoints(hooks))
  await createNotes(api.db)
  completer = createCompleter({ endpoints: noteEndpoints(hooks), db: api.db, clock: systemClock, log })
})
afterEach(async () => {
  delete hooks.between
  delete hooks.delivering
  lines.length = 0
  await api.db.run`delete from idempotency_keys`
})
afterAll(() => api.close())

const DAY_MS = 86_400_000

const sendNote = (shop: TestAccount, key = 'k') =>
  shop.send('POST /v1/notes/send', { text: 'a' }, { 'idempotency-key': key })
const keyOf = ({ account_id }: Tenant, key = 'k') =>
  api.db.one<{ epoch: number; status: number | null; lease_until: Date | null }>`
    select epoch, status, lease_until
    from idempotency_keys
    where account_id = ${account_id} and key = ${key}`
const stateOf = ({ account_id }: Tenant) =>
  api.db.one<{ state: string }>`select state from notes where account_id = ${account_id}`
const age = (by: string) => api.db.run`
  update idempotency_keys set lease_until = lease_until - ${by}::interval, finished_at = finished_at - ${by}::interval`

/** A runner that dies between its phases: what it leaves is a claimed key with a lease, as after kill -9. */
async function die(shop: TestAccount, key = 'k'): Promise<void> {
  hooks.between = () => Promise.reject(new Error('killed'))
  await sendNote(shop, key)
  delete hooks.between
  await api.db
    .run`update idempotency_keys set lease_until = now() + idempotency_lease() where finished_at is null`
}

test('an operation whose runner died is finished once its lease has lapsed, not before', async () => {
  const shop = await api.account()
  await die(shop)
  expect(await completer.runOnce()).toBe(0)
  await age('21 seconds')
  expect(await completer.runOnce()).toBe(1)
  expect(await stateOf(shop)).toEqual({ state: 'sent' })
  expect(await keyOf(shop)).toMatchObject({ epoch: 2, status: 200 })
  const replay = await sendNote(shop)
  expect([replay.status, replay.headers['idempotent-replayed']]).toEqual([200, 'true'])
  expect(lines).toMatchObject([{ event: 'idempotency_key.completed', outcome: 'finished', epoch: 2 }])
})

test('the answer carries the id of the request that began it', async () => {
  const shop = await api.account()
  await die(shop)
  await age('21 seconds')
  await completer.runOnce()
  const replay = await sendNote(shop)
  expect(replay.headers['original-request']).toBe(lines[0]?.request_id)
})

test('several completers share the work: each operation is resumed once', async () => {
  const shops = await Promise.all(Array.from({ length: 10 }, () => api.account()))
  for (const shop of shops) await die(shop)
  await age('21 seconds')
  const taken = await Promise.all([completer.runOnce(), completer.runOnce(), completer.runOnce()])
  expect(taken.reduce((sum, count) => sum + count)).toBe(10)
  for (const shop of shops) expect(await keyOf(shop)).toMatchObject({ epoch: 2, status: 200 })
})

test('an operation that fails again waits longer each time and holds up no other', async () => {
  const [bad, good] = [await api.account(), await api.account()]
  await die(bad)
  await die(good)
  const { account_id } = bad
  hooks.delivering = tenant =>
    tenant.account_id === account_id ? Promise.reject(new Error('still broken')) : Promise.resolve()
  const clock = async () => (await api.db.one<{ at: Date }>`select clock_timestamp() as at`).at.getTime()
  /** A round, and the least and the most that it can have made the bad one wait for, however long it took. */
  async function round() {
    const began_ms = await clock()
    const taken = await completer.runOnce()
    const ended_ms = await clock()
    const { lease_until, ...key } = await keyOf(bad)
    const until_ms = lease_until?.getTime() ?? Number.NaN
    return { taken, ...key, least_ms: until_ms - ended_ms, most_ms: until_ms - began_ms }
  }
  await age('21 seconds')
  const first = await round()
  expect(first).toMatchObject({ taken: 2, status: null })
  expect(await keyOf(good)).toMatchObject({ status: 200 })
  expect(first.most_ms).toBeGreaterThan(1_000)
  expect(first.least_ms).toBeLessThan(3_000)
  await age('3 seconds')
  const second = await round()
  expect(second.epoch).toBe(3)
  expect(second.most_ms).toBeGreaterThan(3_000)
  expect(lines.filter(({ event }) => event === 'idempotency_key.not_completed')).toHaveLength(2)
  delete hooks.delivering
  await age('10 seconds')
  await completer.runOnce()
  expect(await keyOf(bad)).toMatchObject({ status: 200 })
})

test('a key of an endpoint that is gone is left, and said so, rather than lost', async () => {
  const shop = await api.account()
  await die(shop)
  await age('21 seconds')
  const without = createCompleter({ endpoints: [], db: api.db, clock: systemClock, log })
  await without.runOnce()
  expect(await keyOf(shop)).toMatchObject({ status: null })
  expect(JSON.stringify(lines)).toContain('cannot be resumed')
})

test('a finished key is kept 30 days, an unfinished one for ever', async () => {
  const [done, open] = [await api.account(), await api.account()]
  await sendNote(done)
  await die(open)
  await age('29 days')
  expect(await completer.reapOnce()).toBe(0)
  await age('1 day 1 second')
  expect(await completer.reapOnce()).toBe(1)
  expect(await keyOf(open)).toMatchObject({ status: null })
  expect((await sendNote(done)).headers['idempotent-replayed']).toBeUndefined()
})

test('a finished key stays while the subject of its operation is open', async () => {
  const shop = await api.account()
  await sendNote(shop)
  await age('31 days')
  const subjects = await api.db.many<{ subject_id: string | null }>`select subject_id from idempotency_keys`
  const open = new Set(subjects.flatMap(({ subject_id }) => subject_id ?? []))
  expect(open.size).toBeGreaterThan(0)
  const careful = createCompleter({
    endpoints: [],
    db: api.db,
    clock: systemClock,
    log,
    openSubjects: async () => open,
  })
  await careful.reapOnce()
  expect(await keyOf(shop)).toMatchObject({ status: 200 })
  await completer.reapOnce()
  expect(
    await api.db.maybe`select key from idempotency_keys where account_id = ${shop.account_id}`,
  ).toBeUndefined()
})

test('a retention of less than a day is refused', () => {
  const options = { endpoints: [], db: api.db, clock: systemClock, log }
  expect(() => createCompleter({ ...options, retention_ms: DAY_MS - 1 })).toThrow('a day at least')
  createCompleter({ ...options, retention_ms: DAY_MS })
})

test('a started completer finds the work by itself and stops after what is under way', async () => {
  const shop = await api.account()
  await die(shop)
  await age('21 seconds')
  const started = startCompleter({ endpoints: noteEndpoints(hooks), db: api.db, clock: systemClock, log })
  onTestFinished(() => started.stop())
  await expect.poll(async () => (await keyOf(shop)).status).toBe(200)
})
