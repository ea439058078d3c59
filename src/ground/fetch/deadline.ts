/**
 * One absolute deadline over all the steps of a call. Steps come one after the other, so there is only ever one thing
 * to stop, and the step that runs says how: an AbortSignal without its listeners and events, at the cost of a timer.
 */
import { FetchError } from './failures.ts'

/** Tidies up and settles the step. */
type Stop = (late: FetchError) => void

export class Deadline {
  private readonly after_ms: number
  private readonly timer: NodeJS.Timeout
  private during = ''
  private stop: Stop | undefined
  private late: FetchError | undefined

  constructor(after_ms: number) {
    this.after_ms = after_ms
    this.timer = setTimeout(() => this.expire(), after_ms)
  }

  /**
   * One step. `during` ends the sentence of a deadline that passes in it, "No answer within 15 s: …"; what `begin`
   * answers is called then, and must settle the promise.
   */
  step<Value>(
    during: string,
    begin: (resolve: (value: Value) => void, reject: (error: Error) => void) => Stop,
  ): Promise<Value> {
    if (this.late !== undefined) return Promise.reject(this.late)
    return new Promise<Value>((resolve, reject) => {
      this.during = during
      // A step that was settled has nothing to stop; promises settle once, so a stop that comes late does no harm.
      this.stop = begin(resolve, reject)
    })
  }

  clear(): void {
    clearTimeout(this.timer)
  }

  private expire(): void {
    this.late = new FetchError('timeout', `No answer within ${this.after_ms / 1000} s: ${this.during}.`)
    this.stop?.(this.late)
  }
}
