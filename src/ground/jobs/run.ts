/** One run of one job: payload out of its envelope, a deadline, a span, metrics, and the one wide log line. */
import { newQueryStats, type Db } from '#db'
import { failpoint, systemClock } from '#kernel'
import { counter, histogram, type Log, type LogFields, redactText, span } from '#metrics'
import type { Envelope, Job } from './define.ts'

const runs = counter({
  name: 'bursar_job_runs_total',
  help: 'Runs of jobs; "failed" is tried again, "dead" is not',
  labels: ['job', 'outcome'],
})
const durations = histogram({
  name: 'bursar_job_duration_seconds',
  help: 'How long runs took',
  labels: ['job'],
})

/** What the queue knows of a job it hands out. */
export interface Claimed {
  id: string
  attempts: number
  max_attempts: number
  run_at: Date
  key: string | null
}

/**
 * Runs `job` on a claimed job. Throws when it failed, with a message that is fit to be stored: whoever claimed it must
 * put it back.
 */
export async function runJob(
  job: Job,
  envelope: Envelope,
  claimed: Claimed,
  around: { db: Db; log: Log; aborted: AbortSignal | undefined },
): Promise<void> {
  const stats = newQueryStats()
  const noted: LogFields = {}
  const began = performance.now()
  const signals = [AbortSignal.timeout(job.timeout_ms), ...(around.aborted ? [around.aborted] : [])]
  const signal = AbortSignal.any(signals)
  const finish = (outcome: 'succeeded' | 'failed' | 'dead', fields: LogFields) => {
    const duration_ms = performance.now() - began
    runs.inc({ job: job.name, outcome })
    durations.observe({ job: job.name }, duration_ms / 1_000)
    const write =
      outcome === 'succeeded' ? around.log.event : outcome === 'failed' ? around.log.warn : around.log.error
    write(outcome === 'dead' ? 'job.died' : `job.${outcome}`, {
      job: job.name,
      job_id: claimed.id,
      attempt: claimed.attempts,
      max_attempts: claimed.max_attempts,
      waited_ms: Math.max(0, systemClock.now().getTime() - duration_ms - claimed.run_at.getTime()),
      duration_ms,
      ...stats,
      ...noted,
      ...fields,
    })
  }
  const work = async () => {
    try {
      await Promise.race([
        job.run(
          {
            db: around.db.counting(stats),
            job_id: claimed.id,
            attempt: claimed.attempts,
            max_attempts: claimed.max_attempts,
            scheduled_for: envelope._cron && new Date(envelope._cron.ts),
            signal,
            note: fields => void Object.assign(noted, fields),
          },
          job.payload.decode(envelope.payload),
        ),
        rejectsAtTimeout(signals[0] as AbortSignal, job.timeout_ms),
      ])
      await failpoint('job.done', job.name)
      finish('succeeded', {})
    } catch (error) {
      finish(claimed.attempts >= claimed.max_attempts ? 'dead' : 'failed', { error })
      throw error
    }
  }
  const attributes = { 'job.name': job.name, 'job.id': claimed.id, 'job.attempt': claimed.attempts }
  try {
    await span(`job ${job.name}`, attributes, work, { traceparent: envelope.traceparent, kind: 'consumer' })
  } catch (error) {
    // What is thrown here is stored beside the job and shown to people.
    throw new Error(redactText(error instanceof Error ? error.message : String(error)), { cause: error })
  }
}

function rejectsAtTimeout(timeout: AbortSignal, timeout_ms: number): Promise<never> {
  return new Promise((_, reject) => {
    timeout.addEventListener('abort', () => reject(new Error(`the job took over ${timeout_ms} ms`)), {
      once: true,
    })
  })
}
