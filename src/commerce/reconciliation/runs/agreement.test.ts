/** The engine in PostgreSQL says of every row what the specification over arrays says, whatever the rows. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { raw } from '#db'
import { newId, systemClock } from '#kernel'
import type { Decision } from '../decision.ts'
import type { Home } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { numbered, runs } from '../matching/arbitraries.ts'
import { placeAll, suggest } from '../matching/index.ts'
import { DEFAULT_RULES, type Rules } from '../rules.ts'
import { findRun } from './object.ts'
import { useRuns } from './testing.ts'
import { workStage } from './work.ts'

const opened = useRuns()

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
      const id = await opened.ask({ left, right, rules, decisions: identified })
      expect(await opened.work(id)).toEqual(plain(placeAll(left, right, rules, identified)))
      const run = await findRun(opened.db, opened.tenant, id)
      expect([run.status, run.failure, run.rows_done]).toEqual([
        'succeeded',
        null,
        BigInt(left.length + right.length),
      ])
      const expected = placeAll(left, right, rules, identified)
      const unmatched = (side: Side, lines: readonly Line[]) =>
        lines.filter((_, at) => expected[side][at]?.status === 'unmatched')
      expect(run.suggestions).toEqual(suggest(unmatched('left', left), unmatched('right', right), rules))
      const left_over = await opened.db.one`select count(*) as count from reconciliation_rest`
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

test.each([
  ['with many odd ids, some of them repeated', 400, 50, 70, 4_815],
  ['with a few odd ids', 10_000, 500, 710, 4_982],
])('rows of many blocks have their homes, %s', async (_, repeated, missing, different, pairs) => {
  const ids = Array.from({ length: 5_000 }, (_, at) => `pay_${at}`)
  const said = (id: string, at: number) => line(id, BigInt(1_000 + at), '2026-11-02')
  const left = numbered(
    ids.flatMap((id, at) =>
      at % repeated === 7 && repeated < 5_000 ? [said(id, at), said(id, at)] : [said(id, at)],
    ),
  )
  // Backwards, with some gone and some of another amount.
  const right = numbered(
    ids
      .flatMap((id, at) => (at % missing === 3 ? [] : [said(id, at % different === 5 ? at + 1 : at)]))
      .toReversed(),
  )
  const id = await opened.ask({ left, right, rules: DEFAULT_RULES, decisions: [] })
  expect(await opened.work(id)).toEqual(plain(placeAll(left, right, DEFAULT_RULES, [])))
  expect((await findRun(opened.db, opened.tenant, id)).failure).toBeNull()
  const packed = await opened.db.one`
    select count(*)::integer as blocks, sum(cardinality(rows))::integer as rows from reconciliation_pairs where run_id = ${id}`
  expect(packed).toEqual({ blocks: 10, rows: 2 * pairs })
})

test('a row stands once among those that are packed', async () => {
  const id = await opened.ask({ left: [], right: [], rules: DEFAULT_RULES, decisions: [] })
  for (const rows of ['{1,1}', '{2,1}', '{1023,1024}', '{}']) {
    await expect(
      opened.db.run`
        insert into reconciliation_pairs (account_id, livemode, run_id, side, block, count, rows, partners)
        select account_id, livemode, id, 'left', 0, cardinality(${rows}::integer[]), ${rows}::integer[], ${rows}::integer[]
        from reconciliation_runs where id = ${id}`,
    ).rejects.toThrow('violates check constraint')
  }
})

test('a run in which a row has two homes fails, rather than answer', async () => {
  const id = await opened.ask({
    left: numbered([line('a', 1n, null), line('b', 1n, null)]),
    right: [],
    rules: DEFAULT_RULES,
    decisions: [],
  })
  const of = { ...opened.tenant, run_id: id }
  while ((await workStage(opened.db, systemClock, of)) !== 'sums');
  // As many rows as there are, and their sum: one of them twice, and one not at all.
  await opened.db.run`
    insert into reconciliation_pairs (account_id, livemode, run_id, side, block, count, rows, partners)
    select account_id, livemode, id, 'left', 0, 1, '{1}', '{1}' from reconciliation_runs where id = ${id}`
  await opened.work(id)
  const run = await findRun(opened.db, opened.tenant, id)
  expect([run.status, run.failure]).toEqual(['failed', '1 rows have two homes.'])
})

test('what was timing joins the next run, behind its own rows, and meets its counterpart there', async () => {
  const rules: Rules = { ...DEFAULT_RULES, as_of: '2026-11-30' }
  const november = {
    left: numbered([line('a', 1n, '2026-11-29'), line('b', 2n, '2026-11-01'), line('c', 3n, '2026-11-30')]),
    right: numbered([line('d', 4n, '2026-11-30')]),
  }
  const first = await opened.ask({ ...november, rules, decisions: [] })
  expect((await opened.work(first)).left.map(({ status }) => status)).toEqual([
    'timing',
    'unmatched',
    'timing',
  ])
  const december = {
    left: numbered([line('d', 4n, '2026-12-01'), line('x', 9n, null)]),
    right: numbered([line('a', 1n, '2026-12-01')]),
  }
  const second = await opened.ask({
    ...december,
    rules: { ...rules, as_of: '2026-12-02' },
    decisions: [],
    carry_from: first,
  })
  const homes = await opened.work(second)
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
  const run = await findRun(opened.db, opened.tenant, second)
  expect(run.failure).toBeNull()
})

test('amounts at the edge of int64 and sums beyond it add up', async () => {
  const most = 2n ** 63n - 1n
  const left = numbered([line('a', most, null), line('b', most, null), line('c', -most, null)])
  const right = numbered([line('a', most, null), line('b', -most, null), line('c', most, null)])
  const rules = { ...DEFAULT_RULES, tolerance: { amount: most, basis_points: 1_000 } }
  const id = await opened.ask({ left, right, rules, decisions: [] })
  expect(await opened.work(id)).toEqual(plain(placeAll(left, right, rules, [])))
  const run = await findRun(opened.db, opened.tenant, id)
  expect(run.status).toBe('succeeded')
})

test('a run whose rows do not add up fails and says which, rather than answer', async () => {
  const left = numbered([line('a', 1n, null), line('b', 2n, null)])
  const id = await opened.ask({ left, right: [], rules: DEFAULT_RULES, decisions: [] })
  const of = { ...opened.tenant, run_id: id }
  while ((await workStage(opened.db, systemClock, of)) !== 'rest');
  await opened.db.run`delete from reconciliation_rest where run_id = ${id} and row = 2`
  await opened.work(id)
  const run = await findRun(opened.db, opened.tenant, id)
  expect([run.status, run.failure]).toEqual([
    'failed',
    'The left side does not add up in usd: 2 rows of 3 went in, 1 rows of 1 have a home.',
  ])
})

test('while one worker is at a stage, another stays out of it', async () => {
  const id = await opened.ask({ left: [], right: [], rules: DEFAULT_RULES, decisions: [] })
  await opened.db.transaction(async tx => {
    await tx.run`select pg_advisory_xact_lock(hashtextextended(${id}::text, 17))`
    await expect(workStage(opened.db, systemClock, { ...opened.tenant, run_id: id })).rejects.toThrow(
      'another worker',
    )
  })
  expect(await opened.work(id)).toEqual({ left: [], right: [] })
})

test('what a run found cannot be changed', async () => {
  const id = await opened.ask({
    left: numbered([line('a', 1n, null), line('b', 1n, null)]),
    right: numbered([line('b', 1n, null)]),
    rules: DEFAULT_RULES,
    decisions: [],
  })
  await opened.work(id)
  // As their owner: to the roles nothing of this is granted.
  for (const [change, column] of [
    ['update reconciliation_pairs set block = 1', 'run_id'],
    ['delete from reconciliation_pairs', 'run_id'],
    ["update reconciliation_items set reason = 'x'", 'run_id'],
    ['delete from reconciliation_items', 'run_id'],
    ['update reconciliation_runs set rows_done = 0', 'id'],
  ] as const) {
    const changed = opened.db.transaction(async tx => {
      await tx.run`set local role none`
      await tx.run`${raw(`${change} where ${column}`)} = ${id}`
    })
    await expect(changed).rejects.toThrow('is immutable')
  }
})
