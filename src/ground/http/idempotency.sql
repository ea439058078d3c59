-- The three questions a writer asks about its key, for one request or for hundreds at once (group commit). Written in
-- PL/pgSQL because its plans are kept by the session; a function in SQL is planned again at every call before
-- PostgreSQL 18. Hash and merge joins and whole-table reads are switched off inside: a plan made while the table was
-- small would otherwise be kept after it has grown.

-- How long a runner may be silent. Longer than a call to a processor and the look-up after it (10 s and 5 s) with the
-- commits around them, so a healthy runner is never replaced; and short enough that what a crash interrupted is taken
-- over, looked up and finished within 30 s of the restart: the lease, the completer's second, and calls that answer.
create or replace function idempotency_lease() returns interval
  language sql immutable parallel safe
  return interval '20 seconds';

-- Claims keys; answers the items whose key is theirs now. A twin in another transaction is waited for: the unique index
-- decides, so two claims of one key never both succeed. The wait is short, because a group of requests waits with the one
-- that meets its twin (once for every halving); the runner tries again until the two seconds that a caller is promised.
-- With status and body the key is finished at once. Rows go in in key order, so that groups do not deadlock.
create or replace function idempotency_claim(claims jsonb) returns setof integer
  language plpgsql
  set lock_timeout = '500ms'
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  return query
  with claim as (
    select
      item, account_id, livemode, key, request_id, route, path, fingerprint, params, subject_id, recovery_point, status,
      body
    from jsonb_to_recordset(claims) as element (
      item integer, account_id uuid, livemode boolean, key text, request_id uuid, route text, path text,
      fingerprint text, params text, subject_id uuid, recovery_point text, status smallint, body text
    )
  ), inserted as (
    insert into idempotency_keys as taken (
      account_id, livemode, key, request_id, route, path, fingerprint, params, subject_id, recovery_point,
      lease_until, status, body, finished_at
    )
    select
      claim.account_id, claim.livemode, claim.key, claim.request_id, claim.route, claim.path, claim.fingerprint,
      claim.params, claim.subject_id, claim.recovery_point,
      case when claim.status is null then now() + idempotency_lease() end,
      claim.status, claim.body,
      case when claim.status is not null then now() end
    from claim
    order by claim.account_id, claim.livemode, claim.key collate "C", claim.item
    on conflict (account_id, livemode, key) do nothing
    returning taken.request_id
  )
  select claim.item
  from claim
  join inserted on inserted.request_id = claim.request_id;
end;
$$;

-- Locks the rows of keys until the commit; answers the items whose runner still owns an unfinished key. Renews nothing.
create or replace function idempotency_hold(fences jsonb) returns setof integer
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  return query
  with held as (
    select fence.item
    from jsonb_to_recordset(fences) as fence (item integer, account_id uuid, livemode boolean, key text, epoch integer)
    join idempotency_keys owned
      on owned.account_id = fence.account_id
      and owned.livemode = fence.livemode
      and owned.key = fence.key collate "C"
    where owned.epoch = fence.epoch
      and owned.finished_at is null
    order by owned.account_id, owned.livemode, owned.key
    for update of owned
  )
  select held.item from held;
end;
$$;

-- Stores answers; answers the items that were finished by it. A null epoch finishes for whoever owns the key (a
-- processor's webhook that brings the outcome). Rows are locked in key order first.
create or replace function idempotency_finish(answers jsonb) returns setof integer
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
as $$
begin
  return query
  with held as (
    select answer.item, answer.status, answer.body, owned.account_id, owned.livemode, owned.key
    from jsonb_to_recordset(answers) as answer (
      item integer, account_id uuid, livemode boolean, key text, epoch integer, status smallint, body text
    )
    join idempotency_keys owned
      on owned.account_id = answer.account_id
      and owned.livemode = answer.livemode
      and owned.key = answer.key collate "C"
    where (answer.epoch is null or owned.epoch = answer.epoch)
      and owned.finished_at is null
    order by owned.account_id, owned.livemode, owned.key
    for update of owned
  )
  update idempotency_keys finished
  set
    status = held.status,
    body = held.body,
    finished_at = now(),
    lease_until = null
  from held
  where finished.account_id = held.account_id
    and finished.livemode = held.livemode
    and finished.key = held.key
  returning held.item;
end;
$$;

-- Opens a later phase: checks the runner, locks its key until the commit and renews its lease. Answers false when
-- another runner took over.
create or replace function idempotency_enter(
  of_account_id uuid, of_livemode boolean, of_key text, as_epoch integer, at_point text
) returns boolean
  language plpgsql
  set enable_seqscan = off
as $$
begin
  update idempotency_keys
  set
    recovery_point = at_point,
    lease_until = now() + idempotency_lease()
  where account_id = of_account_id
    and livemode = of_livemode
    and key = of_key collate "C"
    and epoch = as_epoch
    and finished_at is null;
  return found;
end;
$$;
