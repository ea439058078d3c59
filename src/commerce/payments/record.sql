-- Records what many requests decided, in one transaction: the third step of gather, decide, record.
--
-- The batch is an object of arrays, one per kind of row; `item` says which request of the batch a row belongs to.
-- First the guards (a key already taken, another runner's epoch, an object that changed meanwhile): what they refuse
-- is left out whole, so one refused request never sinks the others. Then the writes, always in this order of tables
-- and the ledger's hot accounts last, so that two batches cannot wait for each other in a ring.
-- Answers a row for each request that was refused (outcome) or that asked for its payment method (method).
create or replace function payments_record(batch jsonb) returns table (item integer, outcome text, method jsonb)
  language plpgsql
  -- The plans are kept by the session, perhaps made while the tables were small: always go by the keys.
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
#variable_conflict use_column
declare
  asked integer[];
  held integer[];
  refused integer[] := '{}';
  refusals jsonb := '[]';
  wanting jsonb := '[]';
  trouble text;
begin
  if batch ? 'claims' then
    held := array(select idempotency_claim(batch -> 'claims'));
    asked := array(select (claim ->> 'item')::integer from jsonb_array_elements(batch -> 'claims') as claim);
    refused := array(select unnest(asked) except select unnest(held));
    refusals := refusals || payments_refusals(refused, 'key_taken');
    batch := payments_without(batch, refused);
  end if;

  if batch ? 'wants' then
    with wanted as (
      select want.item, want.customer_id,
        case
          when want.customer_id is not null and (customer.id is null or customer.deleted_at is not null) then 'customer_missing'
          when want.payment_method_id is null then null
          when method.id is null then 'payment_method_missing'
          when method.customer_id is distinct from want.customer_id and method.customer_id is not null then 'payment_method_of_another'
        end as outcome,
        case when want.payment_method_id is not null then to_jsonb(method) end as method
      from jsonb_to_recordset(batch -> 'wants') as want (
        item integer, account_id uuid, livemode boolean, customer_id uuid, payment_method_id uuid
      )
      left join customers as customer
        on (customer.account_id, customer.livemode, customer.id) = (want.account_id, want.livemode, want.customer_id)
      left join payment_methods as method
        on (method.account_id, method.livemode, method.id) = (want.account_id, want.livemode, want.payment_method_id)
    )
    select coalesce(jsonb_agg(to_jsonb(wanted)), '[]')
    into wanting
    from wanted;
    refused := array(select (want ->> 'item')::integer from jsonb_array_elements(wanting) as want where want ->> 'outcome' is not null);
    if refused <> '{}' then
      -- The claim of a request that asks for what is not there is taken back: it was refused before it began.
      perform idempotency_unclaim(claims)
      from (
        select jsonb_agg(claim) as claims
        from jsonb_array_elements(batch -> 'claims') as claim
        where (claim ->> 'item')::integer = any(refused)
      ) as taken
      where claims is not null;
      batch := payments_without(batch, refused);
    end if;
  end if;

  if batch ? 'fences' then
    held := array(select idempotency_hold(batch -> 'fences'));
    asked := array(select (fence ->> 'item')::integer from jsonb_array_elements(batch -> 'fences') as fence);
    refused := array(select unnest(asked) except select unnest(held));
    refusals := refusals || payments_refusals(refused, 'fenced');
    batch := payments_without(batch, refused);
  end if;

  if batch ? 'payment_intent_updates' then
    held := array(
      select change.item
      from payment_intents as intent
      join jsonb_to_recordset(batch -> 'payment_intent_updates') as change (
        item integer, account_id uuid, livemode boolean, id uuid, version bigint
      ) using (account_id, livemode, id)
      where intent.version = change.version - 1
      order by account_id, livemode, id
      for update of intent
    );
    asked := array(select (change ->> 'item')::integer from jsonb_array_elements(batch -> 'payment_intent_updates') as change);
    refused := array(select unnest(asked) except select unnest(held));
    refusals := refusals || payments_refusals(refused, 'stale');
    batch := payments_without(batch, refused);
  end if;

  if batch ? 'payment_attempt_updates' then
    held := array(
      select change.item
      from payment_attempts as attempt
      join jsonb_to_recordset(batch -> 'payment_attempt_updates') as change (
        item integer, account_id uuid, livemode boolean, id uuid, from_states jsonb
      ) using (account_id, livemode, id)
      where change.from_states ? attempt.state
      order by account_id, livemode, id
      for update of attempt
    );
    asked := array(select (change ->> 'item')::integer from jsonb_array_elements(batch -> 'payment_attempt_updates') as change);
    refused := array(select unnest(asked) except select unnest(held));
    refusals := refusals || payments_refusals(refused, 'stale');
    batch := payments_without(batch, refused);
  end if;

  if batch ? 'payment_methods' then
    insert into payment_methods (
      account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint,
      processor, processor_token, metadata, version, created_at
    )
    select
      account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint,
      processor, processor_token, metadata, version, created_at
    from jsonb_populate_recordset(null::payment_methods, batch -> 'payment_methods');
  end if;

  if batch ? 'payment_intents' then
    insert into payment_intents (
      account_id, livemode, id, amount, amount_capturable, amount_received, currency, status, capture_method, off_session,
      setup_future_usage, customer_id, payment_method_id, latest_charge_id, client_secret, description, statement_descriptor,
      return_url, next_action, last_payment_error, metadata, capture_before, canceled_at, cancellation_reason, version, created_at
    )
    select
      account_id, livemode, id, amount, amount_capturable, amount_received, currency, status, capture_method, off_session,
      setup_future_usage, customer_id, payment_method_id, latest_charge_id, client_secret, description, statement_descriptor,
      return_url, next_action, last_payment_error, metadata, capture_before, canceled_at, cancellation_reason, version, created_at
    from jsonb_populate_recordset(null::payment_intents, batch -> 'payment_intents');
  end if;

  if batch ? 'payment_intent_updates' then
    update payment_intents as intent
    set amount = change.amount,
        amount_capturable = change.amount_capturable,
        amount_received = change.amount_received,
        currency = change.currency,
        status = change.status,
        off_session = change.off_session,
        setup_future_usage = change.setup_future_usage,
        customer_id = change.customer_id,
        payment_method_id = change.payment_method_id,
        latest_charge_id = change.latest_charge_id,
        description = change.description,
        statement_descriptor = change.statement_descriptor,
        return_url = change.return_url,
        next_action = change.next_action,
        last_payment_error = change.last_payment_error,
        metadata = change.metadata,
        capture_before = change.capture_before,
        canceled_at = change.canceled_at,
        cancellation_reason = change.cancellation_reason,
        version = change.version
    from jsonb_populate_recordset(null::payment_intents, batch -> 'payment_intent_updates') as change
    where (intent.account_id, intent.livemode, intent.id) = (change.account_id, change.livemode, change.id);
  end if;

  if batch ? 'payment_attempts' then
    insert into payment_attempts (
      account_id, livemode, id, payment_intent_id, charge_id, refund_id, operation, state, amount, currency, processor,
      target_processor_id, processor_id, hold_transfer_id, idempotency_key, request_id, reason, sent_at, next_check_at,
      checks, created_at
    )
    select
      account_id, livemode, id, payment_intent_id, charge_id, refund_id, operation, state, amount, currency, processor,
      target_processor_id, processor_id, hold_transfer_id, idempotency_key, request_id, reason, sent_at, next_check_at,
      checks, created_at
    from jsonb_populate_recordset(null::payment_attempts, batch -> 'payment_attempts');
  end if;

  if batch ? 'payment_attempt_updates' then
    update payment_attempts as attempt
    set state = change.state,
        charge_id = change.charge_id,
        processor_id = change.processor_id,
        reason = change.reason,
        -- Sent and due by the database's clock: it alone says when a silence has lasted long enough.
        sent_at = case when change.state = 'sent' then now() else attempt.sent_at end,
        next_check_at = now() + change.check_after,
        checks = change.checks
    from jsonb_to_recordset(batch -> 'payment_attempt_updates') as change (
      account_id uuid, livemode boolean, id uuid, state text, charge_id uuid, processor_id text, reason text,
      check_after interval, checks integer
    )
    where (attempt.account_id, attempt.livemode, attempt.id) = (change.account_id, change.livemode, change.id);
  end if;

  if batch ? 'charges' then
    insert into charges (
      account_id, livemode, id, payment_intent_id, amount, amount_captured, amount_refunded, currency, status, captured,
      disputed, customer_id, payment_method_id, payment_method_details, balance_transaction_id, failure_code,
      failure_message, decline_code, description, statement_descriptor, processor, processor_id, hold_transfer_id,
      version, created_at
    )
    select
      account_id, livemode, id, payment_intent_id, amount, amount_captured, amount_refunded, currency, status, captured,
      disputed, customer_id, payment_method_id, payment_method_details, balance_transaction_id, failure_code,
      failure_message, decline_code, description, statement_descriptor, processor, processor_id, hold_transfer_id,
      version, created_at
    from jsonb_populate_recordset(null::charges, batch -> 'charges');
  end if;

  if batch ? 'charge_updates' then
    update charges as charge
    set amount_captured = change.amount_captured,
        amount_refunded = change.amount_refunded,
        captured = change.captured,
        disputed = change.disputed,
        balance_transaction_id = change.balance_transaction_id,
        version = change.version
    from jsonb_populate_recordset(null::charges, batch -> 'charge_updates') as change
    where (charge.account_id, charge.livemode, charge.id) = (change.account_id, change.livemode, change.id);
  end if;

  if batch ? 'refunds' then
    insert into refunds (
      account_id, livemode, id, charge_id, payment_intent_id, amount, currency, status, reason, failure_reason,
      balance_transaction_id, processor_id, metadata, version, created_at
    )
    select
      account_id, livemode, id, charge_id, payment_intent_id, amount, currency, status, reason, failure_reason,
      balance_transaction_id, processor_id, metadata, version, created_at
    from jsonb_populate_recordset(null::refunds, batch -> 'refunds');
  end if;

  if batch ? 'refund_updates' then
    update refunds as refund
    set status = change.status,
        failure_reason = change.failure_reason,
        balance_transaction_id = change.balance_transaction_id,
        processor_id = change.processor_id,
        metadata = change.metadata,
        version = change.version
    from jsonb_populate_recordset(null::refunds, batch -> 'refund_updates') as change
    where (refund.account_id, refund.livemode, refund.id) = (change.account_id, change.livemode, change.id);
  end if;

  if batch ? 'balance_transactions' then
    insert into balance_transactions (
      account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on, version, created_at
    )
    select
      account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on, version, created_at
    from jsonb_populate_recordset(null::balance_transactions, batch -> 'balance_transactions');
  end if;

  if batch ? 'events' then
    perform events_append(batch -> 'events');
  end if;

  if batch ? 'answers' then
    perform idempotency_finish(batch -> 'answers');
  end if;

  if batch ? 'transfers' then
    -- What is posted here was decided from rows that are locked now: a refusal is a broken assumption, not an outcome.
    select result into trouble from ledger_post(batch -> 'transfers') as posted (item, result) where result not in ('posted', 'exists') limit 1;
    if trouble is not null then
      raise exception 'the ledger refused a transfer: %', trouble;
    end if;
  end if;

  return query
    select refusal.item, refusal.outcome, null::jsonb
    from jsonb_to_recordset(refusals) as refusal (item integer, outcome text)
    union all
    select want.item, want.outcome, want.method
    from jsonb_to_recordset(wanting) as want (item integer, outcome text, method jsonb);
end;
$$;

create or replace function payments_refusals(items integer[], outcome text) returns jsonb
  language sql immutable
as $$
  select coalesce(jsonb_agg(jsonb_build_object('item', item, 'outcome', outcome)), '[]') from unnest(items) as item
$$;

-- The batch without the rows of some of its requests; a kind of row that nobody is left for goes too.
create or replace function payments_without(batch jsonb, items integer[]) returns jsonb
  language sql immutable
as $$
  select case
    when items = '{}' then batch
    else (
      select coalesce(jsonb_object_agg(kind, kept) filter (where kept is not null), '{}')
      from jsonb_each(batch) as section (kind, elements)
      cross join lateral (
        select jsonb_agg(element) as kept
        from jsonb_array_elements(elements) as element
        where (element ->> 'item')::integer <> all(items)
      ) as filtered
    )
  end
$$;
