-- The stream of events, read between two snapshots (docs/decisions/0026-stream-between-snapshots.md). Its order is that
-- of events_stream: by transaction, then by id.

-- What the snapshot `until` sees of events and `seen` did not, behind a place, at most so many. Two ranges of one index:
-- the transactions that were under way in `seen` and are done in `until`, one by one; and all that began since.
-- Whoever calls it must see what `until` sees: a statement that began after that snapshot was taken does.
create or replace function events_between(
  seen pg_snapshot, until pg_snapshot, after_xid xid8, after_id uuid, most integer, with_bodies boolean
) returns table (
  account_id uuid, livemode boolean, id uuid, type text, object_id uuid, object_version bigint,
  committed_in xid8, created_at timestamptz, body text
)
  language plpgsql stable
  -- A plan that was made while the table was small would read and sort all of it, until the next analyze.
  set enable_seqscan = off
  set enable_bitmapscan = off
  set enable_sort = off
as $$
declare
  first_id constant uuid := '00000000-0000-0000-0000-000000000000';
  xid xid8;
  from_xid xid8 := pg_snapshot_xmax(seen);
  from_id uuid := first_id;
  remaining integer := most;
  taken integer;
begin
  for xid in
    select open.xid
    from pg_snapshot_xip(seen) as open (xid)
    where pg_visible_in_snapshot(open.xid, until) and (after_xid is null or open.xid >= after_xid)
    order by open.xid
  loop
    return query
    select
      e.account_id, e.livemode, e.id, e.type, e.object_id, e.object_version,
      e.committed_in, e.created_at, case when with_bodies then e.body end
    from events as e
    where e.committed_in = xid and e.id > case when xid = after_xid then after_id else first_id end
    order by e.committed_in, e.id
    limit remaining;
    get diagnostics taken = row_count;
    remaining := remaining - taken;
    if remaining = 0 then
      return;
    end if;
  end loop;
  if after_xid >= from_xid then
    from_xid := after_xid;
    from_id := after_id;
  end if;
  return query
  select
    e.account_id, e.livemode, e.id, e.type, e.object_id, e.object_version,
    e.committed_in, e.created_at, case when with_bodies then e.body end
  from events as e
  where (e.committed_in, e.id) > (from_xid, from_id)
    and e.committed_in < pg_snapshot_xmax(until)
    and pg_visible_in_snapshot(e.committed_in, until)
  order by e.committed_in, e.id
  limit remaining;
end;
$$;

-- A snapshot of this moment in which the caller's own transaction is under way, as it is for everybody else. PostgreSQL
-- leaves it out: what the transaction writes would count as seen before, and never be read.
create or replace function events_snapshot() returns pg_snapshot
  language plpgsql volatile
as $$
declare
  now_seen pg_snapshot;
  own xid8 := pg_current_xact_id_if_assigned();
begin
  select pg_current_snapshot() into now_seen;
  if own is null or own >= pg_snapshot_xmax(now_seen) then
    return now_seen;
  end if;
  return (
    select format(
      '%s:%s:%s', least(pg_snapshot_xmin(now_seen), own), pg_snapshot_xmax(now_seen), string_agg(open.xid::text, ',' order by open.xid)
    )::pg_snapshot
    from (
      select x.xid
      from pg_snapshot_xip(now_seen) as x (xid)
      union
      select own
    ) as open
  );
end;
$$;

-- Whether a consumer has something to do: events, the rest of a batch, or parked ones whose time is over. Writes nothing.
-- Once a minute it moves without events too, so that it need not look up transactions that are long done.
create or replace function events_waiting(consumer text) returns boolean
  language plpgsql stable
as $$
declare
  now_seen pg_snapshot := pg_current_snapshot();
  seen pg_snapshot;
  until pg_snapshot;
  moved_at timestamptz;
begin
  select c.seen, c.until, c.moved_at
  into seen, until, moved_at
  from event_consumers as c
  where c.name = consumer and (c.retry_at is null or c.retry_at <= now());
  if not found then
    return false;
  end if;
  if until is not null
    or exists (select from event_consumer_parked as p where p.consumer = events_waiting.consumer and p.due_at <= now())
  then
    return true;
  end if;
  -- Nobody who may write has begun or ended since.
  if pg_snapshot_xmax(seen) = pg_snapshot_xmax(now_seen)
    and not exists (select from pg_snapshot_xip(seen) as open (xid) where pg_visible_in_snapshot(open.xid, now_seen))
  then
    return false;
  end if;
  return moved_at < now() - interval '1 minute'
    or exists (select from events_between(seen, now_seen, null, null, 1, false));
end;
$$;

-- The next piece of a consumer's batch, at most so many events, and its place moved behind it. The caller holds the
-- consumer's row, and does what is to be done with them in this transaction.
create or replace function events_take(consumer text, most integer) returns table (
  account_id uuid, livemode boolean, id uuid, type text, object_id uuid, object_version bigint,
  committed_in xid8, created_at timestamptz, body text
)
  language plpgsql
as $$
declare
  place_seen pg_snapshot;
  place_until pg_snapshot;
  place_xid xid8;
  place_id uuid;
  taken integer := 0;
begin
  select c.seen, c.until, c.after_xid, c.after_id
  into strict place_seen, place_until, place_xid, place_id
  from event_consumers as c
  where c.name = consumer;
  if place_until is null then
    place_until := events_snapshot();
  end if;
  for account_id, livemode, id, type, object_id, object_version, committed_in, created_at, body in
    select
      e.account_id, e.livemode, e.id, e.type, e.object_id, e.object_version, e.committed_in, e.created_at, e.body
    from events_between(place_seen, place_until, place_xid, place_id, most, true) as e
  loop
    taken := taken + 1;
    place_xid := committed_in;
    place_id := id;
    return next;
  end loop;
  update event_consumers as c
  set
    seen = case when taken < most then place_until else c.seen end,
    until = case when taken = most then place_until end,
    after_xid = case when taken = most then place_xid end,
    after_id = case when taken = most then place_id end,
    moved_at = now(),
    failures = 0,
    reason = null,
    retry_at = null
  where c.name = consumer;
end;
$$;

-- How many events are behind a consumer's place, up to `most`, and for how long the oldest of them has waited.
create or replace function events_behind(consumer text, most integer, out events integer, out seconds double precision)
  language sql stable
as $$
  select count(e.id)::integer, coalesce(extract(epoch from now() - min(e.created_at)), 0)::float8
  from event_consumers as c
  cross join lateral events_between(c.seen, pg_current_snapshot(), c.after_xid, c.after_id, most, false) as e
  where c.name = consumer
$$;

-- What `seen` saw of the transactions before `xid`: a place further back, that skips nothing that `seen` had not seen.
create or replace function events_seen_before(seen pg_snapshot, xid xid8) returns pg_snapshot
  language sql immutable strict
as $$
  select format(
    '%s:%s:%s',
    least(pg_snapshot_xmin(seen), xid),
    least(pg_snapshot_xmax(seen), xid),
    (
      select string_agg(open.xid::text, ',' order by open.xid)
      from pg_snapshot_xip(seen) as open (xid)
      where open.xid < events_seen_before.xid
    )
  )::pg_snapshot
$$;
