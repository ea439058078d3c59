/**
 * A job is a named piece of work that is asked for in the transaction that makes it necessary and done later, at least
 * once: after a crash, a lost connection or a failure it runs again, so `run` must bear being run twice.
 */
import type { z } from 'zod'
import type { Db } from '#db'
import type { LogFields } from '#metrics'

/** What a running job has at hand. */
export interface JobContext {
  /** Sees every account; `db.as(tenant)` for the work of one. Counts what it costs into the job's log line. */
  db: Db
  job_id: string
  /** 1 on the first run. */
  attempt: number
  max_attempts: number
  /** When a schedule made this job: the minute it stands for, which may be past after an outage. */
  scheduled_for: Date | undefined
  /** Aborts when the run takes too long or the process must end; pass it to what waits. */
  signal: AbortSignal
  /** Adds to the one log line of this run. */
  note(fields: LogFields): void
}

/**
 * Three days: a bug deployed on Friday is fixed on Monday before any job is given up. The pauses are e^attempt seconds,
 * at most e^10 (six hours): 20 of them make 71 hours.
 */
const MAX_ATTEMPTS = 21
/** Longer than any job of ours needs by far; a stuck one must not hold its place for ever. */
const TIMEOUT_MS = 15 * 60_000

export interface JobOptions<Payload extends z.ZodType> {
  /** `noun.verb`, such as `payment_intents.expire`; part of the stored job, so renaming one orphans what waits. */
  name: string
  /** Stored as JSON: plain values and zod codecs. Give ids rather than copies, they stay true. */
  payload: Payload
  run(context: JobContext, payload: z.output<Payload>): Promise<void>
  max_attempts?: number
  /** Jobs with the same queue run one at a time, in order; about one a second, so only where order is needed. */
  queue?: string
  timeout_ms?: number
}

export interface Job<Payload extends z.ZodType = z.ZodType> extends JobOptions<Payload> {
  readonly max_attempts: number
  readonly timeout_ms: number
}

/** Declares a job; see `JobOptions`. */
export function defineJob<Payload extends z.ZodType>(options: JobOptions<Payload>): Job<Payload> {
  return {
    ...options,
    max_attempts: options.max_attempts ?? MAX_ATTEMPTS,
    timeout_ms: options.timeout_ms ?? TIMEOUT_MS,
  }
}

/** What is stored: our payload apart from what travels with it, among it what the scheduler adds. */
export interface Envelope {
  payload: unknown
  /** W3C trace context of who asked. */
  traceparent?: string
  _cron?: { ts: string }
}

export interface Schedule {
  /** Standard five fields, UTC: `0 3 * * *`. */
  cron: string
  job: Job
  /** What the job is given; `{}` unless said. */
  payload?: unknown
  /** After an outage, what was missed within this time is made up for, by one or more runs. One hour unless said. */
  backfill_ms?: number
}
