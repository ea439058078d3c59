/** Reading transfers with their entries: one, all, those made by hand, those of a payment or of any other object. */
import { z } from 'zod'
import { type Db, type Fragment, joinSql, plainArray, type Queries, raw, sql } from '#db'
import { endpoint, type Endpoint, id, keyset, listOf, listParams, page } from '#http'
import { ApiError, type IdPrefix, type Tenant } from '#kernel'
import { anyObject, LedgerTransfer, type LedgerTransferRow, shownTransfer } from './objects.ts'

/** An object as its public id names it. */
export interface Source {
  readonly prefix: IdPrefix
  /** uuid */
  readonly id: string
}

/**
 * Says which sources belong to an object: a payment intent stands for its attempts and balance transactions. Handed in,
 * because who posts knows the ledger and not the other way round. Its own uuid when it stands for itself.
 */
export type SourcesOf = (db: Db, tenant: Tenant, source: Source) => Promise<readonly string[]>

/** Of a transfer and the balances after its entries; `t`, `debit` and `credit` are as below. */
const columns = raw(
  `t.account_id, t.livemode, t.id, t.debit_account_id, t.credit_account_id, t.amount, t.debit_sequence, t.credit_sequence,
    t.effective_at, t.recorded_at, t.expires_at, t.source_id, t.pending_id, t.linked_id, t.kind, t.currency,
    t.source_type, t.step, t.reason, t.author, debit.balance as debit_balance, credit.balance as credit_balance`,
)

/** Their entries by key: the transfer knows both sequences. */
const entriesOfT = raw(
  `left join ledger_entries debit on debit.account_id = t.account_id and debit.livemode = t.livemode
    and debit.ledger_account_id = t.debit_account_id and debit.sequence = t.debit_sequence and debit.transfer_id = t.id
  left join ledger_entries credit on credit.account_id = t.account_id and credit.livemode = t.livemode
    and credit.ledger_account_id = t.credit_account_id and credit.sequence = t.credit_sequence and credit.transfer_id = t.id`,
)

/** Transfers by id, in the order asked for; those that the tenant does not have are left out. */
export async function findTransfers(
  db: Queries,
  tenant: Tenant,
  ids: readonly string[],
): Promise<LedgerTransferRow[]> {
  const rows = await db.many<LedgerTransferRow>`
    select ${columns}
    from ledger_transfers t
    ${entriesOfT}
    where t.account_id = ${tenant.account_id} and t.livemode = ${tenant.livemode}
      and t.id = any(${plainArray(ids)}::uuid[])`
  const by_id = new Map(rows.map(row => [row.id, row]))
  return ids.flatMap(wanted => by_id.get(wanted) ?? [])
}

const retrieveTransfer: Endpoint = endpoint({
  route: 'GET /v1/ledger/transfers/:id',
  summary: 'Retrieve a ledger transfer with its entries.',
  resource: 'ledger_transfers',
  path: z.object({ id: id('tr_') }),
  params: z.strictObject({}),
  returns: LedgerTransfer,
  async run(context, _params, path) {
    const [transfer] = await findTransfers(context.db, context.tenant, [path.id])
    if (!transfer)
      throw new ApiError('resource_missing', { param: 'id', message: 'No such ledger transfer.' })
    return context.answer(shownTransfer(transfer))
  },
})

const listTransfers = (sourcesOf: SourcesOf): Endpoint =>
  endpoint({
    route: 'GET /v1/ledger/transfers',
    summary: 'List ledger transfers with their entries, newest first: all, of one object, or made by hand.',
    resource: 'ledger_transfers',
    params: listParams({
      filters: {
        source_id: anyObject
          .optional()
          .describe(
            'What caused them. A payment intent, charge, refund or dispute stands for all that was posted for it.',
          ),
        pending_id: id('tr_').optional().describe('The resolution of a pending transfer.'),
        adjustments_only: z.boolean().optional().describe('Only those made by hand.'),
      },
    }),
    returns: listOf(LedgerTransfer),
    async run(context, params) {
      const { account_id, livemode } = context.tenant
      const at = keyset(LedgerTransfer, context.tenant, params)
      const { source_id, pending_id, adjustments_only } = params
      const filters: Fragment[] = []
      if (source_id !== undefined) {
        const sources = await sourcesOf(context.db, context.tenant, source_id)
        filters.push(sql`and source_id = any(${plainArray(sources)}::uuid[])`)
      }
      if (pending_id !== undefined) filters.push(sql`and pending_id = ${pending_id}`)
      if (adjustments_only) {
        // What another filter names is a few rows, found by its index; written so, the index of adjustments is no choice.
        filters.push(filters.length > 0 ? sql`and coalesce(reason, '') <> ''` : sql`and reason is not null`)
      }
      const rows = await context.db.many<LedgerTransferRow>`
        select ${columns}
        from (
          select id
          from ledger_transfers
          where account_id = ${account_id} and livemode = ${livemode} ${joinSql(filters, ' ')} and ${at.where}
          order by ${at.order_by}
          limit ${at.limit}
        ) as page
        join ledger_transfers t on t.id = page.id
        ${entriesOfT}
        where t.account_id = ${account_id} and t.livemode = ${livemode}`
      return context.answer(await page(context, LedgerTransfer, at, rows.map(shownTransfer)))
    },
  })

export const transferEndpoints = (sourcesOf: SourcesOf): Endpoint[] => [
  listTransfers(sourcesOf),
  retrieveTransfer,
]
