/**
 * Replays: past events sent (again) to one endpoint, by the thousand, across restarts, and no more than was asked.
 *
 * @every-postgresql pages of a replay are functions in SQL.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeId, encodeId } from '#kernel'
import { openReceiver } from '../support/receiver.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
  await world.deliver()
})
afterAll(() => world.close())

const ENDPOINTS = '/v1/webhook_endpoints'
const REPLAYS = '/v1/webhook_replays'
const wanted = { url: 'https://shop.example/webhooks', event_types: ['*'] }

const ago = (seconds: number) => new Date(Date.now() - seconds * 1_000).toISOString()
const uuidOf = (id: string): string =>
  (id.startsWith('we_') ? decodeId('we_', id) : decodeId('wrp_', id)) as string

const made = async (shop: TestAccount, more: object = {}): Promise<string> =>
  (await shop.api.post(ENDPOINTS, { ...wanted, ...more })).body.id
const replay = (shop: TestAccount, id: string, body: object) =>
  shop.api.post(`${ENDPOINTS}/${id}/replay`, body)
const started = async (shop: TestAccount, id: string, body: object): Promise<Json> => {
  const reply = await replay(shop, id, body)
  expect(reply.status, reply.text).toBe(200)
  return reply.body
}
const run = (shop: TestAccount, replay_id: string) =>
  world.runJob('webhooks.replay', {
    account_id: shop.account_id,
    livemode: false,
    replay_id: uuidOf(replay_id),
  })
const shown = async (shop: TestAccount, id: string): Promise<Json> =>
  (await shop.api.get(`${REPLAYS}/${id}`)).body

/** So many events, one a second, the newest a minute ago; answers their ids, oldest first. */
async function past(
  shop: TestAccount,
  count: number,
  types: string[] = ['customer.created'],
): Promise<string[]> {
  const rows = await world.db.many<{ id: string }>`
    insert into events (account_id, livemode, id, type, object_id, object_version, body, created_at)
    select
      ${shop.account_id}, false,
      overlay(uuid_floor(now() - interval '1 minute' - n * interval '1 second')::text placing '7' from 15)::uuid,
      (${types}::text[])[n % ${types.length} + 1], gen_random_uuid(), 1, '{"id":"evt_1","data":{}}',
      now() - interval '1 minute' - n * interval '1 second'
    from generate_series(0, ${count - 1}) as n
    returning id`
  return rows.map(({ id }) => id).sort()
}

/** What became of an event at an endpoint, as if it had been sent. */
const settle = (shop: TestAccount, endpoint: string, event: string, status: string) => world.db.run`
  insert into webhook_deliveries (
    account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
  )
  values (
    ${shop.account_id}, false, webhook_delivery_id(${event}, ${uuidOf(endpoint)}), ${uuidOf(endpoint)}, ${event},
    'customer.created', ${status}, 1, now()
  )`
const wait = (shop: TestAccount, endpoint: string, event: string) => world.db.run`
  insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, tries, due_at)
  values (
    ${shop.account_id}, false, webhook_delivery_id(${event}, ${uuidOf(endpoint)}), ${uuidOf(endpoint)}, ${event},
    'customer.created', 0, 3, now() + interval '1 hour'
  )`
/** Events in the queue of an endpoint, by what queued them. */
const queued = async (endpoint: string) => {
  const rows = await world.db.many<{ event_id: string; priority: number; replay_id: string | null }>`
    select event_id, priority, replay_id from webhook_queue where endpoint_id = ${uuidOf(endpoint)} order by event_id`
  return {
    replayed: rows.filter(row => row.priority === 1 && row.replay_id !== null).map(row => row.event_id),
    others: rows.filter(row => row.priority === 0).map(row => row.event_id),
  }
}

describe('a replay', () => {
  test('is a resource of its own, tells how far it is, and ends', async () => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['customer.*'] })
    await past(shop, 3)
    const body = await started(shop, id, { created_from: ago(3_600) })
    expect(body).toMatchObject({
      object: 'webhook_replay',
      endpoint_id: id,
      event_types: ['customer.*'],
      delivery_status: 'undelivered',
      status: 'running',
      examined: 0,
      queued: 0,
      livemode: false,
      finished_at: null,
    })
    expect(body.created_before).toBe(body.created_at)
    expect(await shown(shop, body.id)).toEqual(body)
    await run(shop, body.id)
    const done = await shown(shop, body.id)
    // The endpoint's own event is one of those looked at.
    expect(done).toMatchObject({ status: 'succeeded', examined: 4, queued: 3 })
    expect(done.finished_at).not.toBeNull()
    expect((await shop.api.get(REPLAYS)).body.data).toEqual([done])
    expect((await shop.api.get(`${REPLAYS}?endpoint_id=${id}`)).body.data).toEqual([done])
    expect((await shop.api.get(`${REPLAYS}?endpoint_id=${await made(shop)}`)).body.data).toEqual([])
    const expanded = await shop.api.get(`${REPLAYS}/${body.id}?expand[]=endpoint`)
    expect(expanded.body.endpoint.id).toBe(id)
    await run(shop, body.id)
    expect(await shown(shop, body.id)).toEqual(done)
  })

  test.each([
    ['any', ['succeeded', 'dead', 'canceled', 'never']],
    ['undelivered', ['dead', 'canceled', 'never']],
    ['dead', ['dead']],
    ['canceled', ['canceled']],
    ['succeeded', ['succeeded']],
  ])('of %s takes those that were %j, and never what waits', async (delivery_status, expected) => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['customer.created'] })
    const [succeeded, dead, canceled, pending, never] = (await past(shop, 5)) as [
      string,
      string,
      string,
      string,
      string,
    ]
    await settle(shop, id, succeeded, 'succeeded')
    await settle(shop, id, dead, 'dead')
    await settle(shop, id, canceled, 'canceled')
    await wait(shop, id, pending)
    const events: Record<string, string> = { succeeded, dead, canceled, never }
    const { id: replay_id } = await started(shop, id, { delivery_status, created_from: ago(3_600) })
    await run(shop, replay_id)
    const queue = await queued(id)
    expect(queue.replayed).toEqual(expected.map(name => events[name] as string).sort())
    expect(queue.others).toEqual([pending])
    expect((await shown(shop, replay_id)).queued).toBe(expected.length)
    // A delivery is in one place: what is queued again is not among those that are done.
    const { done } = await world.db.one<{ done: number }>`
      select count(*)::integer as done from webhook_deliveries where endpoint_id = ${uuidOf(id)}`
    expect(done).toBe(3 - expected.filter(name => name !== 'never').length)
  })

  test('takes the types it names, from its beginning up to its end, and no test events', async () => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['payout.paid'] })
    await shop.api.post(`${ENDPOINTS}/${id}/test`)
    const types = ['charge.succeeded', 'charge.dispute.created', 'customer.created', 'payout.paid']
    const events = await past(shop, 40, types)
    const takes = async (event_types: string[] | undefined, more: object = {}) => {
      const body = await started(shop, id, {
        created_from: ago(3_600),
        ...(event_types && { event_types }),
        ...more,
      })
      await run(shop, body.id)
      await world.db.run`delete from webhook_queue where endpoint_id = ${uuidOf(id)}`
      return (await shown(shop, body.id)).queued
    }
    expect(await takes(undefined)).toBe(10)
    expect(await takes(['charge.*'])).toBe(20)
    expect(await takes(['charge.dispute.*', 'customer.created'])).toBe(20)
    // And that the endpoint was made.
    expect(await takes(['*'])).toBe(41)
    const instant = (event: string | undefined) =>
      new Date(Number.parseInt(String(event).replace('-', '').slice(0, 12), 16)).toISOString()
    const range = { created_from: instant(events[10]), created_before: instant(events[20]) }
    expect(await takes(['*'], range)).toBe(10)
  })

  test('waits behind what happens, and its deliveries arrive', async () => {
    const shop = await world.account()
    const receiver = await openReceiver()
    const id = await made(shop, { url: receiver.url, event_types: ['customer.created'] })
    await shop.api.post('/v1/customers', {})
    await world.deliver()
    const { id: replay_id } = await started(shop, id, {
      delivery_status: 'succeeded',
      created_from: ago(3_600),
    })
    await run(shop, replay_id)
    const { data } = (await shop.api.get('/v1/webhook_deliveries')).body
    expect(data).toEqual([expect.objectContaining({ status: 'pending', replay_id })])
    await world.deliver()
    expect(receiver.received).toHaveLength(2)
    const tries = (await shop.api.get(`/v1/webhook_deliveries/${data[0].id}/attempts`)).body.data
    expect(tries.map(({ number }: Json) => number)).toEqual([2, 1])
    await receiver.close()
  })
})

describe('a long replay', () => {
  test('goes on where it stood after every interruption, counts exactly, and leaves nothing out', async () => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['customer.created'] })
    const events = await past(shop, 12_345)
    const { id: replay_id } = await started(shop, id, { created_from: ago(20_000) })
    // As if each page's process had died after it: what it has done stays done.
    const progress: number[] = []
    for (let runs = 0; runs < 20; runs++) {
      await onePage(shop, replay_id)
      const { status, examined } = await shown(shop, replay_id)
      progress.push(examined)
      if (status !== 'running') break
    }
    expect(progress).toEqual([...Array.from({ length: 12 }, (_, i) => (i + 1) * 1_000), 12_346])
    expect(await shown(shop, replay_id)).toMatchObject({
      status: 'succeeded',
      examined: 12_346,
      queued: 12_345,
    })
    expect((await queued(id)).replayed).toEqual(events)
  })

  /** One page; then its process is gone. */
  const onePage = (shop: TestAccount, replay_id: string, most = 1_000) =>
    world.db.one`
      select done from webhook_replay_page(${shop.account_id}, false, ${uuidOf(replay_id)}, ${most})`

  test('asks for its next run when it is told to stop', async () => {
    const shop = await world.account()
    const id = await made(shop)
    await past(shop, 2_000)
    const { id: replay_id } = await started(shop, id, { created_from: ago(20_000) })
    await world.runJob(
      'webhooks.replay',
      { account_id: shop.account_id, livemode: false, replay_id: uuidOf(replay_id) },
      AbortSignal.abort(),
    )
    expect(await shown(shop, replay_id)).toMatchObject({ status: 'running', examined: 0 })
    const waiting = await jobsOf(replay_id)
    // The one that was asked for first has not begun: asked for again it is still one.
    expect(waiting).toBe(1)
  })

  /** How many jobs there are for it; `forget`: and none any more. */
  const jobsOf = (replay_id: string, forget = false) =>
    world.db.transaction(async tx => {
      // Whose the queue of jobs is.
      await tx.run`set local role none`
      const of_replay = `%${uuidOf(replay_id)}%`
      const { jobs } = await tx.one<{ jobs: number }>`
        select count(*)::integer as jobs from graphile_worker._private_jobs where payload::text like ${of_replay}`
      if (forget)
        await tx.run`delete from graphile_worker._private_jobs where payload::text like ${of_replay}`
      return jobs
    })

  test('whose job is gone is taken up again, and ends', async () => {
    const shop = await world.account()
    const id = await made(shop)
    await past(shop, 3)
    const { id: replay_id } = await started(shop, id, { created_from: ago(3_600) })
    expect(await jobsOf(replay_id, true)).toBe(1)
    await world.runJob('webhooks.resume_replays')
    // It has only just begun.
    expect(await jobsOf(replay_id)).toBe(0)
    await world.db
      .run`update webhook_replays set worked_at = now() - interval '1 hour' where id = ${uuidOf(replay_id)}`
    await world.runJob('webhooks.resume_replays')
    await world.runJob('webhooks.resume_replays')
    expect(await jobsOf(replay_id)).toBe(1)
    await onePage(shop, replay_id, 2)
    expect(await jobsOf(replay_id, true)).toBe(1)
    // A page has moved it: whoever works on it is not disturbed.
    await world.runJob('webhooks.resume_replays')
    expect(await jobsOf(replay_id)).toBe(0)
    await run(shop, replay_id)
    expect((await shown(shop, replay_id)).status).toBe('succeeded')
  })

  test('worked on by two at once counts and queues each event once', async () => {
    const shop = await world.account()
    const id = await made(shop)
    const events = await past(shop, 5_000)
    const { id: replay_id } = await started(shop, id, {
      event_types: ['customer.*'],
      created_from: ago(20_000),
    })
    await Promise.all([run(shop, replay_id), run(shop, replay_id), run(shop, replay_id)])
    expect(await shown(shop, replay_id)).toMatchObject({
      status: 'succeeded',
      examined: 5_001,
      queued: 5_000,
    })
    expect((await queued(id)).replayed).toEqual(events)
  })

  test('ends with its endpoint: what was delivered stays delivered', async () => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['customer.created'] })
    const events = await past(shop, 3_000)
    await settle(shop, id, events[2_500] as string, 'succeeded')
    const { id: replay_id } = await started(shop, id, { created_from: ago(20_000), delivery_status: 'any' })
    await onePage(shop, replay_id)
    expect((await shop.api.post(`${ENDPOINTS}/${id}/disable`)).status).toBe(200)
    await run(shop, replay_id)
    expect(await shown(shop, replay_id)).toMatchObject({ status: 'canceled', examined: 1_000 })
    const { status } = await world.db.one<{ status: string }>`
      select status from webhook_deliveries
      where endpoint_id = ${uuidOf(id)} and event_id = ${events[2_500]}`
    expect(status).toBe('succeeded')
  })

  test('that is canceled gives back what had become of its deliveries before', async () => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['customer.created'] })
    const statuses = ['succeeded', 'dead', 'canceled', 'succeeded']
    const events = await past(shop, statuses.length + 1)
    for (const [i, status] of statuses.entries()) await settle(shop, id, events[i] as string, status)
    const done = () => world.db.many`
      select event_id, status, tries, status_code, failure, finished_at
      from webhook_deliveries
      where endpoint_id = ${uuidOf(id)}
      order by event_id`
    const before = await done()
    const { id: replay_id } = await started(shop, id, { created_from: ago(3_600), delivery_status: 'any' })
    await onePage(shop, replay_id, 4)
    expect(await done()).toHaveLength(0)
    await shop.api.post(`${REPLAYS}/${replay_id}/cancel`)
    await world.runJob('webhooks.cancel_replay', {
      account_id: shop.account_id,
      livemode: false,
      replay_id: uuidOf(replay_id),
      endpoint_id: uuidOf(id),
    })
    expect(await done()).toEqual(before)
  })

  test('that is canceled stops, and what it queued is taken back and visible', async () => {
    const shop = await world.account()
    const id = await made(shop, { event_types: ['customer.created'] })
    const events = await past(shop, 3_000)
    await wait(shop, id, events[0] as string)
    const { id: replay_id } = await started(shop, id, { created_from: ago(20_000) })
    await onePage(shop, replay_id)
    const { body } = await shop.api.post(`${REPLAYS}/${replay_id}/cancel`)
    expect(body).toMatchObject({ status: 'canceled', examined: 1_000, queued: 999 })
    await run(shop, replay_id)
    expect(await shown(shop, replay_id)).toEqual(body)
    await world.runJob('webhooks.cancel_replay', {
      account_id: shop.account_id,
      livemode: false,
      replay_id: uuidOf(replay_id),
      endpoint_id: uuidOf(id),
    })
    expect(await queued(id)).toEqual({ replayed: [], others: [events[0]] })
    const { canceled } = await world.db.one<{ canceled: number }>`
      select count(*)::integer as canceled
      from webhook_deliveries
      where endpoint_id = ${uuidOf(id)} and status = 'canceled'`
    expect(canceled).toBe(999)
    const again = await shop.api.post(`${REPLAYS}/${replay_id}/cancel`)
    expect(again.body.error.code).toBe('webhook_replay_unexpected_state')
  })
})

describe('is refused, and nothing is kept:', () => {
  const DAY = 86_400
  test.each([
    ['a range reversed', { created_from: ago(60), created_before: ago(120) }, 'created_before'],
    [
      'an empty range',
      { created_from: '2026-11-01T00:00:00Z', created_before: '2026-11-01T00:00:00Z' },
      'created_before',
    ],
    ['a beginning in the future', { created_from: ago(-3_600) }, 'created_from'],
    ['an end in the future', { created_from: ago(60), created_before: ago(-3_600) }, 'created_before'],
    ['older than events are kept', { created_from: ago(31 * DAY) }, 'created_from'],
  ])('%s', async (_what, body, param) => {
    const shop = await world.account()
    const refused = await replay(shop, await made(shop), body)
    expect([refused.status, refused.body.error.code, refused.body.error.param]).toEqual([
      400,
      'webhook_replay_range_invalid',
      param,
    ])
    expect((await shop.api.get(REPLAYS)).body.data).toEqual([])
  })

  test.each([
    ['no beginning', {}, 'parameter_missing'],
    ['a beginning that is none', { created_from: 'yesterday' }, 'parameter_invalid'],
    ['types that do not exist', { created_from: ago(60), event_types: ['a.b'] }, 'event_type_unknown'],
    ['a status that does not exist', { created_from: ago(60), delivery_status: 'lost' }, 'parameter_invalid'],
  ])('%s', async (_what, body, code) => {
    const shop = await world.account()
    expect((await replay(shop, await made(shop), body)).body.error.code).toBe(code)
    expect((await shop.api.get(REPLAYS)).body.data).toEqual([])
  })

  test('a second one while one is running', async () => {
    const shop = await world.account()
    const id = await made(shop)
    const { id: replay_id } = await started(shop, id, { created_from: ago(60) })
    const second = await replay(shop, id, { created_from: ago(60) })
    expect([second.status, second.body.error.code]).toEqual([409, 'webhook_replay_running'])
    await run(shop, replay_id)
    expect((await replay(shop, id, { created_from: ago(60) })).status).toBe(200)
  })

  test("another account's, and the other mode's", async () => {
    const owner = await world.account()
    const stranger = await world.account()
    const { id } = await started(owner, await made(owner), { created_from: ago(60) })
    const other_mode = world.client(await world.key(owner, { kind: 'secret', livemode: true }))
    for (const api of [stranger.api, other_mode]) {
      expect((await api.get(REPLAYS)).body.data).toEqual([])
      expect((await api.get(`${REPLAYS}/${id}`)).status).toBe(404)
      expect((await api.post(`${REPLAYS}/${id}/cancel`)).status).toBe(404)
    }
    const seen = await world.db.as({ account_id: stranger.account_id, livemode: false }).many`
      select id from webhook_replays`
    expect(seen).toEqual([])
    expect(encodeId('wrp_', uuidOf(id))).toBe(id)
  })
})
