-- The lanes of inbound news, always in this order: the lane's row is locked first, then its queue is read in a
-- statement of its own. Whoever adds news touches the lane's row last, so nothing can come in unseen in between.

-- The first due news of a lane that the caller has locked and holds, with its lease renewed; when there is none, or
-- `go_on` is false, the lane is put back for when its next news is due, or removed when nothing waits.
create or replace function inbound_next(
  lane_processor text, lane_subject text, go_on boolean, lease interval,
  out id uuid, out event_id text, out type text, out body text, out tries integer, out received_at timestamptz
) language plpgsql as $$
declare
  at timestamptz := clock_timestamp();
  first_due timestamptz;
begin
  if go_on then
    select e.id, e.event_id, e.type, b.body, e.tries, e.received_at
    into inbound_next.id, inbound_next.event_id, inbound_next.type, inbound_next.body, inbound_next.tries, inbound_next.received_at
    from inbound_events as e
    join inbound_bodies as b on b.id = e.id
    where e.processor = lane_processor and e.subject = lane_subject and e.status = 'waiting' and e.due_at <= at
    order by e.id
    limit 1;
  end if;
  if inbound_next.id is not null then
    update inbound_lanes as l
    set leased_until = at + lease
    where l.processor = lane_processor and l.subject = lane_subject;
    return;
  end if;
  select min(e.due_at) into first_due
  from inbound_events as e
  where e.processor = lane_processor and e.subject = lane_subject and e.status = 'waiting';
  if first_due is null then
    delete from inbound_lanes as l
    where l.processor = lane_processor and l.subject = lane_subject;
  else
    -- Not before now, even when its news is older: a lane that has had its turn goes behind those that wait.
    update inbound_lanes as l
    set leased_until = null, due_at = greatest(first_due, at)
    where l.processor = lane_processor and l.subject = lane_subject;
  end if;
end;
$$;

-- Leases up to `most` ready lanes, longest-waiting first, each with its first due news.
create or replace function inbound_take(most integer, lease interval) returns table (
  processor text, subject text, epoch bigint,
  id uuid, event_id text, type text, body text, tries integer, received_at timestamptz
) language plpgsql as $$
begin
  for processor, subject in
    select l.processor, l.subject
    from inbound_lanes as l
    where l.ready_at <= now()
    order by l.ready_at
    limit most
    for update skip locked
  loop
    epoch := nextval('inbound_epochs');
    update inbound_lanes as l
    set epoch = inbound_take.epoch, leased_until = now() + lease
    where l.processor = inbound_take.processor and l.subject = inbound_take.subject;
    select n.id, n.event_id, n.type, n.body, n.tries, n.received_at
    into id, event_id, type, body, tries, received_at
    from inbound_next(processor, subject, true, lease) as n;
    if id is not null then
      return next;
    end if;
  end loop;
end;
$$;

-- Writes what became of news, each under its lane's epoch, and answers the lane's next. A holder that was replaced
-- writes nothing and hears so.
create or replace function inbound_settle(verdicts jsonb, lease interval) returns table (
  item integer, is_ours boolean,
  id uuid, event_id text, type text, body text, tries integer, received_at timestamptz
) language plpgsql as $$
declare
  verdict record;
begin
  for verdict in
    select v.item, v.processor, v.subject, v.epoch, v.id, v.status, v.reason, v.retry_in_ms, v.go_on
    from jsonb_to_recordset(verdicts) as v (
      item integer, processor text, subject text, epoch bigint, id uuid,
      status text, reason text, retry_in_ms integer, go_on boolean
    )
    order by v.processor collate "C", v.subject collate "C"
  loop
    item := verdict.item;
    id := null;
    perform
    from inbound_lanes as l
    where l.processor = verdict.processor and l.subject = verdict.subject and l.epoch = verdict.epoch
    for update;
    is_ours := found;
    if is_ours then
      update inbound_events as e
      set
        status = verdict.status,
        tries = e.tries + 1,
        reason = verdict.reason,
        due_at = case when verdict.status = 'waiting' then now() + verdict.retry_in_ms * interval '1 millisecond' end,
        finished_at = case when verdict.status <> 'waiting' then now() end
      where e.id = verdict.id and e.status = 'waiting';
      select n.id, n.event_id, n.type, n.body, n.tries, n.received_at
      into inbound_settle.id, inbound_settle.event_id, inbound_settle.type, inbound_settle.body, inbound_settle.tries, inbound_settle.received_at
      from inbound_next(verdict.processor, verdict.subject, verdict.go_on, lease) as n;
    end if;
    return next;
  end loop;
end;
$$;

-- Keeps the leases of these lanes; answers those that are still the caller's.
create or replace function inbound_renew(epochs bigint[], lease interval) returns setof bigint
  language plpgsql as $$
begin
  return query
  with held as (
    select l.processor, l.subject
    from inbound_lanes as l
    where l.epoch = any (epochs)
    order by l.processor, l.subject
    for update
  )
  update inbound_lanes as l
  set leased_until = now() + lease
  from held
  where l.processor = held.processor and l.subject = held.subject
  returning l.epoch;
end;
$$;
