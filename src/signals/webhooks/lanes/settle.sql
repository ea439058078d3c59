-- Whether it was asked for (asked_at) after a try of it had begun: that try is not what was asked for. In doubt it was.
create or replace function webhook_asked_since(asked_at timestamptz, attempt_id uuid) returns boolean
  language sql stable
  return coalesce(attempt_id < uuid_floor(asked_at + interval '1 millisecond'), false);

-- Writes what became of deliveries, of many lanes at once, each under its lane's epoch, and answers what comes next of
-- each. A holder that was replaced writes nothing and hears so. Written again after an answer that was lost, it changes
-- nothing: what is written does not depend on what was there.
--
-- One row for each lane first (`id` is null), then what was read. A lane of which nothing is under way (`is_idle`) and
-- nothing more is due is given back, until its next delivery is due.
create or replace function webhooks_settle(
  lease interval,
  accounts uuid[], livemodes boolean[], endpoints uuid[], epochs bigint[], states jsonb[], blocks_ms double precision[],
  wants integer[], are_mixed boolean[], are_idle boolean[], held uuid[],
  -- Of each result: its lane by number, the delivery, what became of it. `retries_ms` null: due as it was.
  places integer[], ids uuid[], statuses text[], counts smallint[], numbers smallint[], retries_ms double precision[],
  -- Of each attempt; without an id none was made.
  attempt_ids uuid[], are_counted boolean[], status_codes smallint[], failures text[], messages text[], addresses text[],
  are_reused boolean[], dns real[], connects real[], tls real[], waits real[], durations real[],
  responses text[], are_cut boolean[]
) returns table (
  lane integer, is_ours boolean, is_released boolean, version bigint, at_ms double precision,
  id uuid, event_id uuid, event_type text, priority smallint, tries smallint, attempts smallint,
  waited_ms double precision, body text
) language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
  set enable_indexscan = on
as $$
#variable_conflict use_column
declare
  at timestamptz;
  ours boolean[] := array_fill(false, array[cardinality(accounts)]);
  wants_left integer[] := array_fill(0, array[cardinality(accounts)]);
  -- Of what somebody asks for again while it is under way: it does not wait, nor does its lane for its sake.
  asked_lanes integer[];
  is_late boolean;
  found_lane record;
begin
  for found_lane in
    select given.lane
    from unnest(accounts, livemodes, endpoints, epochs)
      with ordinality as given (account_id, livemode, endpoint_id, epoch, lane)
    join webhook_lanes as lane
      on lane.account_id = given.account_id and lane.livemode = given.livemode and lane.endpoint_id = given.endpoint_id
    where lane.epoch = given.epoch
    order by lane.account_id, lane.livemode, lane.endpoint_id
    for no key update of lane
  loop
    ours[found_lane.lane] := true;
  end loop;
  at := clock_timestamp();

  -- From here rows are found by whole keys alone. The queue is mostly empty when it is analyzed, so the planner takes it
  -- for empty, and would read all of it once for all results: ten thousand times, when ten thousand wait. A plan without
  -- index scans cannot: a bitmap needs a key.
  perform set_config('enable_indexscan', 'off', true);
  with result as materialized (
    select
      given.place, accounts[given.place] as account_id, livemodes[given.place] as livemode, endpoints[given.place] as endpoint_id,
      blocks_ms[given.place] as block_ms,
      given.id, given.status, given.tries, given.number, given.retry_ms, given.attempt_id, given.is_counted,
      given.status_code, given.failure, given.message, given.address, given.is_reused, given.dns_ms, given.connect_ms,
      given.tls_ms, given.wait_ms, given.duration_ms, given.response, given.is_cut
    from unnest(
      places, ids, statuses, counts, numbers, retries_ms, attempt_ids, are_counted, status_codes, failures, messages,
      addresses, are_reused, dns, connects, tls, waits, durations, responses, are_cut
    ) as given (
      place, id, status, tries, number, retry_ms, attempt_id, is_counted, status_code, failure, message,
      address, is_reused, dns_ms, connect_ms, tls_ms, wait_ms, duration_ms, response, is_cut
    )
    where ours[given.place]
  ),
  done as (
    delete from webhook_queue as queue
    using result
    where queue.account_id = result.account_id and queue.livemode = result.livemode and queue.id = result.id
      and result.status <> 'waiting'
      and not (result.status = 'dead' and webhook_asked_since(queue.asked_at, result.attempt_id))
    returning
      queue.account_id, queue.livemode, queue.id, queue.endpoint_id, queue.event_id, queue.event_type,
      result.status, result.tries, result.status_code, result.failure
  ),
  recorded as (
    insert into webhook_deliveries (
      account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, status_code, failure, finished_at
    )
    select account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, status_code, failure, at
    from done
    on conflict (account_id, livemode, id) do update
    set
      status = excluded.status,
      tries = excluded.tries,
      status_code = excluded.status_code,
      failure = excluded.failure,
      finished_at = excluded.finished_at
  ),
  waiting as (
    update webhook_queue as queue
    set
      -- What was given up and is asked for has its whole schedule before it.
      tries = case when result.status = 'dead' then 0 else result.tries end,
      attempts = result.number,
      status_code = result.status_code,
      failure = result.failure,
      due_at = case
        when result.retry_ms is null then queue.due_at
        when webhook_asked_since(queue.asked_at, result.attempt_id) then at
        else at + result.retry_ms * interval '1 millisecond'
      end
    from result
    where queue.account_id = result.account_id and queue.livemode = result.livemode and queue.id = result.id
      and (
        result.status = 'waiting'
        or (result.status = 'dead' and webhook_asked_since(queue.asked_at, result.attempt_id))
      )
    returning result.place, result.id, webhook_asked_since(queue.asked_at, result.attempt_id) as is_asked
  ),
  asked as (
    select place, id
    from waiting
    where is_asked
  ),
  tried as (
    insert into webhook_attempts (
      account_id, livemode, id, delivery_id, endpoint_id, number, is_counted, status_code, failure, message, address,
      is_reused, dns_ms, connect_ms, tls_ms, wait_ms, duration_ms, response, is_response_cut, retry_at
    )
    select
      account_id, livemode, attempt_id, id, endpoint_id, number, is_counted, status_code, failure, message, address,
      is_reused, dns_ms, connect_ms, tls_ms, wait_ms, duration_ms, response, is_cut,
      case
        when id in (select asked.id from asked) then at
        when status = 'waiting' then at + coalesce(retry_ms, block_ms, 0) * interval '1 millisecond'
      end
    from result
    where attempt_id is not null
    on conflict (account_id, livemode, id) do nothing
  )
  select
    (select array_agg(asked.place) from asked),
    (select count(*) from result where result.status = 'succeeded') > (select count(*) from done where done.status = 'succeeded')
  into asked_lanes, is_late;
  -- Taken back while it was under way, and accepted all the same. Rare, and it looks into every day's partition.
  if is_late then
    update webhook_deliveries as delivery
    set status = 'succeeded', tries = given.tries, status_code = given.status_code, failure = null, finished_at = at
    from unnest(places, ids, statuses, counts, status_codes) as given (place, id, status, tries, status_code)
    where ours[given.place] and given.status = 'succeeded'
      and delivery.account_id = accounts[given.place] and delivery.livemode = livemodes[given.place]
      and delivery.id = given.id and delivery.status <> 'succeeded';
  end if;
  perform set_config('enable_indexscan', 'on', true);

  for found_lane in
    update webhook_lanes as lane
    set
      state = next.state,
      blocked_until = coalesce(at + next.block_ms * interval '1 millisecond', '-infinity'),
      leased_until = case when next.is_released then '-infinity' else at + lease end,
      -- Not before now, even when its first is older: a lane that has had its turn goes behind those that wait.
      due_at = case when next.is_released then greatest(next.first_due, at) else lane.due_at end
    from (
      select
        given.lane, given.account_id, given.livemode, given.endpoint_id, given.state, first.due_at as first_due,
        -- A breaker, and what the endpoint asked for (429), hold whoever asks.
        case
          when given.lane = any (asked_lanes) and given.state ->> 'breaker' = 'closed' and given.state ->> 'throttled' = '0'
          then null
          else given.block_ms
        end as block_ms,
        given.is_idle and (given.want = 0 or first.due_at > at) as is_released
      from unnest(accounts, livemodes, endpoints, states, blocks_ms, wants, are_idle)
        with ordinality as given (account_id, livemode, endpoint_id, state, block_ms, want, is_idle, lane)
      cross join lateral (
        select coalesce(
          least(
            (
              select queue.due_at
              from webhook_queue as queue
              where queue.account_id = given.account_id and queue.livemode = given.livemode
                and queue.endpoint_id = given.endpoint_id and queue.priority = 0
              order by queue.due_at
              limit 1
            ),
            (
              select queue.due_at
              from webhook_queue as queue
              where queue.account_id = given.account_id and queue.livemode = given.livemode
                and queue.endpoint_id = given.endpoint_id and queue.priority = 1
              order by queue.due_at
              limit 1
            )
          ),
          'infinity'
        ) as due_at
        where given.is_idle
        union all
        select null
        where not given.is_idle
      ) as first
      where ours[given.lane]
    ) as next
    where lane.account_id = next.account_id and lane.livemode = next.livemode and lane.endpoint_id = next.endpoint_id
    returning
      next.lane, next.is_released, (
        select endpoint.version
        from webhook_endpoints as endpoint
        where endpoint.account_id = lane.account_id and endpoint.livemode = lane.livemode and endpoint.id = lane.endpoint_id
      ) as version
  loop
    lane := found_lane.lane;
    is_ours := true;
    is_released := found_lane.is_released;
    version := found_lane.version;
    at_ms := extract(epoch from at)::double precision * 1000;
    if not is_released then
      wants_left[lane] := wants[lane];
    end if;
    return next;
  end loop;

  return query
  select
    due.lane, true, false, null::bigint, null::double precision,
    due.id, due.event_id, due.event_type, due.priority, due.tries, due.attempts, due.waited_ms, due.body
  from webhooks_read(accounts, livemodes, endpoints, wants_left, are_mixed, held) as due;
end;
$$;

-- Keeps the leases of these lanes; answers those that are still the caller's, and which version their endpoint has. What
-- was given back is not taken again by this.
create or replace function webhooks_renew(
  accounts uuid[], livemodes boolean[], endpoints uuid[], epochs bigint[], lease interval
) returns table (epoch bigint, version bigint, at_ms double precision)
  language plpgsql
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
  with held as (
    select lane.account_id, lane.livemode, lane.endpoint_id
    from unnest(accounts, livemodes, endpoints, epochs) as given (account_id, livemode, endpoint_id, epoch)
    join webhook_lanes as lane
      on lane.account_id = given.account_id and lane.livemode = given.livemode and lane.endpoint_id = given.endpoint_id
    where lane.epoch = given.epoch and lane.leased_until > '-infinity'
    order by lane.account_id, lane.livemode, lane.endpoint_id
    for no key update of lane
  )
  update webhook_lanes as lane
  set leased_until = at + lease
  from held
  where lane.account_id = held.account_id and lane.livemode = held.livemode and lane.endpoint_id = held.endpoint_id
  returning lane.epoch, (
    select endpoint.version
    from webhook_endpoints as endpoint
    where endpoint.account_id = lane.account_id and endpoint.livemode = lane.livemode and endpoint.id = lane.endpoint_id
  ), extract(epoch from at)::double precision * 1000;
end;
$$;

-- What waits for an endpoint that is disabled is taken back, `most` at a time: visible, and replayable. When nothing is
-- left the lane is given back. Answers how many, or null to whoever does not hold the lane.
create or replace function webhooks_cancel(
  account uuid, mode boolean, endpoint uuid, lane_epoch bigint, most integer, lease interval
) returns integer
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
as $$
declare
  canceled integer;
begin
  perform
  from webhook_lanes as lane
  where lane.account_id = account and lane.livemode = mode and lane.endpoint_id = endpoint and lane.epoch = lane_epoch
  for no key update;
  if not found then
    return null;
  end if;
  with first as (
    select queue.id
    from webhook_queue as queue
    where queue.account_id = account and queue.livemode = mode and queue.endpoint_id = endpoint and queue.priority >= 0
    limit most
  ),
  gone as (
    delete from webhook_queue as queue
    using first
    where queue.account_id = account and queue.livemode = mode and queue.id = first.id
    returning
      queue.id, queue.event_id, queue.event_type, queue.tries, queue.status_code, queue.failure, queue.former
  )
  insert into webhook_deliveries (
    account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, status_code, failure, finished_at
  )
  select
    account, mode, gone.id, endpoint, gone.event_id, gone.event_type,
    became.status, became.tries, became.status_code, became.failure, became.finished_at
  from gone
  cross join webhook_taken_back(gone.former, gone.tries, gone.status_code, gone.failure) as became
  on conflict (account_id, livemode, id) do update
  set
    status = excluded.status,
    tries = excluded.tries,
    status_code = excluded.status_code,
    failure = excluded.failure,
    finished_at = excluded.finished_at;
  get diagnostics canceled = row_count;
  update webhook_lanes as lane
  set
    leased_until = case when canceled < most then '-infinity' else now() + lease end,
    due_at = case when canceled < most then 'infinity' else lane.due_at end,
    blocked_until = '-infinity'
  where lane.account_id = account and lane.livemode = mode and lane.endpoint_id = endpoint;
  return canceled;
end;
$$;
