/** Asking for a job. It exists when the caller's transaction commits and never did when that rolls back. */
import type { z } from 'zod'
import type { Tx } from '#db'
import { traceparent } from '#metrics'
import type { Envelope, Job } from './define.ts'

export interface EnqueueOptions {
  /** Not before; at once unless given. */
  run_at?: Date
  /**
   * At most one job of this name waits with this key: asking again replaces what waits (payload and time). A job that
   * already runs may have seen the world before the change, so then a second one is added.
   */
  key?: string
}

/**
 * Adds a job in the caller's transaction, whatever role that has. Answers the job's id. Throws when the payload does
 * not fit its schema. Costs one statement and one NOTIFY at commit, which PostgreSQL serialises between transactions:
 * right for what happens now and then, wrong once per payment.
 */
export async function enqueue<Payload extends z.ZodType>(
  tx: Tx,
  job: Job<Payload>,
  payload: z.output<Payload>,
  options: EnqueueOptions = {},
): Promise<string> {
  const from = traceparent()
  const envelope: Envelope = {
    payload: job.payload.encode(payload),
    ...(from !== undefined && { traceparent: from }),
  }
  const key = options.key === undefined ? null : `${job.name}:${options.key}`
  const { id } = await tx.one<{ id: bigint }>`
    select job_enqueue(
      ${job.name}, ${JSON.stringify(envelope)}, ${job.queue ?? null},
      ${options.run_at ?? null}, ${job.max_attempts}, ${key}
    ) as id`
  return String(id)
}
