-- The ledger: accounts with running totals, transfers, and the entries they post. Additive; does not break older code.
--
-- Only the function ledger_post() writes here (src/commerce/ledger/post.sql). It runs as the owner of these tables; the
-- roles may read and nothing else. What was written stays: triggers refuse change and removal to the owner as well.

-- Unique keys other than the primary ones begin with what tells rows apart and end with the account and mode. Were all to
-- begin with account and mode, a plan made while the tables are small could take any index for any look-up, read an
-- account's whole history for one row, and be kept.

create type ledger_side as enum ('debit', 'credit');
create type ledger_account_kind as enum ('asset', 'liability', 'equity', 'income', 'expense');
create type ledger_transfer_kind as enum ('post', 'pending', 'post_pending', 'void_pending');
comment on type ledger_side is 'The two sides of an account; an enum because hot rows hold fixed-width values.';
comment on type ledger_transfer_kind is 'post moves at once; pending reserves; post_pending moves all or part of what a pending reserved and frees the rest; void_pending frees it.';

-- The chart is the same for every account of Bursar's users: global, small, changed by migrations alone.
create table ledger_chart (
  code text collate "C" primary key check (code ~ '^[a-z][a-z_]{0,39}$'),
  kind ledger_account_kind not null,
  normal_side ledger_side not null,
  debits_must_not_exceed_credits boolean not null default false,
  credits_must_not_exceed_debits boolean not null default false,
  description text not null,
  check (not (debits_must_not_exceed_credits and credits_must_not_exceed_debits))
);
comment on table ledger_chart is 'The chart of accounts: what a ledger account may be. Global and read only; src/commerce/ledger/chart.ts is the same list, and a test compares them.';
comment on column ledger_chart.code is 'The name by which rooms post: merchant_pending.';
comment on column ledger_chart.kind is 'Where it stands in the accounting equation.';
comment on column ledger_chart.normal_side is 'The side that makes its balance grow.';
comment on column ledger_chart.debits_must_not_exceed_credits is 'New accounts of this code start with that limit.';
comment on column ledger_chart.credits_must_not_exceed_debits is 'New accounts of this code start with that limit.';
comment on column ledger_chart.description is 'What it holds, in one sentence.';

insert into ledger_chart (code, kind, normal_side, description) values
  ('processor_clearing', 'asset', 'debit', 'What the processors owe: authorised (pending) and captured (posted), until they settle to the bank.'),
  ('bank', 'asset', 'debit', 'Money in the bank account.'),
  ('receivables', 'asset', 'debit', 'What a customer was invoiced and has not paid.'),
  ('merchant_pending', 'liability', 'credit', 'What the business has earned and may not pay out yet.'),
  ('merchant_available', 'liability', 'credit', 'What the business may pay out now.'),
  ('payouts_in_transit', 'liability', 'credit', 'Paid out and not yet confirmed by the bank.'),
  ('disputes', 'liability', 'credit', 'Withheld for open disputes until they are won or lost.'),
  ('tax_payable', 'liability', 'credit', 'Tax collected and owed to authorities.'),
  ('customer_credit', 'liability', 'credit', 'What is owed to a customer: credit notes and overpayments.'),
  ('processing_fees', 'income', 'credit', 'Fees charged on payments: the operator''s income, the business''s cost.'),
  ('dispute_fees', 'income', 'credit', 'Fees charged on disputes.'),
  ('revenue', 'income', 'credit', 'Sales invoiced.'),
  ('refunds', 'expense', 'debit', 'Refunds that the operator bears and not the business.'),
  ('write_offs', 'expense', 'debit', 'Losses: debts given up and differences accepted.'),
  ('adjustments', 'equity', 'credit', 'The other side of corrections made by hand, each with reason and author.');

create table ledger_accounts (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  code text collate "C" not null references ledger_chart (code),
  owner_id uuid not null default '00000000-0000-0000-0000-000000000000',
  currency text collate "C" not null check (currency ~ '^[a-z]{3}$'),
  kind ledger_account_kind not null,
  normal_side ledger_side not null,
  debits_pending bigint not null default 0 check (debits_pending >= 0),
  debits_posted bigint not null default 0 check (debits_posted >= 0),
  credits_pending bigint not null default 0 check (credits_pending >= 0),
  credits_posted bigint not null default 0 check (credits_posted >= 0),
  entry_count bigint not null default 0 check (entry_count >= 0),
  debits_must_not_exceed_credits boolean not null default false,
  credits_must_not_exceed_debits boolean not null default false,
  closed_at timestamptz,
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  constraint ledger_accounts_by_name unique (owner_id, code, currency, account_id, livemode)
  -- Room in each page for the next versions of its rows, so that a changed total touches no index (HOT).
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

comment on table ledger_accounts is 'A ledger account of one currency with its running totals, opened by the first transfer that names it.';
comment on column ledger_accounts.account_id is 'Whose books.';
comment on column ledger_accounts.livemode is 'In which of the account''s modes; money never crosses.';
comment on column ledger_accounts.id is 'uuid v7; la_… outside. Accounts are locked in the order of their ids.';
comment on column ledger_accounts.code is 'What it is, from the chart.';
comment on column ledger_accounts.owner_id is 'For whom it was opened (a customer); all zero when there is only one.';
comment on column ledger_accounts.currency is 'ISO 4217, lower case. Amounts are in its minor unit.';
comment on column ledger_accounts.kind is 'Copied from the chart when it was opened.';
comment on column ledger_accounts.normal_side is 'Copied from the chart when it was opened: the side that makes the balance grow.';
comment on column ledger_accounts.debits_pending is 'Reserved on the debit side by pendings not yet resolved.';
comment on column ledger_accounts.debits_posted is 'The sum of its debit entries.';
comment on column ledger_accounts.credits_pending is 'Reserved on the credit side by pendings not yet resolved.';
comment on column ledger_accounts.credits_posted is 'The sum of its credit entries.';
comment on column ledger_accounts.entry_count is 'How many entries it has; the sequence of the newest.';
comment on column ledger_accounts.debits_must_not_exceed_credits is 'Refuses a debit when pending and posted debits would exceed posted credits.';
comment on column ledger_accounts.credits_must_not_exceed_debits is 'Refuses a credit when pending and posted credits would exceed posted debits.';
comment on column ledger_accounts.closed_at is 'From then on nothing new is posted or reserved; open pendings may be voided.';
comment on column ledger_accounts.created_at is 'The instant in the id, kept readable.';
comment on constraint ledger_accounts_by_name on ledger_accounts is 'Rooms name accounts, so a name is one account.';

-- Not partitioned: its unique keys are what makes posting happen once, and they must see all of the past.
create table ledger_transfers (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  debit_account_id uuid not null,
  credit_account_id uuid not null,
  amount bigint not null check (amount > 0),
  debit_sequence bigint,
  credit_sequence bigint,
  effective_at timestamptz not null,
  recorded_at timestamptz not null,
  expires_at timestamptz,
  source_id uuid not null,
  pending_id uuid,
  linked_id uuid,
  kind ledger_transfer_kind not null,
  currency text collate "C" not null,
  source_type text collate "C" not null check (octet_length(source_type) between 1 and 40),
  step text collate "C" not null check (octet_length(step) between 1 and 60),
  reason text,
  author text,
  primary key (account_id, livemode, id),
  constraint ledger_transfers_once unique (source_id, step, account_id, livemode),
  check (debit_account_id <> credit_account_id),
  check ((kind in ('post_pending', 'void_pending')) = (pending_id is not null)),
  check ((kind in ('post', 'post_pending')) = (debit_sequence is not null and credit_sequence is not null)),
  check (expires_at is null or kind = 'pending')
);
create unique index ledger_transfers_resolution on ledger_transfers (pending_id, account_id, livemode)
  where pending_id is not null;
-- For verification and export in the order of time: a few bytes per megabyte, so writing pays nothing for it.
create index ledger_transfers_in_time on ledger_transfers using brin (id) with (autosummarize = on);

comment on table ledger_transfers is 'An amount moved, reserved or freed between two ledger accounts of one account, mode and currency. Never changed, never removed.';
comment on column ledger_transfers.account_id is 'Whose books; both ledger accounts are in them.';
comment on column ledger_transfers.livemode is 'In which of the account''s modes.';
comment on column ledger_transfers.id is 'uuid v7 made by the caller; tr_… outside. A repeated id is recognised.';
comment on column ledger_transfers.debit_account_id is 'The ledger account debited.';
comment on column ledger_transfers.credit_account_id is 'The ledger account credited.';
comment on column ledger_transfers.amount is 'In minor units: moved by post and post_pending, reserved by pending, freed by void_pending.';
comment on column ledger_transfers.debit_sequence is 'The entry it made in the debited account; null when it moved nothing.';
comment on column ledger_transfers.credit_sequence is 'The entry it made in the credited account; null when it moved nothing.';
comment on column ledger_transfers.effective_at is 'When it counts in the books; may lie before recorded_at.';
comment on column ledger_transfers.recorded_at is 'When it was written, by the database''s clock.';
comment on column ledger_transfers.expires_at is 'From then on a pending may only be voided; null holds until resolved.';
comment on column ledger_transfers.source_id is 'The object that caused it.';
comment on column ledger_transfers.pending_id is 'The pending that it resolves.';
comment on column ledger_transfers.linked_id is 'Transfers of one group were posted all or none.';
comment on column ledger_transfers.kind is 'What it does.';
comment on column ledger_transfers.currency is 'Of both ledger accounts.';
comment on column ledger_transfers.source_type is 'What kind of object caused it: charge, refund.';
comment on column ledger_transfers.step is 'Which step of that object: capture, fee.';
comment on column ledger_transfers.reason is 'Why, of an adjustment made by hand.';
comment on column ledger_transfers.author is 'By whom, of an adjustment made by hand.';
comment on constraint ledger_transfers_once on ledger_transfers is 'A step of an object posts once, whatever is retried.';
comment on index ledger_transfers_resolution is 'A pending is resolved at most once; also finds the resolution.';

create table ledger_entries (
  account_id uuid not null,
  livemode boolean not null,
  ledger_account_id uuid not null,
  sequence bigint not null check (sequence > 0),
  transfer_id uuid not null,
  amount bigint not null check (amount > 0),
  balance bigint not null,
  side ledger_side not null,
  -- One index serves the statement, the walk of the verification, and the entries of a transfer, which knows both sequences.
  primary key (account_id, livemode, ledger_account_id, sequence, transfer_id)
) partition by range (transfer_id);
create index ledger_entries_in_time on ledger_entries using brin (transfer_id) with (autosummarize = on);

comment on table ledger_entries is 'The two sides of each transfer that moved money, in monthly partitions by the time in the transfer''s id. Never changed, never removed.';
comment on column ledger_entries.account_id is 'Whose books.';
comment on column ledger_entries.livemode is 'In which of the account''s modes.';
comment on column ledger_entries.ledger_account_id is 'The ledger account it belongs to.';
comment on column ledger_entries.sequence is 'Counts the account''s entries without a gap, in the order they were posted: a missing entry shows.';
comment on column ledger_entries.transfer_id is 'The transfer that made it.';
comment on column ledger_entries.amount is 'In minor units, never negative: the side says which way.';
comment on column ledger_entries.balance is 'The account''s posted balance after it, in the direction of the account''s normal side.';
comment on column ledger_entries.side is 'Debit or credit.';

create table ledger_entries_default partition of ledger_entries default;

-- A refusal that depends on the state of an account is final for its id: a retry hears the same answer.
create table ledger_refusals (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  result text not null,
  recorded_at timestamptz not null,
  primary key (account_id, livemode, id)
);
comment on table ledger_refusals is 'Ids of transfers that were refused for the state they met (a limit, a closed account): final, so a retry is answered alike.';
comment on column ledger_refusals.account_id is 'Whose books.';
comment on column ledger_refusals.livemode is 'In which of the account''s modes.';
comment on column ledger_refusals.id is 'The refused transfer''s id.';
comment on column ledger_refusals.result is 'The word it was refused with.';
comment on column ledger_refusals.recorded_at is 'When, by the database''s clock.';

-- What ledger_post() is given, one element a transfer.
create type ledger_posting as (
  item integer,
  account_id uuid,
  livemode boolean,
  id uuid,
  kind ledger_transfer_kind,
  debit_code text collate "C",
  debit_owner_id uuid,
  credit_code text collate "C",
  credit_owner_id uuid,
  amount numeric,
  currency text collate "C",
  pending_id uuid,
  source_type text collate "C",
  source_id uuid,
  step text collate "C",
  effective_at timestamptz,
  expires_at timestamptz,
  linked_id uuid
);
comment on type ledger_posting is 'A transfer as it is asked for; src/commerce/ledger/transfer.ts says what each kind needs. amount is numeric so that one beyond int64 is refused and not an error.';

create function ledger_refuse_change() returns trigger
  language plpgsql
as $$
begin
  raise exception '% is immutable: % refused', tg_table_name, lower(tg_op)
    using errcode = 'restrict_violation', hint = 'Post a correcting transfer.';
end;
$$;
comment on function ledger_refuse_change() is 'Refuses what would rewrite the books, to the tables'' owner as well.';

-- Runs at every migration and once a day; an entry beyond the last month lands in the default partition. PostgreSQL gives
-- a partition the row triggers of its parent and not those on TRUNCATE.
create function ledger_ensure_partitions() returns void
  language plpgsql
as $$
declare
  partition regclass;
begin
  perform ensure_time_partitions('ledger_entries', 'month', 3);
  for partition in
    select inhrelid::regclass
    from pg_inherits
    where inhparent = 'ledger_entries'::regclass
      and not exists (select from pg_trigger where tgrelid = inhrelid and tgname = 'never_emptied')
  loop
    execute format('create trigger never_emptied before truncate on %s execute function ledger_refuse_change()', partition);
  end loop;
end;
$$;
comment on function ledger_ensure_partitions() is 'Creates the partitions of this month and the next three, each as immutable as the table.';
select ledger_ensure_partitions();

-- Statement triggers would also fire for statements that touch no row; rows are what must not change.
create trigger immutable before update or delete on ledger_transfers for each row execute function ledger_refuse_change();
create trigger immutable before update or delete on ledger_entries for each row execute function ledger_refuse_change();
create trigger immutable before update or delete on ledger_refusals for each row execute function ledger_refuse_change();
create trigger permanent before delete on ledger_accounts for each row execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_transfers execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_entries execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_refusals execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_accounts execute function ledger_refuse_change();

alter table ledger_accounts enable row level security;
alter table ledger_transfers enable row level security;
alter table ledger_entries enable row level security;
alter table ledger_refusals enable row level security;
create policy tenant on ledger_accounts for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy tenant on ledger_transfers for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy tenant on ledger_entries for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy tenant on ledger_refusals for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on ledger_accounts for select to bursar_system using (true);
create policy system on ledger_transfers for select to bursar_system using (true);
create policy system on ledger_entries for select to bursar_system using (true);
create policy system on ledger_refusals for select to bursar_system using (true);

-- Reading is all the roles may do; ledger_post() writes for them.
grant select on ledger_chart, ledger_accounts, ledger_transfers, ledger_entries, ledger_refusals to bursar_app, bursar_system;
