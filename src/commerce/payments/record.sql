-- Records what many requests decided, in one transaction: the third step of gather, decide, record.
--
-- `item` says which request of the batch a row belongs to. The rows that every payment has come as arrays of composite
-- types, which PostgreSQL reads in half the time of jsonb; the rest, which is rare or small, as an object of arrays.
-- First what can refuse a request (a key already taken, another runner's epoch, an object that changed meanwhile): it is
-- left out whole, so one refused request never sinks the others. A refusal that comes after something of the request was
-- written raises BU001 instead; the group is then halved until the request stands alone (#db, group commit). Tables are
-- written in this order always, the ledger's hot accounts last, so that two batches cannot wait for each other in a ring.
-- Answers a row for each request that was refused (outcome) or that asked for its payment method (method).
create or replace function payments_record(
  batch jsonb,
  methods recorded_payment_method[],
  intents recorded_payment_intent[],
  intent_changes recorded_payment_intent[],
  attempts recorded_payment_attempt[],
  attempt_changes recorded_attempt_change[],
  new_charges recorded_charge[],
  balances recorded_balance_transaction[],
  new_events recorded_event[],
  postings ledger_posting[]
) returns table (item integer, outcome text, method jsonb)
  language plpgsql
  -- The plans are kept by the session, perhaps made while the tables were small: always go by the keys.
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  -- Rows of one request are held for milliseconds; who meets one held longer is taken out of the group (record.ts), and
  -- while the group finds out who it is, it waits this long once for every halving.
  set lock_timeout = '250ms'
as $$
#variable_conflict use_column
declare
  held integer[];
  -- Requests whose answer is stored, whose intent is written: refusing those now takes an exception.
  finished integer[] := '{}';
  written integer[] := '{}';
  refused integer[];
  -- All that were refused so far.
  gone integer[] := '{}';
  refusals jsonb := '[]';
  wanting jsonb := '[]';
  trouble text;
begin
  if batch ? 'claims' then
    held := array(select idempotency_claim(batch -> 'claims'));
    if cardinality(held) < jsonb_array_length(batch -> 'claims') then
      refused := payments_lost(batch -> 'claims', held);
      refusals := refusals || payments_refusals(refused, 'key_taken');
      gone := gone || refused;
      batch := payments_without(batch, refused);
    end if;
  end if;

  if batch ? 'wants' then
    with wanted as (
      select want.item, want.customer_id,
        case
          when want.customer_id is not null and (customer.id is null or customer.deleted_at is not null) then 'customer_missing'
          when want.payment_method_id is null then null
          when method.id is null then 'payment_method_missing'
          when method.detached_at is not null then 'payment_method_detached'
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
      gone := gone || refused;
      batch := payments_without(batch, refused);
    end if;
  end if;

  -- A runner that was replaced writes nothing. One that stores its answer is held to it by the answer's own epoch.
  if batch ? 'fences' then
    held := array(select idempotency_hold(batch -> 'fences'));
    if cardinality(held) < jsonb_array_length(batch -> 'fences') then
      refused := payments_lost(batch -> 'fences', held);
      refusals := refusals || payments_refusals(refused, 'fenced');
      gone := gone || refused;
      batch := payments_without(batch, refused);
    end if;
  end if;

  if batch ? 'answers' then
    finished := array(select idempotency_finish(batch -> 'answers'));
    -- Without an epoch the answer is stored if it is still missing; that it is there already refuses nothing.
    if cardinality(finished) < jsonb_array_length(batch -> 'answers') then
      refused := payments_lost(jsonb_path_query_array(batch -> 'answers', '$[*] ? (@.epoch != null)'), finished);
      refusals := refusals || payments_refusals(refused, 'fenced');
      gone := gone || refused;
      batch := payments_without(batch, refused);
    end if;
  end if;

  if intent_changes <> '{}' then
    with changed as (
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
      from unnest(intent_changes) as change
      where (intent.account_id, intent.livemode, intent.id) = (change.account_id, change.livemode, change.id)
        and intent.version = change.version - 1
        and change.item <> all(gone)
      returning change.item
    )
    select coalesce(array_agg(changed.item), '{}') into held from changed;
    if cardinality(held) < cardinality(intent_changes) then
      refused := payments_missing(
        array(select change.item from unnest(intent_changes) as change where change.item <> all(gone)),
        held
      );
      if refused && finished then
        raise exception 'a payment intent changed since it was read' using errcode = 'BU001';
      end if;
      refusals := refusals || payments_refusals(refused, 'stale');
      gone := gone || refused;
      batch := payments_without(batch, refused);
    end if;
    written := held;
  end if;

  if attempt_changes <> '{}' then
    with changed as (
      update payment_attempts as attempt
      set state = change.state,
          charge_id = change.charge_id,
          processor_id = change.processor_id,
          reason = change.reason,
          -- Sent and due by the database's clock: it alone says when a silence has lasted long enough.
          sent_at = case when change.state = 'sent' then now() else attempt.sent_at end,
          next_check_at = now() + change.check_after,
          checks = change.checks
      from unnest(attempt_changes) as change
      where (attempt.account_id, attempt.livemode, attempt.id) = (change.account_id, change.livemode, change.id)
        and attempt.state = any(change.from_states)
        and change.item <> all(gone)
      returning change.item
    )
    select coalesce(array_agg(changed.item), '{}') into held from changed;
    if cardinality(held) < cardinality(attempt_changes) then
      refused := payments_missing(
        array(select change.item from unnest(attempt_changes) as change where change.item <> all(gone)),
        held
      );
      if refused && (finished || written) then
        raise exception 'a payment attempt changed since it was read' using errcode = 'BU001';
      end if;
      refusals := refusals || payments_refusals(refused, 'stale');
      gone := gone || refused;
      batch := payments_without(batch, refused);
    end if;
  end if;

  if methods <> '{}' then
    insert into payment_methods (
      account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint,
      processor, processor_token, metadata, version, created_at
    )
    select
      account_id, livemode, id, customer_id, type, brand, last4, exp_month, exp_year, fingerprint,
      processor, processor_token, metadata, version, created_at
    from unnest(methods) as new_row
    where new_row.item <> all(gone);
  end if;

  if intents <> '{}' then
    insert into payment_intents (
      account_id, livemode, id, amount, amount_capturable, amount_received, currency, status, capture_method, off_session,
      setup_future_usage, customer_id, payment_method_id, latest_charge_id, client_secret, description, statement_descriptor,
      return_url, next_action, last_payment_error, metadata, capture_before, canceled_at, cancellation_reason, version, created_at
    )
    select
      account_id, livemode, id, amount, amount_capturable, amount_received, currency, status, capture_method, off_session,
      setup_future_usage, customer_id, payment_method_id, latest_charge_id, client_secret, description, statement_descriptor,
      return_url, next_action, last_payment_error, metadata, capture_before, canceled_at, cancellation_reason, version, created_at
    from unnest(intents) as new_row
    where new_row.item <> all(gone);
  end if;

  if attempts <> '{}' then
    insert into payment_attempts (
      account_id, livemode, id, payment_intent_id, charge_id, refund_id, operation, state, amount, currency, processor,
      target_processor_id, processor_id, hold_transfer_id, idempotency_key, request_id, reason, sent_at, next_check_at,
      checks, created_at
    )
    select
      account_id, livemode, id, payment_intent_id, charge_id, refund_id, operation, state, amount, currency, processor,
      target_processor_id, processor_id, hold_transfer_id, idempotency_key, request_id, reason, sent_at, next_check_at,
      checks, created_at
    from unnest(attempts) as new_row
    where new_row.item <> all(gone);
  end if;

  if new_charges <> '{}' then
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
    from unnest(new_charges) as new_row
    where new_row.item <> all(gone);
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
        failure_balance_transaction_id = change.failure_balance_transaction_id,
        processor_id = change.processor_id,
        metadata = change.metadata,
        version = change.version
    from jsonb_populate_recordset(null::refunds, batch -> 'refund_updates') as change
    where (refund.account_id, refund.livemode, refund.id) = (change.account_id, change.livemode, change.id);
  end if;

  if balances <> '{}' then
    insert into balance_transactions (
      account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on, version, created_at
    )
    select
      account_id, livemode, id, type, amount, fee, net, currency, source_id, status, available_on, version, created_at
    from unnest(balances) as new_row
    where new_row.item <> all(gone);
  end if;

  if new_events <> '{}' then
    if gone <> '{}' then
      new_events := array(select new_row from unnest(new_events) as new_row where new_row.item <> all(gone));
    end if;
    perform events_append(new_events);
  end if;

  -- The ledger's busy accounts are another matter: everybody waits for them, a commit at a time.
  perform set_config('lock_timeout', '5s', true);
  if postings <> '{}' then
    if gone <> '{}' then
      postings := array(select posting from unnest(postings) as posting where posting.item <> all(gone));
    end if;
    -- What is posted here was decided from rows that are locked now: a refusal is a broken assumption, not an outcome.
    select result into trouble from ledger_post(postings) as posted (item, result) where result not in ('posted', 'exists') limit 1;
    if trouble is not null then
      raise exception 'the ledger refused a transfer: %', trouble;
    end if;
  end if;

  if refusals = '[]' and wanting = '[]' then
    return;
  end if;
  return query
    select refusal.item, refusal.outcome, null::jsonb
    from jsonb_to_recordset(refusals) as refusal (item integer, outcome text)
    union all
    select want.item, want.outcome, want.method
    from jsonb_to_recordset(wanting) as want (item integer, outcome text, method jsonb);
end;
$$;

-- The requests that stand more often among `asked` than among `held`: one may ask for two rows (a void and what it
-- voids) and goes in with both or not at all.
create or replace function payments_missing(asked integer[], held integer[]) returns integer[]
  language plpgsql immutable
as $$
begin
  if cardinality(asked) = cardinality(held) then
    return '{}';
  end if;
  return array(select distinct item from (select unnest(asked) except all select unnest(held)) as missing (item));
end;
$$;

create or replace function payments_lost(asked jsonb, held integer[]) returns integer[]
  language plpgsql immutable
as $$
begin
  return payments_missing(
    array(select (element ->> 'item')::integer from jsonb_array_elements(asked) as element),
    held
  );
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
