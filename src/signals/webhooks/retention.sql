-- Makes the daily partitions of the coming week of deliveries and attempts, and drops those that are all older than 30
-- days: as long as the events they are about. What lies in a default partition (nobody made partitions in time, or a
-- clock was ahead) is deleted by its age.
-- Runs as the owner of the tables: the roles may neither create nor drop. Answers how many were dropped.
create or replace function webhooks_maintain() returns integer
  language plpgsql
  security definer
  set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '2s'
as $$
declare
  parent regclass;
  partition regclass;
  dropped integer := 0;
begin
  foreach parent in array array['webhook_deliveries'::regclass, 'webhook_attempts'::regclass] loop
    perform ensure_time_partitions(parent, 'day', 7);
    for partition in
      select inhrelid::regclass
      from pg_inherits
      where inhparent = parent
        and inhrelid::regclass::text ~ '_\d{8}$'
        and to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') < (now() at time zone 'UTC')::date - 31
    loop
      execute format('drop table %s', partition);
      dropped := dropped + 1;
    end loop;
  end loop;
  delete from webhook_deliveries_default where id < uuid_floor(now() - interval '31 days');
  delete from webhook_attempts_default where id < uuid_floor(now() - interval '31 days');
  return dropped;
end;
$$;
-- A tenant must not drop what others keep.
revoke execute on function webhooks_maintain from public;
grant execute on function webhooks_maintain to bursar_system;
