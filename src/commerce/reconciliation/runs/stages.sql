-- The stages of a run that read everything, set-based: what is carried, batches, the rest once it is decided, and the totals;
-- ids stand in ids.sql. docs/decisions/0029-reconciliation.md is their specification; src/commerce/reconciliation/matching
-- says the same over arrays, and a test compares the two row for row.
--
-- Nested loops are switched off inside: what was just loaded has no statistics, and a plan that takes a million rows for
-- one would never end. A hash join that was planned for too few only spills.

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
    cross join reconciliation_line(
      of_account, of_livemode, asked.carry_from, this.side, this.earlier_statement, home.row
    ) waiting
    where home.account_id = of_account and home.livemode = of_livemode and home.run_id = asked.carry_from
      and home.side = this.side and home.status = 'timing';
    get diagnostics copied = row_count;
    carried := carried + copied;
  end loop;
  return carried;
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

  -- What is asked for by amount and day, for whoever must choose among them.
  insert into reconciliation_ambiguous (
    account_id, livemode, run_id, side, pass, currency, amount, date, block, count, rows
  )
  select of_account, of_livemode, of_run, side, pass, currency, amount, date, place / 1024, count(*),
    array_agg(row order by row)
  from (
    select rest.side, verdict.pass, rest.currency, rest.amount, rest.date, rest.row,
      row_number() over (partition by rest.side, rest.currency, rest.amount, rest.date order by rest.row) - 1 as place
    from reconciliation_rest rest
    join reconciliation_verdicts verdict
      on verdict.side = rest.side and verdict.currency = rest.currency and verdict.amount = rest.amount
      and verdict.date = rest.date
    where rest.account_id = of_account and rest.livemode = of_livemode and rest.run_id = of_run and rest.twin_of is null
      and verdict.status = 'ambiguous'
  ) as numbered
  group by side, pass, currency, amount, date, place / 1024;

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
  -- What is few in the end is grouped as it comes; the planner would sort millions of rows for it.
  set enable_sort = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
declare
  this record;
begin
  for this in
    select both_sides.name, both_sides.statement
    from reconciliation_runs run
    cross join lateral (values
      (1, 'left', run.left_statement_id),
      (2, 'right', run.right_statement_id)
    ) as both_sides (place, name, statement)
    where run.account_id = of_account and run.livemode = of_livemode and run.id = of_run
    order by both_sides.place
  loop
    return query
    select this.name, home.status, line.currency, count(*), sum(line.amount)
    from (
      select item.row, item.status
      from reconciliation_items item
      where item.account_id = of_account and item.livemode = of_livemode and item.run_id = of_run
        and item.side = this.name
      union all
      select unnest(pair.rows), 'matched'
      from reconciliation_pairs pair
      where pair.account_id = of_account and pair.livemode = of_livemode and pair.run_id = of_run
        and pair.side = this.name
    ) as home
    join reconciliation_lines(of_account, of_livemode, of_run, this.name, this.statement) line on line.row = home.row
    group by home.status, line.currency
    order by home.status collate "C", line.currency collate "C";
  end loop;
end;
$$;

-- How many rows have two homes. In each of both tables a row stands once, which their keys see to.
create or replace function reconciliation_rows_twice(of_account uuid, of_livemode boolean, of_run uuid) returns bigint
  language plpgsql
  set enable_nestloop = off
  set enable_sort = off
  set work_mem = '64MB'
  set plan_cache_mode = force_custom_plan
as $$
begin
  return (
    select count(*)
    from reconciliation_items item
    join (
      select pair.side, unnest(pair.rows) as row
      from reconciliation_pairs pair
      where pair.account_id = of_account and pair.livemode = of_livemode and pair.run_id = of_run
    ) as packed on packed.side = item.side and packed.row = item.row
    where item.account_id = of_account and item.livemode = of_livemode and item.run_id = of_run
  );
end;
$$;
