/** Whether a few rows may be decided is asked of a few decisions, however many stand. */
import { expect, test } from 'vitest'
import { raw, type Tx } from '#db'
import type { Line } from '../line.ts'
import { numbered } from '../matching/arbitraries.ts'
import { DEFAULT_RULES } from '../rules.ts'
import { standingDecisions } from '../runs/decisions.ts'
import { findRun, type RunRow } from '../runs/object.ts'
import { useRuns } from '../runs/testing.ts'
import { demandOpen } from './claim.ts'

const opened = useRuns()

/** As an account has them after some years. */
const STANDING = 20_000

/** Rows fetched for one that is asked about: it is looked up in ten tables, and one decision in its way in five. */
const READ_MOST = 30

const said = (id: string, more: Partial<Line> = {}): Omit<Line, 'row' | 'line'> => ({
  id,
  amount: 500n,
  currency: 'usd',
  date: '2026-11-02',
  batch: null,
  text: null,
  ...more,
})

/** Decided in a run by itself, each about one row of the right side, with `amount`, day and currency of `said`. */
async function decideMany(run_id: string, ids: { prefix: string; count: number; date: string | null }) {
  await opened.db.run`
    insert into reconciliation_decisions (
      account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
    )
    select account_id, livemode, gen_random_uuid(), id, 'write_off', '[]',
      jsonb_build_array(jsonb_build_object(
        'id', ${ids.prefix}::text || n, 'amount', '500', 'currency', 'usd', 'date', ${ids.date}::text
      )),
      'Ada', 'Small.', '{}', now()
    from reconciliation_runs
    cross join generate_series(1, ${ids.count}) as n
    where id = ${run_id}`
}

/** Rows fetched by this transaction so far, by any index or none. */
async function fetched(tx: Tx): Promise<number> {
  const { rows } = await tx.one<{ rows: bigint }>`
    select sum(coalesce(idx_tup_fetch, 0) + seq_tup_read)::bigint as rows
    from pg_stat_xact_user_tables
    where relname like 'reconciliation%'`
  return Number(rows)
}

/** As the API asks: what it read, and how it was refused. */
function ask(run: RunRow, right: readonly Line[]): Promise<{ read: number; refused: string | null }> {
  return opened.db.as(opened.tenant).transaction(async tx => {
    const before = await fetched(tx)
    const refused = await demandOpen(tx, run, { left: [], right }).then(
      () => null,
      (error: Error) => error.message,
    )
    return { read: (await fetched(tx)) - before, refused }
  })
}

const analyze = (tables: string[]) =>
  opened.db.transaction(async tx => {
    await tx.run`set local role none`
    for (const table of tables) await tx.run`analyze ${raw(table)}`
  })

async function reconciled(right: readonly Line[]): Promise<RunRow> {
  const id = await opened.ask({ left: [], right, rules: DEFAULT_RULES, decisions: [] })
  await opened.work(id)
  return findRun(opened.db, opened.tenant, id)
}

test('of twenty thousand standing decisions those alone are read that name the row', async () => {
  const right = numbered([
    said('fresh'),
    said('decided-7'),
    said('no-day-7', { date: null }),
    ...Array.from({ length: 3_000 }, (_, at) => said('alike', { text: `${at}` })),
  ])
  const earlier = await reconciled(numbered([said('other')]))
  const run = await reconciled(right)
  const tables = ['reconciliation_decisions', 'reconciliation_named_rows', 'reconciliation_items']
  await analyze(tables)
  await decideMany(earlier.id, { prefix: 'decided-', count: STANDING / 2, date: '2026-11-02' })
  await decideMany(earlier.id, { prefix: 'no-day-', count: STANDING / 2, date: null })
  for (const statistics of ['of none', 'of all']) {
    if (statistics === 'of all') await analyze(tables)
    const asked = async (rows: readonly Line[]) => {
      const found = await ask(run, rows)
      expect.soft(found.read, `${statistics}: ${found.read} rows`).toBeLessThan(READ_MOST)
      return found.refused
    }
    expect(await asked(right.slice(0, 1))).toBeNull()
    expect(await asked(right.slice(1, 2))).toContain('right[0]: row 2 (decided-7) has been decided since')
    // In the statement of another month.
    expect(await asked(right.slice(2, 3))).toBeNull()
    const together = await ask(run, right)
    expect(together.refused).toContain('right[1]: row 2')
    expect(together.read / right.length, statistics).toBeLessThan(READ_MOST)
    // A run that is asked for reads the newest, and no others.
    const newest = await opened.db.as(opened.tenant).transaction(async tx => {
      const before = await fetched(tx)
      const { length } = await standingDecisions(tx, opened.tenant)
      return { length, read: (await fetched(tx)) - before }
    })
    expect(newest, statistics).toEqual({ length: STANDING / 2, read: STANDING / 2 })
  }
})

test('decisions are replayed as long as there is room for the rows that they name', async () => {
  const { id } = await reconciled(numbered([said('some')]))
  await opened.db.run`
    insert into reconciliation_decisions (
      account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
    )
    select account_id, livemode, ('ffffffff-ffff-7000-8000-' || lpad(n::text, 12, '0'))::uuid, id, 'write_off',
      (select jsonb_agg('{}'::jsonb) from generate_series(1, 10000)), '[]', 'Ada', 'A batch.', '{}', now()
    from reconciliation_runs
    cross join generate_series(1, 120) as n
    where id = ${id}`
  const replayed = await opened.db.transaction(tx => standingDecisions(tx, opened.tenant))
  expect([replayed.length, replayed[0], replayed.at(-1)]).toEqual([
    100,
    'ffffffff-ffff-7000-8000-000000000021',
    'ffffffff-ffff-7000-8000-000000000120',
  ])
})
