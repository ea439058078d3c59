/**
 * Working a run off: stage by stage, each one transaction that also says which comes next. A worker that is killed leaves
 * the stage undone, and whoever takes the job again begins there. An advisory lock of that transaction keeps a second
 * worker out of it.
 */
import { z } from 'zod'
import type { Db, Tx } from '#db'
import { emit, type EventType, eventOf } from '#events'
import { defineJob, type Job } from '#jobs'
import { type Clock, failpoint, systemClock, type Tenant } from '#kernel'
import { CLEAN_STATUSES } from '../rules.ts'
import { replayDecisions } from './decisions.ts'
import { type Ended, endRun } from './end.ts'
import { runColumns, type RunRow, STAGES } from './object.ts'
import { placeRest } from './rest.ts'
import { watchProgress } from './progress.ts'
import { subjectOf } from './told.ts'

/** Ten million rows against as many, on a machine that does other things too. */
const STAGE_TIMEOUT_MS = 1_800_000
const RUN_TIMEOUT_MS = 7_200_000

/** An hour and a half of failing, since what fails then does not pass by waiting: the run is told to have failed. */
const TRIES_MOST = 9

const payload = z.object({ account_id: z.uuid(), livemode: z.boolean(), run_id: z.uuid() })
type Payload = z.output<typeof payload>

/**
 * PostgreSQL works on at a statement whose client was killed, for as long as that takes, and its lock keeps everybody else
 * out: tries would run out meanwhile. So it looks whether anybody is there.
 */
const LOOK_FOR_CLIENT_MS = 2_000

const WORKED_AT = 'another worker is at this run'

export const runJob = defineJob({
  name: 'reconciliation.run',
  payload,
  // One at a time: a run takes as much of the database as it gets, and payments come first.
  queue: 'reconciliation.run',
  timeout_ms: RUN_TIMEOUT_MS,
  max_attempts: TRIES_MOST,
  async run(context, of) {
    const { db, attempt, max_attempts, signal } = context
    try {
      for (;;) {
        const stage = await workStage(db, systemClock, of)
        context.note({ run_id: of.run_id, stage })
        if (stage === 'done') return
        await failpoint('job.batch', `reconciliation.run ${stage}`)
        // Thrown, so that it is run again: what is done stays done.
        signal.throwIfAborted()
      }
    } catch (error) {
      const is_last = attempt >= max_attempts && !signal.aborted
      if (is_last) await giveUp(db, systemClock, of)
      throw error
    }
  },
}) satisfies Job<typeof payload>

/** Does the stage that comes next; answers the one after it, `done` also when there is nothing left to do. */
export async function workStage(db: Db, clock: Clock, of: Payload): Promise<RunRow['stage']> {
  const progress = watchProgress(db, of)
  return db.transaction(
    async tx => {
      const run = await lockRun(tx, of)
      if (run === undefined || run.finished_at !== null) return 'done'
      progress.begin(run)
      const placed = await placeStage(tx, run)
      if (placed.kind === 'ended') {
        await end(tx, clock, run, placed)
        return 'done'
      }
      const next = STAGES[STAGES.indexOf(run.stage) + 1] ?? 'done'
      await tx.run`
        update reconciliation_runs
        set stage = ${next}, status = 'running', rows_done = rows_done + ${placed.rows}, stage_percent = 0
        where account_id = ${run.account_id} and livemode = ${run.livemode} and id = ${run.id}`
      return next
    },
    { statement_timeout_ms: STAGE_TIMEOUT_MS, onNotice: progress.hear },
  )
}

async function lockRun(tx: Tx, { account_id, livemode, run_id }: Payload): Promise<RunRow | undefined> {
  // A PostgreSQL on Windows cannot look, and refuses to be told to.
  await tx.run`
    select set_config('client_connection_check_interval', ${String(LOOK_FOR_CLIENT_MS)}, true)
    where version() !~* 'msvc|visual c|mingw'`
  const { is_ours } = await tx.one<{ is_ours: boolean }>`
    select pg_try_advisory_xact_lock(hashtextextended(${run_id}::text, 17)) as is_ours`
  // Thrown, because that worker may die: then this job is the one that goes on.
  if (!is_ours) throw new Error(WORKED_AT)
  return tx.maybe<RunRow>`
    select ${runColumns}
    from reconciliation_runs
    where account_id = ${account_id} and livemode = ${livemode} and id = ${run_id}`
}

type Placed = { kind: 'placed'; rows: bigint } | ({ kind: 'ended' } & Ended)

async function placeStage(tx: Tx, run: RunRow): Promise<Placed> {
  const { account_id, livemode, id, stage } = run
  const counted = async (asked: Promise<{ rows: bigint }>): Promise<Placed> => ({
    kind: 'placed',
    rows: (await asked).rows,
  })
  switch (stage) {
    case 'carry':
      await tx.run`select reconciliation_carry(${account_id}, ${livemode}, ${id})`
      return { kind: 'placed', rows: 0n }
    case 'decisions':
      return { kind: 'placed', rows: await replayDecisions(tx, run) }
    case 'ids': {
      await tx.run`select reconciliation_meet_ids(${account_id}, ${livemode}, ${id})`
      const { rows } = await tx.one<{ rows: bigint }>`
        select reconciliation_place_pairs(${account_id}, ${livemode}, ${id}) as rows`
      const odd = await tx.one<{ rows: bigint }>`
        select reconciliation_place_odd(${account_id}, ${livemode}, ${id}) as rows`
      return { kind: 'placed', rows: rows + odd.rows }
    }
    case 'batches':
      return counted(tx.one`select reconciliation_match_batches(${account_id}, ${livemode}, ${id}) as rows`)
    case 'rest':
      return { kind: 'placed', rows: await placeRest(tx, run) }
    case 'sums':
      return { kind: 'ended', ...(await endRun(tx, run)) }
    case 'done':
      return { kind: 'placed', rows: 0n }
  }
}

/** Records the end and tells of it. */
async function end(tx: Tx, clock: Clock, run: RunRow, ended: Ended): Promise<void> {
  const { totals, failure } = ended
  const is_clean =
    totals.are_controls_met &&
    totals.bad_rows.left + totals.bad_rows.right === 0 &&
    totals.sums.every(({ status }) => CLEAN_STATUSES.includes(status))
  const has_findings = failure === null && !is_clean
  const told: RunRow = {
    ...run,
    ...(failure === null
      ? { status: 'succeeded', stage: 'done', totals, suggestions: ended.suggestions, is_clean }
      : { status: 'failed', failure }),
    rows_done: totals.sums.reduce((sum, { rows }) => sum + BigInt(rows), 0n),
    version: run.version + 1n,
    finished_at: clock.now(),
  }
  const row: RunRow = has_findings ? { ...told, version: told.version + 1n } : told
  await tx.run`
    update reconciliation_runs
    set
      status = ${row.status}, stage = ${row.stage}, rows_done = ${row.rows_done}, version = ${row.version},
      totals = ${jsonOf(row.totals)}::jsonb, suggestions = ${jsonOf(row.suggestions)}::jsonb,
      is_clean = ${row.is_clean}, failure = ${row.failure}, finished_at = ${row.finished_at}
    where account_id = ${row.account_id} and livemode = ${row.livemode} and id = ${row.id}`
  await tell(tx, clock, failure === null ? 'reconciliation_run.succeeded' : 'reconciliation_run.failed', told)
  if (has_findings) await tell(tx, clock, 'reconciliation_run.findings', row)
}

const jsonOf = (value: object | null): string | null => (value === null ? null : JSON.stringify(value))

const tell = (tx: Tx, clock: Clock, type: EventType, row: RunRow): Promise<void> => {
  const tenant: Tenant = { account_id: row.account_id, livemode: row.livemode }
  return emit(tx, eventOf({ tenant, clock, request_id: null, idempotency_key: null }, type, subjectOf(row)))
}

/** After the last try. What the reason is stands in the log; it is ours. */
function giveUp(db: Db, clock: Clock, of: Payload): Promise<void> {
  return db.transaction(async tx => {
    const run = await lockRun(tx, of)
    if (run === undefined || run.finished_at !== null) return
    const failure = `The stage "${run.stage}" failed ${TRIES_MOST} times. Ask for the run again.`
    const totals = { sums: [], bad_rows: { left: 0, right: 0 }, are_controls_met: false }
    await end(tx, clock, run, { totals, suggestions: [], failure })
    await tx.run`
      delete from reconciliation_rest
      where account_id = ${of.account_id} and livemode = ${of.livemode} and run_id = ${of.run_id}`
  })
}
