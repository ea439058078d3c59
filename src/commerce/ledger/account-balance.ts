/** The balance of one ledger account at a past instant, on two axes. */
import { z } from 'zod'
import { currency, endpoint, type Endpoint, id, nullable, object, timestamp } from '#http'
import { accountPath, findAccount } from './accounts.ts'
import { balancesAt } from './balances-at.ts'
import { ledgerAmount } from './objects.ts'

export const LedgerBalance = object('ledger_balance', null, {
  ledger_account_id: id('la_'),
  currency,
  balance: ledgerAmount.describe('What was posted, in the direction of the normal side.'),
  debits_posted: ledgerAmount,
  credits_posted: ledgerAmount,
  at: nullable(timestamp).describe('Of what counts from then on or before; null: of everything.'),
  as_recorded_at: nullable(timestamp).describe('As the books stood then; null: as they stand.'),
  livemode: z.boolean(),
})

const retrieveBalanceAt: Endpoint = endpoint({
  route: 'GET /v1/ledger/accounts/:id/balance',
  summary: 'Retrieve the balance of a ledger account at a past instant.',
  resource: 'ledger_accounts',
  path: accountPath,
  params: z.strictObject({
    at: timestamp
      .optional()
      .describe('Transfers that count from then on or before (effective_at); all when left out.'),
    as_recorded_at: timestamp
      .optional()
      .describe('Transfers that were written then or before (recorded_at); all when left out.'),
  }),
  returns: LedgerBalance,
  async run(context, { at, as_recorded_at }, path) {
    const account = await findAccount(context.db, context.tenant, path.id)
    const [balance] = await balancesAt(context.db, context.tenant, {
      at,
      as_recorded_at,
      ledger_account_ids: [account.id],
    })
    return context.answer({
      ledger_account_id: account.id,
      currency: account.currency as z.output<typeof currency>,
      balance: balance?.posted ?? 0n,
      debits_posted: balance?.debits_posted ?? 0n,
      credits_posted: balance?.credits_posted ?? 0n,
      at: at ?? null,
      as_recorded_at: as_recorded_at ?? null,
      livemode: context.tenant.livemode,
    })
  },
})

export const accountBalanceEndpoints: Endpoint[] = [retrieveBalanceAt]
