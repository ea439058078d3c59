-- How many of an account's entries, in the order they were posted, stand before an instant: where a statement begins and
-- ends. Entries are posted nearly in the order of their times and not quite (a transfer is recorded as of the beginning of
-- its transaction), so somewhere near the instant there may be more than one such place. This always finds the same one,
-- however the account has grown since: the steps it takes depend on the entries before the instant alone. So statements
-- that follow one another neither miss an entry nor show one twice, and one statement's closing balance opens the next.
create or replace function ledger_entries_before(
  of_account_id uuid,
  of_livemode boolean,
  of_ledger_account_id uuid,
  entries bigint,
  instant timestamptz
) returns bigint
language plpgsql stable
set search_path = pg_catalog, public, pg_temp
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set enable_bitmapscan = off
as $$
declare
  place bigint := 0;
  stride bigint := 1;
  recorded timestamptz;
begin
  while stride <= entries / 2 loop
    stride := stride * 2;
  end loop;
  while stride > 0 loop
    if place + stride <= entries then
      select t.recorded_at
      into recorded
      from ledger_entries e
      join ledger_transfers t on t.account_id = e.account_id and t.livemode = e.livemode and t.id = e.transfer_id
      where e.account_id = of_account_id and e.livemode = of_livemode and e.ledger_account_id = of_ledger_account_id
        and e.sequence = place + stride
      limit 1;
      if recorded < instant then
        place := place + stride;
      end if;
    end if;
    stride := stride / 2;
  end loop;
  return place;
end;
$$;
comment on function ledger_entries_before is 'How many entries of an account were posted before an instant.';
revoke execute on function ledger_entries_before from public;
grant execute on function ledger_entries_before to bursar_app, bursar_system;
