/**
 * A merchant with a past: many payments with all their related rows, written by a few statements. Used where the
 * number of rows matters and not how they came (cost growth, plans of lists). Ids lie in the order of time as real
 * ones do, keys are random as real ones are, and the ledger adds up, so that what is posted afterwards goes on from it.
 */
import type pg from 'pg'

export interface Past {
  account_id: string
  payments: number
  customers: number
  /** How far back the first payment lies; the others follow at equal distances. */
  days: number
}

const AMOUNT = 1000
const FEE = 59

/** uuid v7 of an instant in milliseconds; the rest is a digest, so that a row's id can be named from its number. */
const FUNCTIONS = `
create or replace function pg_temp.past_id(at_ms bigint, kind text, number bigint) returns uuid
  language sql immutable
  return (
    lpad(to_hex(at_ms), 12, '0') || '7' || substr(md5(kind || number), 1, 3) || '8' || substr(md5(kind || number), 4, 15)
  )::uuid`

/** The ids that payments are given, in the order of their numbers: other rows name them. */
const NUMBERED = `
create temp table past as
select
  number,
  to_timestamp(at_ms / 1000.0) as at,
  pg_temp.past_id(at_ms, 'intent' || $1::text, number) as intent_id,
  pg_temp.past_id(at_ms, 'method' || $1::text, number) as method_id,
  pg_temp.past_id(at_ms, 'attempt' || $1::text, number) as attempt_id,
  pg_temp.past_id(at_ms, 'hold' || $1::text, number) as hold_id,
  pg_temp.past_id(at_ms + 1, 'charge' || $1::text, number) as charge_id,
  pg_temp.past_id(at_ms + 1, 'balance' || $1::text, number) as balance_id,
  pg_temp.past_id(at_ms + 1, 'post' || $1::text, number) as post_id,
  pg_temp.past_id(at_ms + 1, 'fee' || $1::text, number) as fee_id,
  pg_temp.past_id(at_ms + 1, 'refund' || $1::text, number) as refund_id,
  pg_temp.past_id(at_ms, 'request' || $1::text, number) as request_id,
  pg_temp.past_id(first_ms, 'customer' || $1::text, number % $3 + 1) as customer_id,
  case
    when number % 20 = 0 then 'requires_payment_method'
    when number % 50 = 1 then 'canceled'
    else 'succeeded'
  end as status
from generate_series(1, $2::bigint) as number
cross join lateral (
  select
    (extract(epoch from now()) * 1000)::bigint - $4::bigint * 86400000 as first_ms,
    (extract(epoch from now()) * 1000)::bigint - $4::bigint * 86400000 * ($2::bigint - number + 1) / $2::bigint as at_ms
) as time`

const ROWS = [
  `insert into customers (account_id, livemode, id, email, name, version, created_at)
  select distinct on (customer_id) $1::uuid, false, customer_id, customer_id || '@example.com', 'Customer', 1, min(at) over ()
  from past`,
  `insert into payment_methods (account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint,
    processor, processor_token, version, created_at)
  select $1::uuid, false, method_id, case when number % 10 = 0 then customer_id end, 'card', 'visa', '4242', 12, 2034,
    'magic_visa_4242', 'simulator', 'pm_card_visa', 1, at
  from past`,
  `insert into payment_intents (account_id, livemode, id, amount, amount_received, currency, status, capture_method, customer_id,
    payment_method_id, latest_charge_id, client_secret, version, created_at)
  select $1::uuid, false, intent_id, ${AMOUNT}, case when status = 'succeeded' then ${AMOUNT} else 0 end, 'usd', status, 'automatic',
    case when number % 3 <> 0 then customer_id end, method_id, charge_id, 'pi_' || md5(number::text) || '_secret_' || md5(status), 2, at
  from past`,
  `insert into payment_attempts (account_id, livemode, id, payment_intent_id, charge_id, operation, state, amount, currency,
    processor, processor_id, hold_transfer_id, idempotency_key, request_id, sent_at, created_at)
  select $1::uuid, false, attempt_id, intent_id, charge_id, 'authorize', 'approved', ${AMOUNT}, 'usd', 'simulator',
    'pay_' || md5(number::text), hold_id, md5(number::text || intent_id), request_id, at, at
  from past`,
  `insert into charges (account_id, livemode, id, payment_intent_id, amount, amount_captured, currency, status, captured,
    customer_id, payment_method_id, payment_method_details, balance_transaction_id, processor, processor_id, hold_transfer_id,
    version, created_at)
  select $1::uuid, false, charge_id, intent_id, ${AMOUNT}, ${AMOUNT}, 'usd', 'succeeded', true,
    case when number % 3 <> 0 then customer_id end, method_id,
    '{"type":"card","card":{"brand":"visa","last4":"4242","exp_year":2034,"exp_month":12,"fingerprint":"magic_visa_4242"}}',
    balance_id, 'simulator', 'pay_' || md5(number::text), hold_id, 1, at
  from past`,
  `insert into refunds (account_id, livemode, id, charge_id, payment_intent_id, amount, currency, status, version, created_at)
  select $1::uuid, false, refund_id, charge_id, intent_id, 1, 'usd', 'failed', 1, at
  from past
  where number % 10 = 0`,
  `insert into disputes (account_id, livemode, id, charge_id, payment_intent_id, amount, fee, currency, status, reason,
    is_withdrawn, processor, processor_id, version, created_at)
  select $1::uuid, false, pg_temp.past_id((extract(epoch from at) * 1000)::bigint + 1, 'dispute' || $1::text, number), charge_id,
    intent_id, 1, 0, 'usd', case when number % 100 = 0 then 'won' else 'lost' end, 'fraudulent', number % 100 <> 0, 'simulator',
    'dis_' || $1::text || number, 1, at
  from past
  where number % 20 = 0`,
  `insert into payouts (account_id, livemode, id, amount, currency, status, state, hold_transfer_id, processor, version, created_at)
  select $1::uuid, false, pg_temp.past_id((extract(epoch from at) * 1000)::bigint + 1, 'payout' || $1::text, number), 1, 'usd',
    case when number % 100 = 0 then 'failed' else 'paid' end, 'approved', hold_id, 'simulator', 1, at
  from past
  where number % 20 = 0`,
  `insert into balance_transactions (account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on,
    version, created_at)
  select $1::uuid, false, balance_id, 'charge', ${AMOUNT}, ${FEE}, ${AMOUNT - FEE}, 'usd', charge_id, 'pending',
    now() + interval '7 days', 1, at
  from past`,
  `insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
  select $1::uuid, false,
    pg_temp.past_id((extract(epoch from at) * 1000)::bigint + place, kind || $1::text, number), kind,
    case when kind = 'charge.succeeded' then charge_id else intent_id end, place, request_id,
    '{"id":"evt_00000000000000000000000000","object":"event","type":"' || kind || '","api_version":"2026-11-21",'
      || '"created_at":"2026-11-21T06:16:31.345Z","livemode":false,"object_id":"pi_00000000000000000000000000",'
      || '"object_version":1,"request":{"id":null,"idempotency_key":null},"data":{"object":{}}}', at
  from past
  cross join (values ('payment_intent.created', 1), ('charge.succeeded', 2), ('payment_intent.succeeded', 3)) as told (kind, place)`,
  `insert into idempotency_keys (account_id, livemode, key, request_id, route, path, fingerprint, params, subject_id, status, body,
    created_at, finished_at)
  select $1::uuid, false, md5(number::text || intent_id), request_id, 'POST /v1/payment_intents', '/v1/payment_intents',
    md5(number::text) || md5(status), '{}', attempt_id, 200, '{}', at, at
  from past`,
  `insert into request_logs (account_id, livemode, id, method, route, path, params, status, answer, error_code, api_key_id,
    idempotency_key, idempotency_outcome, version, ip, duration_ms, created_at)
  select $1::uuid, false, request_id, 'POST', '/v1/payment_intents', '/v1/payment_intents', '{"amount":${AMOUNT},"currency":"usd"}',
    case when number % 50 = 7 then 409 else 200 end, '{"amount":${AMOUNT}}',
    case when number % 50 = 7 then 'idempotency_conflict' end, pg_temp.past_id(0, 'key' || $1::text, 0),
    md5(number::text || intent_id), case when number % 50 = 7 then 'conflict' else 'first' end, '2026-11-21', '192.0.2.1', 20, at
  from past`,
  `insert into ledger_accounts (account_id, livemode, id, code, currency, kind, normal_side, debits_posted, credits_posted,
    entry_count, created_at)
  select $1::uuid, false, pg_temp.past_id(0, chart.code || $1::text, 0), chart.code, 'usd', chart.kind, chart.normal_side,
    totals.debits, totals.credits, totals.entries, now()
  from (select count(*) as n from past) as past
  cross join lateral (values
    ('processor_clearing', n * ${AMOUNT}, 0, n),
    ('merchant_pending', n * ${FEE}, n * ${AMOUNT}, 2 * n),
    ('processing_fees', 0, n * ${FEE}, n)
  ) as totals (code, debits, credits, entries)
  join ledger_chart as chart on chart.code = totals.code`,
  `insert into ledger_transfers (account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence,
    credit_sequence, effective_at, recorded_at, source_id, pending_id, kind, currency, source_type, step)
  select $1::uuid, false, transfer.*
  from past
  cross join lateral (
    select
      pg_temp.past_id(0, 'processor_clearing' || $1::text, 0) as clearing,
      pg_temp.past_id(0, 'merchant_pending' || $1::text, 0) as pending,
      pg_temp.past_id(0, 'processing_fees' || $1::text, 0) as fees
  ) as account
  cross join lateral (values
    (hold_id, clearing, pending, ${AMOUNT}, null::bigint, null::bigint, at, at, attempt_id, null::uuid,
      'pending'::ledger_transfer_kind, 'usd', 'payment_attempt', 'hold'),
    (post_id, clearing, pending, ${AMOUNT}, number, 2 * number - 1, at, at, attempt_id, hold_id, 'post_pending', 'usd',
      'payment_attempt', 'post'),
    (fee_id, pending, fees, ${FEE}, 2 * number, number, at, at, balance_id, null, 'post', 'usd', 'balance_transaction', 'fee')
  ) as transfer`,
  `insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
  select $1::uuid, false, pg_temp.past_id(0, entry.code || $1::text, 0), entry.sequence, entry.transfer_id, entry.amount,
    entry.balance, entry.side
  from past
  cross join lateral (values
    ('processor_clearing', number, post_id, ${AMOUNT}, number * ${AMOUNT}, 'debit'::ledger_side),
    ('merchant_pending', 2 * number - 1, post_id, ${AMOUNT}, (number - 1) * ${AMOUNT - FEE} + ${AMOUNT}, 'credit'),
    ('merchant_pending', 2 * number, fee_id, ${FEE}, number * ${AMOUNT - FEE}, 'debit'),
    ('processing_fees', number, fee_id, ${FEE}, number * ${FEE}, 'credit')
  ) as entry (code, sequence, transfer_id, amount, balance, side)`,
]

/** Writes the past of an account that has none, as the owner of the tables. */
export async function writePast(client: pg.Client, past: Past): Promise<void> {
  await client.query(`set timezone = 'UTC'`)
  await client.query(FUNCTIONS)
  await client.query('drop table if exists past')
  await client.query(NUMBERED, [past.account_id, past.payments, past.customers, past.days])
  await client.query('analyze past')
  // References are right by construction; checking millions of them one by one is what would take the time.
  await client.query('set session_replication_role = replica')
  for (const statement of ROWS) await client.query(statement, [past.account_id])
  await client.query('set session_replication_role = default')
  await client.query('drop table past')
  // What autovacuum would have done meanwhile (index-only scans need the visibility map), and to no table it would not
  // have touched: an empty one that was analysed is planned as one that stays empty.
  const { rows } = await client.query<{ name: string }>(`
    select oid::regclass::text as name
    from pg_class
    where relkind = 'r' and relnamespace = 'public'::regnamespace and pg_relation_size(oid) > 0`)
  for (const { name } of rows) await client.query(`vacuum analyze ${name}`)
}
