/** What processors should have settled, as the ledger has it: the left side of a reconciliation, as a file. */
import type { Database } from '#db'
import type { Tenant } from '#kernel'
import { type ExportFormat, exportLine } from '#ledger'
import { cutBooks } from '#reconciliation'
import type { Write } from './whole-file.ts'

export interface SettlementOptions {
  format: ExportFormat
  /** Booked since then. */
  from?: Date
  /** Booked before then. */
  to?: Date
}

/** In the order of booking, from one instant. Answers how many rows it wrote. */
export async function writeSettlements(
  db: Database,
  tenant: Tenant,
  { format, from, to }: SettlementOptions,
  write: Write,
): Promise<bigint> {
  if (format === 'csv') await write('id,amount,currency,date,text\r\n')
  const wanted = { source: 'balance_transactions', ...(from && { from }), ...(to && { to }) } as const
  return db.as(tenant).transaction(async tx => {
    let rows = 0n
    for await (const lines of cutBooks(tx, tenant, wanted)) {
      const written = lines.map(({ id, amount, currency, date, text }) =>
        exportLine(format, { id, amount, currency, date, text }),
      )
      await write(written.join(''))
      rows += BigInt(lines.length)
    }
    return rows
  })
}
