-- What: orphan captures (money that a processor took and we hold for not taken, on its way back), the operations that
-- give it back, and the indexes of what is still open.
-- Breaking: no. Older code makes no attempt without an intent, and reads none.

insert into ledger_chart (code, kind, normal_side, description) values
  ('orphan_captures', 'liability', 'credit', 'Taken by a processor against what we hold for true, and owed back to the customer until it is refunded.');

create table orphan_captures (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  processor text not null,
  processor_id text not null,
  reference text not null,
  payment_intent_id uuid,
  payment_attempt_id uuid,
  amount bigint not null constraint orphan_captures_amount_is_positive check (amount > 0),
  currency text not null,
  captured boolean not null,
  reason text not null constraint orphan_captures_reason_is_known check (
    reason in ('attempt_declined', 'attempt_voided', 'reference_unknown')
  ),
  status text not null constraint orphan_captures_status_is_known check (status in ('pending', 'refunded', 'voided', 'failed')),
  failure_reason text,
  tries integer not null,
  hold_transfer_id uuid,
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  constraint orphan_captures_are_met_once unique (account_id, livemode, processor, processor_id),
  foreign key (account_id, livemode, payment_intent_id) references payment_intents,
  constraint orphan_captures_hold_or_capture check (captured or hold_transfer_id is not null)
);
comment on table orphan_captures is 'Money that a processor took or holds although we say that the payment failed, was taken back, or never was. Given back by an operation of our own, and visible until it is.';
comment on column orphan_captures.account_id is 'Whose row it is.';
comment on column orphan_captures.livemode is 'In which of the account''s modes.';
comment on column orphan_captures.id is 'uuid v7 made in the process; prefixed text outside.';
comment on column orphan_captures.processor_id is 'The payment at the processor.';
comment on column orphan_captures.reference is 'The reference of ours that the processor told; it may be of an operation that we have lost.';
comment on column orphan_captures.payment_intent_id is 'Null when the intent was lost too.';
comment on column orphan_captures.payment_attempt_id is 'The attempt that we hold for declined or voided; null when it was lost.';
comment on column orphan_captures.captured is 'False: the money is held only, and the hold is voided in place of a refund.';
comment on column orphan_captures.reason is 'Why it is an orphan.';
comment on column orphan_captures.status is 'From the lifecycle in orphan-captures/object.ts; a test holds the CHECK against it.';
comment on column orphan_captures.failure_reason is 'Why the processor would not give it back, the last time it was asked.';
comment on column orphan_captures.tries is 'How often the processor was asked to give it back.';
comment on column orphan_captures.hold_transfer_id is 'Of a hold: the pending ledger transfer that stands for it.';
comment on column orphan_captures.version is 'Counts the changes of the row; the version of its events.';
comment on column orphan_captures.created_at is 'The instant in the id.';
comment on constraint orphan_captures_are_met_once on orphan_captures is 'However often it is told, by whomever, it is booked and given back once.';
create index orphan_captures_by_status on orphan_captures (account_id, livemode, status, id);
create index orphan_captures_by_payment_intent on orphan_captures (account_id, livemode, payment_intent_id, id)
  where payment_intent_id is not null;
create index orphan_captures_unresolved on orphan_captures (created_at) where status in ('pending', 'failed');
comment on index orphan_captures_unresolved is 'The gauges'', across accounts.';

alter table orphan_captures enable row level security;
create policy tenant on orphan_captures to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on orphan_captures to bursar_system using (true);
grant select, insert, update on orphan_captures to bursar_app, bursar_system;

alter table payment_attempts
  alter column payment_intent_id drop not null,
  add column orphan_capture_id uuid,
  -- Not validated: every older row has an intent, and reading them all would hold up payments.
  add constraint payment_attempts_are_about_something
    check (payment_intent_id is not null or orphan_capture_id is not null) not valid;
comment on column payment_attempts.payment_intent_id is 'Null for the refund of an orphan capture whose intent was lost.';
comment on column payment_attempts.orphan_capture_id is 'The orphan capture that this operation gives back.';
create index payment_attempts_by_orphan_capture on payment_attempts (account_id, livemode, orphan_capture_id, id)
  where orphan_capture_id is not null;
create index payment_attempts_open on payment_attempts (account_id, livemode, id) where next_check_at is not null;
comment on index payment_attempts_open is 'The list of what is unresolved. A payment that goes as it should never enters it, and no column that its steps change is in it: they still touch no index (HOT).';
