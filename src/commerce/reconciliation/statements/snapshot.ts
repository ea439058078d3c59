/** Freezing a cut of our own books as a statement: with where it was read up to, how many rows it has, and their digest. */
import { hash } from 'node:crypto'
import { z } from 'zod'
import type { Tx } from '#db'
import { currency, endpoint, type Endpoint, id, refuse, text, timestamp } from '#http'
import { encodeId, newId } from '#kernel'
import { chart, findAccount } from '#ledger'
import { cutBooks } from './books.ts'
import { demandRoom, insertStatement, KEEPING, RowKeeper } from './keep.ts'
import { ReconciliationStatement, shownStatement, type StatementRow } from './object.ts'
import { NAME_LENGTH_MOST } from './upload.ts'

const codes = Object.keys(chart) as [keyof typeof chart, ...(keyof typeof chart)[]]

/** A day stands for its beginning, in UTC as all times here. */
const instantOrDay = z
  .string()
  .transform(text => (/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text))
  .pipe(timestamp)
  .meta({ examples: ['2026-11-01', '2026-11-01T09:30:00Z'] })

const SnapshotParams = z
  .strictObject({
    name: text(NAME_LENGTH_MOST).min(1).describe('What it is called from now on.'),
    source: z
      .enum(['balance_transactions', 'payouts', 'ledger'])
      .describe(
        'balance_transactions: as a processor settles; payouts: as a bank sees them arrive; ledger: the entries of accounts.',
      ),
    ledger_account_id: id('la_').optional().describe('Of source ledger: the entries of this account …'),
    code: z.enum(codes).optional().describe('… or of all accounts of this code.'),
    currency: currency.optional().describe('Only this one.'),
    from: instantOrDay
      .optional()
      .describe(
        'What was booked then or later (payouts: arrived): an instant, or a day, which begins at midnight UTC …',
      ),
    to: instantOrDay.optional().describe('… and before then: the day after the last one.'),
  })
  .check(payload => {
    const { source, ledger_account_id, code, from, to } = payload.value
    const named = [ledger_account_id, code].filter(value => value !== undefined).length
    if (source === 'ledger' && named !== 1) {
      refuse(
        payload,
        'parameter_missing',
        'is required, or code in its place: send exactly one of the two.',
        ['ledger_account_id'],
      )
    }
    if (source !== 'ledger' && named > 0) {
      refuse(payload, 'parameter_invalid', 'has no place here: only the ledger has accounts.', [
        ledger_account_id === undefined ? 'code' : 'ledger_account_id',
      ])
    }
    if (from !== undefined && to !== undefined && from >= to) {
      refuse(payload, 'parameter_invalid', 'must be later than from.', ['to'])
    }
  })
type Selection = z.output<typeof SnapshotParams>
export const snapshotStatement: Endpoint = endpoint({
  route: 'POST /v1/reconciliation_statements/snapshot',
  summary: 'Freeze a cut of our own books as a statement: what a processor or a bank should say too.',
  resource: 'reconciliation_statements',
  params: SnapshotParams,
  returns: ReconciliationStatement,
  run(context, params) {
    const { tenant } = context
    const now = context.clock.now()
    const id = newId(now)
    return context.finish(
      'kept',
      async tx => {
        await demandRoom(tx, tenant)
        if (params.ledger_account_id !== undefined) {
          await findAccount(tx, tenant, params.ledger_account_id, 'ledger_account_id')
        }
        // Before the cursor opens: a transaction that had ended by then is seen by it, and none that ended later is promised.
        const watermark = await readWatermark(tx)
        const keeper = new RowKeeper(tx, tenant, id)
        for await (const lines of cutBooks(tx, tenant, params)) await keeper.take(lines)
        const { rows, sums, sha256 } = await keeper.finish()
        const { name, source, ...wanted } = params
        const row: StatementRow = {
          ...tenant,
          id,
          name,
          source,
          format: null,
          mapping: null,
          selection: shownSelection(wanted, watermark),
          sha256,
          content: hash(
            'sha256',
            JSON.stringify([source, wanted.code, wanted.ledger_account_id, sha256]),
            'hex',
          ),
          bytes: null,
          rows,
          bad_rows: 0,
          bad: [],
          left_out: [],
          controls: [],
          sums,
          created_at: now,
        }
        await insertStatement(tx, row)
        context.note({ statement_rows: rows })
        return shownStatement(row)
      },
      KEEPING,
    )
  },
})

/** What was asked, as it was asked, and the place in the database's history up to which all of it was seen. */
const shownSelection = (
  { ledger_account_id, ...wanted }: Omit<Selection, 'name' | 'source'>,
  watermark: string,
) => ({
  ...(ledger_account_id !== undefined && { ledger_account_id: encodeId('la_', ledger_account_id) }),
  ...wanted,
  watermark,
})

/** Every transaction with a smaller number has ended. */
async function readWatermark(tx: Tx): Promise<string> {
  const { watermark } = await tx.one<{ watermark: string }>`
    select pg_snapshot_xmin(pg_current_snapshot())::text as watermark`
  return watermark
}
