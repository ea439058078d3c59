/** Deliveries of a merchant with a past (bench/lib/many-rows.ts): where the number of rows matters and not how they came. */
import type pg from 'pg'

/** Endpoints of both accounts, what became of their events there, what waits, and replays. */
export async function deliverPast(owner: pg.Client): Promise<void> {
  await owner.query(`
    insert into webhook_endpoints (
      account_id, livemode, id, url, event_types, payload, signature, max_concurrency, created_at
    )
    select accounts.account_id, false, overlay(uuid_floor(now() - n * interval '1 second')::text placing '7' from 15)::uuid,
      'https://shop.example/', array['*'], 'snapshot', 'bursar', 16, now()
    from (select distinct account_id from events) as accounts
    cross join generate_series(1, 40) as n`)
  await owner.query(`
    create temp table past_deliveries as
    select event.account_id, webhook_delivery_id(event.id, endpoint.id) as id, endpoint.id as endpoint_id,
      event.id as event_id, event.type, row_number() over (order by event.id) as number
    from events as event
    join lateral (
      select id from webhook_endpoints as endpoint
      where endpoint.account_id = event.account_id
      order by id limit 2
    ) as endpoint on true`)
  await owner.query(`
    insert into webhook_deliveries (
      account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
    )
    select account_id, false, id, endpoint_id, event_id, type,
      case when number % 100 = 0 then 'dead' when number % 101 = 0 then 'canceled' else 'succeeded' end, 1, now()
    from past_deliveries
    where number % 40 <> 7`)
  await owner.query(`
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
    select account_id, false, id, endpoint_id, event_id, type, 0, now() + interval '1 day'
    from past_deliveries
    where number % 40 = 7`)
  await owner.query(`
    insert into webhook_replays (
      account_id, livemode, id, endpoint_id, event_types, delivery_status, created_from, created_before, status,
      created_at, finished_at
    )
    select endpoint.account_id, false,
      overlay(uuid_floor(now() - (n * 40 + endpoint.number) * interval '1 second')::text placing '7' from 15)::uuid,
      endpoint.id, array['*'], 'any', now() - interval '2 days', now() - interval '1 day', 'succeeded', now(), now()
    from (
      select account_id, id, row_number() over (partition by account_id order by id) as number from webhook_endpoints
    ) as endpoint
    cross join generate_series(1, 50) as n`)
  // Not the days to come: nobody has analyzed those either when a list is asked for.
  const { rows } = await owner.query<{ name: string }>(`
    select oid::regclass::text as name
    from pg_class
    where relname ~ '^webhook_(endpoints|deliveries|queue|replays)' and relkind = 'r' and pg_relation_size(oid) > 0`)
  await owner.query(`vacuum analyze ${rows.map(row => row.name).join(', ')}`)
}
