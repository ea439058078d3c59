-- One page of a replay, in one transaction with its place: the next `most` events of its time are looked at, those that
-- it wants are queued behind all that happens, and the place is moved past them. Answers what the page came to; `done`
-- when there is nothing more to do, because all were looked at, or because it was canceled or its endpoint is gone.
-- Rows of other transactions with smaller ids may still be committed: they happen now, and are fanned out as such.
create or replace function webhook_replay_page(of_account uuid, of_mode boolean, of_replay uuid, most integer)
  returns table (done boolean, examined integer, queued integer)
  language plpgsql
  -- The plan of a page is the same however full the tables are: by their keys, in order.
  set enable_hashjoin = off
  set enable_mergejoin = off
  set plan_cache_mode = force_custom_plan
  set enable_seqscan = off
as $$
declare
  replay webhook_replays;
  last_seen uuid;
begin
  select r.endpoint_id into replay.endpoint_id
  from webhook_replays as r
  where r.account_id = of_account and r.livemode = of_mode and r.id = of_replay;
  -- The lane first, as everybody who touches both does.
  perform from webhook_lanes as l
  where l.account_id = of_account and l.livemode = of_mode and l.endpoint_id = replay.endpoint_id
  for no key update;
  select r.endpoint_id, r.event_types, r.delivery_status, r.created_from, r.created_before, r.after_id
  into replay.endpoint_id, replay.event_types, replay.delivery_status, replay.created_from, replay.created_before, replay.after_id
  from webhook_replays as r
  where r.account_id = of_account and r.livemode = of_mode and r.id = of_replay and r.status = 'running'
  for update;
  if not found then
    return query select true, 0, 0;
    return;
  end if;
  -- What is queued for a disabled endpoint is canceled: to go on would turn what was delivered into what was not.
  if not exists (
    select
    from webhook_endpoints as e
    where e.account_id = of_account and e.livemode = of_mode and e.id = replay.endpoint_id and e.status = 'enabled'
  ) then
    update webhook_replays as r
    set status = 'canceled', finished_at = now(), version = r.version + 1
    where r.account_id = of_account and r.livemode = of_mode and r.id = of_replay;
    return query select true, 0, 0;
    return;
  end if;

  with page as (
    select e.id, e.type
    from events as e
    where e.account_id = of_account and e.livemode = of_mode
      and e.id > coalesce(replay.after_id, uuid_floor(replay.created_from)) and e.id < uuid_floor(replay.created_before)
    order by e.id
    limit most
  ), wanted as (
    select page.id, page.type, webhook_delivery_id(page.id, replay.endpoint_id) as delivery_id
    from page
    where page.type <> 'webhook_endpoint.test'
      and exists (
        select
        from unnest(replay.event_types) as pattern
        where pattern = '*' or pattern = page.type or (right(pattern, 2) = '.*' and starts_with(page.type, left(pattern, -1)))
      )
  ), chosen as (
    select
      wanted.id, wanted.type, wanted.delivery_id, known.status,
      case when known.status is not null then jsonb_build_object(
        'status', known.status, 'tries', known.tries, 'status_code', known.status_code, 'failure', known.failure,
        'finished_at', known.finished_at
      ) end as former
    from wanted
    left join webhook_deliveries as known
      on known.account_id = of_account and known.livemode = of_mode and known.id = wanted.delivery_id
    where case replay.delivery_status
      when 'any' then true
      when 'undelivered' then known.status is distinct from 'succeeded'
      else known.status = replay.delivery_status
    end
  ), added as (
    insert into webhook_queue as q (
      account_id, livemode, id, endpoint_id, event_id, event_type, priority, attempts, due_at, replay_id, former
    )
    select
      of_account, of_mode, chosen.delivery_id, replay.endpoint_id, chosen.id, chosen.type, 1,
      -- What was never sent has no tries to number on from.
      case when chosen.status is null then 0 else (
        select coalesce(max(a.number), 0)
        from webhook_attempts as a
        where a.account_id = of_account and a.livemode = of_mode and a.delivery_id = chosen.delivery_id
      ) end,
      now(), of_replay, chosen.former
    from chosen
    order by chosen.delivery_id
    on conflict (account_id, livemode, id) do nothing
    returning q.id
  ), moved as (
    delete from webhook_deliveries as known
    using added
    where known.account_id = of_account and known.livemode = of_mode and known.id = added.id
  )
  select
    (select count(*)::integer from page),
    (select count(*)::integer from added),
    (select page.id from page order by page.id desc limit 1)
  into examined, queued, last_seen;

  done := examined < most;
  update webhook_replays as r
  set
    after_id = coalesce(last_seen, r.after_id),
    examined = r.examined + webhook_replay_page.examined,
    queued = r.queued + webhook_replay_page.queued,
    status = case when done then 'succeeded' else 'running' end,
    finished_at = case when done then now() end,
    worked_at = now(),
    version = r.version + 1
  where r.account_id = of_account and r.livemode = of_mode and r.id = of_replay;
  if queued > 0 then
    update webhook_lanes as l
    set due_at = least(l.due_at, now())
    where l.account_id = of_account and l.livemode = of_mode and l.endpoint_id = replay.endpoint_id;
  end if;
  return next;
end;
$$;
