/**
 * Stops a payment where its process could die: at a named point the runner hangs, holding no transaction, exactly as
 * if it were gone. What happens then is the test's; `wake` lets the old runner go on, long after it was replaced.
 */
import type { Connector, Payments } from '#payments'

/**
 * `prepared`: opened, not yet marked as sent. `sent`: marked, and the processor has not heard of it. `done`: the
 * processor has done it, and nobody here knows.
 */
export type Point = 'prepared' | 'sent' | 'done'

export interface Stop {
  /** Resolves when a runner hangs there. */
  reached: Promise<void>
  wake: () => void
}

/** What makes a world's runners pass the points. */
export interface Gates {
  payments(payments: Payments): Payments
  connector(connector: Connector): Connector
}

export interface Stops extends Gates {
  /** The next runner that comes to the point hangs there; only that one. */
  at(point: Point): Stop
  /** The next operation asked of the processor is given up so soon, for one that keeps silent; only that one. */
  giveUpNext(patience_ms?: number): void
}

/** As long as any call may take. */
const PATIENT_MS = 15_000
/** Of a call that is never answered: longer than any answer takes, so that only silence is given up. */
const SILENCE_MS = 1_000

/** Has every runner pass the points; `patience` shortens each operation, and `patience_ms` every call. */
export function gated(
  pass: (point: Point) => Promise<void>,
  patience_ms = PATIENT_MS,
  patience: () => number = () => patience_ms,
): Gates {
  const call =
    <Request, Outcome>(ask: (request: Request, deadline_ms: number) => Promise<Outcome>) =>
    async (request: Request, deadline_ms: number): Promise<Outcome> => {
      await pass('sent')
      const outcome = await ask(request, Math.min(deadline_ms, patience()))
      await pass('done')
      return outcome
    }
  return {
    payments: payments => ({
      ...payments,
      async record(writes, stats) {
        if (writes.payment_attempt_updates?.some(update => update.state === 'sent')) await pass('prepared')
        return payments.record(writes, stats)
      },
    }),
    connector: connector => ({
      ...connector,
      authorize: call((request, deadline_ms) => connector.authorize(request, deadline_ms)),
      capture: call((request, deadline_ms) => connector.capture(request, deadline_ms)),
      void: call((request, deadline_ms) => connector.void(request, deadline_ms)),
      refund: call((request, deadline_ms) => connector.refund(request, deadline_ms)),
      // Who makes a payout is made to hang at failpoints.
      payOut: (request, deadline_ms) => connector.payOut(request, Math.min(deadline_ms, patience())),
      lookup: (reference, deadline_ms) => connector.lookup(reference, Math.min(deadline_ms, patience_ms)),
    }),
  }
}

/** `patience_ms` shortens every call to the processor: tests of its silence need not wait for the real deadline. */
export function createStops({ patience_ms = PATIENT_MS } = {}): Stops {
  let armed: { point: Point; reached: () => void; woken: Promise<void> } | undefined
  let next_ms: number | undefined

  function patience(): number {
    const most_ms = next_ms ?? patience_ms
    next_ms = undefined
    return most_ms
  }

  async function pass(point: Point): Promise<void> {
    if (armed?.point !== point) return
    const { reached, woken } = armed
    armed = undefined
    reached()
    await woken
  }

  return {
    at(point) {
      const reached = Promise.withResolvers<void>()
      const woken = Promise.withResolvers<void>()
      armed = { point, reached: reached.resolve, woken: woken.promise }
      return { reached: reached.promise, wake: woken.resolve }
    },
    giveUpNext(most_ms = SILENCE_MS) {
      next_ms = most_ms
    },
    ...gated(pass, patience_ms, patience),
  }
}
