-- Events: what happened, as it will be told to the outside. Additive; does not break older code.

-- Ids are uuid v7, so a range of ids is a range of time: tables partitioned by id need no second key column, and a
-- look-up by id touches one partition.
create function uuid_floor(at timestamptz) returns uuid
  language sql immutable strict parallel safe
  return (lpad(to_hex(greatest(0, floor(extract(epoch from at) * 1000))::bigint), 12, '0') || repeat('0', 20))::uuid;
comment on function uuid_floor(timestamptz) is 'The smallest uuid v7 of an instant: id >= uuid_floor(t) means created at or after t.';

-- Creates the partitions of the current period and of the next `ahead` ones. Runs at every migration and once a day;
-- rows beyond them land in the default partition rather than being refused.
create function ensure_time_partitions(parent regclass, period text, ahead integer) returns void
  language plpgsql
as $$
declare
  starts timestamptz := date_trunc(period, now(), 'UTC');
  ends timestamptz;
  child text;
begin
  if period not in ('day', 'month') then
    raise exception 'a partition covers a day or a month, not %', period;
  end if;
  for i in 0..ahead loop
    ends := (starts at time zone 'UTC' + ('1 ' || period)::interval) at time zone 'UTC';
    child := format('%s_%s', parent::text, to_char(starts at time zone 'UTC', case period when 'day' then 'YYYYMMDD' else 'YYYYMM' end));
    if to_regclass(child) is null then
      execute format('create table %I partition of %s for values from (%L) to (%L)', child, parent, uuid_floor(starts), uuid_floor(ends));
    end if;
    starts := ends;
  end loop;
end;
$$;
comment on function ensure_time_partitions(regclass, text, integer) is 'Creates the partitions, by uuid v7 range, of this period and the next ones.';

create table events (
  account_id uuid not null,
  livemode boolean not null,
  id uuid not null,
  type text not null,
  object_id uuid not null,
  object_version bigint not null,
  request_id uuid,
  body text not null,
  created_at timestamptz not null,
  committed_in xid8 not null default pg_current_xact_id(),
  primary key (account_id, livemode, id)
) partition by range (id);

comment on table events is 'What happened to an account''s objects, written in the transaction that made it happen. Kept 30 days, in daily partitions.';
comment on column events.account_id is 'Whose event it is.';
comment on column events.livemode is 'In which of the account''s modes.';
comment on column events.id is 'uuid v7; evt_… outside. Its instant is created_at.';
comment on column events.type is 'resource.verb in the past tense: payment_intent.succeeded.';
comment on column events.object_id is 'The object it is about.';
comment on column events.object_version is 'Counts the changes of that object: a consumer applies only newer ones, whatever order they arrive in.';
comment on column events.request_id is 'The API request that caused it; null when the system did.';
comment on column events.body is 'The exact text that is signed and sent; a JSON column would reorder its keys.';
comment on column events.created_at is 'The instant in the id, kept readable.';
comment on column events.committed_in is 'The transaction that wrote it: the stream follows the order of commits (snapshot horizon), not of ids.';

create table events_default partition of events default;
select ensure_time_partitions('events', 'day', 7);

create index events_by_type on events (account_id, livemode, type, id);
create index events_by_object on events (account_id, livemode, object_id, id);

alter table events enable row level security;
create policy tenant on events to bursar_app
  using (account_id = current_setting('bursar.account_id')::uuid and livemode = current_setting('bursar.livemode')::boolean);
create policy system on events to bursar_system using (true);
-- An event is a fact: the roles add and read, and drop whole partitions through a job of the owner.
grant select, insert on events to bursar_app, bursar_system;
