/** Waiting between tries: exponential, capped, with full-range jitter so that callers that failed together part. */

export interface BackoffPolicy {
  first_ms: number
  factor: number
  most_ms: number
  /** 0.2 spreads a delay evenly over ±20 %. */
  jitter: number
}

/** Delay before try number `attempt` + 1, in whole milliseconds; `attempt` counts from 1. `random` is for tests. */
export function backoffMs(
  policy: BackoffPolicy,
  attempt: number,
  random: () => number = Math.random,
): number {
  const base = Math.min(policy.most_ms, policy.first_ms * policy.factor ** (attempt - 1))
  return Math.round(base * (1 + policy.jitter * (2 * random() - 1)))
}

export const sleep = (delay_ms: number): Promise<void> =>
  new Promise(resolve => {
    setTimeout(resolve, delay_ms)
  })
