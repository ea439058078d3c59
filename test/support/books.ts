/** What an account's books say, seen from outside: balances by ledger account, and whether they agree with each other. */
import { expect } from 'vitest'
import { trialBalance } from '#ledger'
import type { TestAccount, World } from './testing.ts'

/** Posted balances by code, those that are zero left out. */
export async function booksOf(
  world: World,
  { account_id, livemode }: TestAccount,
): Promise<Record<string, number>> {
  const lines = await trialBalance(world.db, { account_id, livemode })
  return Object.fromEntries(
    lines.filter(line => line.posted !== 0n).map(line => [line.code, Number(line.posted)]),
  )
}

/**
 * What must hold whatever happened: what is owed to the account is the sum of its balance transactions; what disputes
 * withhold is what processors took for them, and the sum of the open ones; what is in transit is the sum of those payouts.
 */
export async function expectBooksAgree(world: World, account: TestAccount): Promise<void> {
  const { account_id } = account
  const sums = await world.db.one<
    Record<'owed' | 'net' | 'withheld' | 'disputed' | 'open' | 'moving' | 'in_transit', bigint>
  >`
    select
      (select coalesce(sum(credits_posted - debits_posted), 0)::bigint from ledger_accounts
        where account_id = ${account_id} and code in ('merchant_pending', 'merchant_available')) as owed,
      (select coalesce(sum(net), 0)::bigint from balance_transactions where account_id = ${account_id}) as net,
      (select coalesce(sum(credits_posted - debits_posted), 0)::bigint from ledger_accounts
        where account_id = ${account_id} and code = 'disputes') as withheld,
      (select coalesce(sum(debits_posted - credits_posted), 0)::bigint from ledger_accounts
        where account_id = ${account_id} and code = 'disputed_funds') as disputed,
      (select coalesce(sum(amount), 0)::bigint from disputes
        where account_id = ${account_id} and is_withdrawn and status <> 'lost') as open,
      (select coalesce(sum(credits_posted - debits_posted), 0)::bigint from ledger_accounts
        where account_id = ${account_id} and code = 'payouts_in_transit') as moving,
      (select coalesce(sum(amount), 0)::bigint from payouts
        where account_id = ${account_id} and status = 'in_transit') as in_transit`
  expect(sums.owed).toBe(sums.net)
  expect([sums.withheld, sums.disputed]).toEqual([sums.open, sums.open])
  expect(sums.moving).toBe(sums.in_transit)
}
