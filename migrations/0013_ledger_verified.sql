-- What: ledger_verified, what the last verification of the books by the clock found.
-- Breaking: no.

create table ledger_verified (
  is_only boolean primary key default true constraint ledger_verified_is_one_row check (is_only),
  ended_at timestamptz not null,
  holds boolean,
  broken text,
  constraint ledger_verified_names_what_is_broken check ((broken is not null) = (holds is not distinct from false))
);
comment on table ledger_verified is 'One row: what the last verification by the clock found, for the gauges of any process, whenever it was started. The log has the earlier ones.';
comment on column ledger_verified.is_only is 'There is one row.';
comment on column ledger_verified.ended_at is 'When the last one ended, by the database''s clock; before the first, when this table was made, so that one that never comes is missed.';
comment on column ledger_verified.holds is 'Whether the books held; null before the first.';
comment on column ledger_verified.broken is 'The first broken row and what is wrong with it.';
comment on constraint ledger_verified_is_one_row on ledger_verified is 'The state, not a history.';
comment on constraint ledger_verified_names_what_is_broken on ledger_verified is 'Who is woken must know where to look.';
insert into ledger_verified (ended_at) values (now());

-- Over all accounts together, so no account may read it.
grant select, update on ledger_verified to bursar_system;
