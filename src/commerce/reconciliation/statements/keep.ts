/**
 * Writing a statement: its rows in pieces, then itself, all in one transaction. Before that commits nobody sees any of it,
 * and whoever is killed on the way leaves nothing.
 */
import { createHash } from 'node:crypto'
import type { Tx } from '#db'
import { ApiError, type Tenant } from '#kernel'
import type { Line } from '../line.ts'
import type { StatementRow, StoredSum } from './object.ts'

/**
 * A year of the largest shops fits in a few of them; reading and keeping so many takes minutes, and a run of two of them
 * some gigabytes of disk.
 */
export const ROWS_MOST = 10_000_000

/** Eight sources a day for three years. Beyond it statements are made by mistake, or old ones should go. */
export const STATEMENTS_MOST = 10_000

/** Rows in one insert: their arrays are some hundred kilobytes, and a thousand inserts are five million rows. */
const PIECE = 5_000

/** Keeping a large statement is one transaction of many short statements; a cut of the books begins with a long one. */
export const KEEPING = { statement_timeout_ms: 600_000 }

/** Throws `reconciliation_statement_too_large`. */
export function demandFewEnough(rows: number): void {
  if (rows > ROWS_MOST) throw new ApiError('reconciliation_statement_too_large')
}

export class RowKeeper {
  readonly #tx: Tx
  readonly #tenant: Tenant
  readonly #statement_id: string
  readonly #sums = new Map<string, { rows: number; amount: bigint }>()
  readonly #hash = createHash('sha256')
  #waiting: Line[] = []
  /** The insert under way: while it runs, the next piece is read. */
  #writing: Promise<unknown> = Promise.resolve()
  #rows = 0

  constructor(tx: Tx, tenant: Tenant, statement_id: string) {
    this.#tx = tx
    this.#tenant = tenant
    this.#statement_id = statement_id
  }

  /** Takes the next rows, in their order. Throws `reconciliation_statement_too_large`. */
  async take(lines: readonly Line[]): Promise<void> {
    for (const line of lines) {
      const sum = this.#sums.get(line.currency)
      if (sum === undefined) this.#sums.set(line.currency, { rows: 1, amount: line.amount })
      else {
        sum.rows += 1
        sum.amount += line.amount
      }
    }
    this.#rows += lines.length
    demandFewEnough(this.#rows)
    this.#waiting = this.#waiting.length === 0 ? [...lines] : this.#waiting.concat(lines)
    // Pieces of one size, so that the digest of the same rows is the same however they come.
    while (this.#waiting.length >= PIECE) await this.#write(this.#waiting.splice(0, PIECE))
  }

  async finish(): Promise<{ rows: number; sums: StoredSum[]; sha256: string }> {
    if (this.#waiting.length > 0) await this.#write(this.#waiting)
    await this.#writing
    const sums = [...this.#sums]
      .map(([currency, { rows, amount }]) => ({ currency, rows, amount: String(amount) }))
      .sort((a, b) => (a.currency < b.currency ? -1 : 1))
    return { rows: this.#rows, sums, sha256: this.#hash.digest('hex') }
  }

  async #write(lines: readonly Line[]): Promise<void> {
    await this.#writing
    const texts = {
      rows: plain(lines, line => line.row),
      lines: plain(lines, line => line.line),
      amounts: plain(lines, line => line.amount),
      dates: plain(lines, line => line.date),
      currencies: plain(lines, line => line.currency),
      ids: quoted(lines, line => line.id),
      batches: quoted(lines, line => line.batch),
      texts: quoted(lines, line => line.text),
    }
    for (const text of Object.values(texts)) this.#hash.update(text)
    const writing = insertRows(this.#tx, this.#tenant, this.#statement_id, texts)
    // Its failure is heard when the next piece is written, or at the end.
    writing.catch(() => {})
    this.#writing = writing
  }
}

const insertRows = (
  tx: Tx,
  { account_id, livemode }: Tenant,
  statement_id: string,
  of: Record<'rows' | 'lines' | 'amounts' | 'dates' | 'currencies' | 'ids' | 'batches' | 'texts', string>,
): Promise<number> => tx.run`
  insert into reconciliation_rows (
    account_id, livemode, statement_id, row, line, amount, date, currency, id, batch, text
  )
  select ${account_id}::uuid, ${livemode}::boolean, ${statement_id}::uuid, piece.row, line, amount, date, currency, id, batch, text
  from unnest(
    ${of.rows}::integer[], ${of.lines}::integer[], ${of.amounts}::bigint[], ${of.dates}::date[],
    ${of.currencies}::text[], ${of.ids}::text[], ${of.batches}::text[], ${of.texts}::text[]
  ) as piece (row, line, amount, date, currency, id, batch, text)`

/** A PostgreSQL array of values without quotes or commas; the driver's own way takes three times as long. */
function plain(lines: readonly Line[], of: (line: Line) => number | bigint | string | null): string {
  let text = ''
  for (const line of lines) text += `,${of(line) ?? 'NULL'}`
  return `{${text.slice(1)}}`
}

function quoted(lines: readonly Line[], of: (line: Line) => string | null): string {
  let text = ''
  for (const line of lines) {
    const value = of(line)
    text += value === null ? ',NULL' : `,"${value.replace(/["\\]/g, '\\$&')}"`
  }
  return `{${text.slice(1)}}`
}

/** Throws `reconciliation_statements_too_many`. Two at once may both be the last: one more does no harm. */
export async function demandRoom(tx: Tx, { account_id, livemode }: Tenant): Promise<void> {
  const { count } = await tx.one<{ count: number }>`
    select count(*)::integer as count
    from reconciliation_statements
    where account_id = ${account_id} and livemode = ${livemode}`
  if (count >= STATEMENTS_MOST) throw new ApiError('reconciliation_statements_too_many')
}

export async function insertStatement(tx: Tx, row: StatementRow): Promise<void> {
  await tx.run`
    insert into reconciliation_statements (
      account_id, livemode, id, name, source, format, mapping, selection, sha256, content, bytes, rows, bad_rows, bad,
      left_out, controls, sums, created_at
    )
    values (
      ${row.account_id}, ${row.livemode}, ${row.id}, ${row.name}, ${row.source}, ${row.format},
      ${jsonOf(row.mapping)}::jsonb, ${jsonOf(row.selection)}::jsonb, ${row.sha256}, ${row.content}, ${row.bytes},
      ${row.rows}, ${row.bad_rows}, ${JSON.stringify(row.bad)}::jsonb, ${JSON.stringify(row.left_out)}::jsonb,
      ${JSON.stringify(row.controls)}::jsonb, ${JSON.stringify(row.sums)}::jsonb, ${row.created_at}
    )`
}

const jsonOf = (value: object | null): string | null => (value === null ? null : JSON.stringify(value))
