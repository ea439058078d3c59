-- Closed periods. Everything effective before an instant is closed: nothing is posted there any more, so the trial balance
-- of that instant stays as it is, for ever. Two rules make that true while others post:
--
-- 1. Whoever posts a transfer that says when it is effective holds the tenant's periods (an advisory lock, shared) until
--    it has committed; whoever closes takes the lock for itself. So a posting that found its period open is in the books
--    when the period closes, and one that comes later finds it closed.
-- 2. A transfer that does not say is effective at the beginning of its transaction. A period is only closed when it ended
--    a while ago and no transaction is under way that began in it. So such a posting need not look at the periods at all,
--    and payments pay nothing for them.

-- The lock of a tenant's periods; its first half is a number nobody else uses.
create or replace function ledger_keep_periods(batch ledger_posting[]) returns void
language plpgsql
as $$
begin
  perform pg_advisory_xact_lock_shared(4242007, tenant.key)
  from (
    select distinct hashtext(p.account_id::text || p.livemode::text) as key
    from unnest(batch) p
    where p.effective_at is not null
    order by 1
  ) tenant;
end;
$$;
comment on function ledger_keep_periods is 'Keeps the periods into which a batch posts as they are until the transaction ends.';
revoke execute on function ledger_keep_periods from public;

-- Whether another transaction of this database that is still under way began before an instant.
create or replace function ledger_is_begun_before(instant timestamptz) returns boolean
language sql stable
as $$
  select exists (
    select
    from pg_stat_activity other
    where other.datname = current_database() and other.backend_type = 'client backend'
      and other.pid <> pg_backend_pid() and other.xact_start < instant
  )
$$;
comment on function ledger_is_begun_before is 'Whether another transaction that is still under way began before an instant.';
revoke execute on function ledger_is_begun_before from public;

-- Closes or reopens; answers the instant before which everything was closed until now, and a word:
--   done               it is so now, and the act is written down;
--   not_later          a period is closed only further on than it is: reopen it to go back;
--   not_earlier        it is reopened only to an earlier instant than it is closed to;
--   too_recent         the period ended less than a minute ago, or has not ended;
--   transactions_open  a transaction that began within the period is still under way.
create or replace function ledger_move_period(
  of_account_id uuid,
  of_livemode boolean,
  act_id uuid,
  act_at timestamptz,
  act_kind text,
  new_closed_before timestamptz,
  act_reason text,
  act_author text,
  out word text,
  out was_closed_before timestamptz
)
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
  -- A clock that is put right by less than this does not post into a closed period.
  margin constant interval := '1 minute';
  last_number bigint;
begin
  if ledger_is_walled() and (
    of_account_id is distinct from current_setting('bursar.account_id')::uuid
    or of_livemode is distinct from current_setting('bursar.livemode')::boolean
  ) then
    raise exception 'the period is of another account''s books' using errcode = 'insufficient_privilege';
  end if;
  perform pg_advisory_xact_lock(4242007, hashtext(of_account_id::text || of_livemode::text));

  select act.period_number, act.closed_before
  into last_number, was_closed_before
  from ledger_acts act
  where act.account_id = of_account_id and act.livemode = of_livemode and act.period_number is not null
  order by act.period_number desc
  limit 1;

  word := case
    when act_kind = 'close_period' and new_closed_before <= was_closed_before then 'not_later'
    when act_kind = 'close_period' and new_closed_before > clock_timestamp() - margin then 'too_recent'
    when act_kind = 'close_period' and ledger_is_begun_before(new_closed_before) then 'transactions_open'
    when act_kind = 'reopen_period' and (was_closed_before is null or new_closed_before >= was_closed_before) then 'not_earlier'
    else 'done'
  end;
  if word = 'done' then
    insert into ledger_acts (
      account_id, livemode, id, kind, period_number, closed_before, reason, author, created_at
    )
    values (
      of_account_id, of_livemode, act_id, act_kind, coalesce(last_number, 0) + 1, new_closed_before, act_reason, act_author,
      act_at
    );
  end if;
end;
$$;
comment on function ledger_move_period is 'Closes everything effective before an instant, or reopens it, under the lock of the tenant''s periods.';
revoke execute on function ledger_move_period from public;
grant execute on function ledger_move_period to bursar_app, bursar_system;
