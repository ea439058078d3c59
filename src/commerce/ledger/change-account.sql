-- What may be done to an account by hand: its limits, closing, reopening. The account is locked first, as posting locks it,
-- so what is decided here is still true when it is written, and every later posting meets it. Answers a word:
--   done         it is so now, and the act is written down;
--   missing      the tenant has no such account;
--   is_operated  Bursar posts to it by itself, after money has moved: refusing that would leave the money unrecorded;
--   already      it is so already: nothing was written;
--   is_violated  what is on the account would break the limit;
--   both_limits  with both limits nothing could ever be posted;
--   is_closed    a closed account has no limits to set: reopen it first;
--   has_pendings an account is closed when nothing is reserved on it;
--   has_balance  an account is closed at zero: what is left is moved elsewhere first, so that it is not lost from sight.
create or replace function ledger_change_account(
  of_account_id uuid,
  of_livemode boolean,
  of_ledger_account_id uuid,
  act_id uuid,
  act_at timestamptz,
  act_kind text,
  debits_limited boolean,
  credits_limited boolean,
  act_reason text,
  act_author text
) returns text
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
as $$
declare
  found_account ledger_accounts;
  word text;
begin
  if ledger_is_walled() and (
    of_account_id is distinct from current_setting('bursar.account_id')::uuid
    or of_livemode is distinct from current_setting('bursar.livemode')::boolean
  ) then
    raise exception 'the account is in another account''s books' using errcode = 'insufficient_privilege';
  end if;
  select a.closed_at, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted,
    a.debits_must_not_exceed_credits, a.credits_must_not_exceed_debits
  into found_account.closed_at, found_account.debits_pending, found_account.debits_posted, found_account.credits_pending,
    found_account.credits_posted, found_account.debits_must_not_exceed_credits, found_account.credits_must_not_exceed_debits
  from ledger_accounts a
  where a.account_id = of_account_id and a.livemode = of_livemode and a.id = of_ledger_account_id
  for no key update;
  if not found then
    return 'missing';
  end if;

  if exists (
    select
    from ledger_accounts a
    join ledger_chart chart on chart.code = a.code and chart.is_operated
    where a.account_id = of_account_id and a.livemode = of_livemode and a.id = of_ledger_account_id
  ) then
    return 'is_operated';
  end if;

  debits_limited := coalesce(debits_limited, found_account.debits_must_not_exceed_credits);
  credits_limited := coalesce(credits_limited, found_account.credits_must_not_exceed_debits);
  word := case act_kind
    when 'set_limits' then case
      when found_account.closed_at is not null then 'is_closed'
      when debits_limited and credits_limited then 'both_limits'
      when debits_limited = found_account.debits_must_not_exceed_credits
        and credits_limited = found_account.credits_must_not_exceed_debits then 'already'
      when debits_limited
        and found_account.debits_pending::numeric + found_account.debits_posted > found_account.credits_posted then 'is_violated'
      when credits_limited
        and found_account.credits_pending::numeric + found_account.credits_posted > found_account.debits_posted then 'is_violated'
    end
    when 'close_account' then case
      when found_account.closed_at is not null then 'already'
      when found_account.debits_pending > 0 or found_account.credits_pending > 0 then 'has_pendings'
      when found_account.debits_posted <> found_account.credits_posted then 'has_balance'
    end
    when 'reopen_account' then case when found_account.closed_at is null then 'already' end
  end;
  if word is not null then
    return word;
  end if;

  update ledger_accounts a
  set debits_must_not_exceed_credits = debits_limited,
    credits_must_not_exceed_debits = credits_limited,
    closed_at = case act_kind when 'close_account' then now() when 'reopen_account' then null else a.closed_at end,
    version = a.version + 1
  where a.account_id = of_account_id and a.livemode = of_livemode and a.id = of_ledger_account_id;
  insert into ledger_acts (
    account_id, livemode, id, kind, ledger_account_id, debits_must_not_exceed_credits, credits_must_not_exceed_debits,
    reason, author, created_at
  )
  values (
    of_account_id, of_livemode, act_id, act_kind, of_ledger_account_id,
    case when act_kind = 'set_limits' then debits_limited end, case when act_kind = 'set_limits' then credits_limited end,
    act_reason, act_author, act_at
  );
  return 'done';
end;
$$;
comment on function ledger_change_account is 'Sets limits, closes or reopens an account, when what is on it allows it; the act is written down.';
revoke execute on function ledger_change_account from public;
grant execute on function ledger_change_account to bursar_app, bursar_system;
