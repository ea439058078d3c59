/**
 * Webhook endpoints over the API: what is taken, what is refused, what is shown once, and what is told of it.
 *
 * @every-postgresql their constraints, and the lanes that go with them.
 */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeId } from '#kernel'
import { insist } from '../support/insist.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const PATH = '/v1/webhook_endpoints'
const URL_OF_SHOP = 'https://shop.example/webhooks'
const wanted = { url: URL_OF_SHOP, event_types: ['*'] }

const uuidOf = (id: string): string => decodeId('we_', id) as string
const made = async (shop: TestAccount, more: object = {}): Promise<Json> => {
  const { status, body, text } = await shop.api.post(PATH, { ...wanted, ...more })
  expect(status, text).toBe(200)
  return body
}
const eventsOf = async (shop: TestAccount, id: string): Promise<Json[]> =>
  (await shop.api.get(`/v1/events?object_id=${id}&limit=100`)).body.data.toReversed()
const secretsOf = (id: string) => world.db.many<{ sealed: Buffer; kind: string; valid_s: number | null }>`
  select sealed, kind, extract(epoch from expires_at - now())::float8 as valid_s
  from webhook_secrets
  where endpoint_id = ${uuidOf(id)}
  order by id`
const laneOf = (id: string) => world.db.maybe<{ blocked: string; state: object; due: string }>`
  select blocked_until::text as blocked, state, due_at::text as due
  from webhook_lanes
  where endpoint_id = ${uuidOf(id)}`
/** Puts so many deliveries of events that were never made into its queue. */
const queue = (shop: TestAccount, id: string, count: number) => world.db.run`
  insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
  select ${shop.account_id}, false, webhook_delivery_id(event, ${uuidOf(id)}), ${uuidOf(id)}, event, 'customer.created', 0,
    now() + interval '1 day'
  from (
    select overlay(uuid_floor(now() - n * interval '1 second')::text placing '7' from 15)::uuid as event
    from generate_series(1, ${count}) as n
  ) as events`
const statusesOf = async (id: string): Promise<Record<string, number>> => {
  const rows = await world.db.many<{ status: string; count: number }>`
    select status, count(*)::integer as count from webhook_deliveries where endpoint_id = ${uuidOf(id)} group by status
    union all
    select 'pending', count(*)::integer from webhook_queue where endpoint_id = ${uuidOf(id)} having count(*) > 0`
  return Object.fromEntries(rows.map(row => [row.status, row.count]))
}

describe('an endpoint', () => {
  test('is made with what was asked and what stands in for the rest, and shows its secret once', async () => {
    const shop = await world.account()
    const endpoint = await made(shop, { description: 'All of it', metadata: { team: 'ops' } })
    expect(endpoint).toMatchObject({
      object: 'webhook_endpoint',
      url: URL_OF_SHOP,
      description: 'All of it',
      status: 'enabled',
      disabled_reason: null,
      event_types: ['*'],
      payload: 'snapshot',
      signature: 'bursar',
      max_per_second: null,
      max_concurrency: 16,
      retry_schedule: null,
      headers: {},
      notification_email: null,
      public_key: null,
      metadata: { team: 'ops' },
      livemode: false,
    })
    expect(endpoint.secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    const hidden = { ...endpoint, secret: null }
    expect((await shop.api.get(`${PATH}/${endpoint.id}`)).body).toEqual(hidden)
    expect((await shop.api.get(PATH)).body.data).toEqual([hidden])
    const [secret] = await secretsOf(endpoint.id)
    expect(secret).toMatchObject({ kind: 'hmac', valid_s: null })
    expect(secret?.sealed.toString('latin1')).not.toContain(endpoint.secret.slice(0, 20))
    expect(await laneOf(endpoint.id)).toMatchObject({ due: 'infinity', blocked: '-infinity' })
    expect(
      (await eventsOf(shop, endpoint.id)).map(event => [event.type, event.object_version, event.data]),
    ).toEqual([['webhook_endpoint.created', 1, { object: hidden }]])
  })

  test('that signs with a pair of keys shows the public one, and the private one to nobody', async () => {
    const shop = await world.account()
    const endpoint = await made(shop, { signature: 'standard_ed25519' })
    expect(endpoint).toMatchObject({ secret: null })
    expect(endpoint.public_key).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/)
    expect(await secretsOf(endpoint.id)).toEqual([expect.objectContaining({ kind: 'ed25519' })])
  })

  test('is asked for again with its key and answered the same, secret and all, while no row holds it', async () => {
    const shop = await world.account()
    const key = { 'idempotency-key': randomUUID() }
    const first = await shop.api.post(PATH, wanted, key)
    const again = await shop.api.post(PATH, wanted, key)
    expect(again.text).toBe(first.text)
    expect((await shop.api.get(PATH)).body.data).toHaveLength(1)
    const [stored] = await world.db.many<{ body: string }>`
      select body from idempotency_keys where account_id = ${shop.account_id}`
    expect(stored?.body).toMatch(/^sealed:/)
  })

  test('keeps its URL as it is dialled', async () => {
    const shop = await world.account()
    const urls = await Promise.all(
      ['https://BÜCHER.example/ä?b=ö', 'http://127.0.0.1:8080/x', 'https://shop.example:443'].map(
        async url => {
          const { body } = await shop.api.post(PATH, { ...wanted, url })
          return body.url
        },
      ),
    )
    expect(urls).toEqual([
      'https://xn--bcher-kva.example/%C3%A4?b=%C3%B6',
      'http://127.0.0.1:8080/x',
      'https://shop.example/',
    ])
  })

  test('may be one of fifty of an account and mode', async () => {
    const shop = await world.account()
    const answers = await Promise.all(Array.from({ length: 55 }, () => insist(shop.api, PATH, wanted)))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(50)
    expect(answers.find(({ status }) => status !== 200)?.body.error.code).toBe('webhook_endpoints_too_many')
    const { body } = await shop.api.get(`${PATH}?limit=100`)
    expect(body.data).toHaveLength(50)
    await shop.api.delete(`${PATH}/${body.data[0].id}`)
    expect((await shop.api.post(PATH, wanted)).status).toBe(200)
    const live = world.client(await world.key(shop, { kind: 'secret', livemode: true }))
    expect((await live.post(PATH, wanted)).status).toBe(200)
  })
})

describe('an update', () => {
  test('changes what is sent, clears with null, and tells what was before', async () => {
    const shop = await world.account()
    const { id, secret } = await made(shop, {
      description: 'old',
      headers: { 'X-Token': 'abc' },
      metadata: { a: '1', b: '2' },
    })
    expect(secret).not.toBeNull()
    const { body } = await shop.api.post(`${PATH}/${id}`, {
      description: null,
      event_types: ['charge.*', 'charge.*', 'payout.paid'],
      signature: 'standard',
      payload: 'thin',
      max_per_second: 10,
      max_concurrency: 1,
      retry_schedule: [0, 60],
      headers: { 'x-other': 'def' },
      notification_email: 'ops@shop.example',
      metadata: { a: '', c: '3' },
    })
    expect(body).toMatchObject({
      description: null,
      event_types: ['charge.*', 'payout.paid'],
      signature: 'standard',
      payload: 'thin',
      max_per_second: 10,
      max_concurrency: 1,
      retry_schedule: [0, 60],
      headers: { 'x-other': '***' },
      notification_email: 'ops@shop.example',
      metadata: { b: '2', c: '3' },
      secret: null,
    })
    const [, updated] = await eventsOf(shop, id)
    expect(updated).toMatchObject({
      type: 'webhook_endpoint.updated',
      object_version: 2,
      data: { object: body },
    })
    expect(updated.data.previous_attributes).toMatchObject({
      description: 'old',
      headers: { 'x-token': '***' },
    })
  })

  test('does not change a shared secret into a pair of keys: its receiver would be left behind', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    const { status, body } = await shop.api.post(`${PATH}/${id}`, { signature: 'standard_ed25519' })
    expect([status, body.error.param]).toEqual([400, 'signature'])
    expect(await eventsOf(shop, id)).toHaveLength(1)
  })
})

describe('a secret', () => {
  const rotate = (shop: TestAccount, id: string, body?: object) =>
    shop.api.post(`${PATH}/${id}/rotate_secret`, body)

  test('that is rotated out signs along for a day, or as long as asked', async () => {
    const shop = await world.account()
    const first = await made(shop)
    const { body: second } = await rotate(shop, first.id)
    expect(second.secret).toMatch(/^whsec_/)
    expect(second.secret).not.toBe(first.secret)
    const { body: third } = await rotate(shop, first.id, { overlap_hours: 168 })
    expect(third.secret).toMatch(/^whsec_/)
    const hours = (await secretsOf(first.id)).map(row => row.valid_s && Math.round(row.valid_s / 3_600))
    expect(hours).toEqual([24, 168, null])
    const [, told] = await eventsOf(shop, first.id)
    expect(told).toMatchObject({ type: 'webhook_endpoint.updated', object_version: 2 })
    expect(told.data.object.secret).toBeNull()
  })

  test('that leaked ends at once, with all before it', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    await rotate(shop, id)
    await rotate(shop, id, { overlap_hours: 0 })
    const rows = await secretsOf(id)
    expect(rows.map(row => row.valid_s === null || row.valid_s > 0)).toEqual([false, false, true])
  })

  test('is one of five that sign at most', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    const statuses: number[] = []
    for (let i = 0; i < 6; i++) statuses.push((await rotate(shop, id)).status)
    expect(statuses).toEqual([200, 200, 200, 200, 400, 400])
    expect(await secretsOf(id)).toHaveLength(5)
    expect((await rotate(shop, id, { overlap_hours: 0 })).status).toBe(200)
  })

  test.each([-1, 169, 1.5, '24'])('has no overlap of %s hours', async overlap_hours => {
    const shop = await world.account()
    const { id } = await made(shop)
    const { body } = await rotate(shop, id, { overlap_hours })
    expect(body.error).toMatchObject({ code: 'parameter_invalid_integer', param: 'overlap_hours' })
    expect(await secretsOf(id)).toHaveLength(1)
  })
})

describe('disabling and enabling', () => {
  test('is told with its reason, wakes whoever delivers, and forgets what the lane remembered', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    await world.db.run`
      update webhook_lanes
      set blocked_until = now() + interval '1 hour', state = '{"breaker": "open"}'
      where endpoint_id = ${uuidOf(id)}`
    const disabled = (await shop.api.post(`${PATH}/${id}/disable`)).body
    expect(disabled).toMatchObject({ status: 'disabled', disabled_reason: 'requested' })
    const { is_ready } = await world.db.one<{ is_ready: boolean }>`
      select ready_at <= now() as is_ready from webhook_lanes where endpoint_id = ${uuidOf(id)}`
    expect(is_ready).toBe(true)
    const enabled = (await shop.api.post(`${PATH}/${id}/enable`)).body
    expect(enabled).toMatchObject({ status: 'enabled', disabled_reason: null })
    const lane = await laneOf(id)
    expect([lane?.blocked, lane?.state]).toEqual(['-infinity', {}])
    expect((await eventsOf(shop, id)).map(event => [event.type, event.object_version])).toEqual([
      ['webhook_endpoint.created', 1],
      ['webhook_endpoint.disabled', 2],
      ['webhook_endpoint.enabled', 3],
    ])
  })

  test('is refused where nothing would change, and what needs an enabled endpoint says so', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    const codeOf = async (act: string, body?: object) =>
      (await shop.api.post(`${PATH}/${id}/${act}`, body)).body.error?.code
    expect(await codeOf('enable')).toBe('webhook_endpoint_unexpected_state')
    await shop.api.post(`${PATH}/${id}/disable`)
    expect(await codeOf('disable')).toBe('webhook_endpoint_unexpected_state')
    expect(await codeOf('test')).toBe('webhook_endpoint_unexpected_state')
    const an_hour_ago = new Date(Date.now() - 3_600_000).toISOString()
    expect(await codeOf('replay', { created_from: an_hour_ago })).toBe('webhook_endpoint_unexpected_state')
    expect(await eventsOf(shop, id)).toHaveLength(2)
  })
})

describe('a deleted endpoint', () => {
  test('is gone for everybody at once, its secrets too, and what waited is canceled and visible', async () => {
    const shop = await world.account()
    const { id } = await made(shop, { headers: { 'x-token': 'abc' } })
    await queue(shop, id, 3)
    const { status, body } = await shop.api.delete(`${PATH}/${id}`)
    expect([status, body.headers]).toEqual([200, { 'x-token': '***' }])
    expect(Date.parse(body.deleted_at)).toBeGreaterThanOrEqual(Date.parse(body.created_at))
    expect(await statusesOf(id)).toEqual({ canceled: 3 })
    expect(await secretsOf(id)).toEqual([])
    expect((await shop.api.get(`${PATH}/${id}`)).status).toBe(404)
    expect((await shop.api.get(PATH)).body.data).toEqual([])
    expect((await shop.api.delete(`${PATH}/${id}`)).status).toBe(404)
    const { data } = (await shop.api.get(`/v1/webhook_deliveries?endpoint_id=${id}`)).body
    expect(data.map((delivery: Json) => delivery.status)).toEqual(['canceled', 'canceled', 'canceled'])
    const retried = await shop.api.post(`/v1/webhook_deliveries/${data[0].id}/retry`)
    expect(retried.body.error.code).toBe('webhook_delivery_unexpected_state')
    expect((await eventsOf(shop, id)).at(-1)).toMatchObject({
      type: 'webhook_endpoint.deleted',
      object_version: 2,
    })
  })

  test('with a long backlog is removed by a job, also with what was queued in the last moment', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    await queue(shop, id, 2_500)
    await shop.api.delete(`${PATH}/${id}`)
    expect(await statusesOf(id)).toEqual({ canceled: 1_000, pending: 1_500 })
    const job = { account_id: shop.account_id, livemode: false, endpoint_id: uuidOf(id) }
    // It is run again until the row is gone.
    await expect(world.runJob('webhooks.remove_endpoint', job)).rejects.toThrow('still there')
    expect(await statusesOf(id)).toEqual({ canceled: 2_500 })
    // A fan-out that began before the deletion may still add something.
    expect(await laneOf(id)).toBeDefined()
    await world.db
      .run`update webhook_endpoints set deleted_at = now() - interval '1 minute' where id = ${uuidOf(id)}`
    await world.runJob('webhooks.remove_endpoint', job)
    expect(await laneOf(id)).toBeUndefined()
    await world.runJob('webhooks.remove_endpoint', job)
    const { jobs } = await world.db.one<{ jobs: number }>`
      select count(*)::integer as jobs from webhook_endpoints where id = ${uuidOf(id)}`
    expect(jobs).toBe(0)
  })

  test('whose job was given up is removed by the sweep, with what was queued after it was gone', async () => {
    const shop = await world.account()
    const [{ id: given_up }, { id: gone }, { id: kept }] = [
      await made(shop),
      await made(shop),
      await made(shop),
    ]
    for (const id of [given_up, gone, kept]) await queue(shop, id, 3)
    await shop.api.delete(`${PATH}/${given_up}`)
    await queue(shop, given_up, 5)
    await world.db
      .run`update webhook_endpoints set deleted_at = now() - interval '2 days' where id = ${uuidOf(given_up)}`
    await world.db.run`delete from webhook_endpoints where id = ${uuidOf(gone)}`
    await world.runJob('webhooks.forget')
    expect(await laneOf(given_up)).toBeUndefined()
    expect(await statusesOf(given_up)).toEqual({ canceled: 8 })
    expect(await statusesOf(gone)).toEqual({ canceled: 3 })
    expect(await statusesOf(kept)).toEqual({ pending: 3 })
  })

  test('keeps out whoever holds its lane: a late result finds another epoch', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    await world.db.run`
      update webhook_lanes set epoch = 7, leased_until = now() + interval '10 seconds' where endpoint_id = ${uuidOf(id)}`
    await shop.api.delete(`${PATH}/${id}`)
    const lane = await world.db.one<{ epoch: bigint; is_ready: boolean }>`
      select epoch, ready_at <= now() as is_ready from webhook_lanes where endpoint_id = ${uuidOf(id)}`
    expect(lane).toEqual({ epoch: 0n, is_ready: false })
  })
})

describe('a test', () => {
  test('queues one event for this endpoint alone, and answers with its delivery', async () => {
    const shop = await world.account()
    const { id } = await made(shop)
    const other = await made(shop)
    const { status, body } = await shop.api.post(`${PATH}/${id}/test`)
    expect([status, body]).toEqual([
      200,
      expect.objectContaining({
        object: 'webhook_delivery',
        endpoint_id: id,
        event_type: 'webhook_endpoint.test',
        status: 'pending',
        tries: 0,
      }),
    ])
    expect((await shop.api.get(`/v1/events/${body.event_id}`)).body).toMatchObject({
      type: 'webhook_endpoint.test',
      object_id: id,
    })
    expect(await statusesOf(id)).toEqual({ pending: 1 })
    expect(await statusesOf(other.id)).toEqual({})
    const { is_ready } = await world.db.one<{ is_ready: boolean }>`
      select ready_at <= now() as is_ready from webhook_lanes where endpoint_id = ${uuidOf(id)}`
    expect(is_ready).toBe(true)
  })
})
