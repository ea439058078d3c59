-- What: a decision can be withdrawn, by a record of its own; what waits in suspense can be cleared by a decision.
-- Breaking: no.
alter table reconciliation_decisions
  add column clears uuid[] not null default '{}',
  drop constraint reconciliation_decisions_kind_is_known,
  add constraint reconciliation_decisions_kind_is_known check (kind in ('match', 'write_off', 'suspense', 'clear')),
  add constraint reconciliation_decisions_clear_something check ((kind = 'clear') = (clears <> '{}'));
comment on column reconciliation_decisions.kind is 'match: these belong together; write_off: accepted as it is; suspense: accepted, and the difference posted to a suspense account; clear: what was in suspense has come, and is taken out of it.';
comment on column reconciliation_decisions.clears is 'Of a clear: the suspense decisions whose money has come.';
comment on column reconciliation_decisions."left" is 'The rows by what they say (id, amount, currency, date), so that another file is found to have them, and by their number in the run. A row without a date is known again only in the same statement.';
comment on column reconciliation_decisions.transfer_ids is 'What suspense posted, or clear.';
create index reconciliation_decisions_in_suspense on reconciliation_decisions (account_id, livemode, id) where kind = 'suspense';
comment on index reconciliation_decisions_in_suspense is 'What somebody must still find: few among many.';

create table reconciliation_withdrawals (
  account_id uuid not null,
  livemode boolean not null,
  decision_id uuid not null,
  author text not null,
  reason text not null,
  transfer_ids uuid[] not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, decision_id),
  foreign key (account_id, livemode, decision_id) references reconciliation_decisions
);
comment on table reconciliation_withdrawals is 'Decisions that were taken back, each once: later runs replay them no more. Never changed, never removed; the decision itself stays.';
comment on column reconciliation_withdrawals.transfer_ids is 'What took back that which the decision had posted.';

comment on table reconciliation_decided_rows is 'Which rows of a run are decided: each once, so that two people cannot post one difference twice. A row goes when its decision is withdrawn, so that it can be decided anew.';
create function reconciliation_refuse_release() returns trigger
  language plpgsql
as $$
begin
  if exists (
    select
    from reconciliation_withdrawals withdrawn
    where withdrawn.account_id = old.account_id and withdrawn.livemode = old.livemode
      and withdrawn.decision_id = old.decision_id
  ) then
    return old;
  end if;
  raise exception 'reconciliation_decided_rows is immutable: delete refused'
    using errcode = 'restrict_violation', hint = 'Withdraw the decision.';
end;
$$;
comment on function reconciliation_refuse_release() is 'A row stays decided while its decision stands.';
drop trigger immutable on reconciliation_decided_rows;
create trigger immutable before update on reconciliation_decided_rows for each row execute function reconciliation_refuse_change();
create trigger released before delete on reconciliation_decided_rows for each row execute function reconciliation_refuse_release();
create index reconciliation_decided_rows_of_decision on reconciliation_decided_rows (account_id, livemode, decision_id);
comment on index reconciliation_decided_rows_of_decision is 'What a withdrawal sets free.';

create trigger immutable before update or delete on reconciliation_withdrawals for each row execute function reconciliation_refuse_change();
create trigger never_emptied before truncate on reconciliation_withdrawals execute function reconciliation_refuse_change();
alter table reconciliation_withdrawals enable row level security;
create policy tenant on reconciliation_withdrawals to bursar_app using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on reconciliation_withdrawals to bursar_system using (true);
grant select, insert on reconciliation_withdrawals to bursar_app, bursar_system;
grant delete on reconciliation_decided_rows to bursar_app;
