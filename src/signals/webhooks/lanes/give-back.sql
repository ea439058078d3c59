-- Gives back the tries that were used up by a fault of our own, of deliveries that nobody has tried since; those that
-- were given up for it wait again. Lanes that went by it are as they were before, where nobody has taken them since.
create or replace function webhooks_give_back(
  accounts uuid[], livemodes boolean[], endpoints uuid[], epochs bigint[], states jsonb[],
  places integer[], ids uuid[], numbers smallint[], attempt_ids uuid[]
) returns integer
  language plpgsql
  set enable_seqscan = off
  set enable_hashjoin = off
  set enable_mergejoin = off
  -- By whole keys alone (settle.sql says why).
  set plan_cache_mode = force_custom_plan
  set enable_indexscan = off
  set enable_indexonlyscan = off
as $$
declare
  given_back integer;
begin
  with held as (
    select lane.account_id, lane.livemode, lane.endpoint_id, given.state
    from unnest(accounts, livemodes, endpoints, epochs, states) as given (account_id, livemode, endpoint_id, epoch, state)
    join webhook_lanes as lane
      on lane.account_id = given.account_id and lane.livemode = given.livemode and lane.endpoint_id = given.endpoint_id
    where lane.epoch = given.epoch
    order by lane.account_id, lane.livemode, lane.endpoint_id
    for no key update of lane
  )
  update webhook_lanes as lane
  set state = held.state, blocked_until = '-infinity'
  from held
  where lane.account_id = held.account_id and lane.livemode = held.livemode and lane.endpoint_id = held.endpoint_id;

  with given as materialized (
    select
      accounts[one.place] as account_id, livemodes[one.place] as livemode, endpoints[one.place] as endpoint_id,
      one.id, one.number, one.attempt_id
    from unnest(places, ids, numbers, attempt_ids) as one (place, id, number, attempt_id)
  ),
  waiting as (
    update webhook_queue as queue
    -- Never later than it was: of a lane that keeps its order it is the first.
    set tries = queue.tries - 1, due_at = least(queue.due_at, now())
    from given
    where queue.account_id = given.account_id and queue.livemode = given.livemode and queue.id = given.id
      and queue.attempts = given.number and queue.tries > 0
    returning queue.id
  ),
  dead as (
    delete from webhook_deliveries as delivery
    using given
    where delivery.account_id = given.account_id and delivery.livemode = given.livemode
      and delivery.endpoint_id = given.endpoint_id and delivery.id = given.id and delivery.status = 'dead'
    returning
      delivery.account_id, delivery.livemode, delivery.id, delivery.endpoint_id, delivery.event_id, delivery.event_type,
      delivery.tries, given.number
  ),
  again as (
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, tries, attempts, due_at)
    select account_id, livemode, id, endpoint_id, event_id, event_type, 0, tries - 1, number, now()
    from dead
    on conflict (account_id, livemode, id) do nothing
    returning id
  ),
  back as (
    select id from waiting
    union all
    select id from again
  ),
  uncounted as (
    update webhook_attempts as attempt
    set is_counted = false, retry_at = now()
    from given
    where attempt.account_id = given.account_id and attempt.livemode = given.livemode and attempt.id = given.attempt_id
      and given.id in (select id from back)
  )
  select count(id) into given_back
  from back;
  -- Last, as whoever queues.
  perform webhooks_touch(accounts, livemodes, endpoints, array_fill(now(), array[cardinality(accounts)]));
  return given_back;
end;
$$;
