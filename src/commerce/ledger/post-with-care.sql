-- The part of ledger_post() and ledger_adjust() that can post anything: what each transfer names is looked up, the accounts
-- are locked in the order of their ids (so that no two batches deadlock), refusals are decided, and what is left is
-- written and netted into one update an account. A refused transfer does not sink the others. Answers one row an element,
-- in order. Reason and author, of adjustments made by hand, are kept with every transfer of the batch.
--
-- Runs under the planner settings and search_path of its callers, which also checked whose books the batch is for.
create or replace function ledger_post_with_care(batch ledger_posting[], given_reason text, given_author text)
returns table (item integer, result text)
language plpgsql
as $$
#variable_conflict use_column
declare
  nobody constant uuid := '00000000-0000-0000-0000-000000000000';
  largest constant numeric := 9223372036854775807;
  -- A batch of amounts up to `large` on totals up to `high` cannot exceed `largest`; anything more is added up in order.
  large constant bigint := 100000000000000;
  high constant bigint := 8000000000000000000;
  items integer := cardinality(batch);
  -- Of each transfer, by its place in the batch; no nulls, so that a subscript costs nothing.
  ids uuid[];
  account_ids uuid[];
  livemodes boolean[];
  debit_ids uuid[];
  credit_ids uuid[];
  debit_at integer[];
  credit_at integer[];
  amounts bigint[];
  moved bigint[];     -- what it adds to posted totals
  reserved bigint[];  -- what it adds to pending totals
  accepted boolean[];
  words text[];
  sequences bigint[];  -- two a transfer: debit, credit
  balances bigint[];
  -- Of each account, by its place in the order of ids.
  a_ids uuid[];
  a_currencies text[];
  a_rows tid[];
  a_debits_pending bigint[];
  a_debits_posted bigint[];
  a_credits_pending bigint[];
  a_credits_posted bigint[];
  a_entry_counts bigint[];
  a_signs bigint[];
  a_debits_limited boolean[];
  a_credits_limited boolean[];
  a_closed boolean[];
  is_missing boolean;
  in_order boolean;
  updated bigint;
begin
  -- Until this transaction ends, nobody closes a period into which it posts.
  perform ledger_keep_periods(batch);

  -- Which ledger accounts each transfer means; those of a resolution are its pending's. Missing ones are opened.
  for attempt in 1..2 loop
    select array_agg(f.id), array_agg(f.account_id), array_agg(f.livemode),
      array_agg(coalesce(f.debit_id, nobody)), array_agg(coalesce(f.credit_id, nobody)),
      bool_or(f.pending_id is null and (f.debit_id is null or f.credit_id is null))
    into ids, account_ids, livemodes, debit_ids, credit_ids, is_missing
    from (
      select p.id, p.account_id, p.livemode, p.pending_id,
        case
          when p.pending_id is not null then held.debit_account_id
          else (
            select a.id from ledger_accounts a
            where a.account_id = p.account_id and a.livemode = p.livemode and a.code = p.debit_code
              and a.currency = p.currency and a.owner_id = coalesce(p.debit_owner_id, nobody)
          )
        end as debit_id,
        case
          when p.pending_id is not null then held.credit_account_id
          else (
            select a.id from ledger_accounts a
            where a.account_id = p.account_id and a.livemode = p.livemode and a.code = p.credit_code
              and a.currency = p.currency and a.owner_id = coalesce(p.credit_owner_id, nobody)
          )
        end as credit_id
      from unnest(batch) with ordinality p
      left join lateral (
        select t.debit_account_id, t.credit_account_id
        from ledger_transfers t
        where t.account_id = p.account_id and t.livemode = p.livemode and t.id = p.pending_id and t.kind = 'pending'
        limit 1
      ) held on true
      order by p.ordinality
    ) f;
    exit when attempt = 2 or not is_missing;
    insert into ledger_accounts (
      account_id, livemode, id, code, owner_id, currency, kind, normal_side,
      debits_must_not_exceed_credits, credits_must_not_exceed_debits, created_at
    )
    select named.account_id, named.livemode,
      -- A uuid v7 of this millisecond: `created_at` is the instant in the id.
      overlay(gen_random_uuid()::text placing left(uuid_floor(now())::text, 13) || '-7' from 1 for 15)::uuid,
      chart.code, named.owner_id, named.currency, chart.kind, chart.normal_side,
      chart.debits_must_not_exceed_credits, chart.credits_must_not_exceed_debits, date_trunc('milliseconds', now())
    from (
      select distinct p.account_id, p.livemode, side.code, p.currency, coalesce(side.owner_id, nobody) as owner_id
      from unnest(batch) with ordinality p
      cross join lateral (values
        (p.debit_code, p.debit_owner_id, debit_ids[p.ordinality]),
        (p.credit_code, p.credit_owner_id, credit_ids[p.ordinality])
      ) side (code, owner_id, id)
      where side.id = nobody and p.kind in ('post', 'pending') and p.pending_id is null
        and p.currency ~ '^[a-z]{3}$' and p.amount between 1 and largest
        and exists (select from ledger_chart where code = p.debit_code)
        and exists (select from ledger_chart where code = p.credit_code)
    ) named
    join ledger_chart chart on chart.code = named.code
    order by named.account_id, named.livemode, chart.code, named.currency, named.owner_id
    on conflict do nothing;
  end loop;

  -- Locked, they show the newest committed totals. Sorted by id, a place is found by binary search.
  select array_agg(l.id), array_agg(l.currency), array_agg(l.ctid),
    array_agg(l.debits_pending), array_agg(l.debits_posted), array_agg(l.credits_pending), array_agg(l.credits_posted),
    array_agg(l.entry_count), array_agg(case l.normal_side when 'debit' then 1 else -1 end),
    array_agg(l.debits_must_not_exceed_credits), array_agg(l.credits_must_not_exceed_debits),
    array_agg(l.closed_at is not null),
    coalesce(bool_or(
      l.debits_must_not_exceed_credits or l.credits_must_not_exceed_debits
      or greatest(l.debits_pending, l.debits_posted, l.credits_pending, l.credits_posted) > high
    ), false)
  into a_ids, a_currencies, a_rows, a_debits_pending, a_debits_posted, a_credits_pending, a_credits_posted,
    a_entry_counts, a_signs, a_debits_limited, a_credits_limited, a_closed, in_order
  from (
    select distinct side.id, account_ids[n] as account_id, livemodes[n] as livemode
    from generate_series(1, items) n
    cross join lateral (values (debit_ids[n]), (credit_ids[n])) side (id)
    order by side.id
  ) wanted
  cross join lateral (
    select a.ctid, a.id, a.currency, a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted,
      a.entry_count, a.normal_side, a.debits_must_not_exceed_credits, a.credits_must_not_exceed_debits, a.closed_at
    from ledger_accounts a
    where a.account_id = wanted.account_id and a.livemode = wanted.livemode and a.id = wanted.id
    for no key update
  ) l;
  a_ids := coalesce(a_ids, '{}');

  -- What is known of each, now that nobody else can post to these accounts. A null word is no objection so far.
  select array_agg(f.word), array_agg(f.word is null),
    array_agg(f.debit_at), array_agg(f.credit_at), array_agg(f.amount),
    array_agg(case when f.kind in ('post', 'post_pending') then f.amount else 0 end),
    array_agg(case when f.kind = 'pending' then f.amount else -f.held_amount end),
    in_order or bool_or(f.linked_id is not null or f.amount > large or (f.debit_at = 0 and coalesce(f.word, 'source_already_used') = 'source_already_used'))
  into words, accepted, debit_at, credit_at, amounts, moved, reserved, in_order
  from (
    select p.kind, p.linked_id, place.debit_at, place.credit_at,
      coalesce(asked.amount, 0) as amount, coalesce(held.amount, 0) as held_amount,
      coalesce(case
        when existing.id is not null then
          case
            when existing.kind = p.kind
              and existing.debit_account_id = debit_ids[p.ordinality]
              and existing.credit_account_id = credit_ids[p.ordinality]
              and existing.amount = asked.amount
              and existing.currency = coalesce(p.currency, held.currency)
              and existing.source_type = p.source_type
              and existing.source_id = p.source_id
              and existing.step = p.step
              and existing.pending_id is not distinct from p.pending_id
              and existing.linked_id is not distinct from p.linked_id
              and existing.expires_at is not distinct from p.expires_at
              and existing.effective_at = coalesce(p.effective_at, existing.effective_at)
              and existing.reason is not distinct from given_reason
              and existing.author is not distinct from given_author
            then 'exists'
            else 'id_already_used'
          end
        when refused.result is not null then refused.result
        when (p.kind in ('post_pending', 'void_pending')) <> (p.pending_id is not null) then 'pending_id_mismatch'
        when p.expires_at is not null and p.kind <> 'pending' then 'expiry_not_expected'
        when p.amount is not null and (p.amount not between 1 and largest or p.amount <> trunc(p.amount)) then 'amount_invalid'
        when p.pending_id is null then
          case
            when p.amount is null then 'amount_invalid'
            when p.debit_code = p.credit_code and coalesce(p.debit_owner_id, nobody) = coalesce(p.credit_owner_id, nobody)
              then 'accounts_must_differ'
            when place.debit_at = 0 or place.credit_at = 0 then
              case when p.currency ~ '^[a-z]{3}$' then 'account_code_unknown' else 'currency_invalid' end
            when a_closed[place.debit_at] or a_closed[place.credit_at] then 'account_closed'
            when dated.is_closed then 'period_closed'
          end
        -- Its pending may stand earlier in this batch; that is looked at in order, below.
        when place.debit_at = 0 then
          case when p.pending_id <> all (ids) then 'pending_not_found' when dated.is_closed then 'period_closed' end
        when (
          select true from ledger_transfers t
          where t.account_id = p.account_id and t.livemode = p.livemode and t.pending_id = p.pending_id
        ) then 'pending_already_resolved'
        when p.currency <> held.currency then 'currency_mismatch'
        when asked.amount > held.amount then 'exceeds_pending'
        when p.kind = 'void_pending' then
          case when asked.amount < held.amount then 'amount_invalid' when dated.is_closed then 'period_closed' end
        when held.expires_at <= now() then 'pending_expired'
        when a_closed[place.debit_at] or a_closed[place.credit_at] then 'account_closed'
        when dated.is_closed then 'period_closed'
      end, (
        select 'source_already_used' from ledger_transfers t
        where t.account_id = p.account_id and t.livemode = p.livemode and t.source_id = p.source_id and t.step = p.step
      )) as word
    -- Joined to nothing, so that the array is copied into one piece once and not for each search.
    from (select array_cat(a_ids, '{}') as a_ids_flat offset 0) places
    cross join unnest(batch) with ordinality p
    cross join lateral (
      select width_bucket(debit_ids[p.ordinality], places.a_ids_flat) as debit_at, width_bucket(credit_ids[p.ordinality], places.a_ids_flat) as credit_at
    ) place
    left join lateral (
      select t.amount, t.currency, t.expires_at
      from ledger_transfers t
      where t.account_id = p.account_id and t.livemode = p.livemode and t.id = p.pending_id and t.kind = 'pending'
      limit 1
    ) held on true
    cross join lateral (
      select case
        when p.amount is null then held.amount
        when p.amount between 1 and largest then trunc(p.amount)::bigint
      end as amount
    ) asked
    -- What is posted as of now is never in a closed period (close-period.sql).
    cross join lateral (
      select p.effective_at is not null and p.effective_at < (
        select act.closed_before
        from ledger_acts act
        where act.account_id = p.account_id and act.livemode = p.livemode and act.period_number is not null
        order by act.period_number desc
        limit 1
      ) as is_closed
    ) dated
    left join lateral (
      select t.id, t.kind, t.debit_account_id, t.credit_account_id, t.amount, t.currency, t.source_type, t.source_id,
        t.step, t.pending_id, t.linked_id, t.expires_at, t.effective_at, t.reason, t.author
      from ledger_transfers t
      where t.account_id = p.account_id and t.livemode = p.livemode and t.id = p.id
      limit 1
    ) existing on true
    left join lateral (
      select r.result
      from ledger_refusals r
      where r.account_id = p.account_id and r.livemode = p.livemode and r.id = p.id
      limit 1
    ) refused on true
    order by p.ordinality
  ) f;
  -- Apart from the arrays above, because sorting for `distinct` would put them out of order.
  if not in_order then
    select count(distinct p.id) < items or count(distinct p.pending_id) < count(p.pending_id)
      or count(distinct hashtextextended(p.step, uuid_hash_extended(p.source_id, 0))) < items
    into in_order
    from unnest(batch) p;
  end if;

  if in_order then
    select decided.words, decided.accepted, decided.debit_at, decided.credit_at, decided.amounts, decided.moved, decided.reserved
    into words, accepted, debit_at, credit_at, amounts, moved, reserved
    from ledger_decide_in_order(
      batch, words, debit_at, credit_at, amounts, moved, reserved, a_debits_pending, a_debits_posted, a_credits_pending,
      a_credits_posted, a_debits_limited, a_credits_limited
    ) decided;
  end if;

  if true = any (accepted) then
    -- Each account's entries are numbered on, and its balance carried on, in batch order.
    select array_agg(leg.sequence), array_agg(leg.balance)
    into sequences, balances
    from (
      select
        coalesce(a_entry_counts[side.at] + count(*) filter (where accepted[n] and moved[n] > 0) over so_far, 0) as sequence,
        coalesce(
          a_signs[side.at] * (a_debits_posted[side.at] - a_credits_posted[side.at])
            + sum(side.change) filter (where accepted[n]) over so_far,
          0
        )::bigint as balance
      from generate_series(1, items) n
      cross join lateral (values
        (0, debit_at[n], moved[n] * a_signs[debit_at[n]]),
        (1, credit_at[n], -moved[n] * a_signs[credit_at[n]])
      ) side (side, at, change)
      window so_far as (partition by side.at order by n rows unbounded preceding)
      order by n, side.side
    ) leg;

    begin
      insert into ledger_transfers (
        account_id, livemode, id, debit_account_id, credit_account_id, amount, debit_sequence, credit_sequence,
        effective_at, recorded_at, expires_at, source_id, pending_id, linked_id, kind, currency, source_type, step,
        reason, author
      )
      select p.account_id, p.livemode, p.id, a_ids[debit_at[p.ordinality]], a_ids[credit_at[p.ordinality]], amounts[p.ordinality],
        case when moved[p.ordinality] > 0 then sequences[2 * p.ordinality - 1] end,
        case when moved[p.ordinality] > 0 then sequences[2 * p.ordinality] end,
        coalesce(p.effective_at, now()), now(), p.expires_at, p.source_id, p.pending_id, p.linked_id, p.kind,
        a_currencies[debit_at[p.ordinality]], p.source_type, p.step, given_reason, given_author
      from unnest(batch) with ordinality p
      where accepted[p.ordinality];
    exception when unique_violation then
      -- Another transaction posted this id or source to other accounts while we looked: run again, it is seen then.
      raise exception 'a transfer of this batch was posted elsewhere at the same moment' using errcode = 'serialization_failure';
    end;

    insert into ledger_entries (account_id, livemode, ledger_account_id, sequence, transfer_id, amount, balance, side)
    select account_ids[n], livemodes[n], a_ids[leg.at], sequences[leg.place], ids[n], moved[n], balances[leg.place], leg.side
    from generate_series(1, items) n
    cross join lateral (values
      (debit_at[n], 2 * n - 1, 'debit'::ledger_side),
      (credit_at[n], 2 * n, 'credit'::ledger_side)
    ) leg (at, place, side)
    where accepted[n] and moved[n] > 0;

    update ledger_accounts a
    set debits_pending = a.debits_pending + net.debits_pending,
      debits_posted = a.debits_posted + net.debits_posted,
      credits_pending = a.credits_pending + net.credits_pending,
      credits_posted = a.credits_posted + net.credits_posted,
      entry_count = a.entry_count + net.entry_count
    from (
      select leg.at,
        coalesce(sum(reserved[n]) filter (where leg.is_debit), 0)::bigint as debits_pending,
        coalesce(sum(moved[n]) filter (where leg.is_debit), 0)::bigint as debits_posted,
        coalesce(sum(reserved[n]) filter (where not leg.is_debit), 0)::bigint as credits_pending,
        coalesce(sum(moved[n]) filter (where not leg.is_debit), 0)::bigint as credits_posted,
        count(*) filter (where moved[n] > 0) as entry_count
      from generate_series(1, items) n
      cross join lateral (values (debit_at[n], true), (credit_at[n], false)) leg (at, is_debit)
      where accepted[n]
      group by leg.at
    ) net
    -- A locked row stays where it is, so its place finds it without another search.
    where a.ctid = a_rows[net.at] and a.id = a_ids[net.at];
    get diagnostics updated = row_count;
    if updated <> (
      select count(distinct side.at)
      from generate_series(1, items) n
      cross join lateral (values (debit_at[n]), (credit_at[n])) side (at)
      where accepted[n]
    ) then
      raise exception 'a locked ledger account was not where it had been';
    end if;
  end if;

  insert into ledger_expiries (account_id, livemode, transfer_id, expires_at)
  select p.account_id, p.livemode, p.id, p.expires_at
  from unnest(batch) with ordinality p
  where p.expires_at is not null and accepted[p.ordinality];

  -- What another state would have allowed is final for its id; what is wrong in itself will be wrong again.
  if words && array['account_closed', 'exceeds_credits', 'exceeds_debits', 'pending_not_found', 'period_closed', 'total_too_large'] then
    insert into ledger_refusals (account_id, livemode, id, result, recorded_at)
    select p.account_id, p.livemode, p.id, words[p.ordinality], now()
    from unnest(batch) with ordinality p
    where words[p.ordinality] in ('account_closed', 'exceeds_credits', 'exceeds_debits', 'pending_not_found', 'period_closed', 'total_too_large')
    on conflict do nothing;
  end if;

  return query
  select p.item, coalesce(words[p.ordinality], 'posted')
  from unnest(batch) with ordinality p
  order by p.ordinality;
end;
$$;
comment on function ledger_post_with_care is 'Posts any batch, with the reason and author of an adjustment; used by ledger_post() and ledger_adjust().';
revoke execute on function ledger_post_with_care from public;
