-- Passes 2 and 3 of a run, which see every row: what it reads, duplicates, and rows that meet by id. stages.sql has the others.

-- Tells whoever asked for the stage that some rows more were looked at, at once: a notice does not wait for a commit.
create or replace function reconciliation_tick(of_row integer) returns integer
  language plpgsql stable
  set client_min_messages = notice
as $$
begin
  raise notice 'reconciliation: 65536 rows';
  return of_row;
end;
$$;

-- The rows of one side of a run: those of its statement, then those that are carried. Each 65,536th tells of itself.
create or replace function reconciliation_lines(
  of_account uuid, of_livemode boolean, of_run uuid, of_side text, of_statement uuid
) returns table ("row" integer, line integer, amount bigint, date date, currency text, id text, batch text, text text)
  language sql stable
as $$
  select case when kept.row % 65536 = 0 then reconciliation_tick(kept.row) else kept.row end,
    kept.line, kept.amount, kept.date, kept.currency, kept.id, kept.batch, kept.text
  from reconciliation_rows kept
  where kept.account_id = of_account and kept.livemode = of_livemode and kept.statement_id = of_statement
  union all
  select kept.row, kept.line, kept.amount, kept.date, kept.currency, kept.id, kept.batch, kept.text
  from reconciliation_carried_rows kept
  where kept.account_id = of_account and kept.livemode = of_livemode and kept.run_id = of_run and kept.side = of_side
$$;

-- One of them.
create or replace function reconciliation_line(
  of_account uuid, of_livemode boolean, of_run uuid, of_side text, of_statement uuid, of_row integer
) returns table ("row" integer, line integer, amount bigint, date date, currency text, id text, batch text, text text)
  language sql stable
as $$
  select kept.row, kept.line, kept.amount, kept.date, kept.currency, kept.id, kept.batch, kept.text
  from reconciliation_rows kept
  where kept.account_id = of_account and kept.livemode = of_livemode and kept.statement_id = of_statement
    and kept.row = of_row
  union all
  select kept.row, kept.line, kept.amount, kept.date, kept.currency, kept.id, kept.batch, kept.text
  from reconciliation_carried_rows kept
  where kept.account_id = of_account and kept.livemode = of_livemode and kept.run_id = of_run and kept.side = of_side
    and kept.row = of_row
$$;

-- Those without a home, before ids are looked at: decisions placed the others.
create or replace function reconciliation_open_lines(
  of_account uuid, of_livemode boolean, of_run uuid, of_side text, of_statement uuid
) returns table ("row" integer, line integer, amount bigint, date date, currency text, id text, batch text, text text)
  language sql stable
as $$
  select open.row, open.line, open.amount, open.date, open.currency, open.id, open.batch, open.text
  from reconciliation_lines(of_account, of_livemode, of_run, of_side, of_statement) open
  where not exists (
    select
    from reconciliation_items home
    where home.account_id = of_account and home.livemode = of_livemode and home.run_id = of_run
      and home.side = of_side and home.row = open.row
  )
$$;

-- One pass over both sides. An id that each side has once, with the same amount and currency and dates in the window, is a
-- pair; every other id is odd, and looked into by reconciliation_place_odd. Ends in the temporary table reconciliation_met.
create or replace function reconciliation_meet_ids(of_account uuid, of_livemode boolean, of_run uuid) returns void
  language plpgsql
  set enable_nestloop = off
  -- Ids are grouped by hash, and spill: sorting texts costs twice as much.
  set enable_sort = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  asked record;
begin
  select left_statement_id, right_statement_id, (rules ->> 'date_window_days')::integer as window_days,
    -- Where all rows are of one currency, as in most runs, it need not be kept for each id.
    1 = (
      select count(distinct said.currency)
      from (
        select sums ->> 'currency' as currency
        from reconciliation_statements
        cross join jsonb_array_elements(reconciliation_statements.sums) as sums
        where account_id = of_account and livemode = of_livemode and id in (left_statement_id, right_statement_id)
        union all
        select carried.currency
        from reconciliation_carried_rows carried
        where carried.account_id = of_account and carried.livemode = of_livemode and carried.run_id = of_run
      ) as said
    ) as is_one_currency
  into strict asked
  from reconciliation_runs run
  where account_id = of_account and livemode = of_livemode and id = of_run;
  create temporary table reconciliation_met on commit drop as
  select met.left_row, met.right_row,
    case
      when met.times = 2 and met.left_row is not null and met.right_row is not null and met.is_equal then null
      else met.id
    end as odd_id,
    met.times > (met.left_row is not null)::integer + (met.right_row is not null)::integer as is_repeated
  from (
    select line.id, count(*) as times,
      max(line.row) filter (where line.is_left) as left_row,
      max(line.row) filter (where not line.is_left) as right_row,
      min(line.amount) = max(line.amount)
        and (asked.is_one_currency or min(line.currency collate "C") = max(line.currency collate "C"))
        and coalesce(max(line.date) - min(line.date), 0) <= asked.window_days as is_equal
    from (
      select true as is_left, ours.row, ours.id, ours.amount,
        case when asked.is_one_currency then null else ours.currency end as currency, ours.date
      from reconciliation_open_lines(of_account, of_livemode, of_run, 'left', asked.left_statement_id) ours
      union all
      select false, theirs.row, theirs.id, theirs.amount,
        case when asked.is_one_currency then null else theirs.currency end, theirs.date
      from reconciliation_open_lines(of_account, of_livemode, of_run, 'right', asked.right_statement_id) theirs
    ) as line
    group by line.id
  ) as met;
end;
$$;

-- Keeps the pairs; answers how many rows have a home by that.
create or replace function reconciliation_place_pairs(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
  language plpgsql
  -- Sorted and grouped as they come: a block is written when its last row is there, and nothing is held.
  set enable_hashagg = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  placed bigint;
begin
  insert into reconciliation_pairs (account_id, livemode, run_id, side, block, count, rows, partners)
  select of_account, of_livemode, of_run, 'left', pair.block, count(*),
    array_agg(pair.row order by pair.row), array_agg(pair.partner order by pair.row)
  from (
    select met.left_row / 1024 as block, met.left_row as row, met.right_row as partner
    from reconciliation_met met
    where met.odd_id is null
  ) as pair
  group by pair.block;
  insert into reconciliation_pairs (account_id, livemode, run_id, side, block, count, rows, partners)
  select of_account, of_livemode, of_run, 'right', pair.block, count(*),
    array_agg(pair.row order by pair.row), array_agg(pair.partner order by pair.row)
  from (
    select met.right_row / 1024 as block, met.right_row as row, met.left_row as partner
    from reconciliation_met met
    where met.odd_id is null
  ) as pair
  group by pair.block;
  select 2 * count(*) into placed from reconciliation_met where odd_id is null;
  return placed;
end;
$$;

-- The rows of odd ids, in the temporary table reconciliation_odd.
create or replace function reconciliation_gather_odd(
  of_account uuid, of_livemode boolean, of_run uuid, left_statement uuid, right_statement uuid
) returns void
  language plpgsql
  set enable_nestloop = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  counted record;
begin
  select count(*) filter (where odd_id is not null) as odd, count(*) filter (where is_repeated) as repeated, count(*) as ids
  into counted
  from reconciliation_met;
  -- A few are looked up by their rows, a twentieth of what reading all again costs. Of what is repeated one row is known.
  if counted.repeated = 0 and counted.odd < counted.ids / 20 then
    create temporary table reconciliation_odd on commit drop as
    select 'left' as side, ours.row, ours.amount, ours.date, ours.currency, ours.id, ours.batch, ours.text
    from reconciliation_met met
    cross join reconciliation_line(of_account, of_livemode, of_run, 'left', left_statement, met.left_row) ours
    where met.odd_id is not null and met.left_row is not null
    union all
    select 'right', theirs.row, theirs.amount, theirs.date, theirs.currency, theirs.id, theirs.batch, theirs.text
    from reconciliation_met met
    cross join reconciliation_line(of_account, of_livemode, of_run, 'right', right_statement, met.right_row) theirs
    where met.odd_id is not null and met.right_row is not null;
  else
    create temporary table reconciliation_odd on commit drop as
    with odd as materialized (
      select met.odd_id from reconciliation_met met where met.odd_id is not null
    )
    select 'left' as side, ours.row, ours.amount, ours.date, ours.currency, ours.id, ours.batch, ours.text
    from reconciliation_open_lines(of_account, of_livemode, of_run, 'left', left_statement) ours
    where ours.id in (select odd_id from odd)
    union all
    select 'right', theirs.row, theirs.amount, theirs.date, theirs.currency, theirs.id, theirs.batch, theirs.text
    from reconciliation_open_lines(of_account, of_livemode, of_run, 'right', right_statement) theirs
    where theirs.id in (select odd_id from odd);
  end if;
end;
$$;

-- The rows of odd ids: one row of each id goes on, and meets its counterpart. What has none, and the duplicates, are put into
-- reconciliation_rest. Answers how many rows have a home by that.
create or replace function reconciliation_place_odd(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
  language plpgsql
  set enable_nestloop = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  asked record;
  this record;
  placed bigint;
begin
  select left_statement_id, right_statement_id,
    (rules ->> 'date_window_days')::integer as window_days,
    (rules -> 'tolerance' ->> 'amount')::numeric as tolerance,
    (rules -> 'tolerance' ->> 'basis_points')::numeric as basis_points
  into strict asked
  from reconciliation_runs
  where account_id = of_account and livemode = of_livemode and id = of_run;

  perform reconciliation_gather_odd(of_account, of_livemode, of_run, asked.left_statement_id, asked.right_statement_id);
  analyze reconciliation_odd;

  for this in
    select side, other_side
    from (values ('left', 'right'), ('right', 'left')) as both_sides (side, other_side)
  loop
    insert into reconciliation_rest (
      account_id, livemode, run_id, side, row, amount, date, twin_of, currency, id, batch, reason
    )
    with repeated as (
      select line.id, count(*) as times
      from reconciliation_odd line
      where line.side = this.side
      group by line.id
      having count(*) > 1
    ), known as (
      select distinct other.id, other.amount, other.currency
      from reconciliation_odd other
      join repeated on repeated.id = other.id
      where other.side = this.other_side
    ), ranked as (
      select line.row, line.amount, line.date, line.currency, line.id, line.batch, repeated.times,
        first_value(line.row) over (
          partition by line.id collate "C"
          order by (known.id is null), line.amount, line.currency collate "C", line.date nulls first,
            line.batch collate "C" nulls first, line.text collate "C" nulls first, line.row
        ) as first
      from reconciliation_odd line
      join repeated on repeated.id = line.id
      left join known
        on known.id = line.id and known.amount = line.amount and known.currency = line.currency
      where line.side = this.side
    )
    select of_account, of_livemode, of_run, this.side, row, amount, date, first, currency, id, batch,
      format('id %s appears %s times', id, times)
    from ranked
    where row <> first;
  end loop;

  with pair as materialized (
    select ours.row as left_row, theirs.row as right_row,
      ours.amount as left_amount, theirs.amount as right_amount,
      ours.date as left_date, theirs.date as right_date,
      ours.currency as left_currency, theirs.currency as right_currency,
      ours.batch as left_batch, theirs.batch as right_batch,
      coalesce(ours.id, theirs.id) as id,
      case
        when ours.row is null or theirs.row is null then null
        when ours.currency <> theirs.currency or abs(ours.date - theirs.date) > asked.window_days then 'discrepant'
        when ours.amount = theirs.amount then 'matched'
        when sign(ours.amount::numeric) * sign(theirs.amount::numeric) = 1
          and abs(ours.amount::numeric - theirs.amount) <= greatest(
            asked.tolerance, div(abs(ours.amount::numeric) * asked.basis_points, 10000)
          )
          then 'matched_with_tolerance'
        else 'discrepant'
      end as status
    from (
      select line.row, line.amount, line.date, line.currency, line.id, line.batch
      from reconciliation_odd line
      where line.side = 'left' and not exists (
        select
        from reconciliation_rest twin
        where twin.account_id = of_account and twin.livemode = of_livemode and twin.run_id = of_run
          and twin.side = 'left' and twin.row = line.row
      )
    ) as ours
    full join (
      select line.row, line.amount, line.date, line.currency, line.id, line.batch
      from reconciliation_odd line
      where line.side = 'right' and not exists (
        select
        from reconciliation_rest twin
        where twin.account_id = of_account and twin.livemode = of_livemode and twin.run_id = of_run
          and twin.side = 'right' and twin.row = line.row
      )
    ) as theirs on theirs.id = ours.id
  ), met as (
    select left_row, right_row, status,
      nullif(concat_ws('; ',
        case when left_amount <> right_amount then format('amount %s != %s', left_amount, right_amount) end,
        case when left_currency <> right_currency then format('currency %s != %s', left_currency, right_currency) end,
        case when abs(left_date - right_date) > asked.window_days then format('date %s != %s', left_date, right_date) end
      ), '') as reason
    from pair
    where status is not null
  ), alone as (
    insert into reconciliation_rest (account_id, livemode, run_id, side, row, amount, date, currency, id, batch)
    select of_account, of_livemode, of_run, case when right_row is null then 'left' else 'right' end,
      coalesce(left_row, right_row), coalesce(left_amount, right_amount), coalesce(left_date, right_date),
      coalesce(left_currency, right_currency), id, coalesce(left_batch, right_batch)
    from pair
    where status is null
  ), placed as (
    insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group", reason)
    select of_account, of_livemode, of_run, side, row, status, 'id', 'l' || left_row, reason
    from (
      select 'left' as side, left_row as row, left_row, status, reason
      from met
      union all
      select 'right', right_row, left_row, status, reason
      from met
    ) as home
    -- The primary key grows at its end then, and its pages are touched once.
    order by side, row
    returning 1
  )
  select count(*) into placed from placed;
  return placed;
end;
$$;
