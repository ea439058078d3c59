-- Makes the daily partitions of the coming week and drops those whose requests are all older than so many days; what lies
-- in the default partition (a server that was off for long) is deleted by its age. Runs as the owner of the table: the
-- roles may neither create nor drop. Answers how many were dropped.
create or replace function request_logs_maintain(keep_days integer) returns integer
  language plpgsql
  security definer
  set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '2s'
as $$
declare
  partition regclass;
  dropped integer := 0;
begin
  if keep_days < 1 then
    raise exception 'the request log is kept for a day at least, not %', keep_days;
  end if;
  perform ensure_time_partitions('request_logs', 'day', 7);
  for partition in
    select inhrelid::regclass
    from pg_inherits
    where inhparent = 'request_logs'::regclass
      and inhrelid::regclass::text ~ '^request_logs_\d{8}$'
      and to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD') < (now() at time zone 'UTC')::date - keep_days
  loop
    execute format('drop table %s', partition);
    dropped := dropped + 1;
  end loop;
  delete from request_logs_default where id < uuid_floor(now() - make_interval(days => keep_days));
  return dropped;
end;
$$;
-- A tenant must not drop what others keep.
revoke execute on function request_logs_maintain from public;
grant execute on function request_logs_maintain to bursar_system;
