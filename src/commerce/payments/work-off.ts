/**
 * Works off what is due, so many at once at most. What ends makes room for what waits, one by one: a call that hangs
 * holds up no others, until as many hang as may be under way.
 */
export interface DueWork<Due> {
  /** Under way at once: each costs a call to a processor, and more would crowd out the paying requests. */
  most: number
  /** How long nobody looks when nothing was due. */
  poll_ms: number
  /** Takes so many at most, for itself alone: any number of processes share the work. */
  take(most: number): Promise<readonly Due[]>
  /** Never throws. */
  work(due: Due): Promise<void>
  /** Taking failed; it is tried again after the next pause. */
  onFailure(error: unknown): void
}

/** Works until it is stopped; a stop waits for what is under way. */
export function startWorkingOff<Due>(options: DueWork<Due>): { stop(): Promise<void> } {
  const { most, poll_ms } = options
  const under_way = new Set<Promise<void>>()
  let timer: NodeJS.Timeout | undefined
  let taking: Promise<unknown> = Promise.resolve()
  let is_stopped = false

  async function take(): Promise<void> {
    const room = most - under_way.size
    if (room === 0) return
    const due = await options.take(room)
    for (const one of due) {
      const work = options.work(one).finally(() => {
        under_way.delete(work)
        // More was waiting than there was room for.
        if (due.length === room) schedule(0)
      })
      under_way.add(work)
    }
  }

  function schedule(after_ms: number): void {
    if (is_stopped) return
    clearTimeout(timer)
    timer = setTimeout(() => {
      taking = taking
        .then(take)
        .catch((error: unknown) => options.onFailure(error))
        .then(() => schedule(poll_ms))
    }, after_ms)
  }
  schedule(poll_ms)
  return {
    async stop() {
      is_stopped = true
      clearTimeout(timer)
      await taking
      await Promise.all(under_way)
    },
  }
}
