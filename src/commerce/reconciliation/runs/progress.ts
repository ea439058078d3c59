/**
 * How far the stage under way has come. A stage is one transaction, of which nobody sees anything before it ends; but what
 * a statement says while it runs is heard at once. So the functions that read all rows say when they have read some, and
 * that is written down from outside, now and then. A hint for people: nothing is decided by it, and it may be lost.
 */
import type { Db } from '#db'
import type { Tenant } from '#kernel'
import type { RunRow, Stage } from './object.ts'

/** What one notice of reconciliation_tick stands for. */
const ROWS_OF_NOTICE = 65_536
const NOTICE = 'reconciliation: 65536 rows'

/** How often both sides are read in a stage, or at least; in those that are absent, only what is left over. */
const READINGS: Partial<Record<Stage, number>> = { decisions: 1, ids: 1, sums: 1 }

interface Progress {
  readonly begin: (run: RunRow) => void
  readonly hear: (notice: string) => void
}

export function watchProgress(db: Db, of: Tenant & { run_id: string }): Progress {
  let stage: Stage | null = null
  let expected = 0
  let read = 0
  let told = 0
  /** One at a time: while it is under way, what is heard is only counted. */
  let is_telling = false
  const tell = async (percent: number) => {
    is_telling = true
    // A stage that has ended meanwhile is another one.
    await db.run`
      update reconciliation_runs
      set stage_percent = ${percent}
      where account_id = ${of.account_id} and livemode = ${of.livemode} and id = ${of.run_id}
        and stage = ${stage} and finished_at is null`
    told = percent
    is_telling = false
  }
  return {
    begin(run) {
      stage = run.stage
      expected = Number(run.rows_total) * (READINGS[run.stage] ?? 0)
      read = 0
      told = 0
    },
    hear(notice) {
      if (notice !== NOTICE || expected === 0) return
      read += ROWS_OF_NOTICE
      const percent = Math.min(PERCENT_MOST, Math.floor((100 * read) / expected))
      // A hint that could not be told is told with the next; the stage goes on.
      if (!is_telling && percent > told) tell(percent).catch(() => void (is_telling = false))
    },
  }
}

/** The last of them is for what follows the reading. */
const PERCENT_MOST = 99
