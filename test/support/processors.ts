/**
 * A processor with other facts than the simulator's, or with something else to say: the simulator behind a connector
 * some members of which are put over it. What it then does is still done, and still in the simulator's book.
 */
import type { Connector } from '#payments'
import type { Gates } from './stops.ts'

export interface OtherProcessor extends Gates {
  /** Puts members over the connector's own, until the next call; facts are put over single facts. */
  becomes(over: Partial<Omit<Connector, 'facts'>> & { facts?: Partial<Connector['facts']> }): void
}

export function otherProcessor(gates: Gates): OtherProcessor {
  let over: Parameters<OtherProcessor['becomes']>[0] = {}
  return {
    becomes(changed) {
      over = changed
    },
    payments: payments => gates.payments(payments),
    connector(connector) {
      const inner = gates.connector(connector)
      return new Proxy(inner, {
        get: (_target, name: keyof Connector) =>
          name === 'facts' ? { ...inner.facts, ...over.facts } : (over[name] ?? inner[name]),
      })
    },
  }
}
