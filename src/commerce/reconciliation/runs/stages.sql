-- The stages of a run that read everything, set-based: what is carried, ids with duplicates, batches, the rest once it is
-- decided, and the totals. docs/decisions/0029-reconciliation.md is their specification; src/commerce/reconciliation/matching
-- says the same over arrays, and a test compares the two row for row.
--
-- Nested loops are switched off inside: what was just loaded has no statistics, and a plan that takes a million rows for
-- one would never end. A hash join that was planned for too few only spills.

-- The rows of one side of a run: those of its statement, then those that are carried.
create or replace function reconciliation_lines(
  of_account uuid, of_livemode boolean, of_run uuid, of_side text, of_statement uuid
) returns table ("row" integer, line integer, amount bigint, date date, currency text, id text, batch text, text text)
  language sql stable
as $$
  select kept.row, kept.line, kept.amount, kept.date, kept.currency, kept.id, kept.batch, kept.text
  from reconciliation_rows kept
  where kept.account_id = of_account and kept.livemode = of_livemode and kept.statement_id = of_statement
  union all
  select kept.row, kept.line, kept.amount, kept.date, kept.currency, kept.id, kept.batch, kept.text
  from reconciliation_carried_rows kept
  where kept.account_id = of_account and kept.livemode = of_livemode and kept.run_id = of_run and kept.side = of_side
$$;

-- Those without a home.
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

-- Copies what an earlier run left waiting, behind the rows of this one; answers how many.
create or replace function reconciliation_carry(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
  language plpgsql
  set enable_nestloop = off
  set plan_cache_mode = force_custom_plan
as $$
declare
  asked record;
  earlier record;
  this record;
  carried bigint := 0;
  copied bigint;
begin
  select left_statement_id, right_statement_id, carry_from
  into strict asked
  from reconciliation_runs
  where account_id = of_account and livemode = of_livemode and id = of_run;
  if asked.carry_from is null then
    return 0;
  end if;
  select left_statement_id, right_statement_id
  into strict earlier
  from reconciliation_runs
  where account_id = of_account and livemode = of_livemode and id = asked.carry_from;
  for this in
    select side, statement, earlier_statement
    from (values
      ('left', asked.left_statement_id, earlier.left_statement_id),
      ('right', asked.right_statement_id, earlier.right_statement_id)
    ) as both_sides (side, statement, earlier_statement)
  loop
    insert into reconciliation_carried_rows (
      account_id, livemode, run_id, side, row, line, amount, date, currency, id, batch, text
    )
    select of_account, of_livemode, of_run, this.side,
      (
        select coalesce(max(kept.row), 0)
        from reconciliation_rows kept
        where kept.account_id = of_account and kept.livemode = of_livemode and kept.statement_id = this.statement
      ) + row_number() over (order by waiting.row),
      waiting.line, waiting.amount, waiting.date, waiting.currency, waiting.id, waiting.batch, waiting.text
    from reconciliation_items home
    join reconciliation_lines(of_account, of_livemode, asked.carry_from, this.side, this.earlier_statement) waiting
      on waiting.row = home.row
    where home.account_id = of_account and home.livemode = of_livemode and home.run_id = asked.carry_from
      and home.side = this.side and home.status = 'timing';
    get diagnostics copied = row_count;
    carried := carried + copied;
  end loop;
  return carried;
end;
$$;

-- Passes 2 and 3: one row of each id goes on, and meets its counterpart. What has none, and the duplicates, are put into
-- reconciliation_rest. Answers how many rows have a home now.
create or replace function reconciliation_match_ids(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
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

  for this in
    select side, statement, other_side, other_statement
    from (values
      ('left', asked.left_statement_id, 'right', asked.right_statement_id),
      ('right', asked.right_statement_id, 'left', asked.left_statement_id)
    ) as both_sides (side, statement, other_side, other_statement)
  loop
    insert into reconciliation_rest (
      account_id, livemode, run_id, side, row, amount, date, twin_of, currency, id, batch, reason
    )
    with repeated as (
      select line.id, count(*) as times
      from reconciliation_open_lines(of_account, of_livemode, of_run, this.side, this.statement) line
      group by line.id
      having count(*) > 1
    ), known as (
      select distinct other.id, other.amount, other.currency
      from reconciliation_open_lines(of_account, of_livemode, of_run, this.other_side, this.other_statement) other
      join repeated on repeated.id = other.id
    ), ranked as (
      select line.row, line.amount, line.date, line.currency, line.id, line.batch, repeated.times,
        first_value(line.row) over (
          partition by line.id collate "C"
          order by (known.id is null), line.amount, line.currency collate "C", line.date nulls first,
            line.batch collate "C" nulls first, line.text collate "C" nulls first, line.row
        ) as first
      from reconciliation_open_lines(of_account, of_livemode, of_run, this.side, this.statement) line
      join repeated on repeated.id = line.id
      left join known
        on known.id = line.id and known.amount = line.amount and known.currency = line.currency
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
      from reconciliation_open_lines(of_account, of_livemode, of_run, 'left', asked.left_statement_id) line
      where not exists (
        select
        from reconciliation_rest twin
        where twin.account_id = of_account and twin.livemode = of_livemode and twin.run_id = of_run
          and twin.side = 'left' and twin.row = line.row
      )
    ) as ours
    full join (
      select line.row, line.amount, line.date, line.currency, line.id, line.batch
      from reconciliation_open_lines(of_account, of_livemode, of_run, 'right', asked.right_statement_id) line
      where not exists (
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

-- Pass 4, both ways; answers how many rows have a home now.
create or replace function reconciliation_match_batches(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
  language plpgsql
  set enable_nestloop = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  way record;
  met bigint;
  placed bigint := 0;
begin
  for way in
    select many, one
    from (values (1, 'left', 'right'), (2, 'right', 'left')) as ways (place, many, one)
    order by place
  loop
    with batch as (
      select rest.batch, count(*) as times, sum(rest.amount::numeric) as total, min(rest.row) as first,
        array_agg(distinct rest.currency collate "C" order by rest.currency collate "C") as currencies
      from reconciliation_rest rest
      where rest.account_id = of_account and rest.livemode = of_livemode and rest.run_id = of_run
        and rest.side = way.many and rest.twin_of is null and rest.batch is not null
      group by rest.batch
    ), met as (
      select batch.batch, one.row as one_row,
        'l' || case when way.many = 'left' then batch.first else one.row end as home,
        batch.currencies = array[one.currency] and batch.total = one.amount as is_equal,
        case
          when batch.currencies <> array[one.currency] then format(
            'batch %s: %s in %s != %s', one.id, counted.words, array_to_string(batch.currencies, ', '), one.currency
          )
          when batch.total <> one.amount then format(
            'batch %s: %s %s to %s != %s', one.id, counted.words, counted.verb, batch.total, one.amount
          )
        end as reason
      from batch
      join reconciliation_rest one
        on one.account_id = of_account and one.livemode = of_livemode and one.run_id = of_run
        and one.side = way.one and one.twin_of is null and one.id = batch.batch
      cross join lateral (
        select
          case when batch.times = 1 then '1 row' else batch.times || ' rows' end as words,
          case when batch.times = 1 then 'sums' else 'sum' end as verb
      ) as counted
    ), many_taken as (
      delete from reconciliation_rest rest
      using met
      where rest.account_id = of_account and rest.livemode = of_livemode and rest.run_id = of_run
        and rest.side = way.many and rest.twin_of is null and rest.batch = met.batch
      returning rest.side, rest.row, met.home, met.is_equal, met.reason
    ), one_taken as (
      delete from reconciliation_rest rest
      using met
      where rest.account_id = of_account and rest.livemode = of_livemode and rest.run_id = of_run
        and rest.side = way.one and rest.row = met.one_row
      returning rest.side, rest.row, met.home, met.is_equal, met.reason
    )
    insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group", reason)
    select of_account, of_livemode, of_run, side, row, case when is_equal then 'matched' else 'discrepant' end, 'batch',
      home, reason
    from (
      select side, row, home, is_equal, reason from many_taken
      union all
      select side, row, home, is_equal, reason from one_taken
    ) as taken;
    get diagnostics met = row_count;
    placed := placed + met;
  end loop;
  return placed;
end;
$$;

-- Passes 5 to 7, as decideRest decided them by bucket (the temporary table reconciliation_verdicts), then the duplicates,
-- in the group of the row that went on. Answers how many rows have a home now; leaves nothing in reconciliation_rest.
create or replace function reconciliation_place_rest(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
  language plpgsql
  set enable_nestloop = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  rest_placed bigint;
  twins_placed bigint;
begin
  insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group", reason)
  select of_account, of_livemode, of_run, rest.side, rest.row, verdict.status, verdict.pass,
    coalesce(verdict.home, left(rest.side, 1) || rest.row), verdict.reason
  from reconciliation_rest rest
  join reconciliation_verdicts verdict
    on verdict.side = rest.side and verdict.currency = rest.currency and verdict.amount = rest.amount
    and verdict.date = coalesce(rest.date, '-infinity')
  where rest.account_id = of_account and rest.livemode = of_livemode and rest.run_id = of_run and rest.twin_of is null
  order by rest.side, rest.row;
  get diagnostics rest_placed = row_count;

  insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group", reason)
  select of_account, of_livemode, of_run, twin.side, twin.row, 'duplicate', 'duplicates', first."group", twin.reason
  from reconciliation_rest twin
  join reconciliation_items first
    on first.account_id = of_account and first.livemode = of_livemode and first.run_id = of_run
    and first.side = twin.side and first.row = twin.twin_of
  where twin.account_id = of_account and twin.livemode = of_livemode and twin.run_id = of_run and twin.twin_of is not null
  order by twin.side, twin.row;
  get diagnostics twins_placed = row_count;

  delete from reconciliation_rest
  where account_id = of_account and livemode = of_livemode and run_id = of_run;
  return rest_placed + twins_placed;
end;
$$;

-- Count and sum of the rows that have a home, by what they say and where they ended.
create or replace function reconciliation_totals(of_account uuid, of_livemode boolean, of_run uuid)
  returns table (side text, status text, currency text, rows bigint, amount numeric)
  language plpgsql
  set enable_nestloop = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  asked record;
begin
  select left_statement_id, right_statement_id
  into strict asked
  from reconciliation_runs
  where account_id = of_account and livemode = of_livemode and id = of_run;
  return query
  select home.side, home.status, line.currency, count(*), sum(line.amount::numeric)
  from reconciliation_items home
  join (
    select 'left' as side, ours.row, ours.currency, ours.amount
    from reconciliation_lines(of_account, of_livemode, of_run, 'left', asked.left_statement_id) ours
    union all
    select 'right', theirs.row, theirs.currency, theirs.amount
    from reconciliation_lines(of_account, of_livemode, of_run, 'right', asked.right_statement_id) theirs
  ) as line on line.side = home.side and line.row = home.row
  where home.account_id = of_account and home.livemode = of_livemode and home.run_id = of_run
  group by home.side, home.status, line.currency
  order by home.side collate "C", home.status collate "C", line.currency collate "C";
end;
$$;
