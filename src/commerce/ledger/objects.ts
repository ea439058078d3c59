/** What the ledger shows: accounts, transfers with their entries, acts; and the rows that they are made of. */
import { z } from 'zod'
import { raw } from '#db'
import { currency, facts, id, nullable, object, timestamp } from '#http'
import { decodeId, encodeId, type IdPrefix, idPrefixes, instantOfId } from '#kernel'
import type * as rows from '#rows'
import { balanceOfTotals, NOBODY } from './balances.ts'
import { type AccountCode, chart } from './chart.ts'

/** Reasons and authors of what is done by hand: a sentence, a name. */
const REASON_LENGTH_MAX = 500
export const AUTHOR_LENGTH_MAX = 200

const codes = Object.keys(chart) as [AccountCode, ...AccountCode[]]
export const accountCode = z.enum(codes).describe('From the chart of accounts: merchant_pending.')

/** An amount or a sum of the books, of any size that the ledger holds. */
export const ledgerAmount = z
  .codec(z.union([z.int(), z.string().regex(/^-?\d{16,20}$/)]), z.bigint(), {
    decode: value => BigInt(value),
    encode: value => (isSafe(value) ? Number(value) : String(value)),
  })
  .describe(
    "A whole number in the currency's minor unit; as text beyond 2^53, where JSON readers lose units.",
  )
facts.add(ledgerAmount, { encode: (value: bigint) => (isSafe(value) ? String(value) : `"${value}"`) })

const isSafe = (value: bigint): boolean =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)

const filled = (max: number) =>
  z
    .string()
    .max(max)
    .refine(given => given.trim() !== '' && given.isWellFormed() && !given.includes('\0'), {
      error: 'must say something, in well-formed text.',
    })

export const reason = filled(REASON_LENGTH_MAX).describe('Why, in a sentence; kept with what is done.')
export const author = filled(AUTHOR_LENGTH_MAX).describe(
  'Who decides this; kept with the API key that was used.',
)

/** Who did it, as it is kept: what the caller says, and what is known of the caller. */
export const authorText = (said: string, api_key_id: string): string =>
  `${said.trim()} (${encodeId('key_', api_key_id)})`

export const LedgerAccount = object('ledger_account', 'la_', {
  code: accountCode,
  owner_id: nullable(id('cus_')).describe(
    'The customer it was opened for; null when there is one in each currency.',
  ),
  currency,
  kind: z.enum(['asset', 'liability', 'equity', 'income', 'expense']),
  normal_side: z.enum(['debit', 'credit']).describe('The side that makes its balance grow.'),
  balance: ledgerAmount.describe('What was posted, in the direction of the normal side.'),
  balance_with_pending: ledgerAmount.describe('The same with what is reserved on both sides.'),
  debits_pending: ledgerAmount,
  debits_posted: ledgerAmount,
  credits_pending: ledgerAmount,
  credits_posted: ledgerAmount,
  debits_must_not_exceed_credits: z.boolean(),
  credits_must_not_exceed_debits: z.boolean(),
  closed_at: nullable(timestamp).describe('Since then nothing new is posted or reserved.'),
  livemode: z.boolean(),
  created_at: timestamp,
})

export type LedgerAccountRow = Omit<rows.LedgerAccountRow, 'code' | 'entry_count'> & { code: AccountCode }

export const accountColumns = raw(
  `account_id, livemode, id, code, owner_id, currency, kind, normal_side, debits_pending, debits_posted, credits_pending,
    credits_posted, debits_must_not_exceed_credits, credits_must_not_exceed_debits, closed_at, version, created_at`,
)

/** A row as the API shows it. */
export function shownAccount(row: LedgerAccountRow) {
  const { posted, with_pending } = balanceOfTotals(row)
  return {
    ...row,
    currency: row.currency as z.output<typeof currency>,
    owner_id: row.owner_id === NOBODY ? null : row.owner_id,
    balance: posted,
    balance_with_pending: with_pending,
  }
}

const TransferEntry = z.strictObject({
  ledger_account_id: id('la_'),
  sequence: z.int().describe("Counts the account's entries without a gap, in the order they were posted."),
  side: z.enum(['debit', 'credit']),
  amount: ledgerAmount,
  balance: ledgerAmount.describe("The account's posted balance after it."),
})

export const LedgerTransfer = object('ledger_transfer', 'tr_', {
  kind: z.enum(['post', 'pending', 'post_pending', 'void_pending']),
  debit_account_id: id('la_'),
  credit_account_id: id('la_'),
  amount: ledgerAmount,
  currency,
  entries: z
    .array(TransferEntry)
    .describe('Two when it moved money, debit first; none when it only reserved or freed.'),
  effective_at: timestamp.describe('When it counts in the books.'),
  recorded_at: timestamp.describe("When it was written, by the database's clock."),
  expires_at: nullable(timestamp).describe('Of a pending: from then on it may only be voided.'),
  pending_id: nullable(id('tr_')).describe('The pending that it resolves.'),
  linked_id: nullable(z.string()).describe('Transfers with the same one were posted all or none.'),
  source_type: z.string().describe('What kind of object caused it.'),
  source_id: z.string().describe('The object that caused it.'),
  step: z.string().describe('Which step of that object: hold, post, fee.'),
  reason: nullable(z.string()).describe('Why, of an adjustment made by hand.'),
  author: nullable(z.string()).describe('By whom, of an adjustment made by hand.'),
  livemode: z.boolean(),
  created_at: timestamp,
})

export type LedgerTransferRow = rows.LedgerTransferRow & {
  debit_balance: bigint | null
  credit_balance: bigint | null
}

const prefixesByName = new Map<string, IdPrefix>(
  Object.entries(idPrefixes).map(([prefix, name]) => [name, prefix as IdPrefix]),
)

/** The id of a transfer's source with the prefix that its type has; the bare uuid of a type that has none. */
export function shownSource({ source_type, source_id }: { source_type: string; source_id: string }): string {
  const prefix = prefixesByName.get(source_type)
  return prefix === undefined ? source_id : encodeId(prefix, source_id)
}

/** A row with the balances of its entries as the API shows it. */
export function shownTransfer(row: LedgerTransferRow) {
  const entryOf = (side: 'debit' | 'credit', sequence: bigint, balance: bigint) => ({
    ledger_account_id: side === 'debit' ? row.debit_account_id : row.credit_account_id,
    sequence: Number(sequence),
    side,
    amount: row.amount,
    balance,
  })
  const { debit_sequence, credit_sequence, debit_balance, credit_balance } = row
  const has_entries =
    debit_sequence !== null && credit_sequence !== null && debit_balance !== null && credit_balance !== null
  return {
    ...row,
    currency: row.currency as z.output<typeof currency>,
    entries: has_entries
      ? [entryOf('debit', debit_sequence, debit_balance), entryOf('credit', credit_sequence, credit_balance)]
      : [],
    source_id: shownSource(row),
    created_at: instantOfId(row.id),
  }
}

export const LedgerAct = object('ledger_act', 'lact_', {
  kind: z.enum(['set_limits', 'close_account', 'reopen_account', 'close_period', 'reopen_period']),
  ledger_account_id: nullable(id('la_')).describe('To which account; null for a period.'),
  debits_must_not_exceed_credits: nullable(z.boolean()),
  credits_must_not_exceed_debits: nullable(z.boolean()),
  closed_before: nullable(timestamp).describe(
    'Of a period: from then on everything effective before is closed.',
  ),
  reason: z.string(),
  author: z.string(),
  livemode: z.boolean(),
  created_at: timestamp,
})

export type LedgerActRow = Omit<rows.LedgerActRow, 'kind' | 'period_number'> & {
  kind: 'set_limits' | 'close_account' | 'reopen_account' | 'close_period' | 'reopen_period'
}

export const actColumns = raw(
  `account_id, livemode, id, kind, ledger_account_id, debits_must_not_exceed_credits, credits_must_not_exceed_debits,
    closed_before, reason, author, created_at`,
)

/** The id of any object, with the prefix that says what it is. */
export const anyObject = z.string().transform((given, check) => {
  for (const prefix of Object.keys(idPrefixes) as IdPrefix[]) {
    const uuid = decodeId(prefix, given)
    if (uuid !== undefined) return { prefix, id: uuid }
  }
  check.issues.push({ code: 'custom', input: given, message: 'must be the id of an object.' })
  return z.NEVER
})
