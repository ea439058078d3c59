/** The text of the floor's stored function: one payment's rows, in the order of tables in which the API writes them. */

/** What a payment stored, where it is the same or equally long for every payment. */
export interface Sample {
  route: string
  path: string
  fingerprint: string
  params: string
  /** The stored answer. */
  body: string
  amount: bigint
  fee: bigint
  currency: string
  client_secret: string
  brand: string
  last4: string
  exp_month: number
  exp_year: number
  card_fingerprint: string
  processor: string
  processor_token: string
  processor_id: string
  payment_method_details: string
  /** In the order they were written. */
  events: { type: string; body: string }[]
}

const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`

/**
 * `bench_payment(first, last)` takes one payment of a random account between two numbers of bench_accounts. Ids come
 * from the server's own uuidv7() (PostgreSQL 18). Updates of a row stay updates, as many as the API makes, because
 * each is a row version; the ledger's accounts, which other transactions wait for, come last.
 */
export function floorFunction(sample: Sample): string {
  const [created, charged, succeeded] = sample.events
  if (
    created === undefined ||
    charged === undefined ||
    succeeded === undefined ||
    sample.events.length !== 3
  ) {
    throw new Error(`a payment has three events, and this one has ${sample.events.length}`)
  }
  const { amount, fee } = sample
  const currency = quoted(sample.currency)
  const processor_id = quoted(sample.processor_id)
  const details = `${quoted(sample.payment_method_details)}::jsonb`
  return `
create function bench_payment(first integer, last integer) returns void
  language plpgsql
  set enable_seqscan = off
  set plan_cache_mode = force_generic_plan
as $$
declare
  chosen integer := first + floor(random() * (last - first + 1))::integer;
  books bench_accounts;
  account uuid;
  new_key text := gen_random_uuid()::text;
  new_request_id uuid := uuidv7();
  method_id uuid := uuidv7();
  intent_id uuid := uuidv7();
  attempt_id uuid := uuidv7();
  hold_id uuid := uuidv7();
  new_charge_id uuid := uuidv7();
  balance_id uuid := uuidv7();
  post_id uuid := uuidv7();
  fee_id uuid := uuidv7();
  clearing ledger_accounts;
  pending ledger_accounts;
  fees ledger_accounts;
begin
  select number, account_id, clearing_id, pending_id, fees_id into strict books from bench_accounts where number = chosen;
  account := books.account_id;

  -- The first commit of the API: opened.
  insert into idempotency_keys (account_id, livemode, key, request_id, route, path, fingerprint, params, subject_id, lease_until)
  values (account, false, new_key, new_request_id, ${quoted(sample.route)}, ${quoted(sample.path)}, ${quoted(sample.fingerprint)},
    ${quoted(sample.params)}, attempt_id, now() + interval '30 seconds');

  insert into payment_methods (account_id, livemode, id, type, brand, last4, exp_month, exp_year, fingerprint, processor,
    processor_token, version, created_at)
  values (account, false, method_id, 'card', ${quoted(sample.brand)}, ${quoted(sample.last4)}, ${sample.exp_month}, ${sample.exp_year},
    ${quoted(sample.card_fingerprint)}, ${quoted(sample.processor)}, ${quoted(sample.processor_token)}, 1, now());

  insert into payment_intents (account_id, livemode, id, amount, currency, status, capture_method, payment_method_id, client_secret,
    version, created_at)
  values (account, false, intent_id, ${amount}, ${currency}, 'processing', 'automatic', method_id, ${quoted(sample.client_secret)},
    1, now());

  insert into payment_attempts (account_id, livemode, id, payment_intent_id, operation, state, amount, currency, processor,
    hold_transfer_id, idempotency_key, request_id, created_at)
  values (account, false, attempt_id, intent_id, 'authorize', 'prepared', ${amount}, ${currency}, ${quoted(sample.processor)},
    hold_id, new_key, new_request_id, now());

  -- The second: sent.
  update payment_attempts
  set state = 'sent', sent_at = now()
  where account_id = account and livemode = false and id = attempt_id;

  -- The third: settled.
  update payment_intents
  set status = 'succeeded', amount_received = ${amount}, latest_charge_id = new_charge_id, version = 2
  where account_id = account and livemode = false and id = intent_id;

  update payment_attempts
  set state = 'approved', charge_id = new_charge_id, processor_id = ${processor_id}
  where account_id = account and livemode = false and id = attempt_id;

  insert into charges (account_id, livemode, id, payment_intent_id, amount, amount_captured, currency, status, captured,
    payment_method_id, payment_method_details, balance_transaction_id, processor, processor_id, hold_transfer_id, version, created_at)
  values (account, false, new_charge_id, intent_id, ${amount}, ${amount}, ${currency}, 'succeeded', true, method_id, ${details}, balance_id,
    ${quoted(sample.processor)}, ${processor_id}, hold_id, 1, now());

  insert into balance_transactions (account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on,
    version, created_at)
  values (account, false, balance_id, 'charge', ${amount}, ${fee}, ${amount - fee}, ${currency}, new_charge_id, 'pending',
    now() + interval '7 days', 1, now());

  insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
  values
    (account, false, uuidv7(), ${quoted(created.type)}, intent_id, 1, new_request_id, ${quoted(created.body)}, now()),
    (account, false, uuidv7(), ${quoted(charged.type)}, new_charge_id, 1, new_request_id, ${quoted(charged.body)}, now()),
    (account, false, uuidv7(), ${quoted(succeeded.type)}, intent_id, 2, new_request_id, ${quoted(succeeded.body)}, now());

  update idempotency_keys
  set status = 200, body = ${quoted(sample.body)}, finished_at = now(), lease_until = null
  where account_id = account and livemode = false and key = new_key;

  -- The ledger of the first commit (hold) and of the third (post, fee).
  update ledger_accounts set debits_pending = debits_pending + ${amount}
  where account_id = account and livemode = false and id = books.clearing_id;
  update ledger_accounts set credits_pending = credits_pending + ${amount}
  where account_id = account and livemode = false and id = books.pending_id;
  update ledger_accounts
  set debits_pending = debits_pending - ${amount}, debits_posted = debits_posted + ${amount}, entry_count = entry_count + 1
  where account_id = account and livemode = false and id = books.clearing_id
  returning * into clearing;
  update ledger_accounts
  set credits_pending = credits_pending - ${amount}, credits_posted = credits_posted + ${amount}, debits_posted = debits_posted + ${fee},
    entry_count = entry_count + 2
  where account_id = account and livemode = false and id = books.pending_id
  returning * into pending;
  update ledger_accounts set credits_posted = credits_posted + ${fee}, entry_count = entry_count + 1
  where account_id = account and livemode = false and id = books.fees_id
  returning * into fees;

  insert into ledger_transfers (account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence,
    credit_sequence, effective_at, recorded_at, source_id, pending_id, kind, currency, source_type, step)
  values
    (account, false, hold_id, clearing.id, pending.id, ${amount}, null, null, now(), now(), attempt_id, null, 'pending',
      ${currency}, 'payment_attempt', 'hold'),
    (account, false, post_id, clearing.id, pending.id, ${amount}, clearing.entry_count, pending.entry_count - 1, now(), now(),
      attempt_id, hold_id, 'post_pending', ${currency}, 'payment_attempt', 'post'),
    (account, false, fee_id, pending.id, fees.id, ${fee}, pending.entry_count, fees.entry_count, now(), now(),
      balance_id, null, 'post', ${currency}, 'balance_transaction', 'fee');

  insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
  values
    (account, false, clearing.id, clearing.entry_count, post_id, ${amount}, clearing.debits_posted - clearing.credits_posted, 'debit'),
    (account, false, pending.id, pending.entry_count - 1, post_id, ${amount},
      pending.credits_posted - pending.debits_posted + ${fee}, 'credit'),
    (account, false, pending.id, pending.entry_count, fee_id, ${fee}, pending.credits_posted - pending.debits_posted, 'debit'),
    (account, false, fees.id, fees.entry_count, fee_id, ${fee}, fees.credits_posted - fees.debits_posted, 'credit');
end;
$$`
}
