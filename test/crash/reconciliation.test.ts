/**
 * The crash matrix for reconciliation: a worker that is killed inside any stage of a run leaves that stage undone and the
 * others done, and the next worker ends the run as if nothing had been. An upload that is cut off leaves nothing.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type TestDatabase, testDatabase } from '#db/testing'
import type { FailpointOrder } from '../../src/main/failpoints.ts'
import type { Merchant } from '../support/merchant.ts'
import { type Plant, type ServerHandle, startPlant } from '../support/processes.ts'
import { freeJobsOfTheDead } from '../support/schedule.ts'

const TEST_MS = 300_000

let database: TestDatabase
let plant: Plant
let api: ServerHandle
let worker: ServerHandle
let merchant: Merchant
const at = () => api.url

beforeAll(async () => {
  database = await testDatabase()
  plant = await startPlant({ database_url: database.url })
  ;[api, worker] = await Promise.all([plant.start({ role: 'api' }), plant.start({ role: 'worker' })])
  merchant = await plant.account()
}, TEST_MS)
afterAll(async () => {
  await plant?.close()
  await database?.drop()
}, TEST_MS)

/** What a test that failed had armed or killed is not for the next one. */
afterEach(async ({ task }) => {
  if (task.result?.state === 'fail') await Promise.all([api.kill(), worker.kill()])
  if (!api.is_alive) api = await plant.start({ role: 'api' })
  if (!worker.is_alive) worker = await plant.start({ role: 'worker' })
}, TEST_MS)

function upload(file: string): Promise<Response> {
  return fetch(`${at()}/v1/reconciliation_statements?name=side.csv`, {
    method: 'POST',
    headers: { authorization: `Bearer ${merchant.secret_key}`, 'idempotency-key': randomUUID() },
    body: file,
  })
}

const statement = async (rows: string[]): Promise<string> => {
  const answer = await upload(`id,amount,currency,date,batch\n${rows.join('\n')}\n`)
  return ((await answer.json()) as { id: string }).id
}

let made = 0
/** Two statements in which every stage has something to do. */
async function ask(): Promise<string> {
  const t = `t${(made += 1)}`
  const left = await statement([
    `${t}a,1,usd,2026-11-02,`,
    `${t}a,1,usd,2026-11-02,`,
    `${t}b,2,usd,2026-11-02,${t}po`,
    `${t}c,3,usd,2026-11-02,${t}po`,
    `${t}d,4,usd,2026-11-02,`,
    `${t}e,500,usd,2026-11-02,`,
  ])
  const right = await statement([
    `${t}a,1,usd,2026-11-02,`,
    `${t}po,5,usd,2026-11-05,`,
    `${t}x,500,usd,2026-11-03,`,
  ])
  const { body } = await merchant.post(at, '/v1/reconciliation_runs', {
    left_statement_id: left,
    right_statement_id: right,
  })
  return body.id
}

describe('a run', () => {
  type Arming = Extract<FailpointOrder, { arm: unknown }>
  const STAGE_ENDS = 'update reconciliation_runs'
  const places: [string, Arming][] = [
    ['inside its first stage', { arm: 'transaction.open', match: STAGE_ENDS, action: 'kill' }],
    ['inside the decisions', { arm: 'transaction.open', match: STAGE_ENDS, after: 1, action: 'kill' }],
    ['inside the ids', { arm: 'transaction.open', match: STAGE_ENDS, after: 2, action: 'kill' }],
    ['after the ids', { arm: 'job.batch', match: 'reconciliation.run batches', action: 'kill' }],
    ['inside the batches', { arm: 'transaction.open', match: STAGE_ENDS, after: 3, action: 'kill' }],
    ['inside the rest', { arm: 'transaction.open', match: STAGE_ENDS, after: 4, action: 'kill' }],
    ['inside the sums', { arm: 'transaction.open', match: 'insert into events', action: 'kill' }],
    ['after the rest', { arm: 'job.batch', match: 'reconciliation.run sums', action: 'kill' }],
    ['when it has ended', { arm: 'job.done', match: 'reconciliation.run', action: 'kill' }],
  ]
  /** Here nobody frees what the dead one held: that the next worker finds it by itself is to be seen once, too. */
  const UNHURRIED = 'after the ids'
  test.for(places)('killed %s ends as if nothing had been', { timeout: TEST_MS }, async ([place, order]) => {
    const { struck } = await worker.arm(order)
    const id = await ask()
    await struck
    if (place !== UNHURRIED) await expect.poll(() => freeJobsOfTheDead(plant)).toBeGreaterThan(0)
    worker = await plant.start({ role: 'worker' })
    const read = () => merchant.get(at, `/v1/reconciliation_runs/${id}`)
    await expect
      .poll(async () => (await read()).status, { timeout: 120_000, interval: 200 })
      .toBe('succeeded')
    expect(await read()).toMatchObject({
      progress: { rows_done: 9, rows_total: 9 },
      counts: { left: { matched: 4, duplicate: 1, unmatched: 1 }, right: { matched: 3 } },
    })
    const told = await plant.db.many<{ type: string }>`
      select type from events where account_id = ${merchant.account_id} and type like 'reconciliation%' and body like ${`%${id}%`}
      order by object_version`
    expect(told.map(({ type }) => type)).toEqual([
      'reconciliation_run.created',
      'reconciliation_run.succeeded',
      'reconciliation_run.findings',
    ])
  })
})

describe('an upload', () => {
  test('killed before its COMMIT leaves nothing, and the file is taken again', {
    timeout: TEST_MS,
  }, async () => {
    const counted = () => plant.db.one`
      select
        (select count(*) from reconciliation_statements) as statements, (select count(*) from reconciliation_rows) as rows`
    const before = await counted()
    const { struck } = await api.arm({
      arm: 'transaction.open',
      match: 'update idempotency_keys',
      action: 'kill',
    })
    const cut = upload('id,amount,currency\na,1,usd\n').catch(() => 'cut')
    await struck
    expect(await cut).toBe('cut')
    api = await plant.start({ role: 'api' })
    expect(await counted()).toEqual(before)
    expect((await upload('id,amount,currency\na,1,usd\n')).status).toBe(200)
  })
})
