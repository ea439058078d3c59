/** Ledger accounts: what they are and hold, their limits, closing and reopening. They are opened by posting to them. */
import { z } from 'zod'
import { type Queries, sql } from '#db'
import { type Context, currency, endpoint, type Endpoint, id, keyset, listOf, listParams, page } from '#http'
import { ApiError, type Tenant } from '#kernel'
import { type AccountChange, changeAccount, noteOf } from './acts.ts'
import {
  accountCode,
  accountColumns,
  author,
  LedgerAccount,
  type LedgerAccountRow,
  reason,
  shownAccount,
} from './objects.ts'

export const accountPath = z.object({ id: id('la_') })

/** An account of the tenant. Throws `resource_missing` in the name of the parameter that named it. */
export async function findAccount(
  db: Queries,
  tenant: Tenant,
  id: string,
  param = 'id',
): Promise<LedgerAccountRow> {
  const account = await db.maybe<LedgerAccountRow>`
    select ${accountColumns}
    from ledger_accounts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  if (!account) throw new ApiError('resource_missing', { param, message: 'No such ledger account.' })
  return account
}

const retrieveAccount: Endpoint = endpoint({
  route: 'GET /v1/ledger/accounts/:id',
  summary: 'Retrieve a ledger account with its totals.',
  resource: 'ledger_accounts',
  path: accountPath,
  params: z.strictObject({}),
  returns: LedgerAccount,
  run: async (context, _params, path) =>
    context.answer(shownAccount(await findAccount(context.db, context.tenant, path.id))),
})

const listAccounts: Endpoint = endpoint({
  route: 'GET /v1/ledger/accounts',
  summary: 'List ledger accounts, newest first.',
  resource: 'ledger_accounts',
  params: listParams({
    filters: { code: accountCode.optional(), currency: currency.optional(), owner_id: id('cus_').optional() },
  }),
  returns: listOf(LedgerAccount),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(LedgerAccount, context.tenant, params)
    const of_code = params.code === undefined ? sql`` : sql`and code = ${params.code}`
    const of_currency = params.currency === undefined ? sql`` : sql`and currency = ${params.currency}`
    const of_owner = params.owner_id === undefined ? sql`` : sql`and owner_id = ${params.owner_id}`
    const is_filtered = [params.code, params.currency, params.owner_id].some(filter => filter !== undefined)
    // Always true: it stands in the indexes that are for filters alone, and leads to them.
    const by_filter = is_filtered ? sql`and version > 0` : sql``
    const rows = await context.db.many<LedgerAccountRow>`
      select ${accountColumns}
      from (
        select id
        from ledger_accounts
        where account_id = ${account_id} and livemode = ${livemode} ${of_code} ${of_currency} ${of_owner}
          ${by_filter} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join ledger_accounts using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, LedgerAccount, at, rows.map(shownAccount)))
  },
})

const change = (
  context: Context,
  id: string,
  what: AccountChange,
  said: { reason: string; author: string },
) =>
  context.finish('changed', async tx => {
    const find = (): Promise<LedgerAccountRow> => findAccount(tx, context.tenant, id)
    return shownAccount(await changeAccount(tx, context, id, what, noteOf(context, said), find))
  })

const updateAccount: Endpoint = endpoint({
  route: 'POST /v1/ledger/accounts/:id',
  summary: 'Set or lift a limit of a ledger account. Refused when what is on it exceeds the limit already.',
  resource: 'ledger_accounts',
  path: accountPath,
  params: z.strictObject({
    debits_must_not_exceed_credits: z
      .boolean()
      .optional()
      .describe('Refuse a debit when pending and posted debits would exceed posted credits.'),
    credits_must_not_exceed_debits: z
      .boolean()
      .optional()
      .describe('Refuse a credit when pending and posted credits would exceed posted debits.'),
    reason,
    author,
  }),
  returns: LedgerAccount,
  run: (context, { debits_must_not_exceed_credits, credits_must_not_exceed_debits, ...said }, path) =>
    change(
      context,
      path.id,
      {
        kind: 'set_limits',
        ...(debits_must_not_exceed_credits !== undefined && { debits_must_not_exceed_credits }),
        ...(credits_must_not_exceed_debits !== undefined && { credits_must_not_exceed_debits }),
      },
      said,
    ),
})

const closeAccount: Endpoint = endpoint({
  route: 'POST /v1/ledger/accounts/:id/close',
  summary: 'Close a ledger account that is at zero with nothing reserved: nothing new is posted to it.',
  resource: 'ledger_accounts',
  path: accountPath,
  params: z.strictObject({ reason, author }),
  returns: LedgerAccount,
  run: (context, said, path) => change(context, path.id, { kind: 'close_account' }, said),
})

const reopenAccount: Endpoint = endpoint({
  route: 'POST /v1/ledger/accounts/:id/reopen',
  summary: 'Reopen a closed ledger account.',
  resource: 'ledger_accounts',
  path: accountPath,
  params: z.strictObject({ reason, author }),
  returns: LedgerAccount,
  run: (context, said, path) => change(context, path.id, { kind: 'reopen_account' }, said),
})

export const accountEndpoints: Endpoint[] = [
  listAccounts,
  retrieveAccount,
  updateAccount,
  closeAccount,
  reopenAccount,
]
