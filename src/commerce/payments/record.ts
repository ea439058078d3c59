/**
 * The third step of every payment action: gather, decide, record. A decision is a set of rows (`Writes`); recording
 * writes it in one statement, inside the caller's transaction or together with those of other requests that wait at
 * the same moment (group commit). The SQL beside this file holds the guards and the order of writes.
 */
import { createGroup, type Db, type Queries, type QueryStats, sqlState } from '#db'
import { FencedError, KeyTakenError } from '#http'
import { ApiError, assert, failpoint } from '#kernel'
import { postingsLiteral, type Transfer } from '#ledger'
import { detached } from './lookups.ts'
import { rowsLiteral } from './record-rows.ts'
import type { PaymentMethodRow } from './rows.ts'
import type { Writes } from './writes.ts'

/** The object changed since it was gathered: gather again, decide again. */
export class StaleError extends Error {
  constructor() {
    super('the object changed since it was read')
    this.name = 'StaleError'
  }
}

export interface Recorded {
  /** The payment method that was wanted. */
  method: PaymentMethodRow | null
}

/** `stats`: the request's share of the cost, for its log line. */
export type Recorder = (writes: Writes, stats?: QueryStats) => Promise<Recorded>

/** Raised by the SQL when an object changed after something of the request was written. */
const STALE = 'BU001'
const LOCK_NOT_AVAILABLE = '55P03'

/** How often a request is tried alone after its row was found held: with the wait of each, the five seconds of any lock. */
const PATIENT_TRIES = 20

/** A recorder that shares its transactions among the requests that wait at the same moment. */
export function groupedRecorder(db: Db): Recorder {
  const run = async (writes: readonly Writes[]) => {
    const recording = recordAll(db, writes)
    const held = failpoint('batch.sent', String(writes.length))
    if (held) {
      // Its failure is heard below; until then it is nobody's.
      recording.catch(() => {})
      await held
    }
    return recording
  }
  // One lane: a second would halve the groups, each call of which has a price of its own, only to wait for the first at
  // the ledger's busiest accounts. Other processes have lanes of theirs.
  const group = createGroup({ lanes: 1, run })
  // Who meets a row that somebody holds waits apart, so that nobody waits with it.
  const patient = createGroup({ lanes: 4, most_items: 1, run })

  async function submit(writes: Writes): Promise<RecordedRow | undefined> {
    let lane = group
    for (let attempt = 1; ; attempt++) {
      try {
        return await lane.submit(writes)
      } catch (error) {
        if (sqlState(error) !== LOCK_NOT_AVAILABLE || writes.claim || attempt === PATIENT_TRIES) throw error
        lane = patient
      }
    }
  }
  return async (writes, stats) => {
    if (stats) {
      stats.statements += 1
      stats.round_trips += 1
    }
    return recorded(await named(submit(writes), writes))
  }
}

/** Records in the transaction the caller holds, after it locked what it read. */
export async function record(tx: Queries, writes: Writes): Promise<Recorded> {
  const [row] = await named(recordAll(tx, [writes]), writes)
  return recorded(row)
}

/** Failures of the database that mean something here, by the words of those who handle them. */
async function named<T>(recording: Promise<T>, writes: Writes): Promise<T> {
  try {
    return await recording
  } catch (error) {
    if (sqlState(error) === STALE) throw new StaleError()
    // The twin that holds the key has outlasted the wait for it: the key is taken, whatever becomes of the twin.
    if (sqlState(error) === LOCK_NOT_AVAILABLE && writes.claim) throw new KeyTakenError()
    throw error
  }
}

interface RecordedRow {
  item: number
  outcome:
    | 'key_taken'
    | 'fenced'
    | 'stale'
    | 'customer_missing'
    | 'payment_method_missing'
    | 'payment_method_of_another'
    | 'payment_method_detached'
    | null
  method: PaymentMethodRow | null
}

async function recordAll(db: Queries, all: readonly Writes[]): Promise<(RecordedRow | undefined)[]> {
  const rows = await db.many<RecordedRow>`
    select item, outcome, method
    from payments_record(
      ${restText(all)},
      ${rowsLiteral(all, 'payment_methods')}::recorded_payment_method[],
      ${rowsLiteral(all, 'payment_intents')}::recorded_payment_intent[],
      ${rowsLiteral(all, 'payment_intent_updates')}::recorded_payment_intent[],
      ${rowsLiteral(all, 'payment_attempts')}::recorded_payment_attempt[],
      ${rowsLiteral(all, 'payment_attempt_updates')}::recorded_attempt_change[],
      ${rowsLiteral(all, 'charges')}::recorded_charge[],
      ${rowsLiteral(all, 'balance_transactions')}::recorded_balance_transaction[],
      ${rowsLiteral(all, 'events')}::recorded_event[],
      ${postingsOf(all)}::ledger_posting[]
    )`
  const results = Array.from<RecordedRow | undefined>({ length: all.length })
  for (const row of rows) results[row.item] = row
  return results
}

function recorded(row: RecordedRow | undefined): Recorded {
  switch (row?.outcome) {
    case 'key_taken':
      throw new KeyTakenError()
    case 'fenced':
      throw new FencedError()
    case 'stale':
      throw new StaleError()
    case 'customer_missing':
      throw new ApiError('resource_missing', { param: 'customer_id', message: 'No such customer.' })
    case 'payment_method_missing':
      throw new ApiError('resource_missing', {
        param: 'payment_method_id',
        message: 'No such payment method.',
      })
    case 'payment_method_detached':
      throw detached()
    case 'payment_method_of_another':
      throw new ApiError('parameter_invalid', {
        param: 'payment_method_id',
        message: 'This payment method belongs to a customer. Send that customer_id with it.',
      })
    default:
      return { method: row?.method ?? null }
  }
}

/** What is rare or small travels as jsonb: an object of arrays, each element marked with the request it belongs to. */
const REST = {
  claims: ({ claim }: Writes) => claim && [claim],
  wants: ({ wants }: Writes) => wants && [wants],
  // What a runner with an answer must still own, it shows with the answer.
  fences: ({ fence, answer }: Writes) => fence && !answer && [fence],
  answers: ({ answer }: Writes) => answer && [answer],
  charge_updates: (writes: Writes) => writes.charge_updates,
  refunds: (writes: Writes) => writes.refunds,
  refund_updates: (writes: Writes) => writes.refund_updates,
} satisfies Record<string, (writes: Writes) => readonly object[] | false | undefined>

function restText(all: readonly Writes[]): string {
  const sections: string[] = []
  for (const [name, rowsOf] of Object.entries(REST)) {
    let text = ''
    all.forEach((writes, item) => {
      const rows = rowsOf(writes)
      if (rows) for (const row of rows) text += `${text === '' ? '' : ','}{"item":${item}${fieldsText(row)}}`
    })
    if (text !== '') sections.push(`"${name}":[${text}]`)
  }
  return `{${sections.join(',')}}`
}

/** The ledger's transfers of all requests, each marked with its request. */
function postingsOf(all: readonly Writes[]): string {
  const transfers: Transfer[] = []
  const items: number[] = []
  all.forEach((writes, item) => {
    for (const transfer of writes.transfers ?? []) {
      transfers.push(transfer)
      items.push(item)
    }
  })
  return postingsLiteral(transfers, i => items[i] as number)
}

/** `,"name":value` of each field. Not JSON.stringify: rows hold bigints, exact in jsonb, and a replacer costs more. */
function fieldsText(row: object): string {
  let text = ''
  for (const name in row) {
    const value = (row as Record<string, unknown>)[name]
    if (value !== undefined) text += `,"${name}":${valueText(value)}`
  }
  return text
}

function valueText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return JSON.stringify(value)
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'number':
      assert(Number.isSafeInteger(value), 'a number in a row is a safe integer')
      return String(value)
    default:
      if (value === null) return 'null'
      if (value instanceof Date) return `"${value.toISOString()}"`
      // What is JSON itself (metadata, an error's details) holds no bigint.
      return JSON.stringify(value)
  }
}
