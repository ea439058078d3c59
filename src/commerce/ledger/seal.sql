-- Seals: all transfers that no running transaction can add to any more, in one batch, under one hash that also covers the
-- seal before. src/commerce/ledger/proof-file.ts checks the same without a database; docs/ledger-proofs.md says the format.

-- RFC 6962, section 2.1: leaves and nodes are hashed with different first bytes, so that neither passes for the other. What
-- is hashed is the row as PostgreSQL sends it in its binary protocol: every column with its type and length, so nothing
-- can shift from one to the next; of a session's settings only client_encoding changes it, which sealing sets; and it
-- takes half the time of text. Whatever is immutable in the transfer stands in it, and the names of its two ledger accounts, which are immutable as well.
create or replace function ledger_leaf(t ledger_transfers, debit ledger_accounts, credit ledger_accounts)
returns bytea
language sql stable
return sha256('\x00'::bytea || record_send(row(
  t.id, t.account_id, t.livemode, t.kind::text, t.amount, t.currency,
  t.debit_account_id, debit.code, debit.owner_id, t.debit_sequence,
  t.credit_account_id, credit.code, credit.owner_id, t.credit_sequence,
  t.effective_at, t.recorded_at, t.expires_at, t.source_type, t.source_id, t.step,
  t.pending_id, t.linked_id, t.reason, t.author, t.recorded_xid
)));
comment on function ledger_leaf is 'A transfer''s leaf in the Merkle tree.';

-- The leaves of a range of transactions; their order within a batch is (recorded_xid, id, account_id, livemode).
create or replace function ledger_leaves(from_xid bigint, until_xid bigint)
returns table (recorded_xid bigint, id uuid, account_id uuid, livemode boolean, leaf bytea)
language sql stable
as $$
  select t.recorded_xid, t.id, t.account_id, t.livemode, ledger_leaf(t, debit, credit)
  from ledger_transfers t
  -- A missing account must not hide the transfer.
  left join ledger_accounts debit
    on debit.account_id = t.account_id and debit.livemode = t.livemode and debit.id = t.debit_account_id
  left join ledger_accounts credit
    on credit.account_id = t.account_id and credit.livemode = t.livemode and credit.id = t.credit_account_id
  where t.recorded_xid >= from_xid and t.recorded_xid < until_xid
$$;
comment on function ledger_leaves is 'The transfers of a range of transactions as leaves.';

-- Hashing neighbours level by level, and lifting a last one without a neighbour, gives the tree of RFC 6962, which splits at
-- the largest power of two. Leaves come and levels are kept as one string of 32 bytes each: a place is found at once.
create or replace function ledger_merkle_root(leaves bytea) returns bytea
  language plpgsql immutable
as $$
declare
  level bytea := leaves;
  pairs integer;
begin
  while octet_length(level) > 32 loop
    pairs := octet_length(level) / 64;
    select string_agg(sha256('\x01'::bytea || substring(level from 64 * pair + 1 for 64)), ''::bytea order by pair)
      || substring(level from 64 * pairs + 1)
    into level
    from generate_series(0, pairs - 1) pair;
  end loop;
  return level;
end;
$$;
comment on function ledger_merkle_root is 'The root of the Merkle tree over leaves of 32 bytes each.';

create or replace function ledger_seal_hash(s ledger_seals) returns bytea
  language sql stable
  return sha256('\x02'::bytea || record_send(row(
    s.number, s.format, s.cluster, s.from_xid, s.until_xid, s.transfers, s.root, s.previous, s.sealed_at
  )));
comment on function ledger_seal_hash is 'What the head of a seal must be.';

-- After a dump was restored into another cluster, transaction ids may start again far below what was sealed. The default of
-- recorded_xid then adds what puts it above all there is. Before anything is posted: at each start, and before each seal.
create or replace function ledger_adopt_cluster() returns void
  language plpgsql
  security definer
  set search_path = pg_catalog, public, pg_temp
as $$
declare
  here text;
  added bigint;
begin
  select system_identifier::text into here from pg_control_system();
  if here = (select cluster from ledger_seal_head) then
    return;
  end if;
  -- Whoever is posting ends first.
  lock table ledger_transfers in access exclusive mode;
  if here = (select cluster from ledger_seal_head for update) then
    return;
  end if;
  select greatest(until_xid, (select max(recorded_xid) from ledger_transfers), xid_offset) + 1 into added from ledger_seal_head;
  execute format(
    'alter table ledger_transfers alter column recorded_xid set default (pg_current_xact_id()::text::bigint + %s)', added
  );
  update ledger_seal_head set cluster = here, xid_offset = added;
end;
$$;
comment on function ledger_adopt_cluster is 'Lets recorded_xid go on growing in the cluster that the books were moved to.';
revoke execute on function ledger_adopt_cluster from public;

-- Seals one batch and answers it; nothing when there is nothing to seal. All or nothing, so a crash leaves the chain as it
-- was. A batch of more than `most` transfers is made only by a single transaction that wrote as many.
create or replace function ledger_seal(most integer default 65536)
returns table (number bigint, transfers bigint, from_xid bigint, until_xid bigint)
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off
-- Texts are sent in the encoding of the session that asks: the only setting that would change a leaf.
set client_encoding = 'UTF8'
as $$
#variable_conflict use_column
declare
  last ledger_seal_head;
  made ledger_seals;
  horizon bigint;
  low bigint;
  found_rows bigint;
  leaves bytea;
begin
  perform ledger_adopt_cluster();
  -- Sealers take turns.
  select h.is_only, h.number, h.head, h.until_xid, h.cluster, h.xid_offset into last from ledger_seal_head h for update;
  if last.number > 0 and not exists (select from ledger_seals s where s.number = last.number and s.head = last.head) then
    raise exception 'seal % is missing or is not what it was: the books were tampered with', last.number
      using errcode = 'data_corrupted', hint = 'Nothing more is sealed. Run "bursar ledger verify".';
  end if;

  -- Whatever transaction is below has ended, and what it wrote is seen by the statements that follow.
  horizon := pg_snapshot_xmin(pg_current_snapshot())::text::bigint + last.xid_offset;
  made.from_xid := last.until_xid;
  made.until_xid := horizon;
  low := last.until_xid;
  if horizon <= low then
    return;
  end if;
  loop
    select count(*) into found_rows
    from (
      select from ledger_transfers t
      where t.recorded_xid >= low and t.recorded_xid < made.until_xid
      limit most + 1
    ) counted;
    if found_rows > most and made.until_xid - low > 1 then
      made.until_xid := low + (made.until_xid - low) / 2;
    elsif found_rows > 0 then
      exit;
    elsif made.until_xid = horizon then
      return;
    else
      low := made.until_xid;
      made.until_xid := horizon;
    end if;
  end loop;

  select count(*), string_agg(batch.leaf, ''::bytea), string_agg(substring(batch.leaf for 8), ''::bytea)
  into made.transfers, leaves, made.marks
  from (
    select l.leaf from ledger_leaves(low, made.until_xid) l order by l.recorded_xid, l.id, l.account_id, l.livemode
  ) batch;
  made.number := last.number + 1;
  made.format := 1;
  made.cluster := last.cluster;
  made.root := ledger_merkle_root(leaves);
  made.previous := last.head;
  made.sealed_at := clock_timestamp();
  made.head := ledger_seal_hash(made);
  insert into ledger_seals (
    number, format, cluster, from_xid, until_xid, transfers, root, previous, head, sealed_at, marks
  )
  values (
    made.number, made.format, made.cluster, made.from_xid, made.until_xid, made.transfers, made.root, made.previous,
    made.head, made.sealed_at, made.marks
  );
  update ledger_seal_head set number = made.number, head = made.head, until_xid = made.until_xid;
  return query select made.number, made.transfers, made.from_xid, made.until_xid;
end;
$$;
comment on function ledger_seal is 'Seals the next batch of transfers; the only way to write to the chain.';
revoke execute on function ledger_seal from public;
grant execute on function ledger_seal to bursar_system;
