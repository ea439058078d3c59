/**
 * What a superuser with the triggers switched off may do to books that are sealed, and how it shows. The other walks of
 * the verification have their tamperings in verify.test.ts; these here are mostly consistent in themselves.
 */
import { beforeAll, expect, test } from 'vitest'
import type { Tx } from '#db'
import { post } from './post.ts'
import { seal } from './seal.ts'
import { asOwner, id, newTenant, sealAll, transferOf, useDatabase } from './testing.ts'
import { verify, verifyIn } from './verify.ts'

const db = useDatabase()
const tenant = newTenant()
const [first, second, third, hold, credit, unsealed] = [id(), id(), id(), id(), id(), id()]
const customer = id()

beforeAll(async () => {
  await post(db(), [transferOf(tenant, { id: first })])
  await sealAll(db())
  await post(db(), [
    transferOf(tenant, { id: second, amount: 70n }),
    transferOf(tenant, { id: third, amount: 30n }),
    transferOf(tenant, { id: hold, kind: 'pending' }),
    transferOf(tenant, { id: credit, credit: { code: 'customer_credit', owner_id: customer } }),
    transferOf(newTenant(), { currency: 'jpy' }),
  ])
  await sealAll(db())
  const busy = newTenant()
  await post(
    db(),
    Array.from({ length: 70 }, () => transferOf(busy)),
  )
  await sealAll(db())
  await post(db(), [transferOf(tenant, { id: unsealed })])
})

/** Makes a transfer larger everywhere: both entries, every balance after them, both totals. */
async function rewrite(tx: Tx, transfer_id: string, by: bigint): Promise<void> {
  await tx.run`
    update ledger_entries e set balance = e.balance + ${by}
    from ledger_entries changed
    where changed.transfer_id = ${transfer_id} and e.account_id = changed.account_id
      and e.ledger_account_id = changed.ledger_account_id and e.sequence >= changed.sequence`
  await tx.run`update ledger_entries set amount = amount + ${by} where transfer_id = ${transfer_id}`
  await tx.run`
    update ledger_accounts a
    set debits_posted = debits_posted + case when a.id = t.debit_account_id then ${by} else 0 end,
      credits_posted = credits_posted + case when a.id = t.credit_account_id then ${by} else 0 end
    from ledger_transfers t
    where t.id = ${transfer_id} and a.id in (t.debit_account_id, t.credit_account_id)`
  await tx.run`update ledger_transfers set amount = amount + ${by} where id = ${transfer_id}`
}

/** A transfer with entries, balances and totals as if it had been posted, in the transaction `like` was posted in. */
async function forge(tx: Tx, like: string, transfer_id: string): Promise<void> {
  await tx.run`
    insert into ledger_transfers (account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence,
      credit_sequence, effective_at, recorded_at, source_id, kind, currency, source_type, step, recorded_xid)
    select t.account_id, t.livemode, ${transfer_id}, debit_account_id, credit_account_id, 100, d.entry_count + 1,
      c.entry_count + 1, effective_at, recorded_at, ${id()}, t.kind, t.currency, source_type, step, recorded_xid
    from ledger_transfers t
    join ledger_accounts d on d.id = t.debit_account_id
    join ledger_accounts c on c.id = t.credit_account_id
    where t.id = ${like}`
  await tx.run`
    insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
    select t.account_id, t.livemode, a.id, a.entry_count + 1, t.id, t.amount,
      abs(a.debits_posted - a.credits_posted) + t.amount,
      case when a.id = t.debit_account_id then 'debit'::ledger_side else 'credit' end
    from ledger_transfers t
    join ledger_accounts a on a.id in (t.debit_account_id, t.credit_account_id)
    where t.id = ${transfer_id}`
  await tx.run`
    update ledger_accounts a
    set entry_count = entry_count + 1,
      debits_posted = debits_posted + case when a.id = t.debit_account_id then t.amount else 0 end,
      credits_posted = credits_posted + case when a.id = t.credit_account_id then t.amount else 0 end
    from ledger_transfers t
    where t.id = ${transfer_id} and a.id in (t.debit_account_id, t.credit_account_id)`
}

/** Removes a transfer that stands last in its accounts, and whatever shows that it was there. */
async function erase(tx: Tx, transfer_id: string): Promise<void> {
  await tx.run`
    update ledger_accounts a
    set entry_count = entry_count - 1,
      debits_posted = debits_posted - case when e.side = 'debit' then e.amount else 0 end,
      credits_posted = credits_posted - case when e.side = 'credit' then e.amount else 0 end
    from ledger_entries e
    where e.transfer_id = ${transfer_id} and a.id = e.ledger_account_id`
  await tx.run`delete from ledger_entries where transfer_id = ${transfer_id}`
  await tx.run`delete from ledger_transfers where id = ${transfer_id}`
}

const forged = id()

type Named = { table: string; id?: string }
const tamperings: [name: string, named: Named, reason: RegExp, tamper: (tx: Tx) => Promise<unknown>][] = [
  [
    'an amount changed with both entries, all later balances and the totals',
    { table: 'ledger_transfers', id: second },
    /not as it was when seal 2/,
    tx => rewrite(tx, second, 5n),
  ],
  [
    'a transfer turned round with its entries',
    { table: 'ledger_transfers', id: hold },
    /not as it was when seal 2/,
    async tx => {
      await tx.run`
        update ledger_transfers set debit_account_id = credit_account_id, credit_account_id = debit_account_id
        where id = ${hold}`
      await tx.run`
        update ledger_accounts set debits_pending = credits_pending, credits_pending = debits_pending
        where account_id = ${tenant.account_id} and code in ('processor_clearing', 'merchant_pending')`
    },
  ],
  [
    'an effective time moved',
    { table: 'ledger_transfers', id: first },
    /not as it was when seal 1/,
    tx =>
      tx.run`update ledger_transfers set effective_at = effective_at - interval '1 microsecond' where id = ${first}`,
  ],
  [
    'a time of recording moved',
    { table: 'ledger_transfers', id: first },
    /not as it was when seal 1/,
    tx =>
      tx.run`update ledger_transfers set recorded_at = recorded_at + interval '1 year' where id = ${first}`,
  ],
  [
    'a reason put in',
    { table: 'ledger_transfers', id: third },
    /not as it was when seal 2/,
    tx => tx.run`update ledger_transfers set reason = 'agreed', author = 'somebody' where id = ${third}`,
  ],
  [
    'an empty reason in place of none',
    { table: 'ledger_transfers', id: third },
    /not as it was when seal 2/,
    tx => tx.run`update ledger_transfers set reason = '' where id = ${third}`,
  ],
  [
    'a source renamed',
    { table: 'ledger_transfers', id: first },
    /not as it was when seal 1/,
    tx => tx.run`update ledger_transfers set step = 'fee' where id = ${first}`,
  ],
  [
    'the expiry of a hold put off',
    { table: 'ledger_transfers', id: hold },
    /not as it was when seal 2/,
    tx => tx.run`update ledger_transfers set expires_at = now() where id = ${hold}`,
  ],
  [
    'an account given to another customer',
    { table: 'ledger_transfers', id: credit },
    /not as it was when seal 2/,
    tx => tx.run`update ledger_accounts set owner_id = ${id()} where owner_id = ${customer}`,
  ],
  [
    'the amounts of two transfers swapped, with everything that follows from them',
    { table: 'ledger_transfers', id: second },
    /not as it was when seal 2/,
    async tx => {
      await rewrite(tx, second, -40n)
      await rewrite(tx, third, 40n)
    },
  ],
  [
    'the sequences of two entries swapped',
    { table: 'ledger_transfers' },
    /entry of (70|30) is not there/,
    tx => tx.run`
      update ledger_entries e set sequence = other.sequence, balance = other.balance
      from ledger_entries other
      where e.transfer_id in (${second}, ${third}) and other.transfer_id in (${second}, ${third})
        and other.transfer_id <> e.transfer_id and other.ledger_account_id = e.ledger_account_id and e.side = 'credit'`,
  ],
  [
    'the sequences of two transfers swapped with those of their entries',
    { table: 'ledger_transfers', id: second },
    /not as it was when seal 2/,
    async tx => {
      await tx.run`
        update ledger_entries e
        set sequence = other.sequence,
          balance = case when e.sequence < other.sequence then other.balance else e.balance - other.amount end
        from ledger_entries other
        where e.transfer_id in (${second}, ${third}) and other.transfer_id in (${second}, ${third})
          and other.transfer_id <> e.transfer_id and other.ledger_account_id = e.ledger_account_id`
      await tx.run`
        update ledger_transfers t
        set debit_sequence = other.debit_sequence, credit_sequence = other.credit_sequence
        from ledger_transfers other
        where t.id in (${second}, ${third}) and other.id in (${second}, ${third}) and other.id <> t.id`
    },
  ],
  [
    'a transfer removed with its entries and all that followed from it',
    { table: 'ledger_seals', id: '2' },
    /of the 5 it was made of is gone, the one after transfer/,
    async tx => {
      await erase(tx, unsealed)
      await erase(tx, credit)
    },
  ],
  [
    'a hold removed',
    { table: 'ledger_seals', id: '2' },
    /is gone, the one after transfer/,
    async tx => {
      await tx.run`delete from ledger_transfers where id = ${hold}`
      await tx.run`update ledger_accounts set debits_pending = 0, credits_pending = 0 where account_id = ${tenant.account_id}`
    },
  ],
  [
    'a transfer forged into a sealed batch, with entries and totals',
    { table: 'ledger_transfers', id: forged },
    /was made without it: it was added later/,
    tx => forge(tx, first, forged),
  ],
  [
    'a transfer forged in front of all batches',
    { table: 'ledger_transfers', id: forged },
    /was made without it: it was added later/,
    async tx => {
      await forge(tx, first, forged)
      await tx.run`update ledger_transfers set recorded_xid = -1 where id = ${forged}`
    },
  ],
  [
    'a transfer forged for a transaction yet to come',
    { table: 'ledger_transfers', id: forged },
    /which has not begun/,
    async tx => {
      await forge(tx, first, forged)
      await tx.run`update ledger_transfers set recorded_xid = 1000000000000 where id = ${forged}`
    },
  ],
  [
    'a transfer moved out of its batch',
    { table: 'ledger_seals', id: '1' },
    /is gone/,
    tx => tx.run`
      update ledger_transfers set recorded_xid = (select max(recorded_xid) from ledger_transfers) where id = ${first}`,
  ],
  [
    'a seal removed',
    { table: 'ledger_seals', id: '2' },
    /this seal is gone/,
    tx => tx.run`delete from ledger_seals where number = 2`,
  ],
  [
    'the newest seal removed',
    { table: 'ledger_seals', id: '3' },
    /sealed up to seal 3/,
    tx => tx.run`delete from ledger_seals where number = 3`,
  ],
  [
    'all seals removed',
    { table: 'ledger_seals', id: '1' },
    /sealed up to seal 3/,
    tx => tx.run`delete from ledger_seals`,
  ],
  [
    'the end of the chain put back',
    { table: 'ledger_seals', id: '2' },
    /which is not its end now/,
    tx => tx.run`
      update ledger_seal_head h set number = 2, head = s.head, until_xid = s.until_xid
      from ledger_seals s where s.number = 2`,
  ],
  [
    'a batch that begins later, so that something may hide before it, with heads made to fit',
    { table: 'ledger_seals', id: '3' },
    /does not begin where the one before ended/,
    async tx => {
      await tx.run`update ledger_seals set from_xid = from_xid + 1 where number = 3`
      await tx.run`update ledger_seals s set head = ledger_seal_hash(s) where number = 3`
      await tx.run`update ledger_seal_head set head = (select head from ledger_seals where number = 3)`
    },
  ],
  [
    'the number alone of the end of the chain changed',
    { table: 'ledger_seals', id: '4' },
    /which is not its end now/,
    tx => tx.run`update ledger_seal_head set number = number + 1`,
  ],
  [
    'the head alone of the end of the chain changed',
    { table: 'ledger_seals', id: '3' },
    /which is not its end now/,
    tx => tx.run`update ledger_seal_head set head = sha256(head)`,
  ],
  [
    'the end of the chain moved on, so that the next seal would pass over something',
    { table: 'ledger_seals', id: '3' },
    /which is not its end now/,
    tx => tx.run`update ledger_seal_head set until_xid = until_xid + 1`,
  ],
  [
    'two seals swapped',
    { table: 'ledger_seals', id: '1' },
    /not the hash of what it says/,
    async tx => {
      for (const [from, to] of [
        [1, 100],
        [2, 1],
        [100, 2],
      ])
        await tx.run`update ledger_seals set number = ${to} where number = ${from}`
    },
  ],
  [
    'the batches of two seals swapped',
    { table: 'ledger_seals', id: '1' },
    /not the hash of what it says/,
    tx => tx.run`
      update ledger_seals s set root = other.root, transfers = other.transfers, marks = other.marks
      from ledger_seals other
      where s.number in (1, 2) and other.number = 3 - s.number`,
  ],
  [
    'a root made to fit a forged transfer',
    { table: 'ledger_seals', id: '1' },
    /not the hash of what it says/,
    async tx => {
      await rewrite(tx, first, 5n)
      await tx.run`
        update ledger_seals s
        set root = (select ledger_merkle_root(string_agg(l.leaf, '')) from ledger_leaves(s.from_xid, s.until_xid) l)
        where number = 1`
    },
  ],
  [
    'a root and a head made to fit a forged transfer',
    { table: 'ledger_seals', id: '2' },
    /does not follow from the seal before/,
    async tx => {
      await rewrite(tx, first, 5n)
      await tx.run`
        update ledger_seals s
        set root = (select ledger_merkle_root(string_agg(l.leaf, '')) from ledger_leaves(s.from_xid, s.until_xid) l)
        where number = 1`
      await tx.run`update ledger_seals s set head = ledger_seal_hash(s) where number = 1`
    },
  ],
  [
    'a transfer changed with its mark',
    { table: 'ledger_seals', id: '1' },
    /its root is not that of its transfers/,
    async tx => {
      await rewrite(tx, first, 5n)
      await tx.run`
        update ledger_seals s
        set marks = (select substring(l.leaf for 8) from ledger_leaves(s.from_xid, s.until_xid) l)
        where number = 1`
    },
  ],
]

const UNDONE = new Error('undone')

/** Looked at inside the transaction that tampers, so that undoing it leaves sound books to the next test. */
async function foundAfter(tamper: (tx: Tx) => Promise<unknown>, head?: string): ReturnType<typeof verifyIn> {
  let found: Awaited<ReturnType<typeof verifyIn>> | undefined
  const attempt = asOwner(
    db(),
    async tx => {
      await tamper(tx)
      found = await verifyIn(tx, head === undefined ? {} : { head })
      throw UNDONE
    },
    { triggers: 'off' },
  )
  await expect(attempt).rejects.toBe(UNDONE)
  if (found === undefined) throw new Error('nothing was verified')
  return found
}

test('untouched books are proven', async () => {
  expect(await verify(db())).toMatchObject({ ok: true, sealed: { seals: 3n, transfers: 76n } })
})

test.each(tamperings)('%s is found and named', async (_name, named, reason, tamper) => {
  const { ok, broken } = await foundAfter(tamper)
  expect(ok).toBe(false)
  expect(broken?.reason).toMatch(reason)
  expect(broken).toMatchObject(named)
})

test('what was not sealed yet can be rewritten unseen, and not after', async () => {
  expect(await foundAfter(tx => rewrite(tx, unsealed, 5n))).toMatchObject({ ok: true })
})

/** Seals everything again, as if it had always been so. */
async function forgeChain(tx: Tx): Promise<void> {
  await tx.run`delete from ledger_seals where number > 1`
  await tx.run`
    update ledger_seals s
    set root = (select ledger_merkle_root(string_agg(l.leaf, '')) from ledger_leaves(s.from_xid, s.until_xid) l),
      marks = (select substring(l.leaf for 8) from ledger_leaves(s.from_xid, s.until_xid) l)`
  await tx.run`update ledger_seals s set head = ledger_seal_hash(s)`
  await tx.run`update ledger_seal_head h set number = 1, head = s.head, until_xid = s.until_xid from ledger_seals s`
}

test('a chain that is forged whole passes for a true one, save to whoever kept a head', async () => {
  const { head } = await db().one<{ head: string }>`
    select encode(head, 'hex') as head from ledger_seals where number = 1`
  const forge_all = async (tx: Tx) => {
    await rewrite(tx, first, 5n)
    await forgeChain(tx)
  }
  expect(await foundAfter(forge_all)).toMatchObject({ ok: true })
  const found = await foundAfter(forge_all, head)
  expect(found.broken?.reason).toMatch(/not the one that was anchored/)
})

test('a chain whose end is gone is not sealed over', async () => {
  const attempt = asOwner(
    db(),
    async tx => {
      await tx.run`delete from ledger_seals where number = 3`
      await tx.run`select number from ledger_seal()`
    },
    { triggers: 'off' },
  )
  await expect(attempt).rejects.toThrow(/seal 3 is missing/)
  expect((await seal(db())).head.number).toBe(4n)
})
