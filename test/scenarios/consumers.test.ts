/** `bursar consumers`, against a database whose consumers have something to read. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Consumer, createConsumers } from '#events'
import { systemClock } from '#kernel'
import { createLog } from '#metrics'
import { type Json, startWorld, type World } from '../support/testing.ts'

const TEST_MS = 600_000

let world: World
let is_broken = false
const seen: string[] = []
const consumer: Consumer = {
  name: 'counting',
  async handle(tx, events) {
    await tx.one`select 1 as one`
    if (is_broken) throw new Error('the counter is full')
    seen.push(...events.map(event => event.type))
  },
}

beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const bursar = async (...args: string[]): Promise<string> =>
  (
    await promisify(execFile)(
      process.execPath,
      [join(import.meta.dirname, '..', '..', 'src', 'cli.ts'), 'consumers', ...args],
      { env: { ...process.env, DATABASE_URL: world.url } },
    )
  ).stdout
const consumers = () =>
  createConsumers({
    db: world.db,
    clock: systemClock,
    log: createLog({ level: 'silent' }),
    consumers: [consumer],
  })

test('consumers are listed with what is before them and why they fail, and read again from a time', {
  timeout: TEST_MS,
}, async () => {
  expect(await bursar('list')).toMatch(/^There are no consumers yet/)
  await consumers().runOnce()
  const from = systemClock.now().toISOString()
  const { api } = await world.account()
  await api.post('/v1/customers', { name: 'Ada' })
  const listed = async () => (JSON.parse(await bursar('list', '--json')) as Json).data
  expect(await listed()).toMatchObject([{ name: 'counting', behind: 1, failures: 0, reason: null }])
  is_broken = true
  await consumers().runOnce()
  expect(await listed()).toMatchObject([{ behind: 1, failures: 1, reason: 'the counter is full' }])
  expect(await bursar('list')).toMatch(/counting +1 .* the counter is full\n$/)

  is_broken = false
  expect(await bursar('replay', 'counting', '--from', from)).toContain('1 events are before it')
  await consumers().runOnce()
  await bursar('replay', 'counting', '--from', from, '--json')
  await consumers().runOnce()
  expect(seen).toEqual(['customer.created', 'customer.created'])
  expect(await listed()).toMatchObject([{ behind: 0, failures: 0, retry_at: null }])
})

test('a replay says what it does not understand, and then changes nothing', {
  timeout: TEST_MS,
}, async () => {
  const before = await world.db.many`select name, seen::text from event_consumers order by name`
  for (const [args, sentence] of [
    [['counting', '--from', 'yesterday'], 'a time is written like 2026-11-21'],
    [['counting', '--from', '2026-02-30'], 'a time is written like 2026-11-21'],
    [['counting', '--from', '2999-01-01'], 'lies in the future'],
    [['nobody', '--from', '2026-01-01'], 'there is no consumer nobody: there are counting'],
    [['counting'], '--from <time>'],
  ] as const) {
    await expect(bursar('replay', ...args)).rejects.toThrow(sentence)
  }
  expect(await world.db.many`select name, seen::text from event_consumers order by name`).toEqual(before)
})
