-- What: rows that decisions name are found by what they say; ambiguous rows of a run are found by amount and day.
-- Breaking: no.

alter table reconciliation_decisions
  add column names integer not null generated always as (jsonb_array_length("left") + jsonb_array_length("right")) stored;
comment on column reconciliation_decisions.names is 'How many rows it names: what a run replays is limited by it.';

create function reconciliation_name_of(side text, id text, amount bigint, currency text, date date) returns bytea
  language sql stable
as $$
  -- The id may have anything in it and stands last. A day is a number, whatever style dates are written in.
  select sha256(convert_to(concat_ws(' ', side, amount, currency, coalesce((date - '2000-01-01'::date)::text, '-'), id), 'UTF8'))
$$;
comment on function reconciliation_name_of(text, text, bigint, text, date) is 'The name by which a decision knows a row: a digest of its side and of all that it says.';

create table reconciliation_named_rows (
  account_id uuid not null,
  livemode boolean not null,
  name bytea not null,
  decision_id uuid not null,
  primary key (account_id, livemode, name, decision_id)
);
comment on table reconciliation_named_rows is 'Which decisions name a row, also those that were withdrawn: so that whoever decides about a few rows reads a few of these, and not what was ever decided. Written by a trigger of the decisions alone, whichever version decides, so it needs no foreign key. Never changed, never removed.';
comment on column reconciliation_named_rows.name is 'Of a row, by reconciliation_name_of. As often as a decision names it, it is here once.';

create function reconciliation_keep_names() returns trigger
  language plpgsql security definer
  set search_path = pg_catalog, public, pg_temp
as $$
begin
  insert into reconciliation_named_rows (account_id, livemode, name, decision_id)
  select distinct new.account_id, new.livemode, reconciliation_name_of(named.side, named.id, named.amount, named.currency, named.date), new.id
  from (
    select 'left' as side, ours.id, ours.amount, ours.currency, ours.date
    from jsonb_to_recordset(new."left") as ours (id text, amount bigint, currency text, date date)
    union all
    select 'right', theirs.id, theirs.amount, theirs.currency, theirs.date
    from jsonb_to_recordset(new."right") as theirs (id text, amount bigint, currency text, date date)
  ) as named;
  return null;
end;
$$;
revoke execute on function reconciliation_keep_names() from public;
comment on function reconciliation_keep_names() is 'Keeps the names of the rows of a decision. As the owner: nobody else may write there.';
-- Its lock keeps decisions out until all that are here have their names.
create trigger named after insert on reconciliation_decisions for each row execute function reconciliation_keep_names();

insert into reconciliation_named_rows (account_id, livemode, name, decision_id)
select distinct decision.account_id, decision.livemode,
  reconciliation_name_of(named.side, named.id, named.amount, named.currency, named.date), decision.id
from reconciliation_decisions decision
cross join lateral (
  select 'left' as side, ours.id, ours.amount, ours.currency, ours.date
  from jsonb_to_recordset(decision."left") as ours (id text, amount bigint, currency text, date date)
  union all
  select 'right', theirs.id, theirs.amount, theirs.currency, theirs.date
  from jsonb_to_recordset(decision."right") as theirs (id text, amount bigint, currency text, date date)
) as named;

create index reconciliation_items_by_decision on reconciliation_items (account_id, livemode, run_id, decision_id) where decision_id is not null;
comment on index reconciliation_items_by_decision is 'Whether a decision holds in a run.';

create table reconciliation_ambiguous (
  account_id uuid not null,
  livemode boolean not null,
  run_id uuid not null,
  side text collate "C" not null constraint reconciliation_ambiguous_side_is_known check (side in ('left', 'right')),
  pass text collate "C" not null constraint reconciliation_ambiguous_pass_is_known check (pass in ('window', 'tolerance')),
  currency text collate "C" not null,
  amount bigint not null,
  date date not null,
  block integer not null,
  count smallint not null,
  rows integer[] not null,
  primary key (account_id, livemode, run_id, side, pass, currency, amount, date, block),
  constraint reconciliation_ambiguous_are_some check (count between 1 and 1024 and cardinality(rows) = count),
  constraint reconciliation_ambiguous_have_a_row_once check (reconciliation_is_rising(rows))
);
comment on table reconciliation_ambiguous is 'The ambiguous rows of a run by what makes them so: of each side, pass, currency, amount and day up to 1,024 rows in one. Each is among the items too. Whoever asks for the candidates of a row finds them here by their amount and days, whatever the run holds; two hundred thousand that are alike are two hundred rows.';
comment on column reconciliation_ambiguous.block is 'From 0, by the order of the rows.';
comment on column reconciliation_ambiguous.count is 'Of its rows: they are counted without being opened.';
comment on column reconciliation_ambiguous.rows is 'In their order.';

create function reconciliation_keep_ambiguous(of_account uuid, of_livemode boolean, of_run uuid) returns void
  language plpgsql
as $$
begin
  if exists (
    select
    from reconciliation_ambiguous known
    where known.account_id = of_account and known.livemode = of_livemode and known.run_id = of_run
  ) then
    return;
  end if;
  insert into reconciliation_ambiguous (account_id, livemode, run_id, side, pass, currency, amount, date, block, count, rows)
  select account_id, livemode, run_id, side, pass, currency, amount, date, place / 1024, count(*), array_agg(row order by row)
  from (
    select home.account_id, home.livemode, home.run_id, home.side, home.pass, line.currency, line.amount, line.date, home.row,
      row_number() over (partition by home.side, home.pass, line.currency, line.amount, line.date order by home.row) - 1 as place
    from reconciliation_items home
    join reconciliation_runs run
      on run.account_id = home.account_id and run.livemode = home.livemode and run.id = home.run_id
    cross join lateral (
      select kept.currency, kept.amount, kept.date
      from reconciliation_rows kept
      where kept.account_id = home.account_id and kept.livemode = home.livemode and kept.row = home.row
        and kept.statement_id = case home.side when 'left' then run.left_statement_id else run.right_statement_id end
      union all
      select carried.currency, carried.amount, carried.date
      from reconciliation_carried_rows carried
      where carried.account_id = home.account_id and carried.livemode = home.livemode and carried.run_id = home.run_id
        and carried.side = home.side and carried.row = home.row
      limit 1
    ) as line
    where home.account_id = of_account and home.livemode = of_livemode and home.run_id = of_run
      and home.status = 'ambiguous' and home.pass in ('window', 'tolerance') and line.date is not null
  ) as numbered
  group by account_id, livemode, run_id, side, pass, currency, amount, date, place / 1024;
end;
$$;
comment on function reconciliation_keep_ambiguous(uuid, boolean, uuid) is 'Keeps the ambiguous rows of a run of which none are kept: it was compared by the version before.';

create function reconciliation_keep_ambiguous_at_end() returns trigger
  language plpgsql
as $$
begin
  perform reconciliation_keep_ambiguous(new.account_id, new.livemode, new.id);
  return null;
end;
$$;
comment on function reconciliation_keep_ambiguous_at_end() is 'The stage that places them may have begun before this table was there, and results are never mended.';
-- After the index above, which waits for whoever places rows: in the other order both would wait for each other.
create trigger ended after update on reconciliation_runs for each row
  when (new.status = 'succeeded') execute function reconciliation_keep_ambiguous_at_end();
select reconciliation_keep_ambiguous(account_id, livemode, id) from reconciliation_runs;

do $$
declare
  target text;
begin
  foreach target in array array['reconciliation_named_rows', 'reconciliation_ambiguous'] loop
    execute format('create trigger immutable before update or delete on %I for each row execute function reconciliation_refuse_change()', target);
    execute format('create trigger never_emptied before truncate on %I execute function reconciliation_refuse_change()', target);
    execute format('alter table %I enable row level security', target);
    execute format(
      'create policy tenant on %I to bursar_app using (account_id = current_setting(''bursar.account_id'')::uuid and livemode = current_setting(''bursar.livemode'')::boolean)',
      target
    );
    execute format('create policy system on %I to bursar_system using (true)', target);
    execute format('grant select on %I to bursar_app, bursar_system', target);
  end loop;
end;
$$;
grant insert on reconciliation_ambiguous to bursar_system;
