/**
 * Two threads that do the tasks of a run side by side, one for each file or for half of the rows. Small files are done
 * by the thread at hand, which is over before another would have started. What comes out is the same.
 */
import { Worker } from 'node:worker_threads'
import { type Answer, perform, type Task } from './tasks.ts'

/** Below it, in bytes of both files, threads cost more than they save. */
const THREADS_FROM_BYTES = 4 << 20

/** Of what a thread makes, nearly all is garbage at once; left alone it lets that grow to 130 MB before it looks. */
const YOUNG_MB = 12

/** What a thread tells: bytes that it has read, or at last its answer. */
export type Told = { bytes: number } | { answer: unknown }

export class Crew {
  readonly #count: number
  #workers: Worker[] = []

  constructor(bytes: number, threads = 2) {
    this.#count = bytes < THREADS_FROM_BYTES ? 0 : threads
    this.#start(threads)
  }

  #start(threads: number): Worker[] {
    const here = new URL('./worker.ts', import.meta.url)
    const options = {
      // Without the flags of this process, of which some are not for threads.
      execArgv: [],
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    }
    const count = Math.min(threads, this.#count)
    while (this.#workers.length < count) this.#workers.push(new Worker(here, options))
    return this.#workers
  }

  /** A task and its answer. */
  async one<T extends Task>(task: T): Promise<Answer<T>> {
    const [first] = this.#start(1)
    return first === undefined ? perform(task, () => {}) : ask(first, task, () => {})
  }

  /** Both tasks, and their answers. What one of them throws is thrown here, as it was. */
  async both<T extends Task>(
    tasks: readonly [T, T],
    onBytes: (bytes: number) => void = () => {},
  ): Promise<[Answer<T>, Answer<T>]> {
    const [first, second] = this.#start(2)
    if (first === undefined || second === undefined) {
      return [perform(tasks[0], onBytes), perform(tasks[1], onBytes)]
    }
    return Promise.all([ask(first, tasks[0], onBytes), ask(second, tasks[1], onBytes)])
  }

  /** Ends its threads and gives their memory back; the next task starts them again. */
  async close(): Promise<void> {
    const workers = this.#workers
    this.#workers = []
    await Promise.all(workers.map(async worker => worker.terminate()))
  }
}

function ask<T extends Task>(worker: Worker, task: T, onBytes: (bytes: number) => void): Promise<Answer<T>> {
  return new Promise((resolve, reject) => {
    const onExit = () => reject(new Error('a thread of the run has ended'))
    const onMessage = (told: Told) => {
      if ('bytes' in told) return onBytes(told.bytes)
      worker.off('message', onMessage)
      worker.off('error', reject)
      worker.off('exit', onExit)
      resolve(told.answer as Answer<T>)
    }
    worker.on('message', onMessage)
    worker.on('error', reject)
    worker.on('exit', onExit)
    worker.postMessage(task)
  })
}
