-- Checkpoints: an account's totals after every 64 of its entries, so that a balance at a past instant is the nearest one
-- and at most some dozens of entries. Written by the sealing job, for the accounts that a sealed batch posted to; an account
-- that was left out catches up when it is posted to again, and reads are right with any checkpoints or none.

create or replace function ledger_checkpoint(from_xid bigint, until_xid bigint)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, public, pg_temp
set timezone = 'UTC'
set enable_seqscan = off
set enable_mergejoin = off
as $$
declare
  -- Larger: more entries to read for one balance. Smaller: more rows to keep; these are 2 % of the entries' size.
  entries_each constant integer := 64;
  -- Of one account at once; the caller asks again until there is nothing left to do.
  most constant integer := 2000;
  made bigint;
begin
  insert into ledger_checkpoints (
    account_id, livemode, ledger_account_id, sequence, debits_posted, credits_posted, recorded_until, late_by
  )
  with touched as (
    select distinct t.account_id, t.livemode, leg.id
    from ledger_transfers t
    cross join lateral (values (t.debit_account_id), (t.credit_account_id)) leg (id)
    where t.recorded_xid >= from_xid and t.recorded_xid < until_xid and t.debit_sequence is not null
  ), behind as (
    select a.account_id, a.livemode, a.id, coalesce(last.sequence, 0) as sequence,
      coalesce(last.debits_posted, 0) as debits_posted, coalesce(last.credits_posted, 0) as credits_posted,
      coalesce(last.recorded_until, '-infinity') as recorded_until, coalesce(last.late_by, 0) as late_by,
      least((a.entry_count - coalesce(last.sequence, 0)) / entries_each, most) as checkpoints
    from touched
    join ledger_accounts a on a.account_id = touched.account_id and a.livemode = touched.livemode and a.id = touched.id
    left join lateral (
      select c.sequence, c.debits_posted, c.credits_posted, c.recorded_until, c.late_by
      from ledger_checkpoints c
      where c.account_id = a.account_id and c.livemode = a.livemode and c.ledger_account_id = a.id
      order by c.sequence desc
      limit 1
    ) last on true
    where a.entry_count >= coalesce(last.sequence, 0) + entries_each
  ), blocks as (
    select behind.account_id, behind.livemode, behind.id, behind.late_by, block.sequence, block.earliest,
      behind.debits_posted + sum(block.debits) over so_far as debits_posted,
      behind.credits_posted + sum(block.credits) over so_far as credits_posted,
      greatest(behind.recorded_until, max(block.latest) over so_far) as recorded_until,
      greatest(behind.recorded_until, max(block.latest) over before) as recorded_before
    from behind
    cross join lateral (
      select behind.sequence + entries_each * (1 + (e.sequence - behind.sequence - 1) / entries_each) as sequence,
        coalesce(sum(e.amount) filter (where e.side = 'debit'), 0) as debits,
        coalesce(sum(e.amount) filter (where e.side = 'credit'), 0) as credits,
        min(t.recorded_at) as earliest, max(t.recorded_at) as latest
      from ledger_entries e
      join ledger_transfers t on t.account_id = e.account_id and t.livemode = e.livemode and t.id = e.transfer_id
      where e.account_id = behind.account_id and e.livemode = behind.livemode and e.ledger_account_id = behind.id
        and e.sequence > behind.sequence and e.sequence <= behind.sequence + behind.checkpoints * entries_each
      group by 1
    ) block
    window
      so_far as (partition by behind.account_id, behind.livemode, behind.id order by block.sequence),
      before as (so_far rows between unbounded preceding and 1 preceding)
  )
  select account_id, livemode, id, sequence, debits_posted::bigint, credits_posted::bigint, recorded_until,
    greatest(late_by, max(
      case
        when recorded_before > earliest then (extract(epoch from recorded_before - earliest) * 1000000)::bigint
        else 0
      end
    ) over (partition by account_id, livemode, id order by sequence))
  from blocks
  on conflict do nothing;
  get diagnostics made = row_count;
  return made;
end;
$$;
comment on function ledger_checkpoint is 'Writes missing checkpoints of the accounts that a range of transactions posted to; answers how many.';
revoke execute on function ledger_checkpoint from public;
grant execute on function ledger_checkpoint to bursar_system;
