/**
 * The statement of a ledger account: its entries in the order they were posted, each with the balance after it, and what
 * the account held at the beginning and at the end. Served by the entries' primary key alone.
 */
import { z } from 'zod'
import { type Queries, sql } from '#db'
import {
  endpoint,
  type Endpoint,
  id,
  integer,
  JsonText,
  type Keyset,
  keyset,
  listOf,
  nullable,
  object,
  page,
  timestamp,
} from '#http'
import { ApiError, type Tenant } from '#kernel'
import { accountPath, findAccount } from './accounts.ts'
import { ledgerAmount, shownSource } from './objects.ts'

/** As every list. */
const LIMIT_DEFAULT = 20
const LIMIT_MAX = 100

export const LedgerEntry = object('ledger_entry', null, {
  sequence: z.int().describe("Counts the account's entries without a gap, in the order they were posted."),
  transfer_id: id('tr_'),
  contra_account_id: id('la_').describe('The other account of the transfer.'),
  side: z.enum(['debit', 'credit']),
  amount: ledgerAmount,
  balance: ledgerAmount.describe("The account's posted balance after it."),
  effective_at: timestamp,
  recorded_at: timestamp,
  source_type: z.string(),
  source_id: z.string(),
  step: z.string(),
  reason: nullable(z.string()),
  author: nullable(z.string()),
})

export interface EntryRow {
  sequence: bigint
  transfer_id: string
  contra_account_id: string
  side: 'debit' | 'credit'
  amount: bigint
  balance: bigint
  effective_at: Date
  recorded_at: Date
  source_type: string
  source_id: string
  step: string
  reason: string | null
  author: string | null
}

const LedgerStatement = z
  .strictObject({
    opening_balance: ledgerAmount.describe('What was posted before the first entry of the range.'),
    closing_balance: ledgerAmount.describe('What was posted with the last entry of the range.'),
    ...listOf(LedgerEntry).shape,
  })
  .meta({ id: 'ledger_statement_list' })

const params = z.strictObject({
  from: timestamp.optional().describe('Entries recorded since then; all when left out.'),
  to: timestamp.optional().describe('Entries recorded before then; all when left out.'),
  limit: integer.min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT).describe('How many entries a page holds.'),
  cursor: z.string().max(100).optional().describe('A next_cursor or prev_cursor of this statement.'),
})

/** A range of an account's entries: `after` and `until` count entries from the account's first. */
export interface StatementRange {
  after: bigint
  until: bigint
  opening_balance: bigint
  closing_balance: bigint
}

/** The range of a statement. Throws `parameter_invalid` when it is reversed. */
export async function statementRange(
  db: Queries,
  tenant: Tenant,
  ledger_account_id: string,
  { from, to }: { from?: Date | undefined; to?: Date | undefined },
): Promise<StatementRange> {
  if (from !== undefined && to !== undefined && from > to) {
    throw new ApiError('parameter_invalid', { param: 'to', message: 'to must not be before from.' })
  }
  const { account_id, livemode } = tenant
  return db.one<StatementRange>`
    select place.after, place.until,
      coalesce((
        select e.balance
        from ledger_entries e
        where e.account_id = ${account_id} and e.livemode = ${livemode}
          and e.ledger_account_id = ${ledger_account_id} and e.sequence = place.after
      ), 0) as opening_balance,
      coalesce((
        select e.balance
        from ledger_entries e
        where e.account_id = ${account_id} and e.livemode = ${livemode}
          and e.ledger_account_id = ${ledger_account_id} and e.sequence = place.until
      ), 0) as closing_balance
    from (
      select
        case when ${from ?? null}::timestamptz is null then 0
          else ledger_entries_before(a.account_id, a.livemode, a.id, a.entry_count, ${from ?? null}::timestamptz)
        end as after,
        case when ${to ?? null}::timestamptz is null then a.entry_count
          else ledger_entries_before(a.account_id, a.livemode, a.id, a.entry_count, ${to ?? null}::timestamptz)
        end as until
      from ledger_accounts a
      where a.account_id = ${account_id} and a.livemode = ${livemode} and a.id = ${ledger_account_id}
      offset 0
    ) place`
}

/** Entries after one and before another, of the nearer end first: the newest, or with `newer` the oldest. */
export function entriesBetween(
  db: Queries,
  { account_id, livemode }: Tenant,
  ledger_account_id: string,
  { above, below, limit, direction }: { above: bigint; below: bigint } & Pick<Keyset, 'limit' | 'direction'>,
): Promise<EntryRow[]> {
  const order = direction === 'older' ? sql`sequence desc` : sql`sequence`
  return db.many<EntryRow>`
    select e.sequence, e.transfer_id, e.side, e.amount, e.balance,
      case e.side when 'debit' then t.credit_account_id else t.debit_account_id end as contra_account_id,
      t.effective_at, t.recorded_at, t.source_type, t.source_id, t.step, t.reason, t.author
    from (
      select sequence, transfer_id
      from ledger_entries
      where account_id = ${account_id} and livemode = ${livemode} and ledger_account_id = ${ledger_account_id}
        and sequence > ${above} and sequence < ${below}
      order by ${order}
      limit ${limit}
    ) as page
    join ledger_entries e on e.account_id = ${account_id} and e.livemode = ${livemode}
      and e.ledger_account_id = ${ledger_account_id} and e.sequence = page.sequence
      and e.transfer_id = page.transfer_id
    join ledger_transfers t on t.account_id = ${account_id} and t.livemode = ${livemode} and t.id = page.transfer_id`
}

/** A row as the API shows it; the cursor's place is the sequence. */
export const shownEntry = (row: EntryRow) => ({
  ...row,
  id: placeOf(row.sequence),
  sequence: Number(row.sequence),
  source_id: shownSource(row),
})

/** A cursor's place is written as a uuid, whose last 16 digits hold any sequence. */
const placeOf = (sequence: bigint): string => {
  const digits = sequence.toString(16).padStart(32, '0')
  return digits.replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5')
}
const sequenceOf = (place: string): bigint => BigInt(`0x${place.replaceAll('-', '')}`)

const listEntries: Endpoint = endpoint({
  route: 'GET /v1/ledger/accounts/:id/entries',
  summary:
    'The statement of a ledger account: entries with the running balance, newest first, and where it began and ended.',
  resource: 'ledger_accounts',
  path: accountPath,
  params,
  returns: LedgerStatement,
  async run(context, params, path) {
    await findAccount(context.db, context.tenant, path.id)
    const range = await statementRange(context.db, context.tenant, path.id, params)
    // A cursor is good for the account it came from.
    const scope = { ...params, ledger_account_id: path.id }
    const at = keyset(LedgerEntry, context.tenant, scope)
    const [above, below] = [sequenceOf(at.above), sequenceOf(at.below)]
    const rows = await entriesBetween(context.db, context.tenant, path.id, {
      above: above > range.after ? above : range.after,
      below: below <= range.until ? below : range.until + 1n,
      limit: at.limit,
      direction: at.direction,
    })
    const list = await page(context, LedgerEntry, at, rows.map(shownEntry))
    const balances = `"opening_balance":${shown(range.opening_balance)},"closing_balance":${shown(range.closing_balance)}`
    return context.answer(new JsonText(`{${balances},${list.text.slice(1)}`))
  },
})

const shown = (value: bigint): string => JSON.stringify(ledgerAmount.encode(value))

export const statementEndpoints: Endpoint[] = [listEntries]
