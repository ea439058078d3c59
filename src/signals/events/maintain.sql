-- Makes the daily partitions of the coming week and drops those whose events are all older than 30 days; what lies in
-- the default partition (nobody made partitions in time, or a clock was ahead) is deleted by its age.
-- Events with the number of a transaction that this cluster has not come to were restored from a dump of another: they
-- were told there, and get a number that lies behind every consumer, before the new cluster's own numbers reach theirs.
-- Runs as the owner of the table: the roles may neither create nor drop. Answers how many were dropped.
create or replace function events_maintain() returns integer
  language plpgsql
  security definer
  set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '2s'
as $$
declare
  partition regclass;
  dropped integer := 0;
begin
  perform ensure_time_partitions('events', 'day', 7);
  for partition in
    select inhrelid::regclass
    from pg_inherits
    where inhparent = 'events'::regclass
      and inhrelid::regclass::text ~ '^events_\d{8}$'
      and to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') < (now() at time zone 'UTC')::date - 31
  loop
    execute format('drop table %s', partition);
    dropped := dropped + 1;
  end loop;
  update events set committed_in = '1' where committed_in >= pg_snapshot_xmax(pg_current_snapshot());
  delete from events_default where id < uuid_floor(now() - interval '31 days');
  return dropped;
end;
$$;
-- A tenant must not drop what others keep.
revoke execute on function events_maintain from public;
grant execute on function events_maintain to bursar_system;
