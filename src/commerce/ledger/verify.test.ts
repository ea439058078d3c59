import { beforeEach, expect, test } from 'vitest'
import type { Tx } from '#db'
import { post } from './post.ts'
import { asOwner, id, newTenant, transferOf, useDatabase } from './testing.ts'
import { verify, verifyIn } from './verify.ts'

const db = useDatabase()
const tenant = newTenant()
const [capture, open_hold, resolved_hold, resolution] = [id(), id(), id(), id()]

beforeEach(async () => {
  await post(db(), [
    transferOf(tenant, { id: capture }),
    transferOf(tenant, { id: id(), amount: 40n }),
    transferOf(tenant, { id: open_hold, kind: 'pending' }),
    transferOf(tenant, { id: resolved_hold, kind: 'pending' }),
    transferOf(tenant, { id: resolution, kind: 'post_pending', pending_id: resolved_hold, amount: 30n }),
    transferOf(newTenant(), { currency: 'jpy' }),
  ])
})

test('sound books are proven, with progress that ends at the total', async () => {
  const progress: [bigint, bigint][] = []
  const verification = await verify(db(), { onProgress: (done, total) => progress.push([done, total]) })
  expect(verification).toMatchObject({ ok: true })
  expect(verification.checked.transfers).toBeGreaterThanOrEqual(6n)
  expect(verification.checked.entries).toBeGreaterThanOrEqual(8n)
  const [done, total] = progress.at(-1) ?? [0n, 1n]
  expect(done).toBe(total)
})

/** What a superuser with the triggers off may do to the books, and how it shows. */
const tamperings: [name: string, reason: RegExp, tamper: (tx: Tx) => Promise<unknown>][] = [
  [
    'an entry made larger',
    /entry of 100 is not there/,
    tx =>
      tx.run`update ledger_entries set amount = amount + 1 where transfer_id = ${capture} and side = 'debit'`,
  ],
  [
    'an entry removed',
    /credit entry of 100 is not there/,
    tx => tx.run`delete from ledger_entries where transfer_id = ${capture} and side = 'credit'`,
  ],
  [
    'both entries removed',
    /entry of 100 is not there/,
    tx => tx.run`delete from ledger_entries where transfer_id = ${capture}`,
  ],
  [
    'an entry added',
    /belongs to no such transfer/,
    tx => tx.run`
      insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
      select account_id, livemode, ledger_account_id, sequence + 100, transfer_id, 5, 5, side
      from ledger_entries where transfer_id = ${capture}`,
  ],
  [
    'an entry moved to another account',
    /debit entry of 100 is not there/,
    tx =>
      tx.run`update ledger_entries set ledger_account_id = ${id()} where transfer_id = ${capture} and side = 'debit'`,
  ],
  [
    'the sides of two entries swapped',
    /is not there/,
    tx => tx.run`
      update ledger_entries set side = case side when 'debit' then 'credit'::ledger_side else 'debit' end
      where transfer_id = ${capture}`,
  ],
  [
    'the amounts of two transfers swapped',
    /is not there/,
    tx =>
      tx.run`update ledger_transfers set amount = 140 - amount where account_id = ${tenant.account_id} and kind = 'post'`,
  ],
  [
    'a transfer removed',
    /belongs to no such transfer/,
    tx => tx.run`delete from ledger_transfers where id = ${capture}`,
  ],
  [
    'a transfer and its entries removed',
    /one is missing|its entries are/,
    async tx => {
      await tx.run`delete from ledger_transfers where id = ${capture}`
      await tx.run`delete from ledger_entries where transfer_id = ${capture}`
    },
  ],
  [
    'a transfer added by hand',
    /entry of 7 is not there/,
    tx => tx.run`
      insert into ledger_transfers (account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence,
        credit_sequence, effective_at, recorded_at, source_id, kind, currency, source_type, step)
      select account_id, livemode, ${id()}, debit_account_id, credit_account_id, 7, 99, 99, effective_at, recorded_at,
        ${id()}, kind, currency, source_type, step
      from ledger_transfers where id = ${capture}`,
  ],
  [
    'a transfer moved to another currency',
    /another currency/,
    tx => tx.run`update ledger_transfers set currency = 'eur' where id = ${capture}`,
  ],
  [
    'a running balance rewritten',
    /does not follow/,
    tx =>
      tx.run`update ledger_entries set balance = balance + 1 where transfer_id = ${capture} and side = 'credit'`,
  ],
  [
    'a running balance on the other side rewritten',
    /does not follow/,
    tx =>
      tx.run`update ledger_entries set balance = balance + 1 where transfer_id = ${capture} and side = 'debit'`,
  ],
  [
    'a running balance turned negative',
    /does not follow/,
    tx =>
      tx.run`update ledger_entries set balance = -balance where transfer_id = ${capture} and side = 'debit'`,
  ],
  [
    'running balances as far apart as numbers go',
    /does not follow/,
    tx => tx.run`
      update ledger_entries
      set balance = case sequence % 2 when 0 then 9223372036854775807 else -9223372036854775808 end
      where account_id = ${tenant.account_id}`,
  ],
  [
    'an account moved to another currency',
    /another currency/,
    tx =>
      tx.run`update ledger_accounts set currency = 'eur' where account_id = ${tenant.account_id} and normal_side = 'debit'`,
  ],
  [
    'a total rewritten',
    /its entries are/,
    tx =>
      tx.run`update ledger_accounts set debits_posted = debits_posted + 1 where account_id = ${tenant.account_id} and normal_side = 'debit'`,
  ],
  [
    'a pending total rewritten',
    /pending totals/,
    tx =>
      tx.run`update ledger_accounts set credits_pending = credits_pending + 1 where account_id = ${tenant.account_id} and normal_side = 'credit'`,
  ],
  ['a pending removed', /pending totals/, tx => tx.run`delete from ledger_transfers where id = ${open_hold}`],
  [
    'a resolved pending removed',
    /does not fit the pending/,
    tx => tx.run`delete from ledger_transfers where id = ${resolved_hold}`,
  ],
  [
    'a pending made smaller than what was posted of it',
    /does not fit the pending/,
    tx => tx.run`update ledger_transfers set amount = 20 where id = ${resolved_hold}`,
  ],
  [
    'a pending resolved twice',
    /resolved 2 times/,
    async tx => {
      await tx.run`drop index ledger_transfers_resolution`
      await tx.run`
        insert into ledger_transfers (account_id, livemode, id, debit_account_id, credit_account_id, amount, effective_at,
          recorded_at, source_id, pending_id, kind, currency, source_type, step)
        select account_id, livemode, ${id()}, debit_account_id, credit_account_id, 100, effective_at, recorded_at,
          ${id()}, pending_id, 'void_pending', currency, source_type, step
        from ledger_transfers where id = ${resolution}`
    },
  ],
  [
    'an account removed',
    /is missing or has another currency/,
    tx =>
      tx.run`delete from ledger_accounts where account_id = ${tenant.account_id} and normal_side = 'credit'`,
  ],
  [
    'one leg gone and the other there twice',
    /missing|is not there/,
    async tx => {
      await tx.run`alter table ledger_entries drop constraint ledger_entries_pkey`
      await tx.run`
        update ledger_entries e set (ledger_account_id, sequence, side, balance) = (
          select o.ledger_account_id, o.sequence, o.side, o.balance from ledger_entries o where o.transfer_id = ${capture} and o.side = 'debit')
        where e.transfer_id = ${capture} and e.side = 'credit'`
    },
  ],
  [
    'a transfer there twice',
    /it is there 2 times/,
    async tx => {
      await tx.run`do $$ declare name text; begin
        for name in select conname from pg_constraint where conrelid = 'ledger_transfers'::regclass and contype in ('u', 'p') loop
          execute 'alter table ledger_transfers drop constraint ' || name || ' cascade';
        end loop;
        for name in select indexrelid::regclass::text from pg_index where indrelid = 'ledger_transfers'::regclass and indisunique loop
          execute 'drop index ' || name;
        end loop;
      end $$`
      await tx.run`insert into ledger_transfers select * from ledger_transfers where id = ${capture}`
    },
  ],
  [
    'a month of entries dropped',
    /is not there/,
    tx => tx.run`do $$ declare child regclass; begin
      for child in select inhrelid::regclass from pg_inherits where inhparent = 'ledger_entries'::regclass loop
        execute 'drop table ' || child;
      end loop;
    end $$`,
  ],
]

const UNDONE = new Error('undone')

test.each(tamperings)('%s is found', async (_name, reason, tamper) => {
  let found: Awaited<ReturnType<typeof verify>> | undefined
  const attempt = asOwner(
    db(),
    async tx => {
      await tamper(tx)
      // Looked at inside the transaction that tampers, so that undoing it leaves sound books to the next test.
      found = await verifyIn(tx)
      throw UNDONE
    },
    { triggers: 'off' },
  )
  await expect(attempt).rejects.toBe(UNDONE)
  expect(found?.ok).toBe(false)
  expect(found?.broken?.reason).toMatch(reason)
})
