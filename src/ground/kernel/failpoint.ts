/**
 * Named places at which a process can be made to die, hang or lose its connection: the crash matrix of
 * docs/testing.md, as points in the code. They are compiled in everywhere and do nothing: a call compares one variable
 * and returns. Only a process that tests have started watches them (src/main/failpoints.ts).
 */
import { assert } from './assert.ts'

interface Failpoint {
  /** The row of the crash matrix that it makes possible. */
  row: number
  about: string
}

/** Every point, in the order in which a payment meets them. */
export const failpoints = {
  'request.begun': { row: 1, about: 'A write is understood, and nothing of it is in the database.' },
  'transaction.open': { row: 1, about: 'All statements of a transaction are answered; COMMIT is not sent.' },
  'key.taken_over': {
    row: 2,
    about: 'The epoch of a lapsed key is raised, and nothing is done with it yet.',
  },
  'attempt.taken': {
    row: 2,
    about: 'The resolver has taken an open attempt, and has not asked anybody yet.',
  },
  'attempt.prepared': { row: 3, about: 'The attempt, its hold and its key are committed; "sent" is not.' },
  'attempt.sent': { row: 4, about: '"Sent" is committed, and nothing has left for the processor.' },
  'processor.asked': { row: 4, about: 'The call is on its way to the processor, and not answered.' },
  'processor.found': {
    row: 5,
    about: 'A look-up by reference is answered, and its outcome is not recorded.',
  },
  'processor.answered': { row: 5, about: 'The processor has answered, and its outcome is not recorded.' },
  'commit.sent': {
    row: 6,
    about: 'COMMIT, or a statement that commits itself, is written and not answered.',
  },
  'attempt.settled': { row: 7, about: 'The outcome and its answer are committed, and nobody has been told.' },
  'request.answered': { row: 7, about: 'The answer is final, and no byte of it has left.' },
  'job.done': { row: 9, about: "A job's work is committed, and the queue does not know that it is done." },
  'inbound.kept': { row: 9, about: "A processor's news is kept, and the processor does not know it." },
  'inbound.handled': { row: 9, about: "A processor's news is applied, and not marked as applied." },
  'consumer.handled': { row: 9, about: "A consumer's effect and its place are written, and not committed." },
  'webhooks.sent': { row: 9, about: 'A receiver has answered, and what it answered is not recorded.' },
  'webhooks.settled': { row: 9, about: 'What a receiver answered is recorded, and nothing was done since.' },
  'batch.sent': { row: 13, about: 'A group of requests is being recorded in one transaction.' },
  'job.batch': { row: 14, about: 'A job has committed one batch of its work, and more is waiting.' },
} as const satisfies Record<string, Failpoint>

export type FailpointName = keyof typeof failpoints

/** A connection that can be cut: what was written arrives, and what is answered is never read. */
export interface Cuttable {
  cut(): void
}

/** Answers nothing, or what the caller has to wait for. */
export type FailpointWatcher = (
  name: FailpointName,
  detail: string | undefined,
  connection: Cuttable | undefined,
) => Promise<void> | undefined

let watcher: FailpointWatcher | undefined

/**
 * Passes a point. `detail` is what a test may pick by: a route, the text of a statement. Awaited where the caller can
 * be held; where it cannot, the process can still be killed, stopped or cut off.
 */
export const failpoint = (
  name: FailpointName,
  detail?: string,
  connection?: Cuttable,
): Promise<void> | undefined => watcher?.(name, detail, connection)

/** From now on every pass is told. Once in a process. */
export function watchFailpoints(by: FailpointWatcher): void {
  assert(watcher === undefined, 'failpoints are watched once')
  watcher = by
}

export const isWatched = (): boolean => watcher !== undefined
