/**
 * Faults on demand. Each says which operation it strikes, how, how often (`rate`) and how many times (`count`).
 * The dice are seeded, so a run that found something can be played again.
 */
import { dice } from './dice.ts'
import { Refused } from './refused.ts'
import { unknownParameter } from './requests.ts'

export const FAULT_KINDS = [
  'delay',
  'drop_request',
  'drop_response',
  'error',
  'reset',
  'slow_body',
  'late_success',
] as const
export type FaultKind = (typeof FAULT_KINDS)[number]
/** `*` is every one but `events`: who polls the feed would take the faults meant for payments. */
export const FAULT_OPERATIONS = [
  'authorize',
  'capture',
  'void',
  'refund',
  'payout',
  'reversal',
  'dispute',
  'lookup',
  'events',
  '*',
] as const
export type FaultOperation = (typeof FAULT_OPERATIONS)[number]

export interface Fault {
  operation: FaultOperation
  kind: FaultKind
  rate: number
  /** How many times more it strikes; null: until it is removed. */
  count: number | null
  ms: number
  /**
   * Of `error` and `reset` alone: whether they strike before or after the money moved. By default an error comes before
   * and a reset at either side by a toss, because that is what a caller can assume about them.
   */
  moment: 'before' | 'after' | 'either' | null
  /** How often it struck. */
  struck: number
}

export interface Faults {
  add(body: Record<string, unknown>): Fault
  list(): Fault[]
  clear(): number
  /** The first fault that strikes this request, counted; its moment is decided. */
  pick(operation: FaultOperation): Fault | undefined
}

/** They have no reference of their own under which they could succeed later. */
const NEVER_LATE: ReadonlySet<FaultOperation> = new Set(['lookup', 'dispute', 'events'] as const)
/** Enough for any experiment; each costs a comparison per request. */
const MAX_FAULTS = 100
/** A caller that waits longer than a minute for a payment has hung. */
const MAX_DELAY_MS = 60_000
/**
 * A late success must come within the longest processing time that the connector declares (15 s): the network promises
 * that what is absent after that never happens, and even a faulty day keeps that promise.
 */
export const MAX_LATE_MS = 12_000
const DEFAULT_MS = 1_000
const FIELDS = new Set(['operation', 'kind', 'rate', 'count', 'ms', 'moment', 'seed'])

export function makeFaults(seed: number): Faults {
  let random = dice(seed)
  let faults: Fault[] = []

  return {
    add(body) {
      const fault = parseFault(body)
      if (faults.length >= MAX_FAULTS) {
        throw new Refused(400, 'too_many_faults', `At most ${MAX_FAULTS} faults; DELETE /faults first.`)
      }
      if (body.seed !== undefined) random = dice(integer(body.seed, 'seed', 0, 0xffff_ffff))
      faults.push(fault)
      return fault
    },
    list: () => faults,
    clear() {
      const removed = faults.length
      faults = []
      return removed
    },
    pick(operation) {
      for (const fault of faults) {
        const strikes = fault.operation === '*' ? operation !== 'events' : fault.operation === operation
        if (!strikes) continue
        if (fault.kind === 'late_success' && NEVER_LATE.has(operation)) continue
        if (fault.rate < 1 && random() >= fault.rate) continue
        fault.struck += 1
        if (fault.count !== null) {
          fault.count -= 1
          if (fault.count === 0) faults = faults.filter(other => other !== fault)
        }
        if (fault.moment === 'either') return { ...fault, moment: random() < 0.5 ? 'before' : 'after' }
        return fault
      }
      return undefined
    },
  }
}

function parseFault(body: Record<string, unknown>): Fault {
  for (const field of Object.keys(body)) {
    if (!FIELDS.has(field)) throw unknownParameter(field)
  }
  const kind = oneOf(body.kind, FAULT_KINDS, 'kind')
  const rate = body.rate ?? 1
  if (typeof rate !== 'number' || !(rate >= 0 && rate <= 1)) {
    throw new Refused(400, 'parameter_invalid', 'rate is a number from 0 to 1.', 'rate')
  }
  return {
    operation: oneOf(body.operation, FAULT_OPERATIONS, 'operation'),
    kind,
    rate,
    count: body.count === undefined || body.count === null ? null : integer(body.count, 'count', 1, 1e9),
    ms: integer(body.ms ?? DEFAULT_MS, 'ms', 0, kind === 'late_success' ? MAX_LATE_MS : MAX_DELAY_MS),
    moment: parseMoment(kind, body.moment),
    struck: 0,
  }
}

function parseMoment(kind: FaultKind, value: unknown): Fault['moment'] {
  if (kind !== 'error' && kind !== 'reset') {
    if (value === undefined) return null
    throw new Refused(400, 'parameter_invalid', 'Only error and reset have a moment.', 'moment')
  }
  if (value !== undefined) return oneOf(value, ['before', 'after', 'either'] as const, 'moment')
  return kind === 'error' ? 'before' : 'either'
}

function oneOf<T extends string>(value: unknown, allowed: readonly T[], param: string): T {
  const found = allowed.find(word => word === value)
  if (found !== undefined) return found
  throw new Refused(400, 'parameter_invalid', `${param} is one of ${allowed.join(', ')}.`, param)
}

function integer(value: unknown, param: string, min: number, max: number): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value
  throw new Refused(400, 'parameter_invalid', `${param} is a whole number from ${min} to ${max}.`, param)
}
