/** The account's balance, read from the ledger, and the transactions that made it. */
import { z } from 'zod'
import { sql } from '#db'
import {
  currency,
  endpoint,
  type Endpoint,
  expandOne,
  id,
  keyset,
  listOf,
  listParams,
  loads,
  object,
  page,
  retrieveParams,
  signedAmount,
  timestamp,
} from '#http'
import { ApiError, encodeId } from '#kernel'
import { type AccountCode, balancesOf, type TrialBalanceLine } from '#ledger'
import { SOURCE_PREFIX } from './balance-transactions.ts'
import { balanceTransactionColumns } from './columns.ts'
import type { BalanceTransactionRow, BalanceTransactionType } from './rows.ts'

const Funds = z.array(z.strictObject({ amount: signedAmount, currency }))

export const Balance = object('balance', null, {
  pending: Funds.describe('Earned and not yet settled by the processor.'),
  available: Funds.describe('Can be paid out.'),
  livemode: z.boolean(),
})

const retrieveBalance: Endpoint = endpoint({
  route: 'GET /v1/balance',
  summary: 'Retrieve the balance, by currency.',
  resource: 'balance',
  params: z.strictObject({}),
  returns: Balance,
  async run(context) {
    const lines = await balancesOf(context.db, context.tenant, ['merchant_pending', 'merchant_available'])
    // A payout holds its amount before the processor is asked: what is held cannot be paid out twice.
    const held = (line: TrialBalanceLine) => (line.code === 'merchant_available' ? line.debits_pending : 0n)
    const funds = (code: AccountCode) =>
      lines
        .filter(line => line.code === code)
        .map(line => ({ amount: line.posted - held(line), currency: line.currency }))
    return context.answer({
      pending: funds('merchant_pending'),
      available: funds('merchant_available'),
      livemode: context.tenant.livemode,
    })
  },
})

export const BalanceTransaction = object('balance_transaction', 'txn_', {
  type: z.enum(Object.keys(SOURCE_PREFIX) as [BalanceTransactionType, ...BalanceTransactionType[]]),
  amount: signedAmount,
  fee: signedAmount.describe('Taken from the amount; negative when a fee is given back.'),
  net: signedAmount,
  currency,
  source_id: z
    .string()
    .describe('The charge (ch_…), refund (re_…), dispute (dp_…) or payout (po_…) that it comes from.'),
  status: z.enum(['pending', 'available']),
  available_on: timestamp,
  livemode: z.boolean(),
  created_at: timestamp,
})

/** A row as the API shows it: the source's id gets the prefix that its type has. */
const shown = (balance: BalanceTransactionRow) => ({
  ...balance,
  source_id: encodeId(SOURCE_PREFIX[balance.type], balance.source_id),
})

const retrieveBalanceTransaction: Endpoint = endpoint({
  route: 'GET /v1/balance_transactions/:id',
  summary: 'Retrieve a balance transaction.',
  resource: 'balance_transactions',
  path: z.object({ id: id('txn_') }),
  params: retrieveParams,
  returns: BalanceTransaction,
  async run(context, params, path) {
    const { account_id, livemode } = context.tenant
    const balance = await context.db.maybe<BalanceTransactionRow>`
      select ${balanceTransactionColumns}
      from balance_transactions
      where account_id = ${account_id} and livemode = ${livemode} and id = ${path.id}`
    if (!balance)
      throw new ApiError('resource_missing', { param: 'id', message: 'No such balance transaction.' })
    return context.answer(await expandOne(context, BalanceTransaction, shown(balance), params.expand))
  },
})

const listBalanceTransactions: Endpoint = endpoint({
  route: 'GET /v1/balance_transactions',
  summary: 'List balance transactions, newest first.',
  resource: 'balance_transactions',
  params: listParams({
    filters: {
      source_id: z
        .union([id('ch_'), id('re_'), id('dp_'), id('po_')])
        .optional()
        .describe('A charge, refund, dispute or payout.'),
    },
  }),
  returns: listOf(BalanceTransaction),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(BalanceTransaction, context.tenant, params)
    const of_source = params.source_id === undefined ? sql`` : sql`and source_id = ${params.source_id}`
    const rows = await context.db.many<BalanceTransactionRow>`
      select ${balanceTransactionColumns}
      from (
        select id
        from balance_transactions
        where account_id = ${account_id} and livemode = ${livemode} ${of_source} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join balance_transactions using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, BalanceTransaction, at, rows.map(shown)))
  },
})

loads(BalanceTransaction, async ({ db, tenant }, ids) => {
  const rows = await db.many<BalanceTransactionRow>`
    select ${balanceTransactionColumns}
    from balance_transactions
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`
  return rows.map(shown)
})

export const balanceEndpoints: Endpoint[] = [
  retrieveBalance,
  retrieveBalanceTransaction,
  listBalanceTransactions,
]
