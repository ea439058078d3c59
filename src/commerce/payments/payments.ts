/** What every payment action is given: the database, the recorder of its decisions, the connectors, the clock. */
import type { Database } from '#db'
import { ApiError, type Clock, type Tenant } from '#kernel'
import { createLog, type Log } from '#metrics'
import type { Connector } from './connectors/connector.ts'
import { countMetFrom } from './orphan-captures/met.ts'
import { groupedRecorder, type Recorder } from './record.ts'

export interface PaymentsOptions {
  db: Database
  clock: Clock
  /**
   * The processor of each mode; none is configured for live mode until one is plugged in. `others`: still connected for
   * what was sent to them before, in test mode.
   */
  connectors: { test: Connector; live: Connector | null; others?: readonly Connector[] }
  /** Told what processors say by themselves and nobody waits for; nothing, when left out. */
  log?: Log
}

export interface Payments {
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  /** Records a decision together with those of other requests that wait at the same moment. */
  readonly record: Recorder
  /** The processor that new operations of this tenant go to. */
  connectorFor(tenant: Tenant): Connector
  /** The processor an earlier operation went to, whatever is configured for new ones. */
  connectorNamed(name: string): Connector
  /** Which mode a processor serves: true is live. */
  modeOf(name: string): boolean
}

export function createPayments(options: PaymentsOptions): Payments {
  const { db, clock, connectors } = options
  const { test, live, others = [] } = connectors
  const known = [test, ...(live ? [live] : []), ...others]
  for (const connector of known) countMetFrom(connector.name)
  return {
    db,
    clock,
    log: options.log ?? createLog({ level: 'silent', destination: { write: () => undefined } }),
    record: groupedRecorder(db),
    connectorFor(tenant) {
      const connector = tenant.livemode ? live : test
      if (!connector) throw new ApiError('processor_not_configured')
      return connector
    },
    connectorNamed(name) {
      const connector = known.find(candidate => candidate.name === name)
      if (!connector)
        throw new Error(`no connector named ${name} is configured, but an operation was sent to it`)
      return connector
    },
    modeOf: name => live?.name === name && test.name !== name,
  }
}
