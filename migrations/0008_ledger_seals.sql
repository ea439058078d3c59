-- Sealed batches of transfers in a chain, and checkpoints of account totals for balances at past instants. Additive; does
-- not break older code: its inserts take the new column's default.

-- Which transaction wrote a transfer. What is below the oldest transaction still running is complete: nothing can be added
-- to it, which no order of ids or clocks can promise. Rows from before this column hold 0, by a default that rewrites none.
alter table ledger_transfers add column recorded_xid bigint not null default 0;
alter table ledger_transfers alter column recorded_xid set default (pg_current_xact_id()::text::bigint);
comment on column ledger_transfers.recorded_xid is 'The transaction that wrote it: what lies below the oldest one still running can be sealed. 0 before the column was; after a move to another cluster the default adds what keeps it growing.';

-- A few bytes per megabyte, as rows lie in the order in which they were written: posting pays nothing for it.
create index ledger_transfers_in_commits on ledger_transfers using brin (recorded_xid) with (autosummarize = on);
comment on index ledger_transfers_in_commits is 'Finds the transfers of a batch to seal or to check.';

-- Ordinary transfers count from the instant they are written, and stand in neither index.
create index ledger_transfers_debits_at_other_times on ledger_transfers
  (account_id, livemode, debit_account_id, effective_at) include (recorded_at, amount)
  where effective_at <> recorded_at and debit_sequence is not null;
create index ledger_transfers_credits_at_other_times on ledger_transfers
  (account_id, livemode, credit_account_id, effective_at) include (recorded_at, amount)
  where effective_at <> recorded_at and credit_sequence is not null;
comment on index ledger_transfers_debits_at_other_times is 'The few transfers that count at another time than they were written, for balances at past instants.';
comment on index ledger_transfers_credits_at_other_times is 'The same by the account credited.';

create table ledger_seals (
  number bigint primary key check (number > 0),
  format smallint not null,
  cluster text collate "C" not null,
  from_xid bigint not null,
  until_xid bigint not null,
  transfers bigint not null check (transfers > 0),
  root bytea not null check (octet_length(root) = 32),
  previous bytea not null check (octet_length(previous) = 32),
  head bytea not null check (octet_length(head) = 32),
  sealed_at timestamptz not null,
  marks bytea not null,
  constraint ledger_seals_go_on check (from_xid < until_xid),
  constraint ledger_seals_marks_are_of_all check (octet_length(marks) = 8 * transfers)
);
-- Hashes do not compress; trying costs time.
alter table ledger_seals alter column marks set storage external;
comment on table ledger_seals is 'A chain over all transfers of all accounts in batches: each seal holds the Merkle root of its batch and the hash of the seal before. Never changed, never removed.';
comment on column ledger_seals.number is 'Counts without a gap from 1.';
comment on column ledger_seals.format is 'How lines and hashes are made; docs/ledger-proofs.md says it.';
comment on column ledger_seals.cluster is 'The system identifier of the PostgreSQL cluster that it was made in.';
comment on column ledger_seals.from_xid is 'The batch is of the transactions from here; where the seal before ended.';
comment on column ledger_seals.until_xid is 'The batch ends before this transaction.';
comment on column ledger_seals.transfers is 'How many the batch holds.';
comment on column ledger_seals.root is 'Root of the Merkle tree over its transfers (RFC 6962, SHA-256).';
comment on column ledger_seals.previous is 'Head of the seal before; 32 zero bytes in the first.';
comment on column ledger_seals.head is 'SHA-256 over all of the above and the time: whoever keeps it can prove the whole chain up to here.';
comment on column ledger_seals.sealed_at is 'When, by the database''s clock.';
comment on column ledger_seals.marks is 'The first 8 bytes of each leaf, in order: they prove nothing, and tell which transfer is not as it was.';
comment on constraint ledger_seals_marks_are_of_all on ledger_seals is 'A place in the batch is a place in the marks.';

-- The head twice, so that removing the newest seals shows; and by locking it sealers take turns.
create table ledger_seal_head (
  is_only boolean primary key default true check (is_only),
  number bigint not null,
  head bytea not null,
  until_xid bigint not null,
  cluster text collate "C" not null,
  xid_offset bigint not null
);
comment on table ledger_seal_head is 'One row: where the chain of seals stands. It only moves forward.';
comment on column ledger_seal_head.is_only is 'There is one row.';
comment on column ledger_seal_head.number is 'Of the newest seal; 0 before the first.';
comment on column ledger_seal_head.head is 'Its head; 32 zero bytes before the first.';
comment on column ledger_seal_head.until_xid is 'Where its batch ended, and the next one begins.';
comment on column ledger_seal_head.cluster is 'The system identifier of the cluster that recorded_xid counts in now.';
comment on column ledger_seal_head.xid_offset is 'What recorded_xid adds to this cluster''s transaction ids, so that it goes on growing after a move to another cluster.';
insert into ledger_seal_head (number, head, until_xid, cluster, xid_offset)
select 0, decode(repeat('00', 32), 'hex'), 0, system_identifier::text, 0
from pg_control_system();

create table ledger_checkpoints (
  account_id uuid not null,
  livemode boolean not null,
  ledger_account_id uuid not null,
  sequence bigint not null check (sequence > 0),
  debits_posted bigint not null check (debits_posted >= 0),
  credits_posted bigint not null check (credits_posted >= 0),
  recorded_until timestamptz not null,
  late_by bigint not null check (late_by >= 0),
  primary key (account_id, livemode, ledger_account_id, sequence)
);
create index ledger_checkpoints_in_time on ledger_checkpoints
  (account_id, livemode, ledger_account_id, recorded_until, sequence);
comment on table ledger_checkpoints is 'A ledger account''s totals after every so many entries, written off the hot path: a balance at a past instant is read from the nearest one, however long the history.';
comment on column ledger_checkpoints.account_id is 'Whose books.';
comment on column ledger_checkpoints.livemode is 'In which of the account''s modes.';
comment on column ledger_checkpoints.ledger_account_id is 'Whose totals.';
comment on column ledger_checkpoints.sequence is 'After which of its entries.';
comment on column ledger_checkpoints.debits_posted is 'The sum of its debit entries up to there.';
comment on column ledger_checkpoints.credits_posted is 'The sum of its credit entries up to there.';
comment on column ledger_checkpoints.recorded_until is 'The latest recorded_at up to there; never decreases with the sequence.';
comment on column ledger_checkpoints.late_by is 'Microseconds by which an entry up to there was at most recorded before one of an earlier block: a transaction that began earlier may post later.';
comment on index ledger_checkpoints_in_time is 'Finds the nearest checkpoint before an instant.';

create trigger immutable before update or delete on ledger_seals for each row execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_seals execute function ledger_refuse_change();
create trigger immutable before update or delete on ledger_checkpoints for each row execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_checkpoints execute function ledger_refuse_change();
create trigger permanent before delete on ledger_seal_head for each row execute function ledger_refuse_change();
create trigger never_emptied before truncate on ledger_seal_head execute function ledger_refuse_change();
-- By one seal, or to another cluster with the chain as it stands.
create trigger forward before update on ledger_seal_head for each row
  when (not (
    new.number = old.number + 1 and new.until_xid > old.until_xid and new.cluster = old.cluster and new.xid_offset = old.xid_offset
    or new.number = old.number and new.head = old.head and new.until_xid = old.until_xid and new.xid_offset > old.xid_offset
  ))
  execute function ledger_refuse_change();

alter table ledger_checkpoints enable row level security;
create policy tenant on ledger_checkpoints for select to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on ledger_checkpoints for select to bursar_system using (true);

-- Seals are over all accounts together, so no account may read how many transfers there are.
grant select on ledger_seals, ledger_seal_head to bursar_system;
grant select on ledger_checkpoints to bursar_app, bursar_system;
