-- Makes the ledger's partitions of the coming months, and takes note when the books were moved to another cluster. Runs as
-- the owner of the tables: the roles may not create.
create or replace function ledger_maintain() returns void
  language plpgsql
  security definer
  set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '2s'
as $$
begin
  perform ledger_ensure_partitions();
  perform ledger_adopt_cluster();
end;
$$;
-- Across tenants, so for none of them.
revoke execute on function ledger_maintain from public;
grant execute on function ledger_maintain to bursar_system;
