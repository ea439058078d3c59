-- What: the books' business side: acts on accounts and periods with reason and author, holds that wait for their expiry,
-- and the indexes that the read API needs. Breaking: no.

-- Counts what is done to an account by hand (limits, closing), not its postings.
alter table ledger_accounts add column version bigint not null default 1;
comment on column ledger_accounts.version is 'Counts the changes made by hand (limits, closing), for the events about it.';
comment on column ledger_accounts.closed_at is 'Since then nothing new is posted or reserved; open pendings may be voided.';

-- What moved at a processor or a bank must always find its way into the books.
alter table ledger_chart add column is_operated boolean not null default true;
comment on column ledger_chart.is_operated is 'Bursar posts here by itself, after money has moved: its accounts are neither limited nor closed by hand.';
update ledger_chart
set is_operated = false
where code in ('receivables', 'tax_payable', 'customer_credit', 'revenue', 'refunds', 'write_offs', 'adjustments');

-- None of their columns ever changes, so a changed total still touches no index.
create index ledger_accounts_by_code on ledger_accounts (account_id, livemode, code, id);
create index ledger_accounts_by_currency on ledger_accounts (account_id, livemode, currency, id);
create index ledger_accounts_by_code_and_currency on ledger_accounts (account_id, livemode, code, currency, id);
create index ledger_accounts_by_owner on ledger_accounts (account_id, livemode, owner_id, id);
comment on index ledger_accounts_by_owner is 'Lists by owner, who has a few.';
comment on index ledger_accounts_by_code is 'Lists by code.';
comment on index ledger_accounts_by_currency is 'Lists by currency.';
comment on index ledger_accounts_by_code_and_currency is 'Lists by code and currency.';

create index ledger_transfers_by_hand on ledger_transfers (account_id, livemode, id) where reason is not null;
comment on index ledger_transfers_by_hand is 'Lists of adjustments. Payments have no reason, so they pay nothing for it.';

create table ledger_acts (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  kind text collate "C" not null
    check (kind in ('set_limits', 'close_account', 'reopen_account', 'close_period', 'reopen_period')),
  ledger_account_id uuid,
  debits_must_not_exceed_credits boolean,
  credits_must_not_exceed_debits boolean,
  period_number bigint check (period_number > 0),
  closed_before timestamptz,
  reason text not null check (length(reason) between 1 and 500),
  author text not null check (length(author) between 1 and 300),
  created_at timestamptz not null,
  primary key (account_id, livemode, id),
  check ((kind in ('set_limits', 'close_account', 'reopen_account')) = (ledger_account_id is not null)),
  check ((kind = 'set_limits') = (debits_must_not_exceed_credits is not null)),
  check ((kind = 'set_limits') = (credits_must_not_exceed_debits is not null)),
  check ((kind in ('close_period', 'reopen_period')) = (period_number is not null)),
  check (kind = 'reopen_period' or (kind = 'close_period') = (closed_before is not null))
);
create unique index ledger_acts_of_periods on ledger_acts (account_id, livemode, period_number)
  where period_number is not null;

comment on table ledger_acts is 'What was done to the books by hand beside postings: limits set, accounts and periods closed and reopened. Never changed, never removed.';
comment on column ledger_acts.account_id is 'Whose books.';
comment on column ledger_acts.livemode is 'In which of the account''s modes.';
comment on column ledger_acts.id is 'uuid v7; lact_… outside.';
comment on column ledger_acts.kind is 'What was done.';
comment on column ledger_acts.ledger_account_id is 'To which ledger account; null for a period.';
comment on column ledger_acts.debits_must_not_exceed_credits is 'The limit as it was set.';
comment on column ledger_acts.credits_must_not_exceed_debits is 'The limit as it was set.';
comment on column ledger_acts.period_number is 'Counts the acts on periods without a gap; the highest says what is closed now.';
comment on column ledger_acts.closed_before is 'From this act on, everything effective before this instant is closed; null: nothing is.';
comment on column ledger_acts.reason is 'Why.';
comment on column ledger_acts.author is 'By whom: what the caller said and the API key it came with.';
comment on column ledger_acts.created_at is 'The instant in the id, kept readable.';
comment on index ledger_acts_of_periods is 'Finds what is closed now, and keeps two acts from being the same one.';

create trigger immutable before update or delete on ledger_acts for each row execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_acts execute function ledger_refuse_change();

-- A list of work and no part of the books: a row for each pending with an expiry, until somebody has looked after it.
create table ledger_expiries (
  account_id uuid not null,
  livemode boolean not null,
  transfer_id uuid not null,
  expires_at timestamptz not null,
  primary key (account_id, livemode, transfer_id)
);
create index ledger_expiries_due on ledger_expiries (expires_at);
comment on table ledger_expiries is 'Pendings that expire, until the job that voids them has looked at them; resolved ones are found then.';
comment on column ledger_expiries.account_id is 'Whose books.';
comment on column ledger_expiries.livemode is 'In which of the account''s modes.';
comment on column ledger_expiries.transfer_id is 'The pending.';
comment on column ledger_expiries.expires_at is 'Copied from it.';
comment on index ledger_expiries_due is 'What is due, longest first.';

insert into ledger_expiries (account_id, livemode, transfer_id, expires_at)
select held.account_id, held.livemode, held.id, held.expires_at
from ledger_transfers held
where held.kind = 'pending' and held.expires_at is not null and not exists (
  select from ledger_transfers resolution
  where resolution.account_id = held.account_id and resolution.livemode = held.livemode
    and resolution.pending_id = held.id
);

alter table ledger_acts enable row level security;
alter table ledger_expiries enable row level security;
create policy tenant on ledger_acts for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy tenant on ledger_expiries for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on ledger_acts for select to bursar_system using (true);
create policy system on ledger_expiries to bursar_system using (true) with check (true);

grant select on ledger_acts to bursar_app, bursar_system;
grant select on ledger_expiries to bursar_app;
-- The job locks what it takes, and locking asks for the right to update.
grant select, update, delete on ledger_expiries to bursar_system;
