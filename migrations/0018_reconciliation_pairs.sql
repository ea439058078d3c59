-- What: rows of runs that match by id are kept a thousand to a row; what was left out of statements; progress of a stage.
-- Breaking: no.

create function reconciliation_is_rising(numbers integer[]) returns boolean
  language plpgsql immutable
as $$
declare
  number integer;
  before integer;
begin
  foreach number in array numbers loop
    if number <= before then
      return false;
    end if;
    before := number;
  end loop;
  return true;
end;
$$;
comment on function reconciliation_is_rising(integer[]) is 'Each greater than the one before it, so none of them twice.';

create table reconciliation_pairs (
  account_id uuid not null,
  livemode boolean not null,
  run_id uuid not null,
  side text collate "C" not null constraint reconciliation_pairs_side_is_known check (side in ('left', 'right')),
  block integer not null,
  count smallint not null,
  rows integer[] not null,
  partners integer[] not null,
  primary key (account_id, livemode, run_id, side, block),
  constraint reconciliation_pairs_meet check (count between 1 and 1024 and cardinality(rows) = count and cardinality(partners) = count),
  constraint reconciliation_pairs_stand_in_their_block check (rows[1] / 1024 = block and rows[count] / 1024 = block),
  constraint reconciliation_pairs_have_a_row_once check (reconciliation_is_rising(rows))
);
comment on table reconciliation_pairs is 'The rows of a run that met the one row of their id and say the same: status matched, pass id. They are most of all, and nobody looks at them one by one, so up to 1,024 of them are one row; a row for each would take ten times as long to write as to find. That one is here once is seen to by its block. All others are in reconciliation_items; that no row is in both, or in neither, is proven at the end of each run.';
comment on column reconciliation_pairs.block is 'The number of a row divided by 1,024.';
comment on column reconciliation_pairs.count is 'Of its rows: lists see by it which blocks they need to open.';
comment on column reconciliation_pairs.rows is 'In their order.';
comment on column reconciliation_pairs.partners is 'The row of the other side that each of them met. The left one of both names their group.';

create trigger immutable before update or delete on reconciliation_pairs for each row execute function reconciliation_refuse_change();
create trigger never_emptied before truncate on reconciliation_pairs execute function reconciliation_refuse_change();
alter table reconciliation_pairs enable row level security;
create policy tenant on reconciliation_pairs to bursar_app using (
  account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean
);
create policy system on reconciliation_pairs to bursar_system using (true);
grant select on reconciliation_pairs to bursar_app;
grant select, insert on reconciliation_pairs to bursar_system;

comment on table reconciliation_items is 'Where each row of a run ended, but those of reconciliation_pairs: exactly one home. Written once and never changed. No foreign keys, as for the rows.';

-- Every status is few among many now, and a group may be a batch of a million rows: both are read in the order of lists.
drop index reconciliation_items_findings;
drop index reconciliation_items_of_group;
create index reconciliation_items_by_status on reconciliation_items (account_id, livemode, run_id, status, side, row);
create index reconciliation_items_by_group on reconciliation_items (account_id, livemode, run_id, "group", side, row);
comment on index reconciliation_items_by_group is 'What belongs together.';

alter table reconciliation_runs
  add column stage_percent smallint not null default 0
    constraint reconciliation_runs_percent_is_one check (stage_percent between 0 and 100);
comment on column reconciliation_runs.stage_percent is 'How far the stage that is under way has come, told from outside its transaction. A hint for people, never more.';
grant update (stage_percent) on reconciliation_runs to bursar_system;

create index reconciliation_runs_by_carried on reconciliation_runs (account_id, livemode, carry_from) where carry_from is not null;
comment on index reconciliation_runs_by_carried is 'Where the rows that wait in a run were carried to.';

alter table reconciliation_statements add column left_out jsonb not null default '[]';
comment on column reconciliation_statements.left_out is 'Entries of a bank statement that are no movements (pending, for information), by what they are: no rows, and not compared.';
comment on column reconciliation_statements.content is 'Digest of what was read and of how: two statements with the same one have the same rows, also when one came packed.';
create index reconciliation_statements_by_content on reconciliation_statements (account_id, livemode, content);
comment on index reconciliation_statements_by_content is 'Whether rows were in a run already, under whatever name.';

-- Of the version before; those that are in its place are defined beside their callers. A worker that still asks for the
-- first fails at its stage, which the next worker does.
drop function if exists reconciliation_match_ids(uuid, boolean, uuid);
drop function if exists reconciliation_totals(uuid, boolean, uuid);
