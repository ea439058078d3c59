/** Trouble on the way, asked for by a test: which operation, when, how often. */

export interface Fault {
  operation: string
  /** `error_kept`: as Stripe, when execution had begun: the 500 is the answer of its key from then on. */
  kind:
    | 'drop_request'
    | 'drop_response'
    | 'error'
    | 'error_kept'
    | 'reset_before'
    | 'reset_after'
    | 'slow_body'
    | 'late_success'
  ms?: number
  count?: number
}

export function createFaults() {
  let faults: Required<Fault>[] = []
  return {
    add(fault: Fault): void {
      faults.push({ ms: 0, count: 1, ...fault })
    },
    clear(): void {
      faults = []
    },
    take(operation: string | null): Required<Fault> | undefined {
      const fault = faults.find(one => one.operation === operation && one.count > 0)
      if (fault) fault.count -= 1
      return fault
    },
  }
}

/** What a request does, in the words of the port. */
export function operationOf(method: string, path: string): string | null {
  const [, resource, , action] = /^\/v1\/(\w+)(?:\/([^/]+))?(?:\/(\w+))?$/.exec(path) ?? []
  if (resource === 'events') return 'events'
  if (method === 'GET') return resource === 'payment_methods' ? null : 'lookup'
  if (resource === 'payment_intents') {
    return action === undefined ? 'authorize' : action === 'cancel' ? 'void' : action
  }
  return { refunds: 'refund', payouts: 'payout', disputes: 'dispute' }[resource ?? ''] ?? null
}
