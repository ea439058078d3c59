/** The engine in PostgreSQL says of every row what the specification over arrays says, whatever the rows. */
import fc from 'fast-check'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openDatabase } from '#db'
import { type TestDatabase, testDatabase } from '#db/testing'
import { createAccount } from '#http'
import { newId, systemClock, type Tenant } from '#kernel'
import type { Decision } from '../decision.ts'
import type { Home } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { numbered, runs } from '../matching/arbitraries.ts'
import { placeAll, suggest } from '../matching/index.ts'
import { DEFAULT_RULES, type Rules } from '../rules.ts'
import { insertStatement, RowKeeper } from '../statements/keep.ts'
import { findRun } from './object.ts'
import { workStage } from './work.ts'

let database: TestDatabase
let db: Database
let tenant: Tenant
beforeAll(async () => {
  database = await testDatabase()
  db = openDatabase({ url: database.url })
  const { id } = await createAccount(db, systemClock, { name: 'A shop' })
  tenant = { account_id: id, livemode: false }
})
afterAll(async () => {
  await db.close()
  await database.drop()
})

const anyHash = () => `${randomUUID()}${randomUUID()}`.replaceAll('-', '')

const keep = (lines: readonly Line[]): Promise<string> =>
  db.transaction(async tx => {
    const id = newId(systemClock.now())
    const keeper = new RowKeeper(tx, tenant, id)
    await keeper.take(lines)
    const { rows, sums } = await keeper.finish()
    await insertStatement(tx, {
      ...tenant,
      id,
      name: 'side',
      source: 'file',
      format: 'csv',
      mapping: null,
      selection: null,
      sha256: anyHash(),
      content: anyHash(),
      bytes: 1n,
      rows,
      bad_rows: 0,
      bad: [],
      controls: [],
      sums,
      created_at: systemClock.now(),
    })
    return id
  })

interface Asked {
  left: readonly Line[]
  right: readonly Line[]
  rules: Rules
  decisions: readonly Decision[]
  carry_from?: string
}

const storedName = ({ amount, ...name }: Decision['left'][number]) => ({ ...name, amount: String(amount) })

/** Decisions belong to a run; this one is of no further interest. */
async function keepDecisions(run_id: string, decisions: readonly Decision[]): Promise<void> {
  for (const { id, kind, left, right, author, reason } of decisions) {
    await db.run`
      insert into reconciliation_decisions (
        account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
      )
      values (
        ${tenant.account_id}, ${tenant.livemode}, ${id}, ${run_id}, ${kind},
        ${JSON.stringify(left.map(storedName))}::jsonb, ${JSON.stringify(right.map(storedName))}::jsonb, ${author},
        ${reason}, '{}', now()
      )`
  }
}

async function ask({ left, right, rules, decisions, carry_from }: Asked): Promise<string> {
  const left_id = await keep(left)
  const right_id = await keep(right)
  const stored = JSON.stringify({
    ...rules,
    tolerance: { ...rules.tolerance, amount: String(rules.tolerance.amount) },
  })
  const insert = (id: string, decision_ids: string[], earlier: string | null) => db.run`
    insert into reconciliation_runs (
      account_id, livemode, id, left_statement_id, right_statement_id, carry_from, rules, rules_version, decision_ids,
      key, rows_total, created_at
    )
    values (
      ${tenant.account_id}, ${tenant.livemode}, ${id}, ${left_id}, ${right_id}, ${earlier}, ${stored}::jsonb, 1,
      ${decision_ids}::uuid[], ${anyHash()}, ${left.length + right.length}, now()
    )`
  if (decisions.length > 0) {
    const decided_in = newId(systemClock.now())
    await insert(decided_in, [], null)
    await keepDecisions(decided_in, decisions)
  }
  const id = newId(systemClock.now())
  await insert(
    id,
    decisions.map(decision => decision.id),
    carry_from ?? null,
  )
  return id
}

async function work(run_id: string): Promise<Record<Side, Home[]>> {
  while ((await workStage(db, systemClock, { ...tenant, run_id })) !== 'done');
  const items = await db.many<Home>`
    select side, row, status, pass, "group", reason, decision_id
    from reconciliation_items
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and run_id = ${run_id}
    order by side, row`
  return {
    left: items.filter(({ side }) => side === 'left'),
    right: items.filter(({ side }) => side === 'right'),
  }
}

/** In the shape in which the table is read. */
const plain = (homes: Record<Side, Home[]>) => {
  const fields = ({ side, row, status, pass, group, reason, decision_id }: Home) =>
    ({ side, row, status, pass, group, reason, decision_id }) satisfies Home
  return { left: homes.left.map(fields), right: homes.right.map(fields) }
}

/** Ids that rise in the order of being made, as decisions have them. */
const withIds = (decisions: readonly Decision[]): Decision[] =>
  decisions.map(decision => ({ ...decision, id: newId(systemClock.now()) }))

test('the engine in PostgreSQL agrees with the specification row for row', async () => {
  await fc.assert(
    fc.asyncProperty(runs, async ({ left, right, rules, decisions }) => {
      const identified = withIds(decisions)
      const id = await ask({ left, right, rules, decisions: identified })
      expect(await work(id)).toEqual(plain(placeAll(left, right, rules, identified)))
      const run = await findRun(db, tenant, id)
      expect([run.status, run.failure, run.rows_done]).toEqual([
        'succeeded',
        null,
        BigInt(left.length + right.length),
      ])
      const expected = placeAll(left, right, rules, identified)
      const unmatched = (side: Side, lines: readonly Line[]) =>
        lines.filter((_, at) => expected[side][at]?.status === 'unmatched')
      expect(run.suggestions).toEqual(suggest(unmatched('left', left), unmatched('right', right), rules))
      const left_over = await db.one`select count(*) as count from reconciliation_rest`
      expect(left_over).toEqual({ count: 0n })
    }),
    { numRuns: Number(process.env.AGREEMENT_RUNS ?? 60) },
  )
}, 120_000)

const line = (id: string, amount: bigint, date: string | null) => ({
  id,
  amount,
  currency: 'usd',
  date,
  batch: null,
  text: null,
})

test('what was timing joins the next run, behind its own rows, and meets its counterpart there', async () => {
  const rules: Rules = { ...DEFAULT_RULES, as_of: '2026-11-30' }
  const november = {
    left: numbered([line('a', 1n, '2026-11-29'), line('b', 2n, '2026-11-01'), line('c', 3n, '2026-11-30')]),
    right: numbered([line('d', 4n, '2026-11-30')]),
  }
  const first = await ask({ ...november, rules, decisions: [] })
  expect((await work(first)).left.map(({ status }) => status)).toEqual(['timing', 'unmatched', 'timing'])
  const december = {
    left: numbered([line('d', 4n, '2026-12-01'), line('x', 9n, null)]),
    right: numbered([line('a', 1n, '2026-12-01')]),
  }
  const second = await ask({
    ...december,
    rules: { ...rules, as_of: '2026-12-02' },
    decisions: [],
    carry_from: first,
  })
  const homes = await work(second)
  expect(homes.left.map(({ row, status, group }) => [row, status, group])).toEqual([
    [1, 'matched', 'l1'],
    [2, 'unmatched', 'l2'],
    [3, 'matched', 'l3'],
    [4, 'timing', 'l4'],
  ])
  expect(homes.right.map(({ row, status, group }) => [row, status, group])).toEqual([
    [1, 'matched', 'l3'],
    [2, 'matched', 'l1'],
  ])
  const run = await findRun(db, tenant, second)
  expect(run.failure).toBeNull()
})

test('amounts at the edge of int64 and sums beyond it add up', async () => {
  const most = 2n ** 63n - 1n
  const left = numbered([line('a', most, null), line('b', most, null), line('c', -most, null)])
  const right = numbered([line('a', most, null), line('b', -most, null), line('c', most, null)])
  const rules = { ...DEFAULT_RULES, tolerance: { amount: most, basis_points: 1_000 } }
  const id = await ask({ left, right, rules, decisions: [] })
  expect(await work(id)).toEqual(plain(placeAll(left, right, rules, [])))
  const run = await findRun(db, tenant, id)
  expect(run.status).toBe('succeeded')
})

test('a run whose rows do not add up fails and says which, rather than answer', async () => {
  const left = numbered([line('a', 1n, null), line('b', 2n, null)])
  const id = await ask({ left, right: [], rules: DEFAULT_RULES, decisions: [] })
  const of = { ...tenant, run_id: id }
  while ((await workStage(db, systemClock, of)) !== 'rest');
  await db.run`delete from reconciliation_rest where run_id = ${id} and row = 2`
  await work(id)
  const run = await findRun(db, tenant, id)
  expect([run.status, run.failure]).toEqual([
    'failed',
    'The left side does not add up in usd: 2 rows of 3 went in, 1 rows of 1 have a home.',
  ])
})

test('while one worker is at a stage, another stays out of it', async () => {
  const id = await ask({ left: [], right: [], rules: DEFAULT_RULES, decisions: [] })
  await db.transaction(async tx => {
    await tx.run`select pg_advisory_xact_lock(hashtextextended(${id}::text, 17))`
    await expect(workStage(db, systemClock, { ...tenant, run_id: id })).rejects.toThrow('another worker')
  })
  expect(await work(id)).toEqual({ left: [], right: [] })
})

test('what a run found cannot be changed', async () => {
  const id = await ask({
    left: numbered([line('a', 1n, null)]),
    right: [],
    rules: DEFAULT_RULES,
    decisions: [],
  })
  await work(id)
  await expect(db.run`update reconciliation_items set reason = 'x' where run_id = ${id}`).rejects.toThrow()
  await expect(db.run`delete from reconciliation_items where run_id = ${id}`).rejects.toThrow()
  await expect(db.run`update reconciliation_runs set rows_done = 0 where id = ${id}`).rejects.toThrow(
    'immutable',
  )
})
