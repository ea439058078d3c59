-- What: statements (frozen sides), runs of reconciliation with a home for each row, and decisions; suspense accounts.
-- Breaking: no.

insert into ledger_chart (code, kind, normal_side, description, is_operated) values
  ('suspense_missing', 'asset', 'debit', 'Money that a reconciliation missed outside, until somebody explains it.', false),
  ('suspense_unexpected', 'liability', 'credit', 'Money that a reconciliation found outside and nobody expected, until somebody explains it.', false);

create table reconciliation_statements (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  name text not null,
  source text not null constraint reconciliation_statements_source_is_known check (source in ('file', 'balance_transactions', 'payouts', 'ledger')),
  format text,
  mapping jsonb,
  selection jsonb,
  sha256 text not null constraint reconciliation_statements_sha256_is_hex check (sha256 ~ '^[0-9a-f]{64}$'),
  content text not null constraint reconciliation_statements_content_is_hex check (content ~ '^[0-9a-f]{64}$'),
  bytes bigint,
  rows integer not null constraint reconciliation_statements_rows_are_counted check (rows >= 0),
  bad_rows integer not null,
  bad jsonb not null,
  controls jsonb not null,
  sums jsonb not null,
  created_at timestamptz not null,
  deleted_at timestamptz,
  primary key (account_id, livemode, id),
  constraint reconciliation_statements_files_have_a_format check ((source = 'file') = (format is not null))
);
comment on table reconciliation_statements is 'A side of a reconciliation, frozen: a file that was uploaded, or a cut of our own books. Written with all its rows by one transaction, and never changed.';
comment on column reconciliation_statements.id is 'uuid v7; rst_… outside.';
comment on column reconciliation_statements.name is 'What people call it: the name of the file.';
comment on column reconciliation_statements.source is 'Where its rows come from.';
comment on column reconciliation_statements.format is 'Of a file; null of a cut of the books.';
comment on column reconciliation_statements.mapping is 'How columns were meant, also where it was guessed; null where a format needs none.';
comment on column reconciliation_statements.selection is 'Of a cut of the books: what was asked for, and up to where it was read. Null of a file.';
comment on column reconciliation_statements.sha256 is 'Of the bytes that were sent, or of the rows of a cut.';
comment on column reconciliation_statements.content is 'Digest of the bytes and of how they were read: two statements with the same one have the same rows.';
comment on column reconciliation_statements.bytes is 'Of a file, as it was sent.';
comment on column reconciliation_statements.rows is 'Rows that could be read.';
comment on column reconciliation_statements.bad_rows is 'Rows that could not.';
comment on column reconciliation_statements.bad is 'The first of those, with line and reason.';
comment on column reconciliation_statements.controls is 'What the statement says of itself (balances, totals, sequences) and what was found.';
comment on column reconciliation_statements.sums is 'Rows and sum by currency; amounts as texts, because a sum may exceed int64.';
comment on column reconciliation_statements.deleted_at is 'Since then it is gone for everybody; its rows are taken away a page at a time.';
create index reconciliation_statements_by_name on reconciliation_statements (account_id, livemode, name, id);
comment on index reconciliation_statements_by_name is 'Lists of one name.';

create table reconciliation_rows (
  account_id uuid not null,
  livemode boolean not null,
  statement_id uuid not null,
  row integer not null,
  line integer not null,
  amount bigint not null,
  date date,
  currency text collate "C" not null,
  id text collate "C" not null,
  batch text collate "C",
  text text collate "C",
  primary key (account_id, livemode, statement_id, row)
) with (autovacuum_analyze_scale_factor = 0.5);
comment on table reconciliation_rows is 'The rows of statements, as they were read. No foreign key: it would look a statement up once for each of millions of rows that one transaction writes.';
comment on column reconciliation_rows.row is 'From 1, in the order of reading.';
comment on column reconciliation_rows.line is 'Where it stands in the file; of a cut of the books the same as row.';
comment on column reconciliation_rows.amount is 'Minor units, negative when money leaves.';
comment on column reconciliation_rows.date is 'The day it was booked; null where the source has none.';
comment on column reconciliation_rows.id is 'What both sides call it. Compares by bytes, as everywhere in reconciliation.';
comment on column reconciliation_rows.batch is 'The payout or settlement batch it belongs to.';
comment on column reconciliation_rows.text is 'What people read; only suggestions look at it.';

create table reconciliation_runs (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  left_statement_id uuid not null,
  right_statement_id uuid not null,
  carry_from uuid,
  rules jsonb not null,
  rules_version integer not null,
  decision_ids uuid[] not null,
  key text not null,
  status text not null default 'queued' constraint reconciliation_runs_status_is_known check (status in ('queued', 'running', 'succeeded', 'failed')),
  stage text not null default 'carry' constraint reconciliation_runs_stage_is_known check (stage in ('carry', 'decisions', 'ids', 'batches', 'rest', 'sums', 'done')),
  rows_done bigint not null default 0,
  rows_total bigint not null,
  totals jsonb,
  suggestions jsonb,
  is_clean boolean,
  failure text,
  version bigint not null default 1,
  created_at timestamptz not null,
  finished_at timestamptz,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, left_statement_id) references reconciliation_statements,
  foreign key (account_id, livemode, right_statement_id) references reconciliation_statements,
  foreign key (account_id, livemode, carry_from) references reconciliation_runs,
  constraint reconciliation_runs_end_is_told check ((status in ('succeeded', 'failed')) = (finished_at is not null)),
  constraint reconciliation_runs_success_is_whole check ((status = 'succeeded') = (stage = 'done' and totals is not null and is_clean is not null)),
  constraint reconciliation_runs_failure_says_why check ((status = 'failed') = (failure is not null))
);
comment on table reconciliation_runs is 'Two statements compared under rules. Worked off by a job in stages, each of one transaction; what it found is never changed.';
comment on column reconciliation_runs.id is 'uuid v7; rec_… outside.';
comment on column reconciliation_runs.left_statement_id is 'What we believe.';
comment on column reconciliation_runs.right_statement_id is 'What somebody else says.';
comment on column reconciliation_runs.carry_from is 'The run whose timing rows join the sides here, after their own.';
comment on column reconciliation_runs.rules is 'What it was told: window, tolerance, the day it looks from.';
comment on column reconciliation_runs.rules_version is 'Of the specification that it follows.';
comment on column reconciliation_runs.decision_ids is 'The decisions that it replays, in their order.';
comment on column reconciliation_runs.key is 'Digest of both sides'' content, what is carried, the rules, their version and the decisions.';
comment on column reconciliation_runs.stage is 'The first whose work is not in the database yet: a run that was interrupted goes on there.';
comment on column reconciliation_runs.rows_done is 'Rows of both sides that have a home.';
comment on column reconciliation_runs.rows_total is 'Rows of both sides, with those that are carried.';
comment on column reconciliation_runs.totals is 'Count and sum by side, status and currency; they add up to the statements, or the run has failed.';
comment on column reconciliation_runs.suggestions is 'What may belong together, for a person to confirm.';
comment on column reconciliation_runs.is_clean is 'Nobody has to look at anything: no finding, no bad row, every control met.';
comment on column reconciliation_runs.failure is 'Why it could not be finished.';
create unique index reconciliation_runs_once on reconciliation_runs (account_id, livemode, key) where status <> 'failed';
comment on index reconciliation_runs_once is 'The same key answers the stored run. One that failed may be asked for again.';
create index reconciliation_runs_by_left on reconciliation_runs (account_id, livemode, left_statement_id, id);
create index reconciliation_runs_by_right on reconciliation_runs (account_id, livemode, right_statement_id, id);
comment on index reconciliation_runs_by_left is 'A statement that a run names stays.';

create table reconciliation_carried_rows (
  account_id uuid not null,
  livemode boolean not null,
  run_id uuid not null,
  side text collate "C" not null constraint reconciliation_carried_rows_side_is_known check (side in ('left', 'right')),
  row integer not null,
  line integer not null,
  amount bigint not null,
  date date,
  currency text collate "C" not null,
  id text collate "C" not null,
  batch text collate "C",
  text text collate "C",
  primary key (account_id, livemode, run_id, side, row)
);
comment on table reconciliation_carried_rows is 'Rows of an earlier run that still waited for their counterpart, copied into this one.';
comment on column reconciliation_carried_rows.row is 'Goes on behind the last row of the statement.';

create table reconciliation_items (
  account_id uuid not null,
  livemode boolean not null,
  run_id uuid not null,
  side text collate "C" not null constraint reconciliation_items_side_is_known check (side in ('left', 'right')),
  row integer not null,
  status text collate "C" not null constraint reconciliation_items_status_is_known check (status in ('matched', 'matched_with_tolerance', 'manual', 'timing', 'discrepant', 'unmatched', 'duplicate', 'ambiguous')),
  pass text collate "C" not null constraint reconciliation_items_pass_is_known check (pass in ('decisions', 'duplicates', 'id', 'batch', 'window', 'tolerance', 'rest')),
  "group" text collate "C" not null,
  reason text,
  decision_id uuid,
  primary key (account_id, livemode, run_id, side, row),
  constraint reconciliation_items_manual_has_a_decision check ((status = 'manual') = (decision_id is not null))
) with (autovacuum_analyze_scale_factor = 0.5);
comment on table reconciliation_items is 'Where each row of a run ended: exactly one home, which the primary key sees to. Written once and never changed. No foreign keys, as for the rows.';
comment on column reconciliation_items."group" is 'Rows that were decided together share it: the smallest row among them, left before right.';
comment on column reconciliation_items.reason is 'In words, for whoever must act.';
comment on column reconciliation_items.decision_id is 'The decision that made it manual.';
create index reconciliation_items_findings on reconciliation_items (account_id, livemode, run_id, status, side, row) where status <> 'matched';
comment on index reconciliation_items_findings is 'What people look at: few among many. All that is matched is listed by the primary key.';
create index reconciliation_items_of_group on reconciliation_items (account_id, livemode, run_id, "group") where status <> 'matched';
comment on index reconciliation_items_of_group is 'What belongs to a finding.';

create table reconciliation_rest (
  account_id uuid not null,
  livemode boolean not null,
  run_id uuid not null,
  side text collate "C" not null,
  row integer not null,
  amount bigint not null,
  date date,
  twin_of integer,
  currency text collate "C" not null,
  id text collate "C" not null,
  batch text collate "C",
  reason text,
  primary key (account_id, livemode, run_id, side, row)
);
comment on table reconciliation_rest is 'Between two stages of a run: the rows that ids have not decided. Empty when no run is under way.';
comment on column reconciliation_rest.twin_of is 'Of a duplicate: the row of its id that went on, whose group it shares wherever that ends.';
comment on column reconciliation_rest.reason is 'Of a duplicate.';

create table reconciliation_decisions (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  run_id uuid not null,
  kind text not null constraint reconciliation_decisions_kind_is_known check (kind in ('match', 'write_off', 'suspense')),
  "left" jsonb not null,
  "right" jsonb not null,
  author text not null,
  reason text not null,
  transfer_ids uuid[] not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, run_id) references reconciliation_runs
);
comment on table reconciliation_decisions is 'What people decided about rows of a run, replayed by later ones. Never changed, never removed.';
comment on column reconciliation_decisions.id is 'uuid v7; rdc_… outside.';
comment on column reconciliation_decisions.run_id is 'The run whose findings were looked at.';
comment on column reconciliation_decisions.kind is 'match: these belong together; write_off: accepted as it is; suspense: accepted, and the difference posted to a suspense account.';
comment on column reconciliation_decisions."left" is 'The rows by what they say (id, amount, currency, date), so that another file is found to have them.';
comment on column reconciliation_decisions.transfer_ids is 'What suspense posted.';
create index reconciliation_decisions_by_run on reconciliation_decisions (account_id, livemode, run_id, id);

create table reconciliation_decided_rows (
  account_id uuid not null,
  livemode boolean not null,
  run_id uuid not null,
  side text collate "C" not null,
  row integer not null,
  decision_id uuid not null,
  primary key (account_id, livemode, run_id, side, row),
  foreign key (account_id, livemode, decision_id) references reconciliation_decisions
);
comment on table reconciliation_decided_rows is 'Which rows of a run have been decided: each once, so that two people cannot post one difference twice.';

create function reconciliation_refuse_change() returns trigger
  language plpgsql
as $$
begin
  raise exception '% is immutable: % refused', tg_table_name, lower(tg_op)
    using errcode = 'restrict_violation', hint = 'Start another run, or take another decision.';
end;
$$;
comment on function reconciliation_refuse_change() is 'Refuses what would rewrite a result, to the tables'' owner as well.';
create trigger immutable before update or delete on reconciliation_items for each row execute function reconciliation_refuse_change();
create trigger immutable before update or delete on reconciliation_carried_rows for each row execute function reconciliation_refuse_change();
create trigger immutable before update or delete on reconciliation_decisions for each row execute function reconciliation_refuse_change();
create trigger immutable before update or delete on reconciliation_decided_rows for each row execute function reconciliation_refuse_change();
create trigger immutable before update on reconciliation_rows for each row execute function reconciliation_refuse_change();
create trigger permanent before delete on reconciliation_runs for each row execute function reconciliation_refuse_change();
create trigger finished before update on reconciliation_runs for each row
  when (old.finished_at is not null) execute function reconciliation_refuse_change();
create trigger frozen before update on reconciliation_statements for each row
  when (old.deleted_at is not null or new.deleted_at is null) execute function reconciliation_refuse_change();

-- Rows go only with their statement, which is gone for everybody already, and which no run names.
create function reconciliation_refuse_removal() returns trigger
  language plpgsql
as $$
begin
  if exists (
    select
    from (select distinct account_id, livemode, statement_id from gone) as gone
    join reconciliation_statements kept
      on kept.account_id = gone.account_id and kept.livemode = gone.livemode and kept.id = gone.statement_id
    where kept.deleted_at is null
  ) then
    raise exception 'reconciliation_rows is immutable: delete refused' using errcode = 'restrict_violation';
  end if;
  return null;
end;
$$;
comment on function reconciliation_refuse_removal() is 'Keeps the rows of statements that are not deleted.';
create trigger permanent after delete on reconciliation_rows
  referencing old table as gone for each statement execute function reconciliation_refuse_removal();

do $$
declare
  target text;
begin
  foreach target in array array[
    'reconciliation_rows', 'reconciliation_items', 'reconciliation_carried_rows', 'reconciliation_runs', 'reconciliation_statements', 'reconciliation_decisions',
    'reconciliation_decided_rows'
  ] loop
    execute format('create trigger never_emptied before truncate on %I execute function reconciliation_refuse_change()', target);
  end loop;
  foreach target in array array[
    'reconciliation_statements', 'reconciliation_rows', 'reconciliation_runs', 'reconciliation_carried_rows', 'reconciliation_items', 'reconciliation_rest',
    'reconciliation_decisions', 'reconciliation_decided_rows'
  ] loop
    execute format('alter table %I enable row level security', target);
    execute format(
      'create policy tenant on %I to bursar_app using (account_id = current_setting(''bursar.account_id'')::uuid and livemode = current_setting(''bursar.livemode'')::boolean)',
      target
    );
    execute format('create policy system on %I to bursar_system using (true)', target);
    execute format('grant select on %I to bursar_app', target);
    execute format('grant select, insert on %I to bursar_system', target);
  end loop;
end;
$$;
grant insert on reconciliation_statements, reconciliation_rows, reconciliation_runs, reconciliation_decisions, reconciliation_decided_rows to bursar_app;
grant update (deleted_at) on reconciliation_statements to bursar_app;
grant update (status, stage, rows_done, totals, suggestions, is_clean, failure, version, finished_at) on reconciliation_runs to bursar_system;
grant delete on reconciliation_rest, reconciliation_rows, reconciliation_statements to bursar_system;
