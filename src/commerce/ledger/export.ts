/**
 * The books as rows, for whoever keeps them elsewhere: all transfers or all entries of an account and mode, in the order
 * of their ids, read in bounded pieces from one snapshot. A transfer's effective time chooses it, so what is exported of a
 * closed period is the same for ever.
 */
import type { Db } from '#db'
import { encodeId, type Tenant } from '#kernel'
import { shownSource } from './objects.ts'

/** Some megabytes of text at a time. */
const PIECE = 5_000

export interface ExportOptions {
  readonly what: 'transfers' | 'entries'
  /** Effective since then. */
  readonly from?: Date | undefined
  /** Effective before then. */
  readonly to?: Date | undefined
  /** uuid: only what one ledger account was part of. */
  readonly ledger_account_id?: string | undefined
}

/** A field is text, or an exact whole number, or nothing. */
export type ExportRow = Readonly<Record<string, string | bigint | null>>

export interface ExportPiece {
  readonly rows: readonly ExportRow[]
  /** Transfers looked at so far, and in all. */
  readonly done: bigint
  readonly total: bigint
}

interface TransferRow {
  id: string
  kind: string
  debit_account_id: string
  debit_code: string
  credit_account_id: string
  credit_code: string
  amount: bigint
  currency: string
  debit_sequence: bigint | null
  credit_sequence: bigint | null
  debit_balance: bigint | null
  credit_balance: bigint | null
  effective_at: Date
  recorded_at: Date
  pending_id: string | null
  source_type: string
  source_id: string
  step: string
  reason: string | null
  author: string | null
  is_wanted: boolean
}

/**
 * Reads the export and hands it over piece by piece; waits for each to be taken. `db` must be the tenant's or see all
 * accounts. Answers how many rows it handed over.
 */
export async function exportBooks(
  db: Db,
  tenant: Tenant,
  { what, from, to, ledger_account_id }: ExportOptions,
  take: (piece: ExportPiece) => Promise<void>,
): Promise<bigint> {
  if (from !== undefined && to !== undefined && from > to)
    throw new RangeError('"to" must not be before "from"')
  const { account_id, livemode } = tenant
  return db.transaction(async tx => {
    await tx.run`set transaction isolation level repeatable read, read only`
    // Pieces are bounded, but whoever takes them writes files, and the first waits for pages from the disk.
    await tx.run`set local idle_in_transaction_session_timeout = 0`
    const { total } = await tx.one<{ total: bigint }>`
      select count(*) as total
      from ledger_transfers
      where account_id = ${account_id} and livemode = ${livemode}`
    let after = '00000000-0000-0000-0000-000000000000'
    let done = 0n
    let count = 0n
    for (;;) {
      const transfers = await tx.many<TransferRow>`
        select t.id, t.kind, t.debit_account_id, debited.code as debit_code, t.credit_account_id,
          credited.code as credit_code, t.amount, t.currency, t.debit_sequence, t.credit_sequence,
          debit.balance as debit_balance, credit.balance as credit_balance, t.effective_at, t.recorded_at, t.pending_id,
          t.source_type, t.source_id, t.step, t.reason, t.author,
          (${from ?? null}::timestamptz is null or t.effective_at >= ${from ?? null}::timestamptz)
            and (${to ?? null}::timestamptz is null or t.effective_at < ${to ?? null}::timestamptz)
            and (
              ${ledger_account_id ?? null}::uuid is null
              or ${ledger_account_id ?? null}::uuid in (t.debit_account_id, t.credit_account_id)
            ) as is_wanted
        from (
          select id
          from ledger_transfers
          where account_id = ${account_id} and livemode = ${livemode} and id > ${after}
          order by id
          limit ${PIECE}
        ) as page
        join ledger_transfers t on t.account_id = ${account_id} and t.livemode = ${livemode} and t.id = page.id
        join ledger_accounts debited on debited.account_id = ${account_id} and debited.livemode = ${livemode}
          and debited.id = t.debit_account_id
        join ledger_accounts credited on credited.account_id = ${account_id} and credited.livemode = ${livemode}
          and credited.id = t.credit_account_id
        left join ledger_entries debit on debit.account_id = ${account_id} and debit.livemode = ${livemode}
          and debit.ledger_account_id = t.debit_account_id and debit.sequence = t.debit_sequence
          and debit.transfer_id = t.id
        left join ledger_entries credit on credit.account_id = ${account_id} and credit.livemode = ${livemode}
          and credit.ledger_account_id = t.credit_account_id and credit.sequence = t.credit_sequence
          and credit.transfer_id = t.id
        order by t.id`
      const last = transfers.at(-1)
      if (last === undefined) return count
      after = last.id
      done += BigInt(transfers.length)
      const wanted = transfers.filter(transfer => transfer.is_wanted)
      const rows = what === 'transfers' ? wanted.map(transferRow) : entryRows(wanted, ledger_account_id)
      count += BigInt(rows.length)
      await take({ rows, done, total })
    }
  })
}

const commonOf = (transfer: TransferRow): ExportRow => ({
  currency: transfer.currency,
  effective_at: transfer.effective_at.toISOString(),
  recorded_at: transfer.recorded_at.toISOString(),
  source_type: transfer.source_type,
  source_id: shownSource(transfer),
  step: transfer.step,
  reason: transfer.reason,
  author: transfer.author,
})

const transferRow = (transfer: TransferRow): ExportRow => ({
  transfer_id: encodeId('tr_', transfer.id),
  kind: transfer.kind,
  debit_account_id: encodeId('la_', transfer.debit_account_id),
  debit_code: transfer.debit_code,
  credit_account_id: encodeId('la_', transfer.credit_account_id),
  credit_code: transfer.credit_code,
  amount: transfer.amount,
  pending_id: transfer.pending_id && encodeId('tr_', transfer.pending_id),
  ...commonOf(transfer),
})

/** Two a transfer that moved money, debit first; of one account only its own. */
function entryRows(transfers: readonly TransferRow[], ledger_account_id: string | undefined): ExportRow[] {
  const rows: ExportRow[] = []
  for (const transfer of transfers) {
    for (const side of ['debit', 'credit'] as const) {
      const account_id = transfer[`${side}_account_id`]
      const sequence = transfer[`${side}_sequence`]
      if (sequence === null || (ledger_account_id !== undefined && account_id !== ledger_account_id)) continue
      rows.push({
        transfer_id: encodeId('tr_', transfer.id),
        ledger_account_id: encodeId('la_', account_id),
        code: transfer[`${side}_code`],
        sequence,
        side,
        amount: transfer.amount,
        balance: transfer[`${side}_balance`],
        ...commonOf(transfer),
      })
    }
  }
  return rows
}

/** The columns of an export, in order. */
export const exportColumns = {
  transfers: [
    'transfer_id',
    'kind',
    'debit_account_id',
    'debit_code',
    'credit_account_id',
    'credit_code',
    'amount',
    'pending_id',
  ],
  entries: ['transfer_id', 'ledger_account_id', 'code', 'sequence', 'side', 'amount', 'balance'],
} as const
export const commonColumns = [
  'currency',
  'effective_at',
  'recorded_at',
  'source_type',
  'source_id',
  'step',
  'reason',
  'author',
] as const

export type ExportFormat = 'csv' | 'jsonl'

/** The first line of a file, or nothing. */
export const exportHeader = (format: ExportFormat, what: ExportOptions['what']): string =>
  format === 'csv' ? csvLine([...exportColumns[what], ...commonColumns]) : ''

export function exportLine(format: ExportFormat, row: ExportRow): string {
  if (format === 'csv') return csvLine(Object.values(row))
  // bigint as a JSON number of any length: exact for whoever reads it exactly, and what JSON allows (RFC 8259, section 6).
  const members = Object.entries(row).map(
    ([name, value]) =>
      `${JSON.stringify(name)}:${typeof value === 'bigint' ? String(value) : JSON.stringify(value)}`,
  )
  return `{${members.join(',')}}\n`
}

/** RFC 4180: fields with commas, quotes or line breaks in quotes, quotes doubled, lines ended by CR LF. */
const csvLine = (fields: readonly (string | bigint | null)[]): string =>
  `${fields.map(csvField).join(',')}\r\n`

function csvField(value: string | bigint | null): string {
  if (value === null) return ''
  if (typeof value === 'bigint') return String(value)
  // A spreadsheet would run a text that begins like a formula (OWASP, CSV injection): an apostrophe makes it a text.
  const harmless = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless
}
