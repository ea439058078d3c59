import { beforeAll, expect, test } from 'vitest'
import type { Tx } from '#db'
import { post } from './post.ts'
import { asOwner, id, newTenant, sealAll, transferOf, useDatabase } from './testing.ts'

const db = useDatabase()
const tenant = newTenant()

beforeAll(async () => {
  const refused = transferOf(tenant, { kind: 'void_pending', pending_id: id() })
  await post(db(), [transferOf(tenant), refused])
  await sealAll(db())
})

const tables = [
  'ledger_transfers',
  'ledger_entries',
  'ledger_refusals',
  'ledger_accounts',
  'ledger_checkpoints',
] as const

const changes: [name: string, table: string, change: (tx: Tx) => Promise<unknown>][] = [
  ['update of a transfer', 'ledger_transfers', tx => tx.run`update ledger_transfers set amount = 1`],
  ['update of an entry', 'ledger_entries', tx => tx.run`update ledger_entries set amount = 1`],
  ['update of a refusal', 'ledger_refusals', tx => tx.run`update ledger_refusals set result = 'posted'`],
  ['delete of transfers', 'ledger_transfers', tx => tx.run`delete from ledger_transfers`],
  ['delete of entries', 'ledger_entries', tx => tx.run`delete from ledger_entries`],
  ['delete of refusals', 'ledger_refusals', tx => tx.run`delete from ledger_refusals`],
  ['delete of accounts', 'ledger_accounts', tx => tx.run`delete from ledger_accounts`],
  ['truncate of transfers', 'ledger_transfers', tx => tx.run`truncate ledger_transfers`],
  ['truncate of entries', 'ledger_entries', tx => tx.run`truncate ledger_entries`],
  ['truncate of a month', 'ledger_entries', tx => tx.run`truncate ledger_entries_default`],
  ['truncate of refusals', 'ledger_refusals', tx => tx.run`truncate ledger_refusals`],
  ['truncate of accounts', 'ledger_accounts', tx => tx.run`truncate ledger_accounts`],
  ['update of a seal', 'ledger_seals', tx => tx.run`update ledger_seals set format = 2`],
  ['delete of seals', 'ledger_seals', tx => tx.run`delete from ledger_seals`],
  ['truncate of seals', 'ledger_seals', tx => tx.run`truncate ledger_seals`],
  ['putting back the head', 'ledger_seal_head', tx => tx.run`update ledger_seal_head set number = 0`],
  ['delete of the head', 'ledger_seal_head', tx => tx.run`delete from ledger_seal_head`],
  ['truncate of the head', 'ledger_seal_head', tx => tx.run`truncate ledger_seal_head`],
  ['truncate of checkpoints', 'ledger_checkpoints', tx => tx.run`truncate ledger_checkpoints`],
]

const roles = {
  app: (fn: (tx: Tx) => Promise<unknown>) => db().as(tenant).transaction(fn),
  system: (fn: (tx: Tx) => Promise<unknown>) => db().transaction(fn),
  owner: (fn: (tx: Tx) => Promise<unknown>) => asOwner(db(), fn),
}

test.each(changes)('%s is refused to the roles and to the owner', async (_name, _table, change) => {
  await expect(roles.app(change)).rejects.toThrow(/permission denied/)
  await expect(roles.system(change)).rejects.toThrow(/permission denied/)
  await expect(roles.owner(change)).rejects.toThrow(/is immutable/)
})

test.each(tables)('reading is all that the roles may do with %s', async table => {
  for (const role of ['bursar_app', 'bursar_system']) {
    const { allowed } = await db().one<{ allowed: string[] }>`
      select array_agg(privilege) as allowed
      from unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege
      where has_table_privilege(${role}, ${table}, privilege) or has_any_column_privilege(${role}, ${table},
        case when privilege in ('select', 'insert', 'update', 'references') then privilege else 'select' end)
        and privilege in ('insert', 'update', 'references')`
    expect(allowed).toEqual(['select'])
  }
})

test('of the seals the roles of accounts see nothing, and the system may read', async () => {
  const rows = await db().many<{ role: string; allowed: string[] | null }>`
    select role, array_agg(name || ' ' || privilege order by name, privilege) filter (
      where has_table_privilege(role, name, privilege)
    ) as allowed
    from unnest(array['bursar_app', 'bursar_system']) role
    cross join unnest(array['ledger_seals', 'ledger_seal_head']) name
    cross join unnest(array['select', 'insert', 'update', 'delete', 'truncate', 'references', 'trigger']) privilege
    group by role order by role`
  expect(rows).toEqual([
    { role: 'bursar_app', allowed: null },
    { role: 'bursar_system', allowed: ['ledger_seal_head select', 'ledger_seals select'] },
  ])
})

test('totals change by posting alone', async () => {
  const change = (tx: Tx) => tx.run`update ledger_accounts set credits_posted = credits_posted + 1`
  await expect(roles.app(change)).rejects.toThrow(/permission denied/)
  await expect(roles.system(change)).rejects.toThrow(/permission denied/)
})

test('the part of posting that decides cannot be called by the roles', async () => {
  const { allowed } = await db().one<{ allowed: boolean }>`
    select has_function_privilege('bursar_app', p.oid, 'execute') as allowed
    from pg_proc p where proname = 'ledger_decide_in_order'`
  expect(allowed).toBe(false)
})

test('what runs as the owner and is not for a tenant cannot be called by one', async () => {
  const open = await db().many<{ name: string; is_public: boolean }>`
    select distinct p.proname as name,
      p.proacl is null or exists (select from aclexplode(p.proacl) where grantee = 0) as is_public
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.prosecdef
      and has_function_privilege('bursar_app', p.oid, 'execute')
    order by name`
  // Each of these looks whose books its caller may touch; `job_enqueue` only adds a job of a name that has a worker.
  expect(open).toEqual(
    ['job_enqueue', 'ledger_adjust', 'ledger_change_account', 'ledger_move_period', 'ledger_post'].map(
      name => ({
        name,
        is_public: false,
      }),
    ),
  )
})

test('a new partition refuses truncation as well', async () => {
  const { unguarded } = await db().one<{ unguarded: bigint }>`
    select count(*) as unguarded from pg_inherits
    where inhparent = 'ledger_entries'::regclass
      and not exists (select from pg_trigger where tgrelid = inhrelid and tgname = 'never_emptied')`
  expect(unguarded).toBe(0n)
})

test('a tenant sees its own books alone', async () => {
  await post(db(), [transferOf(newTenant())])
  const { other } = await db().as(tenant).one<{ other: bigint }>`
    select count(*) as other from (
      select account_id from ledger_transfers
      union all select account_id from ledger_entries
      union all select account_id from ledger_accounts
      union all select account_id from ledger_refusals
    ) rows
    where account_id <> ${tenant.account_id}`
  expect(other).toBe(0n)
})
