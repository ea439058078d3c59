-- Payments: customers, payment methods, intents, charges, refunds, attempts, balance transactions. Additive; does not
-- break older code.
--
-- Every table belongs to an account and a mode, which lead its primary key and its unique indexes. Lists order by id
-- (uuid v7: the order of creation), so the primary key is also the index of the plain list. Money is bigint in the
-- currency's minor unit. `version` counts the changes of a row: the guard of concurrent writers, and the
-- object_version of its events.

create table customers (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  email text,
  email_key text generated always as (lower(email)) stored,
  name text,
  phone text,
  description text,
  metadata jsonb not null default '{}',
  deleted_at timestamptz,
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  constraint customers_deleted_keeps_nothing_personal check (
    deleted_at is null or (email is null and name is null and phone is null and description is null and metadata = '{}')
  )
);
comment on table customers is 'Whom the account charges.';
comment on column customers.email is 'Unique in the account and mode, whatever its case; two customers with one address are one person twice.';
comment on column customers.deleted_at is 'A deleted customer keeps its id, because payments name it, and nothing personal.';
comment on column customers.email_key is 'A column and not an index on lower(email): that function is not leakproof, so row-level security would keep it from the index.';
create unique index customers_email_is_unique on customers (account_id, livemode, email_key) include (id)
  where email_key is not null;

create table payment_methods (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  customer_id uuid,
  type text not null constraint payment_methods_type_is_known check (type in ('card')),
  brand text not null,
  last4 text not null,
  exp_month integer not null,
  exp_year integer not null,
  fingerprint text not null,
  processor text not null,
  processor_token text not null,
  metadata jsonb not null default '{}',
  detached_at timestamptz,
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, customer_id) references customers,
  constraint payment_methods_detached_belongs_to_nobody check (detached_at is null or customer_id is null)
);
comment on table payment_methods is 'How a customer pays. The card number is not here and nowhere else: only what the processor gives in exchange for it.';
comment on column payment_methods.customer_id is 'Null until attached, and again once detached.';
comment on column payment_methods.detached_at is 'Since then it pays for nobody: whoever was charged with it has taken it back, or was deleted.';
comment on column payment_methods.fingerprint is 'The processor''s: the same number gives the same one.';
comment on column payment_methods.processor_token is 'What the processor charges in place of the number.';
create index payment_methods_by_customer on payment_methods (account_id, livemode, customer_id, id) where customer_id is not null;

create table payment_intents (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  amount bigint not null constraint payment_intents_amount_is_positive check (amount > 0),
  amount_capturable bigint not null default 0,
  amount_received bigint not null default 0,
  currency text not null,
  status text not null constraint payment_intents_status_is_known check (
    status in ('requires_payment_method', 'requires_confirmation', 'requires_action', 'processing', 'requires_capture', 'succeeded', 'canceled')
  ),
  capture_method text not null constraint payment_intents_capture_method_is_known check (capture_method in ('automatic', 'manual')),
  off_session boolean not null default false,
  setup_future_usage text constraint payment_intents_setup_future_usage_is_known check (setup_future_usage in ('on_session', 'off_session')),
  customer_id uuid,
  payment_method_id uuid,
  latest_charge_id uuid,
  client_secret text not null,
  description text,
  statement_descriptor text,
  return_url text,
  next_action jsonb,
  last_payment_error jsonb,
  metadata jsonb not null default '{}',
  capture_before timestamptz,
  canceled_at timestamptz,
  cancellation_reason text,
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, customer_id) references customers,
  constraint payment_intents_receives_no_more_than_asked check (
    amount_received between 0 and amount and amount_capturable between 0 and amount
  )
) with (fillfactor = 85);
comment on table payment_intents is 'The intention to take one payment, from creation to success or cancellation. Its row serialises what happens to it.';
comment on column payment_intents.status is 'From the lifecycle in payment-intents/lifecycle.ts; a test holds the CHECK against it.';
comment on column payment_intents.client_secret is 'Lets a browser with a publishable key confirm this one intent.';
comment on column payment_intents.amount_capturable is 'What is held on the card and may still be captured.';
comment on column payment_intents.amount_received is 'What was captured.';
comment on column payment_intents.capture_before is 'When the hold on the card ends by itself.';
create index payment_intents_by_status on payment_intents (account_id, livemode, status, id);
create index payment_intents_by_customer on payment_intents (account_id, livemode, customer_id, id) include (status)
  where customer_id is not null;
comment on index payment_intents_by_customer is 'With the status, so that both filters together are still answered by the index alone.';
create index payment_intents_to_expire on payment_intents (capture_before) where status = 'requires_capture';
comment on index payment_intents_to_expire is 'The sweep of lapsed holds reads only what has lapsed.';

create table charges (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  payment_intent_id uuid not null,
  amount bigint not null,
  amount_captured bigint not null default 0,
  amount_refunded bigint not null default 0,
  currency text not null,
  status text not null constraint charges_status_is_known check (status in ('succeeded', 'failed')),
  captured boolean not null,
  disputed boolean not null default false,
  customer_id uuid,
  payment_method_id uuid,
  payment_method_details jsonb not null,
  balance_transaction_id uuid,
  failure_code text,
  failure_message text,
  decline_code text,
  description text,
  statement_descriptor text,
  processor text not null,
  processor_id text,
  hold_transfer_id uuid not null,
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, payment_intent_id) references payment_intents,
  constraint charges_capture_no_more_than_authorized check (amount_captured between 0 and amount),
  constraint charges_refund_no_more_than_captured check (amount_refunded between 0 and amount_captured)
) with (fillfactor = 90);
comment on table charges is 'One try to take the money of an intent: succeeded or failed; a failed one stays readable.';
comment on column charges.amount_refunded is 'Pending and succeeded refunds together; the CHECK is what makes over-refunding impossible under concurrency.';
comment on column charges.hold_transfer_id is 'The pending ledger transfer that capture posts and cancel voids.';
comment on column charges.payment_method_details is 'Brand, last4 and expiry as they were when charged.';
create index charges_by_payment_intent on charges (account_id, livemode, payment_intent_id, id) include (customer_id);
create index charges_by_customer on charges (account_id, livemode, customer_id, id) include (payment_intent_id)
  where customer_id is not null;
comment on index charges_by_customer is 'With the intent, and that of the intent with the customer: both filters together are answered by either index alone.';

create table refunds (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  charge_id uuid not null,
  payment_intent_id uuid not null,
  amount bigint not null constraint refunds_amount_is_positive check (amount > 0),
  currency text not null,
  status text not null constraint refunds_status_is_known check (status in ('pending', 'succeeded', 'failed', 'canceled')),
  reason text constraint refunds_reason_is_known check (reason in ('duplicate', 'fraudulent', 'requested_by_customer')),
  failure_reason text,
  balance_transaction_id uuid,
  processor_id text,
  metadata jsonb not null default '{}',
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, charge_id) references charges
);
comment on table refunds is 'Money given back on a charge; many may share one, their sum never above what was captured.';
create index refunds_by_charge on refunds (account_id, livemode, charge_id, id);
create index refunds_by_payment_intent on refunds (account_id, livemode, payment_intent_id, id);

create table balance_transactions (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  type text not null constraint balance_transactions_type_is_known check (type in ('charge', 'refund', 'refund_failure')),
  amount bigint not null,
  fee bigint not null,
  net bigint not null,
  currency text not null,
  source_id uuid not null,
  status text not null constraint balance_transactions_status_is_known check (status in ('pending', 'available')),
  available_on timestamptz not null,
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  constraint balance_transactions_net_is_amount_less_fee check (net = amount - fee)
);
comment on table balance_transactions is 'Each change of the account''s balance, with its fee, as the ledger booked it.';
comment on column balance_transactions.source_id is 'The charge or refund it comes from, by type.';
comment on column balance_transactions.available_on is 'When the net amount moves from pending to available.';
create index balance_transactions_by_source on balance_transactions (account_id, livemode, source_id, id);
create index balance_transactions_to_release on balance_transactions (available_on) where status = 'pending';
comment on index balance_transactions_to_release is 'The release of funds reads only what is due.';

create table payment_attempts (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  payment_intent_id uuid not null,
  charge_id uuid,
  refund_id uuid,
  operation text not null constraint payment_attempts_operation_is_known check (operation in ('authorize', 'capture', 'void', 'refund')),
  state text not null constraint payment_attempts_state_is_known check (
    state in ('prepared', 'sent', 'unknown', 'requires_action', 'pending', 'approved', 'declined', 'voided')
  ),
  amount bigint not null,
  currency text not null,
  processor text not null,
  target_processor_id text,
  processor_id text,
  hold_transfer_id uuid,
  idempotency_key text,
  request_id uuid,
  reason text,
  sent_at timestamptz,
  next_check_at timestamptz,
  checks integer not null default 0,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, payment_intent_id) references payment_intents
) with (fillfactor = 70);
comment on table payment_attempts is 'One operation asked of a processor. Its id is our reference there and the downstream idempotency key; it is committed before anything is sent.';
comment on column payment_attempts.state is 'From the lifecycle in attempts/lifecycle.ts. "sent" is committed before the call: what is "prepared" was never sent.';
comment on column payment_attempts.target_processor_id is 'The processor''s object this operation acts on (capture, void, refund).';
comment on column payment_attempts.hold_transfer_id is 'The pending ledger transfer this operation made or resolves.';
comment on column payment_attempts.idempotency_key is 'Whose answer this outcome is; null for operations of our own.';
comment on column payment_attempts.reason is 'Why it is unknown or was voided, in a word.';
comment on column payment_attempts.next_check_at is 'When the resolver looks again; null when nobody needs to.';
create index payment_attempts_by_payment_intent on payment_attempts (account_id, livemode, payment_intent_id, id);
create index payment_attempts_to_check on payment_attempts (next_check_at) where next_check_at is not null;
comment on index payment_attempts_to_check is 'The resolver reads only what is due.';

do $$
declare
  name text;
begin
  foreach name in array array[
    'customers', 'payment_methods', 'payment_intents', 'charges', 'refunds', 'balance_transactions', 'payment_attempts'
  ] loop
    execute format('alter table %I enable row level security', name);
    execute format(
      'create policy tenant on %I to bursar_app using (account_id = current_setting(''bursar.account_id'')::uuid and livemode = current_setting(''bursar.livemode'')::boolean)',
      name
    );
    execute format('create policy system on %I to bursar_system using (true)', name);
    execute format('grant select, insert, update on %I to bursar_app, bursar_system', name);
    execute format('comment on column %I.account_id is ''Whose row it is.''', name);
    execute format('comment on column %I.livemode is ''In which of the account''''s modes.''', name);
    execute format('comment on column %I.id is ''uuid v7 made in the process; prefixed text outside.''', name);
    execute format('comment on column %I.created_at is ''The instant in the id.''', name);
  end loop;
  foreach name in array array['customers', 'payment_methods', 'payment_intents', 'charges', 'refunds', 'balance_transactions'] loop
    execute format('comment on column %I.version is ''Counts the changes of the row; the version of its events.''', name);
  end loop;
end;
$$;

-- How rows travel to payments_record(): composite types, because PostgreSQL reads an array of them in half the time of
-- jsonb. `item` names the request of the batch. A new column needs a new type and a new function beside these, so that
-- older code goes on meanwhile.
create type recorded_payment_method as (
  item integer, account_id uuid, livemode boolean, id uuid, customer_id uuid, type text, brand text, last4 text, exp_month integer,
  exp_year integer, fingerprint text, processor text, processor_token text, metadata jsonb, version bigint,
  created_at timestamptz
);
create type recorded_payment_intent as (
  item integer, account_id uuid, livemode boolean, id uuid, amount bigint, amount_capturable bigint, amount_received bigint,
  currency text, status text, capture_method text, off_session boolean, setup_future_usage text, customer_id uuid,
  payment_method_id uuid, latest_charge_id uuid, client_secret text, description text, statement_descriptor text,
  return_url text, next_action jsonb, last_payment_error jsonb, metadata jsonb, capture_before timestamptz,
  canceled_at timestamptz, cancellation_reason text, version bigint, created_at timestamptz
);
create type recorded_payment_attempt as (
  item integer, account_id uuid, livemode boolean, id uuid, payment_intent_id uuid, charge_id uuid, refund_id uuid, operation text,
  state text, amount bigint, currency text, processor text, target_processor_id text, processor_id text,
  hold_transfer_id uuid, idempotency_key text, request_id uuid, reason text, sent_at timestamptz,
  next_check_at timestamptz, checks integer, created_at timestamptz
);
create type recorded_attempt_change as (
  item integer, account_id uuid, livemode boolean, id uuid, state text, from_states text[], charge_id uuid, processor_id text,
  reason text, check_after interval, checks integer
);
create type recorded_charge as (
  item integer, account_id uuid, livemode boolean, id uuid, payment_intent_id uuid, amount bigint, amount_captured bigint,
  amount_refunded bigint, currency text, status text, captured boolean, disputed boolean, customer_id uuid,
  payment_method_id uuid, payment_method_details jsonb, balance_transaction_id uuid, failure_code text,
  failure_message text, decline_code text, description text, statement_descriptor text, processor text,
  processor_id text, hold_transfer_id uuid, version bigint, created_at timestamptz
);
create type recorded_balance_transaction as (
  item integer, account_id uuid, livemode boolean, id uuid, type text, amount bigint, fee bigint, net bigint, currency text,
  source_id uuid, status text, available_on timestamptz, version bigint, created_at timestamptz
);
create type recorded_event as (
  item integer, account_id uuid, livemode boolean, id uuid, type text, object_id uuid, object_version bigint, request_id uuid,
  body text, created_at timestamptz
);
