-- The part of ledger_post() for the batch that is nearly every batch: each transfer is a post, a pending or a resolution
-- of an earlier batch's pending, in a whole amount; accounts exist and have no limit; nothing was posted before, nothing
-- expires, and no groups are asked for. Then no transfer depends on another, and one statement does all: it looks names up, nets the
-- amounts into one ordered update an account, and writes transfers and entries numbered on from what the update found.
-- One statement, because starting one costs more than posting ten transfers with it.
--
-- Answers the items, all of them posted; null when the batch is not of that kind, and nothing was written. What shows
-- itself only while writing raises, and the caller takes it back: unique_violation (an id, source or pending was used
-- before or twice), check_violation (a pending total would be negative: resolved before), LE001 (an account got a limit
-- or was closed since it was looked up, or is near the end of bigint).
--
-- With `may_be_dated` transfers may say when they are effective; the caller then keeps periods from being closed meanwhile.
-- What is effective as of now needs no look at the periods (close-period.sql).
--
-- Runs under the planner settings and search_path of ledger_post().

-- sum(bigint) is numeric; these sums stay within bigint by the limits on amounts below.
create or replace aggregate ledger_sum(bigint) (sfunc = int8pl, stype = bigint, initcond = '0');
comment on aggregate ledger_sum(bigint) is 'sum() that stays bigint and is zero of nothing.';
revoke execute on function ledger_sum(bigint) from public;

-- A plan made while the table was small may read all accounts and, for each, these sums again: with ten thousand accounts
-- that takes half a minute, until the next analyze. The planner believes the sums to cost this function's million each,
-- so it computes them once and looks each account up by its key. It is never called.
create or replace function ledger_never() returns boolean
language plpgsql volatile parallel safe cost 1000000
as $$
begin
  raise exception 'ledger_never() is for the planner alone';
end;
$$;
comment on function ledger_never is 'Never called; its cost keeps the planner from computing something more than once.';
revoke execute on function ledger_never from public;

-- As it was before transfers could meet a closed period.
drop function if exists ledger_post_at_once(ledger_posting[]);

create or replace function ledger_post_at_once(batch ledger_posting[], may_be_dated boolean)
returns integer[]
language plpgsql
as $$
declare
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  -- A batch of amounts up to `large` on totals up to `high` cannot exceed bigint.
  large constant bigint := 100000000000000;
  high constant bigint := 8000000000000000000;
  items integer[];
  is_fit boolean;
  wanted integer;
  found bigint;
begin
  with asked as materialized (
    select
      named.is_fit and p.linked_id is null and (
        p.effective_at is null
        or may_be_dated and p.effective_at >= coalesce((
          select act.closed_before
          from ledger_acts act
          where act.account_id = p.account_id and act.livemode = p.livemode and act.period_number is not null
          order by act.period_number desc
          limit 1
        ), '-infinity')
      ) and (
        select true from ledger_refusals r
        where r.account_id = p.account_id and r.livemode = p.livemode and r.id = p.id
      ) is null as is_fit,
      p.item, p.ordinality::integer as n, p.account_id, p.livemode, p.id, named.moved, named.reserved, named.debit_id,
      named.credit_id, named.amount, p.effective_at, p.expires_at, p.source_id, p.pending_id, p.kind, named.currency,
      p.source_type, p.step
    from unnest(batch) with ordinality p
    left join lateral (
      select debit.id as debit_id, credit.id as credit_id, p.currency, p.amount::bigint as amount,
        case p.kind when 'post' then p.amount::bigint else 0 end as moved,
        case p.kind when 'post' then 0 else p.amount::bigint end as reserved,
        p.kind in ('post', 'pending') and debit.id <> credit.id and p.amount = trunc(p.amount)
          and p.expires_at is null as is_fit
      from ledger_accounts debit, ledger_accounts credit
      where debit.owner_id = coalesce(p.debit_owner_id, nobody) and debit.code = p.debit_code
        and debit.currency = p.currency and debit.account_id = p.account_id and debit.livemode = p.livemode
        and not debit.debits_must_not_exceed_credits and not debit.credits_must_not_exceed_debits
        and credit.owner_id = coalesce(p.credit_owner_id, nobody) and credit.code = p.credit_code
        and credit.currency = p.currency and credit.account_id = p.account_id and credit.livemode = p.livemode
        and not credit.debits_must_not_exceed_credits and not credit.credits_must_not_exceed_debits
        and p.pending_id is null and p.amount between 1 and large
      union all
      select held.debit_account_id, held.credit_account_id, held.currency, coalesce(p.amount::bigint, held.amount),
        case p.kind when 'post_pending' then coalesce(p.amount::bigint, held.amount) else 0 end,
        -held.amount,
        p.expires_at is null and coalesce(p.currency = held.currency, true) and (
          p.kind = 'post_pending' and coalesce(p.amount = trunc(p.amount), true)
            and (held.expires_at is null or held.expires_at > now())
          or p.kind = 'void_pending' and coalesce(p.amount = held.amount, true)
        )
      from ledger_transfers held
      where held.account_id = p.account_id and held.livemode = p.livemode and held.id = p.pending_id
        and held.kind = 'pending'
        and coalesce(p.amount between 1 and held.amount, true) and held.amount <= large
    ) named on true
  ),
  -- Computed before anything is written: nothing is, unless the whole batch is fit.
  gate as materialized (
    select bool_and(asked.is_fit is true) as is_fit, array_agg(asked.item) as items from asked
  ),
  -- Sorted by account and then in batch order. The sums run on over all accounts, which spares a partition for
  -- each; where one account begins is taken off again below.
  legs as materialized (
    select leg.place, leg.account_id, leg.livemode, leg.ledger_account_id, leg.id, leg.moved, leg.reserved,
      dense_rank() over (order by leg.ledger_account_id)::integer as at,
      count(*) filter (where leg.moved > 0) over so_far as entries,
      ledger_sum(leg.moved) filter (where leg.place % 2 = 1) over so_far as debits,
      ledger_sum(leg.moved) filter (where leg.place % 2 = 0) over so_far as credits
    from (
      select 2 * asked.n - 1 as place, asked.account_id, asked.livemode, asked.debit_id as ledger_account_id, asked.id,
        asked.moved, asked.reserved
      from asked
      union all
      select 2 * asked.n, asked.account_id, asked.livemode, asked.credit_id, asked.id, asked.moved, asked.reserved
      from asked
    ) leg
    where (select gate.is_fit from gate)
    window so_far as (order by leg.ledger_account_id, leg.place rows unbounded preceding)
  ),
  -- In the order of ids, so that no two batches deadlock. What the look-up saw may have changed, so it is asked
  -- again of the rows as they are when they are locked.
  changed as (
    update ledger_accounts a
    set debits_pending = a.debits_pending + net.debits_pending,
      debits_posted = a.debits_posted + net.debits_posted,
      credits_pending = a.credits_pending + net.credits_pending,
      credits_posted = a.credits_posted + net.credits_posted,
      entry_count = a.entry_count + net.entry_count
    from (
      select legs.at, legs.ledger_account_id, legs.account_id, legs.livemode,
        ledger_sum(legs.reserved) filter (where legs.place % 2 = 1) as debits_pending,
        ledger_sum(legs.moved) filter (where legs.place % 2 = 1) as debits_posted,
        ledger_sum(legs.reserved) filter (where legs.place % 2 = 0) as credits_pending,
        ledger_sum(legs.moved) filter (where legs.place % 2 = 0) as credits_posted,
        count(*) filter (where legs.moved > 0) as entry_count,
        max(legs.entries) as entries, max(legs.debits) - max(legs.credits) as change
      from legs
      group by legs.at, legs.ledger_account_id, legs.account_id, legs.livemode
      having legs.at > 0 or ledger_never()
      order by legs.at
    ) net
    where a.account_id = net.account_id and a.livemode = net.livemode and a.id = net.ledger_account_id
      -- One case, which the planner takes to hold for half of the accounts. Of four conditions it guesses that they leave
      -- one account, even without having seen any, and that reading all of them for it is cheap.
      and case
        when a.debits_must_not_exceed_credits or a.credits_must_not_exceed_debits or a.closed_at is not null then false
        else greatest(a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted) <= high
      end
    returning net.at, a.entry_count - net.entries as entries, a.debits_posted - a.credits_posted - net.change as change,
      case a.normal_side when 'debit' then 1 else -1 end as sign
  ),
  -- By place in the order of ids: numbers in arrays without nulls are found at once, which no join is.
  state as materialized (
    select count(*) as found, (select max(legs.at) from legs) as wanted,
      array_agg(changed.entries order by changed.at) as entries,
      array_agg(changed.change order by changed.at) as changes,
      array_agg(changed.sign order by changed.at) as signs
    from changed
  ),
  placed as materialized (
    select legs.place, legs.account_id, legs.livemode, legs.ledger_account_id, legs.id, legs.moved,
      state.entries[legs.at] + legs.entries as sequence,
      state.signs[legs.at] * (state.changes[legs.at] + legs.debits - legs.credits) as balance
    from state
    cross join legs
    where state.found = state.wanted
  ),
  entered as (
    insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
    select placed.account_id, placed.livemode, placed.ledger_account_id, placed.sequence, placed.id, placed.moved,
      placed.balance, case placed.place % 2 when 1 then 'debit'::ledger_side else 'credit'::ledger_side end
    from placed
    where placed.moved > 0
  ),
  written as (
    insert into ledger_transfers (
      account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence, credit_sequence,
      effective_at, recorded_at, expires_at, source_id, pending_id, kind, currency, source_type, step
    )
    select asked.account_id, asked.livemode, asked.id, asked.debit_id, asked.credit_id, asked.amount,
      case when asked.moved > 0 then sequences.of_leg[2 * asked.n - 1] end,
      case when asked.moved > 0 then sequences.of_leg[2 * asked.n] end,
      coalesce(asked.effective_at, now()), now(), asked.expires_at, asked.source_id, asked.pending_id, asked.kind,
      asked.currency, asked.source_type, asked.step
    from (select array_agg(placed.sequence order by placed.place) as of_leg from placed) sequences
    cross join asked
    where sequences.of_leg is not null
  )
  select gate.is_fit, gate.items, state.found, state.wanted
  into is_fit, items, found, wanted
  from gate, state;
  if not is_fit then
    return null;
  end if;
  if found is distinct from wanted then
    raise exception 'an account of this batch is not as it was looked up' using errcode = 'LE001';
  end if;
  return items;
end;
$$;
comment on function ledger_post_at_once is 'Posts a batch of independent transfers to accounts without limits; used by ledger_post().';
revoke execute on function ledger_post_at_once from public;
