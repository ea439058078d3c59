/** What a thread of a run can be given to do. Tasks and answers are plain data, so that they can be sent. */
import { joinParts, type Joined, type JoinTask } from './join.ts'
import { type PlainRead, readPlain, type ReadTask } from './plain.ts'
import { sweepBuckets, type SweepTask } from './sweep.ts'
import type { CurrencySum } from './tally.ts'
import { weave, type WeaveTask } from './weave.ts'

export type Task = ReadTask | JoinTask | SweepTask | WeaveTask

export type Answer<T extends Task> = T extends ReadTask
  ? PlainRead | null
  : T extends JoinTask
    ? Joined
    : T extends SweepTask
      ? number
      : { rows: number; sums: CurrencySum[] }

export function perform<T extends Task>(task: T, onBytes: (bytes: number) => void): Answer<T> {
  return answerOf(task, onBytes) as Answer<T>
}

function answerOf(task: Task, onBytes: (bytes: number) => void): Answer<Task> {
  if (task.name === 'read') return readPlain(task, onBytes)
  if (task.name === 'join') return joinParts(task)
  return task.name === 'sweep' ? sweepBuckets(task) : weave(task)
}
