/**
 * Books with a past, written by a few statements: transfers of one amount from a clearing account to the accounts of a
 * number of customers in turn, so that sequences and balances are arithmetic. They lie a tenth of a second apart and
 * end now; each ten-thousandth counts an hour before it was written. Several transactions, as posting would make.
 */
import type pg from 'pg'

export interface LedgerPast {
  account_id: string
  transfers: number
  /** Who take turns being credited; with one, both accounts have as many entries as there are transfers. */
  customers: number
}

const AMOUNT = 100
const TRANSFERS_EACH = 10_000

const FUNCTIONS = `
create or replace function pg_temp.past_id(at_ms bigint, kind text, number bigint) returns uuid
  language sql immutable
  return (
    lpad(to_hex(at_ms), 12, '0') || '7' || substr(md5(kind || number), 1, 3) || '8' || substr(md5(kind || number), 4, 15)
  )::uuid`

const ACCOUNTS = `
insert into ledger_accounts (account_id, livemode, id, code, owner_id, currency, kind, normal_side, debits_posted,
  credits_posted, entry_count, created_at)
select ($1::text)::uuid, false, pg_temp.past_id(0, $1::text || chart.code, customer), chart.code,
  case when customer = 0 then '00000000-0000-0000-0000-000000000000' else pg_temp.past_id(0, $1::text, customer) end,
  'usd', chart.kind, chart.normal_side,
  case when customer = 0 then entries else 0 end * ${AMOUNT}, case when customer = 0 then 0 else entries end * ${AMOUNT},
  entries, now()
from (
  select 0::bigint as customer, 'processor_clearing' as code, $2::bigint as entries
  union all
  select customer, 'customer_credit', ($2::bigint - customer) / $3::bigint + 1
  from generate_series(1, $3::bigint) customer
) account
join ledger_chart chart on chart.code = account.code`

const NUMBERED = `
create temp table past as
select number, at, case when number % 10000 = 5000 then at - interval '1 hour' else at end as effective_at,
  pg_temp.past_id((extract(epoch from at) * 1000)::bigint, $1::text, number) as id,
  pg_temp.past_id(0, $1::text || 'processor_clearing', 0) as clearing,
  pg_temp.past_id(0, $1::text || 'customer_credit', 1 + (number - 1) % $3::bigint) as customer,
  1 + (number - 1) / $3::bigint as customer_sequence
from generate_series(1, $2::bigint) number
cross join lateral (select now() - ($2::bigint - number + 1) * interval '100 milliseconds' as at) time`

const TRANSFERS = `
insert into ledger_transfers (account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence,
  credit_sequence, effective_at, recorded_at, source_id, kind, currency, source_type, step)
select $1::uuid, false, id, clearing, customer, ${AMOUNT}, number, customer_sequence, effective_at, at, id, 'post', 'usd',
  'charge', 'capture'
from past
where number > $2::bigint and number <= $3::bigint
order by number`

const ENTRIES = `
insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
select $1::uuid, false, leg.ledger_account_id, leg.sequence, id, ${AMOUNT}, leg.sequence * ${AMOUNT}, leg.side
from past
cross join lateral (values
  (clearing, number, 'debit'::ledger_side),
  (customer, customer_sequence, 'credit')
) leg (ledger_account_id, sequence, side)
where number > $2::bigint and number <= $3::bigint
order by number`

/** Writes the books of an account that has none, as the owner of the tables. Answers its clearing account. */
export async function writeLedgerPast(client: pg.Client, past: LedgerPast): Promise<string> {
  await client.query(`set timezone = 'UTC'`)
  await client.query(FUNCTIONS)
  await client.query('drop table if exists past')
  const { account_id, transfers, customers } = past
  await client.query(ACCOUNTS, [account_id, transfers, customers])
  await client.query(NUMBERED, [account_id, transfers, customers])
  await client.query('create index on past (number)')
  await client.query('analyze past')
  for (let from = 0; from < transfers; from += TRANSFERS_EACH) {
    await client.query('begin')
    await client.query(TRANSFERS, [account_id, from, from + TRANSFERS_EACH])
    await client.query(ENTRIES, [account_id, from, from + TRANSFERS_EACH])
    await client.query('commit')
  }
  const { rows } = await client.query<{ id: string }>('select clearing as id from past limit 1')
  await client.query('drop table past')
  // What autovacuum would have done meanwhile.
  for (const table of ['ledger_accounts', 'ledger_transfers', 'ledger_entries']) {
    await client.query(`vacuum analyze ${table}`)
  }
  return rows[0]?.id ?? ''
}
