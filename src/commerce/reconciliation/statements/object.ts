/** A statement: one side of a reconciliation, frozen. A file that was uploaded, or a cut of our own books. */
import { z } from 'zod'
import { type Queries, raw } from '#db'
import { id, integer, loads, nullable, object, timestamp } from '#http'
import { ApiError, type Tenant } from '#kernel'
import type * as rows from '#rows'
import type { BadRow } from '../line.ts'
import { type Control, FORMATS, type LeftOut } from '../reading/statement.ts'
import { wideAmount } from '../wide-amount.ts'

export const SOURCES = ['file', 'balance_transactions', 'payouts', 'ledger'] as const
export type Source = (typeof SOURCES)[number]

/** Of one currency. The amount may be beyond int64. */
export interface Sum {
  currency: string
  rows: number
  amount: bigint
}

/** As jsonb holds it. */
export type StoredSum = Omit<Sum, 'amount'> & { amount: string }

export type StatementRow = Omit<
  rows.ReconciliationStatementRow,
  'source' | 'format' | 'mapping' | 'selection' | 'bad' | 'left_out' | 'controls' | 'sums' | 'deleted_at'
> & {
  source: Source
  format: (typeof FORMATS)[number] | null
  mapping: Record<string, unknown> | null
  selection: Record<string, unknown> | null
  bad: BadRow[]
  left_out: LeftOut
  controls: Control[]
  sums: StoredSum[]
}

export const statementColumns = raw(
  `account_id, livemode, id, name, source, format, mapping, selection, sha256, content, bytes, rows, bad_rows, bad,
    left_out, controls, sums, created_at`,
)

const told = z.record(z.string(), z.unknown())

export const ReconciliationStatement = object('reconciliation_statement', 'rst_', {
  name: z.string(),
  source: z.enum(SOURCES).describe('file: it was uploaded; else a cut of our own books.'),
  format: nullable(z.enum(FORMATS)),
  mapping: nullable(told).describe('How columns were meant, also where that was guessed: look at it.'),
  selection: nullable(told).describe('Of a cut: what was asked for, and up to where the books were read.'),
  sha256: z.string().describe('Of the bytes that were sent, or of the rows of a cut.'),
  bytes: nullable(integer).describe('Of a file, as it was sent.'),
  rows: integer.describe('Rows that could be read.'),
  bad_rows: integer.describe('Rows that could not; a run goes on without them and is not clean.'),
  bad: z
    .array(z.strictObject({ line: z.int(), reason: z.string() }))
    .describe('The first 1,000 of those, with the line in the file.'),
  left_out: z
    .array(
      z.strictObject({
        what: z
          .string()
          .describe(
            'What they are: `pending`, `for information`, `booked later`, `of a group that is deleted`, `of a group that is a test`, `total`.',
          ),
        entries: z.int(),
      }),
    )
    .describe('Entries that are no movements. They are no rows, and are not compared.'),
  controls: z
    .array(
      z.strictObject({
        name: z.string(),
        expected: z.string(),
        found: z.string(),
        is_met: z.boolean(),
        line: nullable(z.int()),
      }),
    )
    .describe('What the file says of itself, and what was found: opening plus movements, totals, sequences.'),
  sums: z.array(z.strictObject({ currency: z.string(), rows: integer, amount: wideAmount })),
  livemode: z.boolean(),
  created_at: timestamp,
})

/** A row as the API shows it. A file has at most a gigabyte: its size is exact. */
export const shownStatement = (row: StatementRow) => ({
  ...row,
  bytes: row.bytes === null ? null : Number(row.bytes),
  sums: row.sums.map(sum => ({ ...sum, amount: BigInt(sum.amount) })),
})

export const statementPath = z.object({ id: id('rst_') })

/** Throws the one 404 of what is not there, was deleted, or is another account's. */
export async function findStatement(
  db: Queries,
  tenant: Tenant,
  id: string,
  param = 'id',
): Promise<StatementRow> {
  const row = await db.maybe<StatementRow>`
    select ${statementColumns}
    from reconciliation_statements
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id} and deleted_at is null`
  if (row) return row
  throw new ApiError('resource_missing', { param, message: 'No such reconciliation statement.' })
}

loads(ReconciliationStatement, async ({ db, tenant }, ids) => {
  const found = await db.many<StatementRow>`
    select ${statementColumns}
    from reconciliation_statements
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])
      and deleted_at is null`
  return found.map(shownStatement)
})
