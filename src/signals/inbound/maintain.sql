-- Makes the daily partitions of the coming week and drops those whose bodies are all older than 35 days, which is
-- longer than processors send again or list (Stripe: 30 days). A day with news that still waits stays. What lies in the
-- default partition (nobody made partitions in time, or a clock was ahead) is deleted by its age.
-- Runs as the owner of the table: the roles may neither create nor drop. Answers how many were dropped.
create or replace function inbound_maintain() returns integer
  language plpgsql
  security definer
  set search_path = pg_catalog, public, pg_temp
  set lock_timeout = '2s'
as $$
declare
  partition regclass;
  day date;
  dropped integer := 0;
begin
  perform ensure_time_partitions('inbound_bodies', 'day', 7);
  for partition, day in
    select inhrelid::regclass, to_date(right(inhrelid::regclass::text, 8), 'YYYYMMDD')
    from pg_inherits
    where inhparent = 'inbound_bodies'::regclass
      and inhrelid::regclass::text ~ '^inbound_bodies_\d{8}$'
  loop
    continue when day >= (now() at time zone 'UTC')::date - 36;
    continue when exists (
      select from inbound_events
      where status = 'waiting'
        and id >= uuid_floor(day::timestamp at time zone 'UTC')
        and id < uuid_floor((day + 1)::timestamp at time zone 'UTC')
    );
    execute format('drop table %s', partition);
    dropped := dropped + 1;
  end loop;
  delete from inbound_bodies_default as body
  where body.id < uuid_floor(now() - interval '36 days')
    and not exists (select from inbound_events where status = 'waiting' and inbound_events.id = body.id);
  return dropped;
end;
$$;
-- A tenant must not drop what others keep.
revoke execute on function inbound_maintain from public;
grant execute on function inbound_maintain to bursar_system;
