/**
 * The audit after a disaster, by someone who trusts nobody: the simulator's book says what money really moved, the API
 * says what clients were told, the ledger is verified row by row. Every disagreement is a sentence.
 */
import { isDeepStrictEqual } from 'node:util'
import { isConnectionLost, sqlState } from '#db'
import { encodeId, sleep } from '#kernel'
import { verify } from '#ledger'
import type { Address, Json, Merchant } from './merchant.ts'
import type { Movement, Plant } from './processes.ts'

/** States of an attempt that wait for an answer. */
const OPEN = ['prepared', 'sent', 'unknown', 'pending']

/** Longer than anything that recovers by itself: a lease (20 s), the wait for an absence (15 s), a busy machine. */
const RECOVERY_MOST_MS = 180_000
const LOOK_EVERY_MS = 50
/** A runner on a busy machine takes less for its call and its commits. */
const IDLE_MS = 300

/** Operations without an outcome and keys without an answer, of all accounts or of some. */
export async function openWork(plant: Plant, merchants?: readonly Merchant[]): Promise<string[]> {
  const accounts = merchants?.map(merchant => merchant.account_id) ?? null
  const rows = await plant.db.many<{ what: string }>`
    select operation || ' ' || state as what
    from payment_attempts
    where state = any(${OPEN}) and (${accounts}::uuid[] is null or account_id = any(${accounts}::uuid[]))
    union all
    select 'payout ' || state
    from payouts
    where status = 'pending' and (${accounts}::uuid[] is null or account_id = any(${accounts}::uuid[]))
    union all
    select 'key of ' || route
    from idempotency_keys
    where finished_at is null and (${accounts}::uuid[] is null or account_id = any(${accounts}::uuid[]))`
  return rows.map(row => row.what)
}

/** Waits until nothing is open, making time pass on the way if asked; answers how long it took. */
export async function recovered(
  plant: Plant,
  merchants: readonly Merchant[],
  options: { hurry?: boolean; most_ms?: number } = {},
): Promise<number> {
  const began_ms = performance.now()
  for (;;) {
    const open = await look(plant, merchants, options.hurry ?? true)
    const passed_ms = performance.now() - began_ms
    if (open.length === 0) return passed_ms
    if (passed_ms > (options.most_ms ?? RECOVERY_MOST_MS)) {
      throw new Error(`still open after ${Math.round(passed_ms)} ms: ${open.join(', ')}`)
    }
    await sleep(LOOK_EVERY_MS)
  }
}

/** PostgreSQL's: a lock was not had in time. */
const LOCK_NOT_AVAILABLE = '55P03'

/**
 * What is open, with time made to pass before; the database itself may be away for a moment, and a runner that was
 * stopped in the middle of a transaction keeps its rows for 15 s.
 */
async function look(plant: Plant, merchants: readonly Merchant[], hurry: boolean): Promise<string[]> {
  try {
    if (hurry) await plant.hurry(IDLE_MS)
    return await openWork(plant, merchants)
  } catch (error) {
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return ['somebody keeps a row to himself']
    if (!isConnectionLost(error)) throw error
    return ['the database is away']
  }
}

/**
 * What must hold whatever happened, once everything is resolved. Answers one sentence for each thing that does not:
 * one charge a key, book and API and ledger agree on every amount, nothing is held, every retry gets the same bytes,
 * every change is told once.
 */
export async function audit(plant: Plant, merchants: readonly Merchant[], at: Address): Promise<string[]> {
  const problems: string[] = []
  const verification = await verify(plant.db)
  if (!verification.ok) problems.push(`the ledger does not hold: ${JSON.stringify(verification.broken)}`)
  const book = await plant.simulator.book()
  for (const merchant of merchants) {
    problems.push(...(await auditMerchant(plant, merchant, at, book)))
  }
  problems.push(...(await strangers(plant, book)))
  return problems
}

async function auditMerchant(
  plant: Plant,
  merchant: Merchant,
  at: Address,
  book: readonly Movement[],
): Promise<string[]> {
  const problems: string[] = []
  const same = (what: string, a: unknown, b: unknown) => {
    if (!isDeepStrictEqual(a, b)) problems.push(`${what}: ${JSON.stringify(a)} and ${JSON.stringify(b)}`)
  }
  const open = await openWork(plant, [merchant])
  if (open.length > 0) problems.push(`still open: ${open.join(', ')}`)

  for (const asked of merchant.asked) {
    const { path, answer } = asked
    if (answer === undefined) {
      problems.push(`${path} was never answered for good`)
      continue
    }
    // Refused before it began: nothing was stored, and a retry is a new request.
    if (answer.status >= 400 && answer.status !== 402) continue
    const again = await merchant.repeat(at, asked)
    same(`the answer to ${path} and its replay`, again.text, answer.text)
    if (!again.replayed) problems.push(`${path} was carried out again by its own key`)
  }

  const intents = await listAll(merchant, at, '/v1/payment_intents')
  const refunds = await listAll(merchant, at, '/v1/refunds')
  const events = await listAll(merchant, at, '/v1/events')
  const creates = new Set(
    merchant.asked.filter(one => one.path === '/v1/payment_intents').map(one => one.key),
  )
  // A create that was refused for its parameters makes none; the crash tests send none of those.
  same('intents and the keys that asked for them', intents.length, creates.size)

  const of_intent = await referencesByIntent(plant, merchant)
  const payments_of = paymentsByReference(book)
  for (const intent of intents) {
    const name = `${intent.id} (${intent.status})`
    const payments = [
      ...new Set((of_intent.get(intent.id) ?? []).flatMap(reference => payments_of.get(reference) ?? [])),
    ]
    const captured = payments.filter(payment => payment.captured > 0)
    const kept = captured.filter(
      payment => payment.captured !== payment.refunded || refundedOf(refunds, intent) > 0,
    )
    if (kept.length > 1) problems.push(`${name} was charged ${kept.length} times`)
    const returned = refundedOf(refunds, intent)
    const net = captured.reduce((sum, payment) => sum + payment.captured - payment.refunded, 0)
    same(`net amount of ${name}, in the book and by the API`, net, intent.amount_received - returned)
    const held = payments.filter(payment => payment.held > 0)
    if (intent.status !== 'requires_capture' && held.length > 0) {
      problems.push(`${name} still holds ${held.map(payment => payment.held).join('+')} at the bank`)
    }
    if (intent.status === 'processing') problems.push(`${name} has no outcome`)
    for (const type of ['payment_intent.succeeded', 'payment_intent.canceled', 'payment_intent.created']) {
      const told = events.filter(event => event.type === type && event.data.object.id === intent.id).length
      const wanted = type.endsWith('created') || type.endsWith(intent.status) ? 1 : 0
      same(`${type} of ${name}, told and due`, told, wanted)
    }
  }
  same('ids of events', new Set(events.map(event => event.id)).size, events.length)

  const { held, capturable } = await plant.db.one<{ held: bigint; capturable: bigint }>`
    select
      (
        select coalesce(sum(debits_pending), 0)::bigint
        from ledger_accounts where account_id = ${merchant.account_id}
      ) as held,
      (
        select coalesce(sum(case status when 'requires_capture' then amount_capturable else amount end), 0)::bigint
        from payment_intents
        where account_id = ${merchant.account_id} and status in ('requires_capture', 'requires_action')
      ) as capturable`
  same('amount held in the ledger and by intents that may hold it', held, capturable)
  return problems
}

const refundedOf = (refunds: readonly Json[], intent: Json): number =>
  refunds
    .filter(refund => refund.payment_intent_id === intent.id && refund.status === 'succeeded')
    .reduce((sum, refund) => sum + refund.amount, 0)

/** Every page of a list, through the API. */
export async function listAll(merchant: Merchant, at: Address, path: string): Promise<Json[]> {
  const all: Json[] = []
  let cursor: string | null = null
  do {
    const page = await merchant.get(at, `${path}?limit=100${cursor === null ? '' : `&cursor=${cursor}`}`)
    if (page.error?.code === 'route_not_found') return []
    if (!Array.isArray(page.data)) throw new Error(`${path} answered ${JSON.stringify(page)}`)
    all.push(...page.data)
    cursor = page.next_cursor
  } while (cursor !== null)
  return all
}

interface BookedPayment {
  captured: number
  refunded: number
  /** Authorized, and neither captured nor given back. */
  held: number
  references: string[]
}

/** The book by payment, found by any reference that moved it. */
function paymentsByReference(book: readonly Movement[]): Map<string, BookedPayment[]> {
  const payments = new Map<string, BookedPayment>()
  for (const { payment_id, type, amount, reference } of book) {
    const payment = payments.get(payment_id) ?? { captured: 0, refunded: 0, held: 0, references: [] }
    payments.set(payment_id, payment)
    payment.references.push(reference)
    if (type === 'authorize') payment.held += amount
    // A capture of a part releases the rest.
    if (type === 'capture') payment.held = 0
    if (type === 'capture') payment.captured += amount
    if (type === 'void') payment.held = 0
    if (type === 'refund') payment.refunded += amount
  }
  const found = new Map<string, BookedPayment[]>()
  for (const payment of payments.values()) {
    for (const reference of payment.references)
      found.set(reference, [...(found.get(reference) ?? []), payment])
  }
  return found
}

async function referencesByIntent(plant: Plant, { account_id }: Merchant): Promise<Map<string, string[]>> {
  const rows = await plant.db.many<{ id: string; payment_intent_id: string }>`
    select id, payment_intent_id from payment_attempts
    where account_id = ${account_id} and payment_intent_id is not null`
  const found = new Map<string, string[]>()
  for (const row of rows) {
    const intent = encodeId('pi_', row.payment_intent_id)
    found.set(intent, [...(found.get(intent) ?? []), encodeId('att_', row.id)])
  }
  return found
}

/** Money that moved by a reference that nobody here knows must have moved back. */
async function strangers(plant: Plant, book: readonly Movement[]): Promise<string[]> {
  const known = new Set(
    (await plant.db.many<{ id: string }>`select id from payment_attempts`).map(row =>
      encodeId('att_', row.id),
    ),
  )
  return [...new Set([...paymentsByReference(book)].flatMap(([, payments]) => payments))]
    .filter(payment => !payment.references.some(reference => known.has(reference)))
    .filter(payment => payment.captured !== payment.refunded || payment.held > 0)
    .map(
      payment =>
        `the book has ${payment.captured} of ${payment.references.join(', ')}, which nobody here knows`,
    )
}
