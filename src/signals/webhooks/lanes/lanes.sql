-- Lanes are taken, kept and given back. The one rule that all of it rests on: whoever adds to a queue locks its lane
-- last, and whoever gives a lane back has locked it before reading its queue in a later statement. So a delivery is
-- either seen by the holder, or wakes the lane after it. Lanes are locked in the order of their keys, so nobody waits in
-- a circle. Each statement is planned for the tables as they are: one that was made while they were small would read all
-- of them, until the next analyze; and none may join in another way than by key (the settings of each function).

-- Wakes lanes for what was just queued in this transaction: the last thing it does. A lane that is due already is only
-- locked, which orders this transaction and the holder's.
create or replace function webhooks_touch(accounts uuid[], livemodes boolean[], endpoints uuid[], dues timestamptz[])
  returns void
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
as $$
begin
  perform
  from unnest(accounts, livemodes, endpoints) as touched (account_id, livemode, endpoint_id)
  join webhook_lanes as lane
    on lane.account_id = touched.account_id and lane.livemode = touched.livemode and lane.endpoint_id = touched.endpoint_id
  order by lane.account_id, lane.livemode, lane.endpoint_id
  for no key update of lane;
  -- In a statement of its own: it must see what the holder wrote while it was waited for. One that locks and compares at
  -- once compares with the row as it was before, and leaves a lane asleep that was given back in between.
  update webhook_lanes as lane
  set due_at = touched.due_at
  from unnest(accounts, livemodes, endpoints, dues) as touched (account_id, livemode, endpoint_id, due_at)
  where lane.account_id = touched.account_id and lane.livemode = touched.livemode and lane.endpoint_id = touched.endpoint_id
    and lane.due_at > touched.due_at;
end;
$$;

-- Leases up to `most` lanes that are ready, longest-waiting first.
create or replace function webhooks_take(most integer, lease interval) returns table (
  account_id uuid, livemode boolean, endpoint_id uuid, epoch bigint, state jsonb, version bigint, at_ms double precision
) language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  at timestamptz := clock_timestamp();
begin
  return query
  with ready as (
    select lane.account_id, lane.livemode, lane.endpoint_id
    from webhook_lanes as lane
    where lane.ready_at <= at
    order by lane.ready_at
    limit most
    for no key update skip locked
  ),
  taken as (
    update webhook_lanes as lane
    set epoch = nextval('webhook_epochs'), leased_until = at + lease
    from ready
    where lane.account_id = ready.account_id and lane.livemode = ready.livemode and lane.endpoint_id = ready.endpoint_id
    returning lane.account_id, lane.livemode, lane.endpoint_id, lane.epoch, lane.state
  )
  select
    taken.account_id, taken.livemode, taken.endpoint_id, taken.epoch, taken.state, endpoint.version,
    extract(epoch from at)::double precision * 1000
  from taken
  join webhook_endpoints as endpoint
    on endpoint.account_id = taken.account_id and endpoint.livemode = taken.livemode and endpoint.id = taken.endpoint_id;
end;
$$;

-- The first `want` due deliveries of each lane, without those in `held`: what happened before what is replayed, longest
-- due first. Where `is_mixed`, half of what happened comes from the newest end (and may come twice when there is little),
-- so that a backlog leaves room for it.
create or replace function webhooks_read(
  accounts uuid[], livemodes boolean[], endpoints uuid[], wants integer[], are_mixed boolean[], held uuid[]
) returns table (
  lane integer, id uuid, event_id uuid, event_type text, priority smallint, tries smallint, attempts smallint,
  waited_ms double precision, body text
) language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
  at timestamptz := clock_timestamp();
begin
  return query
  select
    given.lane::integer, due.id, due.event_id, due.event_type, due.priority, due.tries, due.attempts,
    extract(epoch from at - due.queued_at)::double precision * 1000,
    (
      select event.body
      from events as event
      where event.account_id = given.account_id and event.livemode = given.livemode and event.id = due.event_id
    )
  from unnest(accounts, livemodes, endpoints, wants, are_mixed)
    with ordinality as given (account_id, livemode, endpoint_id, want, is_mixed, lane)
  cross join lateral (
    (
      select queue.id, queue.event_id, queue.event_type, queue.priority, queue.tries, queue.attempts, queue.queued_at
      from webhook_queue as queue
      where queue.account_id = given.account_id and queue.livemode = given.livemode and queue.endpoint_id = given.endpoint_id
        and queue.priority = 0 and queue.due_at <= at
        and queue.id not in (select unnest(held))
      order by queue.due_at, queue.id
      limit case when given.is_mixed then (given.want + 1) / 2 else given.want end
    )
    union all
    (
      select queue.id, queue.event_id, queue.event_type, queue.priority, queue.tries, queue.attempts, queue.queued_at
      from webhook_queue as queue
      where queue.account_id = given.account_id and queue.livemode = given.livemode and queue.endpoint_id = given.endpoint_id
        and queue.priority = 0 and queue.due_at <= at
        and queue.id not in (select unnest(held))
      order by queue.due_at desc, queue.id desc
      limit case when given.is_mixed then given.want / 2 else 0 end
    )
    union all
    (
      select queue.id, queue.event_id, queue.event_type, queue.priority, queue.tries, queue.attempts, queue.queued_at
      from webhook_queue as queue
      where queue.account_id = given.account_id and queue.livemode = given.livemode and queue.endpoint_id = given.endpoint_id
        and queue.priority = 1 and queue.due_at <= at
        and queue.id not in (select unnest(held))
      order by queue.due_at, queue.id
      limit given.want
    )
    limit given.want
  ) as due
  where given.want > 0;
end;
$$;
