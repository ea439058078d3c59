-- Posts a batch of transfers. A refused transfer does not sink the others. Answers one row an element, in order:
--   posted   it is in the ledger now;
--   exists   it was there already, with this id and these fields: nothing was written;
--   else why it was refused (src/commerce/ledger/transfer.ts lists the words).
--
-- Every table is reached by a key, one row at a time: a cached plan that scans a table which was small when the plan was
-- made would be the end of a busy ledger. Hence the planner settings, and look-ups as subqueries that no plan can merge.
create or replace function ledger_post(batch ledger_posting[])
returns table (item integer, result text)
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
declare
  posted_items integer[];
begin
  if batch is null or cardinality(batch) = 0 then
    return;
  end if;
  perform ledger_check_batch(batch);

  -- Nearly every batch goes this way. Where it cannot, what it wrote is taken back and the batch is looked at with care.
  begin
    posted_items := ledger_post_at_once(batch, false);
    if posted_items is null and exists (select from unnest(batch) p where p.effective_at is not null) then
      perform ledger_keep_periods(batch);
      posted_items := ledger_post_at_once(batch, true);
    end if;
    if posted_items is not null then
      return query select unnest(posted_items), 'posted';
      return;
    end if;
  exception when unique_violation or check_violation or sqlstate 'LE001' then
    null;
  end;
  return query select careful.item, careful.result from ledger_post_with_care(batch, null, null) careful;
end;
$$;
comment on function ledger_post(ledger_posting[]) is 'Posts a batch, answers a word for each transfer; with ledger_adjust() the only way to write to the ledger.';

-- The same for adjustments made by hand, all of them for one reason by one author. They are few, so they take their time.
create or replace function ledger_adjust(batch ledger_posting[], reason text, author text)
returns table (item integer, result text)
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
begin
  if coalesce(reason, '') = '' or coalesce(author, '') = '' then
    raise exception 'an adjustment has a reason and an author' using errcode = 'not_null_violation';
  end if;
  perform ledger_check_batch(batch);
  return query select careful.item, careful.result from ledger_post_with_care(batch, reason, author) careful;
end;
$$;
comment on function ledger_adjust is 'Posts transfers that are made by hand, with their reason and author.';

-- Refuses a batch that is too large, or that is not for the books of the tenant who hands it over: the functions that
-- post see all accounts, so the wall that row-level security puts up for their callers stands here.
create or replace function ledger_check_batch(batch ledger_posting[]) returns void
language plpgsql
as $$
declare
  most_items constant integer := 10000;  -- beyond it a batch holds its locks for seconds
begin
  if cardinality(batch) > most_items then
    raise exception 'a batch holds at most % transfers, not %', most_items, cardinality(batch)
      using errcode = 'program_limit_exceeded';
  end if;
  if ledger_is_walled() then
    if exists (
      select
      from unnest(batch) p
      where p.account_id is distinct from current_setting('bursar.account_id')::uuid
        or p.livemode is distinct from current_setting('bursar.livemode')::boolean
    ) then
      raise exception 'a transfer names another account''s books' using errcode = 'insufficient_privilege';
    end if;
  end if;
end;
$$;
comment on function ledger_check_batch is 'Refuses a batch that is too large or for books that its caller does not see.';

-- Whether the caller of a security definer function sees one tenant only: neither the owner nor bursar_system.
create or replace function ledger_is_walled() returns boolean
language plpgsql stable
as $$
declare
  caller text := current_setting('role');
begin
  if caller = 'none' then
    caller := session_user;
  end if;
  return caller <> 'bursar_system' and caller <> current_user;
end;
$$;
comment on function ledger_is_walled is 'Whether the caller sees one tenant only; for functions that run as the owner.';

-- The same for callers that hold their batch as jsonb: an array of objects shaped like Transfer, with an `item` each.
create or replace function ledger_post(batch jsonb)
returns table (item integer, result text)
language sql
as $$
  select posted.item, posted.result
  from ledger_post((
    select array_agg(row(
      t.item, t.account_id, t.livemode, t.id, t.kind, t.debit ->> 'code', (t.debit ->> 'owner_id')::uuid,
      t.credit ->> 'code', (t.credit ->> 'owner_id')::uuid, t.amount, t.currency, t.pending_id, t.source_type,
      t.source_id, t.step, t.effective_at, t.expires_at, t.linked_id
    )::ledger_posting)
    from jsonb_to_recordset(batch) as t (
      item integer, account_id uuid, livemode boolean, id uuid, kind ledger_transfer_kind, debit jsonb, credit jsonb,
      amount numeric, currency text, pending_id uuid, source_type text, source_id uuid, step text,
      effective_at timestamptz, expires_at timestamptz, linked_id uuid
    )
  )) posted
$$;
comment on function ledger_post(jsonb) is 'ledger_post(ledger_posting[]) for a batch held as a jsonb array of objects.';

revoke execute on function ledger_post(ledger_posting[]) from public;
grant execute on function ledger_post(ledger_posting[]) to bursar_app, bursar_system;

revoke execute on function ledger_adjust from public;
grant execute on function ledger_adjust to bursar_app, bursar_system;
revoke execute on function ledger_check_batch from public;
revoke execute on function ledger_is_walled from public;
