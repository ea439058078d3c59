/** How far a stage has come is seen while it is under way, from outside its transaction. */
import { expect, test } from 'vitest'
import type { Tx } from '#db'
import { systemClock } from '#kernel'
import { DEFAULT_RULES } from '../rules.ts'
import { findRun } from './object.ts'
import { useRuns } from './testing.ts'
import { workStage } from './work.ts'

const opened = useRuns()

/** Two notices of the left side: that many rows are between one and the next. */
const ROWS = 140_000

test('a stage that reads many rows says how far it is, and the next begins at nothing', async () => {
  const id = await opened.ask({ left: [], right: [], rules: DEFAULT_RULES, decisions: [] })
  const of = { ...opened.tenant, run_id: id }
  // Neither a role of ours may say that a run is larger than it was.
  const asOwner = (fn: (tx: Tx) => Promise<unknown>) =>
    opened.db.transaction(async tx => {
      await tx.run`set local role none`
      await fn(tx)
    })
  await asOwner(async tx => {
    await tx.run`
      insert into reconciliation_rows (account_id, livemode, statement_id, row, line, amount, currency, id)
      select account_id, livemode, left_statement_id, n, n, 1, 'usd', n::text
      from reconciliation_runs
      cross join generate_series(1, ${ROWS}) as n
      where id = ${id}`
    await tx.run`update reconciliation_runs set rows_total = ${ROWS} where id = ${id}`
  })
  while ((await workStage(opened.db, systemClock, of)) !== 'ids');
  let stage: Promise<string> = Promise.resolve('')
  await asOwner(async tx => {
    // The stage comes to it after its first reading, and waits.
    await tx.run`lock table reconciliation_pairs in share mode`
    stage = workStage(opened.db, systemClock, of)
    const percent = async () => (await findRun(opened.db, opened.tenant, id)).stage_percent
    await expect.poll(percent, { timeout: 60_000, interval: 20 }).toBeGreaterThan(0)
    // 65,536 rows of 140,000, or twice as many.
    expect([46, 93]).toContain(await percent())
    expect((await findRun(opened.db, opened.tenant, id)).stage).toBe('ids')
  })
  expect(await stage).toBe('batches')
  expect((await findRun(opened.db, opened.tenant, id)).stage_percent).toBe(0)
})
