/** What a payment left behind, seen from outside: the processor's book, the ledger, the rows and the events. */
import { joinSql, raw, sql } from '#db'
import { encodeId } from '#kernel'
import type { TestAccount, World } from './testing.ts'

export interface Traces {
  /** `authorize 1000`, in the order in which money moved. */
  movements: string[]
  /** Types of all events of the account, sorted. */
  events: string[]
  /** Rows of the account by table. */
  rows: Record<string, number>
  balance: { amount: number; currency: string }[]
}

/** The tables that grow with what an account does. */
export const TENANT_TABLES = [
  'customers',
  'payment_methods',
  'payment_intents',
  'payment_attempts',
  'charges',
  'refunds',
  'disputes',
  'payouts',
  'balance_transactions',
  'ledger_accounts',
  'ledger_transfers',
  'ledger_entries',
  'ledger_refusals',
  'events',
  'webhook_endpoints',
  'webhook_secrets',
  'webhook_lanes',
  'webhook_queue',
  'webhook_deliveries',
  'webhook_replays',
  'idempotency_keys',
] as const

/** Rows by table: of one account, or of all. */
export async function countRows(world: World, account?: TestAccount): Promise<Record<string, number>> {
  const of_account = account ? sql`where account_id = ${account.account_id}` : sql``
  const counts = TENANT_TABLES.map(
    table => sql`(select count(*)::integer from ${raw(table)} ${of_account}) as ${raw(table)}`,
  )
  return world.db.one<Record<string, number>>`select ${joinSql(counts, ', ')}`
}

/** The movements in the simulator's book that belong to the account's attempts. */
export async function movementsOf(world: World, { account_id }: TestAccount): Promise<string[]> {
  const rows = await world.db.many<{ id: string }>`
    select id from payment_attempts where account_id = ${account_id}`
  const references = new Set(rows.map(row => encodeId('att_', row.id)))
  const book = await world.book()
  return book
    .filter(movement => references.has(movement.reference))
    .map(movement => `${movement.type} ${movement.amount}`)
}

export async function tracesOf(world: World, account: TestAccount): Promise<Traces> {
  const events = await world.db.many<{ type: string }>`
    select type from events where account_id = ${account.account_id} order by type`
  return {
    movements: await movementsOf(world, account),
    events: events.map(event => event.type),
    rows: await countRows(world, account),
    balance: (await account.api.get('/v1/balance')).body.pending,
  }
}

/** What the account still holds in its ledger: zero once every hold is posted or voided. */
export async function heldBy(world: World, { account_id }: TestAccount): Promise<bigint> {
  const { held } = await world.db.one<{ held: bigint }>`
    select coalesce(sum(debits_pending + credits_pending), 0)::bigint as held
    from ledger_accounts
    where account_id = ${account_id}`
  return held
}

/** Operations without an outcome and keys without an answer. */
export async function openWork(world: World, { account_id }: TestAccount): Promise<string[]> {
  const rows = await world.db.many<{ what: string }>`
    select 'attempt ' || state as what
    from payment_attempts
    where account_id = ${account_id} and state not in ('approved', 'declined', 'voided')
    union all
    select 'key ' || key
    from idempotency_keys
    where account_id = ${account_id} and finished_at is null`
  return rows.map(row => row.what)
}
