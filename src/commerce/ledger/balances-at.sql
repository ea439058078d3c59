-- What ledger accounts held at past instants, on two axes: `at`, when transfers count (effective_at), and `as_recorded_at`,
-- when they were written (recorded_at). Null is no bound. The bounds include their instants.
--
-- Nearly every transfer counts from when it is written, so the sum of what was recorded up to the earlier of the two bounds
-- is nearly the answer. Each account's entries are recorded in the order of their sequences but for those of transactions
-- that began earlier and posted later; a checkpoint knows by how much at most (late_by). So beyond the checkpoints on
-- either side of the instant only those entries are read that came after the newest checkpoint. What counts at another
-- time than it was written is then added and taken off, from two small indexes.
--
-- Runs under its caller's rights. The planner settings are those of ledger_post(), for the same reason.
create or replace function ledger_balances_at(
  of_account_id uuid,
  of_livemode boolean,
  ids uuid[],
  at timestamptz,
  as_recorded_at timestamptz
)
returns table (id uuid, debits_posted bigint, credits_posted bigint)
language plpgsql
stable
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_material = off
set enable_memoize = off
set enable_bitmapscan = off
set plan_cache_mode = force_generic_plan
as $$
#variable_conflict use_column
declare
  instant timestamptz := least(at, as_recorded_at);
begin
  if instant is null then
    return query
    select a.id, a.debits_posted, a.credits_posted
    from ledger_accounts a
    where a.account_id = of_account_id and a.livemode = of_livemode and a.id = any (ids);
    return;
  end if;

  return query
  select wanted.id,
    (coalesce(before.debits_posted, 0) + near.debits + newer.debits + elsewhere.debits)::bigint,
    (coalesce(before.credits_posted, 0) + near.credits + newer.credits + elsewhere.credits)::bigint
  from unnest(ids) wanted (id)
  -- Everything up to there was recorded by the instant.
  left join lateral (
    select c.sequence, c.debits_posted, c.credits_posted
    from ledger_checkpoints c
    where c.account_id = of_account_id and c.livemode = of_livemode and c.ledger_account_id = wanted.id
      and c.recorded_until <= instant
    order by c.recorded_until desc, c.sequence desc
    limit 1
  ) before on true
  left join lateral (
    select c.sequence, c.late_by
    from ledger_checkpoints c
    where c.account_id = of_account_id and c.livemode = of_livemode and c.ledger_account_id = wanted.id
    order by c.sequence desc
    limit 1
  ) newest on true
  -- Nothing between there and the newest checkpoint was.
  left join lateral (
    select c.sequence
    from ledger_checkpoints c
    where c.account_id = of_account_id and c.livemode = of_livemode and c.ledger_account_id = wanted.id
      and c.recorded_until > instant + newest.late_by * interval '1 microsecond'
    order by c.recorded_until, c.sequence
    limit 1
  ) after on true
  cross join lateral (
    select coalesce(sum(e.amount) filter (where e.side = 'debit'), 0) as debits,
      coalesce(sum(e.amount) filter (where e.side = 'credit'), 0) as credits
    from ledger_entries e
    join ledger_transfers t on t.account_id = e.account_id and t.livemode = e.livemode and t.id = e.transfer_id
    where e.account_id = of_account_id and e.livemode = of_livemode and e.ledger_account_id = wanted.id
      and e.sequence > coalesce(before.sequence, 0)
      and e.sequence <= coalesce(after.sequence, newest.sequence, 0)
      and t.recorded_at <= instant
  ) near
  cross join lateral (
    select coalesce(sum(e.amount) filter (where e.side = 'debit'), 0) as debits,
      coalesce(sum(e.amount) filter (where e.side = 'credit'), 0) as credits
    from ledger_entries e
    join ledger_transfers t on t.account_id = e.account_id and t.livemode = e.livemode and t.id = e.transfer_id
    where e.account_id = of_account_id and e.livemode = of_livemode and e.ledger_account_id = wanted.id
      and e.sequence > coalesce(newest.sequence, 0)
      and t.recorded_at <= instant
  ) newer
  cross join lateral (
    select coalesce(sum(moved.amount) filter (where moved.is_debit), 0) as debits,
      coalesce(sum(moved.amount) filter (where not moved.is_debit), 0) as credits
    from (
      -- Recorded by the instant, and does not count yet.
      select -t.amount as amount, true as is_debit
      from ledger_transfers t
      where t.account_id = of_account_id and t.livemode = of_livemode and t.debit_account_id = wanted.id
        and t.effective_at <> t.recorded_at and t.debit_sequence is not null
        and t.effective_at > at and t.recorded_at <= instant
      union all
      select -t.amount, false
      from ledger_transfers t
      where t.account_id = of_account_id and t.livemode = of_livemode and t.credit_account_id = wanted.id
        and t.effective_at <> t.recorded_at and t.credit_sequence is not null
        and t.effective_at > at and t.recorded_at <= instant
      union all
      -- Recorded later, and counts from before.
      select t.amount, true
      from ledger_transfers t
      where t.account_id = of_account_id and t.livemode = of_livemode and t.debit_account_id = wanted.id
        and t.effective_at <> t.recorded_at and t.debit_sequence is not null
        and t.effective_at <= at and t.recorded_at > instant and t.recorded_at <= coalesce(as_recorded_at, 'infinity')
      union all
      select t.amount, false
      from ledger_transfers t
      where t.account_id = of_account_id and t.livemode = of_livemode and t.credit_account_id = wanted.id
        and t.effective_at <> t.recorded_at and t.credit_sequence is not null
        and t.effective_at <= at and t.recorded_at > instant and t.recorded_at <= coalesce(as_recorded_at, 'infinity')
    ) moved
  ) elsewhere;
end;
$$;
comment on function ledger_balances_at is 'Posted totals of ledger accounts at a past instant, by when transfers count and by when they were written.';
