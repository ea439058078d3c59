/** Dead letters: jobs that failed as often as they may. They stay until somebody looks, mends the cause and retries. */
import type { Db, Queries } from '#db'
import type { Envelope } from './define.ts'

export interface DeadJob {
  id: string
  job: string
  payload: unknown
  attempts: number
  /** Message of the last failure, masked; null when the worker was lost at the first attempt. */
  last_error: string | null
  created_at: Date
  died_at: Date
}

/** A page for a person; the next one starts with `before` the last id of this one. */
const PAGE = 100

interface DeadRow extends Omit<DeadJob, 'id' | 'payload'> {
  id: bigint
  payload: Envelope
}

/** Newest first, at most 100. For the system's own connection: payloads of all accounts are in it. */
export async function deadJobs(db: Db, page: { before?: string } = {}): Promise<DeadJob[]> {
  const rows = await db.many<DeadRow>`
    select id, job, payload, attempts, last_error, created_at, died_at
    from job_list_dead(${page.before ?? null}, ${PAGE})`
  return rows.map(row => ({ ...row, id: String(row.id), payload: row.payload.payload }))
}

/** Gives a dead job all its attempts again, starting now. False when no dead job has this id. */
export async function retryDeadJob(tx: Queries, id: string): Promise<boolean> {
  const { was_dead } = await tx.one<{ was_dead: boolean }>`select job_retry_dead(${id}) as was_dead`
  return was_dead
}
