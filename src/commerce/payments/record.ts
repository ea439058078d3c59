/**
 * The third step of every payment action: gather, decide, record. A decision is a set of rows (`Writes`); recording
 * writes it in one statement, inside the caller's transaction or together with those of other requests that wait at
 * the same moment (group commit). The SQL beside this file holds the guards and the order of writes.
 */
import { createGroup, type Db, type Queries, type QueryStats, sqlState } from '#db'
import type { EventRow } from '#events'
import { type Claim, FencedError, type Fence, KeyTakenError } from '#http'
import { ApiError, assert, type Tenant } from '#kernel'
import { postingsLiteral, type Transfer } from '#ledger'
import type { AttemptState } from './attempts/lifecycle.ts'
import type {
  AttemptRow,
  BalanceTransactionRow,
  ChargeRow,
  PaymentIntentRow,
  PaymentMethodRow,
  RefundRow,
} from './rows.ts'

/** A change of an attempt, applied only while its state is one of `from_states`. */
export interface AttemptUpdate
  extends Pick<
    AttemptRow,
    'account_id' | 'livemode' | 'id' | 'charge_id' | 'processor_id' | 'reason' | 'checks'
  > {
  state: AttemptState
  from_states: readonly AttemptState[]
  /** When the resolver looks again, from now by the database's clock: '5 seconds'; null: it need not. */
  check_after: string | null
}

/** The final answer of an idempotency key; `epoch` null when whoever settles may finish it. */
export interface StoredAnswer extends Tenant {
  key: string
  epoch: number | null
  status: number
  body: string
}

/** What one request decided. Every update carries the new `version`: it applies only to the version before it. */
export interface Writes {
  claim?: Claim & { subject_id?: string; status?: number; body?: string }
  fence?: Fence
  answer?: StoredAnswer
  /** Objects named by the request that must exist; a wanted payment method is answered with its row. */
  wants?: Tenant & { customer_id: string | null; payment_method_id: string | null }
  payment_methods?: PaymentMethodRow[]
  payment_intents?: PaymentIntentRow[]
  payment_intent_updates?: PaymentIntentRow[]
  payment_attempts?: AttemptRow[]
  payment_attempt_updates?: AttemptUpdate[]
  charges?: ChargeRow[]
  charge_updates?: ChargeRow[]
  refunds?: RefundRow[]
  refund_updates?: RefundRow[]
  balance_transactions?: BalanceTransactionRow[]
  transfers?: Transfer[]
  events?: EventRow[]
}

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

/** A recorder that shares its transactions among the requests that wait at the same moment. */
export function groupedRecorder(db: Db): Recorder {
  // One lane: a second would halve the groups, each call of which has a price of its own, only to wait for the first at
  // the ledger's busiest accounts. Other processes have lanes of theirs.
  const group = createGroup<Writes, RecordedRow | undefined>({
    lanes: 1,
    run: writes => recordAll(db, writes),
  })
  return async (writes, stats) => {
    if (stats) {
      stats.statements += 1
      stats.round_trips += 1
    }
    return recorded(await named(group.submit(writes), writes))
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
    | null
  method: PaymentMethodRow | null
}

async function recordAll(db: Queries, all: readonly Writes[]): Promise<(RecordedRow | undefined)[]> {
  const rows = await db.many<RecordedRow>`
    select item, outcome, method
    from payments_record(${batchText(all)}, ${postingsOf(all)}::ledger_posting[])`
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
    case 'payment_method_of_another':
      throw new ApiError('parameter_invalid', {
        param: 'payment_method_id',
        message: 'This payment method belongs to a customer. Send that customer_id with it.',
      })
    default:
      return { method: row?.method ?? null }
  }
}

const SINGLE: Record<string, string> = {
  claim: 'claims',
  fence: 'fences',
  answer: 'answers',
  wants: 'wants',
}

/** The batch as JSON text: an object of arrays, each element marked with the request it belongs to. */
function batchText(all: readonly Writes[]): string {
  const sections: Record<string, string> = {}
  const add = (section: string, item: number, row: object) => {
    const elements = sections[section]
    sections[section] = `${elements === undefined ? '' : `${elements},`}{"item":${item}${fieldsText(row)}}`
  }
  for (let item = 0; item < all.length; item++) {
    const writes = all[item] as Writes
    for (const name in writes) {
      const rows = writes[name as keyof Writes]
      // What a runner with an answer must still own, it shows with the answer.
      if (rows === undefined || name === 'transfers' || (name === 'fence' && writes.answer)) continue
      if (Array.isArray(rows)) for (const row of rows) add(name, item, row)
      else add(SINGLE[name] ?? name, item, rows)
    }
  }
  let text = ''
  for (const name in sections) text += `${text === '' ? '{' : ','}"${name}":[${sections[name]}]`
  return `${text === '' ? '{' : text}}`
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
