-- Disputes, payouts, and refunds that fail after they succeeded. Additive; does not break older code.

alter table refunds add column failure_balance_transaction_id uuid;
comment on column refunds.failure_balance_transaction_id is 'The money that came back, of a refund that failed after it had succeeded.';

alter table balance_transactions drop constraint balance_transactions_type_is_known;
alter table balance_transactions add constraint balance_transactions_type_is_known check (
  type in ('charge', 'refund', 'refund_failure', 'dispute', 'dispute_reversal', 'payout', 'payout_failure')
);
comment on column balance_transactions.source_id is 'The charge, refund, dispute or payout it comes from, by type.';

insert into ledger_chart (code, kind, normal_side, description) values
  ('disputed_funds', 'asset', 'debit', 'Taken back by the processors for open disputes, until they are won or lost.');

create table disputes (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  charge_id uuid not null,
  payment_intent_id uuid not null,
  amount bigint not null constraint disputes_amount_is_positive check (amount > 0),
  fee bigint not null constraint disputes_fee_is_not_negative check (fee >= 0),
  currency text not null,
  status text not null constraint disputes_status_is_known check (
    status in ('warning_needs_response', 'warning_closed', 'needs_response', 'under_review', 'won', 'lost')
  ),
  reason text not null,
  is_withdrawn boolean not null default false,
  evidence jsonb not null default '{}',
  evidence_due_by timestamptz,
  evidence_submitted_at timestamptz,
  balance_transaction_id uuid,
  reversal_balance_transaction_id uuid,
  processor text not null,
  processor_id text not null,
  asked text constraint disputes_asked_is_known check (asked in ('evidence', 'close')),
  next_check_at timestamptz,
  checks integer not null default 0,
  metadata jsonb not null default '{}',
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  foreign key (account_id, livemode, charge_id) references charges,
  constraint disputes_once unique (processor_id, processor, account_id, livemode),
  constraint disputes_only_open_ones_or_lost_are_withdrawn check (
    not is_withdrawn or status in ('needs_response', 'under_review', 'lost')
  )
);
comment on table disputes is 'A charge that the customer''s bank contests: opened, moved and decided by what the processor tells.';
comment on column disputes.status is 'From the lifecycle in disputes/lifecycle.ts, which ranks its states: news moves it forward and never back.';
comment on column disputes.reason is 'Why, in the processor''s word.';
comment on column disputes.fee is 'What the dispute costs the account; zero while it is an inquiry, or once given back.';
comment on column disputes.is_withdrawn is 'Whether the amount is taken from the balance now.';
comment on column disputes.evidence is 'What the account has to say, as texts by field.';
comment on column disputes.evidence_due_by is 'Until when the processor takes evidence.';
comment on column disputes.evidence_submitted_at is 'When the processor had acknowledged it.';
comment on column disputes.balance_transaction_id is 'The newest withdrawal.';
comment on column disputes.reversal_balance_transaction_id is 'The newest return of the money.';
comment on column disputes.processor_id is 'The processor''s own id of it: news of one dispute finds one row.';
comment on column disputes.asked is 'What the processor was asked and has not acknowledged: asked again until it has, or until news tells.';
comment on column disputes.next_check_at is 'When it is asked again; null when nothing is.';
comment on column disputes.checks is 'How often it was asked again.';
create index disputes_by_status on disputes (account_id, livemode, status, id);
create index disputes_by_charge on disputes (account_id, livemode, charge_id, id);
create index disputes_by_payment_intent on disputes (account_id, livemode, payment_intent_id, id);
create index disputes_to_check on disputes (next_check_at) where next_check_at is not null;
comment on index disputes_to_check is 'Whoever asks again reads only what is due.';

create table payouts (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  amount bigint not null constraint payouts_amount_is_positive check (amount > 0),
  currency text not null,
  status text not null constraint payouts_status_is_known check (
    status in ('pending', 'in_transit', 'paid', 'failed', 'canceled')
  ),
  state text not null constraint payouts_state_is_known check (
    state in ('prepared', 'sent', 'unknown', 'approved', 'declined', 'voided')
  ),
  destination text,
  statement_descriptor text,
  description text,
  arrival_date timestamptz,
  failure_code text,
  balance_transaction_id uuid,
  failure_balance_transaction_id uuid,
  hold_transfer_id uuid not null,
  processor text not null,
  processor_id text,
  idempotency_key text,
  request_id uuid,
  reason text,
  sent_at timestamptz,
  next_check_at timestamptz,
  checks integer not null default 0,
  metadata jsonb not null default '{}',
  version bigint not null,
  created_at timestamptz not null,
  primary key (account_id, livemode, id)
) with (fillfactor = 80);
comment on table payouts is 'Money on its way from the available balance to the bank. Its id is our reference at the processor, committed before anything is sent.';
comment on column payouts.status is 'From the lifecycle in payouts/lifecycle.ts: what the account is told.';
comment on column payouts.state is 'What the processor was told, from the lifecycle of attempts. "sent" is committed before the call: what is "prepared" was never sent.';
comment on column payouts.destination is 'Where to, in the processor''s words; null: the bank account it knows.';
comment on column payouts.arrival_date is 'When the processor expects it at the bank.';
comment on column payouts.failure_code is 'Why it failed, in the processor''s word.';
comment on column payouts.balance_transaction_id is 'The amount leaving the balance, once it is on its way.';
comment on column payouts.failure_balance_transaction_id is 'The amount coming back, of a payout that failed on its way or was returned.';
comment on column payouts.hold_transfer_id is 'The pending ledger transfer that holds the amount until the processor has taken it on.';
comment on column payouts.idempotency_key is 'Whose answer the first outcome is.';
comment on column payouts.reason is 'Why its outcome is unknown, in a word.';
comment on column payouts.sent_at is 'By the database''s clock: how long the processor has been silent.';
comment on column payouts.next_check_at is 'When the processor is asked again; null when it has said its last word.';
comment on column payouts.checks is 'How often it was asked again.';
create index payouts_by_status on payouts (account_id, livemode, status, id);
create index payouts_to_check on payouts (next_check_at) where next_check_at is not null;
comment on index payouts_to_check is 'Whoever asks again reads only what is due.';

do $$
declare
  name text;
begin
  foreach name in array array['disputes', 'payouts'] loop
    execute format('alter table %I enable row level security', name);
    execute format(
      'create policy tenant on %I to bursar_app using (account_id = current_setting(''bursar.account_id'')::uuid and livemode = current_setting(''bursar.livemode'')::boolean)',
      name
    );
    execute format('create policy system on %I to bursar_system using (true)', name);
    execute format('grant select, insert, update on %I to bursar_app, bursar_system', name);
    execute format('comment on column %I.account_id is ''Whose row it is.''', name);
    execute format('comment on column %I.livemode is ''In which of the account''''s modes.''', name);
    execute format('comment on column %I.id is ''uuid v7 made in the process; prefixed text outside.''', name);
    execute format('comment on column %I.created_at is ''The instant in the id.''', name);
    execute format('comment on column %I.version is ''Counts the changes of the row; the version of its events.''', name);
  end loop;
end;
$$;
