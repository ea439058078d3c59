/**
 * Deliveries as they arrive at a real receiver, and as the API shows and repeats them.
 *
 * @every-postgresql what operators ask and change, in SQL.
 */
import { Webhook } from 'standardwebhooks'
import { Stripe } from 'stripe'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeId } from '#kernel'
import { disbeliefOf, verifyingSecret } from '#webhooks'
import { answers, type Received, type Receiver, useReceivers } from '../support/receiver.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
const receivers = useReceivers()
beforeAll(async () => {
  world = await startWorld()
  // From here on the stream is read.
  await world.deliver()
})
afterAll(() => world.close())

const stripe = new Stripe('sk_test_x')
const ENDPOINTS = '/v1/webhook_endpoints'
const DELIVERIES = '/v1/webhook_deliveries'

const receiver = () => receivers.open()

async function endpoint(shop: TestAccount, url: string, more: object = {}): Promise<Json> {
  const { status, text, body } = await shop.api.post(ENDPOINTS, { url, event_types: ['customer.*'], ...more })
  expect(status, text).toBe(200)
  return body
}

/** Events of every kind of body: plain, of other scripts, with hardly anything, and as large as they get. */
async function customers(shop: TestAccount): Promise<void> {
  await shop.api.post('/v1/customers', {})
  await shop.api.post('/v1/customers', {
    name: 'Zoë Ωmega 日本 💶 \u2028',
    description: '"\\\u0001,"data":{',
  })
  const metadata = Object.fromEntries(
    Array.from({ length: 50 }, (_, i) => [`key_${i}`, `${i % 2 === 0 ? 'x' : '€'}`.repeat(500)]),
  )
  const { body } = await shop.api.post('/v1/customers', { metadata })
  await shop.api.post(`/v1/customers/${body.id}`, { metadata: { key_1: '' } })
  await shop.api.delete(`/v1/customers/${body.id}`)
}
const EVENTS = 5

const list = async (shop: TestAccount, query = ''): Promise<Json[]> => {
  const { status, text, body } = await shop.api.get(`${DELIVERIES}?limit=100${query}`)
  expect(status, text).toBe(200)
  return body.data
}
const attempts = async (shop: TestAccount, id: string): Promise<Json[]> =>
  (await shop.api.get(`${DELIVERIES}/${id}/attempts`)).body.data

describe('what arrives is proven by public libraries, and is the event as it is kept', () => {
  const rotations = [0, 1, 2]

  /** One endpoint of its own for each, rotated so often; all secrets that are valid then. */
  async function deliverTo(signature: string, payload: string, rotated: number) {
    const shop = await world.account()
    const to = await receiver()
    const made = await endpoint(shop, to.url, { signature, payload })
    const secrets: Json[] = [made]
    for (let i = 0; i < rotated; i++) {
      secrets.push((await shop.api.post(`${ENDPOINTS}/${made.id}/rotate_secret`, { overlap_hours: 1 })).body)
    }
    await customers(shop)
    await world.deliver()
    expect(to.received).toHaveLength(EVENTS)
    for (const { body } of to.received) await expectBody(shop, body, payload)
    return { received: to.received, secrets }
  }

  async function expectBody(shop: TestAccount, body: string, payload: string): Promise<void> {
    const { text } = await shop.api.get(`/v1/events/${JSON.parse(body).id}`)
    if (payload === 'snapshot') return expect(body).toBe(text)
    const { data, ...rest } = JSON.parse(text) as Json
    expect(data).toBeDefined()
    expect(JSON.parse(body)).toEqual(rest)
  }

  const own = (received: Received, secret: string, body: Buffer = received.bytes) =>
    disbeliefOf({
      headers: received.headers as Record<string, string>,
      body,
      secrets: [verifyingSecret(secret)],
      received_at: new Date(),
    })

  describe.each(rotations)('after %i rotations', rotated => {
    test.each(['snapshot', 'thin'])("in Stripe's form, %s", async payload => {
      const { received, secrets } = await deliverTo('bursar', payload, rotated)
      for (const one of received) {
        const header = String(one.headers['bursar-signature'])
        for (const { secret } of secrets) {
          expect(stripe.webhooks.constructEvent(one.bytes, header, secret)).toBeDefined()
          expect(own(one, secret)).toBeNull()
        }
        const changed = Buffer.concat([one.bytes, Buffer.from(' ')])
        expect(() => stripe.webhooks.constructEvent(changed, header, secrets[0].secret)).toThrow()
        expect(own(one, secrets[0].secret, changed)).toBe('signature_invalid')
      }
    })

    test.each(['snapshot', 'thin'])('as Standard Webhooks with a shared secret, %s', async payload => {
      const { received, secrets } = await deliverTo('standard', payload, rotated)
      for (const one of received) {
        const headers = one.headers as Record<string, string>
        expect(headers['webhook-id']).toBe(JSON.parse(one.body).id)
        for (const { secret } of secrets) {
          expect(new Webhook(secret).verify(one.body, headers)).toBeDefined()
          expect(own(one, secret)).toBeNull()
        }
        const changed = Buffer.concat([one.bytes, Buffer.from(' ')])
        expect(() => new Webhook(secrets[0].secret).verify(changed.toString(), headers)).toThrow()
      }
    })

    test.each(['snapshot', 'thin'])('as Standard Webhooks with a pair of keys, %s', async payload => {
      const { received, secrets } = await deliverTo('standard_ed25519', payload, rotated)
      for (const one of received) {
        expect(one.headers['webhook-signature']).toMatch(/^v1a,\S+( v1a,\S+)*$/)
        for (const { public_key } of secrets) expect(own(one, public_key)).toBeNull()
        const changed = Buffer.concat([one.bytes, Buffer.from(' ')])
        expect(own(one, secrets[0].public_key, changed)).toBe('signature_invalid')
      }
    })
  })

  test('a secret that ended signs nothing any more', async () => {
    const shop = await world.account()
    const to = await receiver()
    const first = await endpoint(shop, to.url)
    const { body: second } = await shop.api.post(`${ENDPOINTS}/${first.id}/rotate_secret`, {
      overlap_hours: 0,
    })
    await shop.api.post('/v1/customers', {})
    await world.deliver()
    const [one] = to.received as [Received]
    expect(own(one, first.secret)).toBe('signature_invalid')
    expect(own(one, second.secret)).toBeNull()
  })

  test('headers of the account arrive with it, and their values lie nowhere open', async () => {
    const { row, arrived } = await withHeaders('Bearer abc')
    expect(await arrived()).toBe('Bearer abc')
    expect((await row()).text).not.toContain('abc')
    expect((await row()).sealed?.includes('abc')).toBe(false)
  })

  test('headers kept before they were sealed are sent as well, and sealed when the endpoint is next changed', async () => {
    const { id, shop, row, arrived } = await withHeaders('Bearer abc')
    await world.db.run`
      update webhook_endpoints set headers = '{"x-gateway":"Bearer old"}', headers_sealed = null
      where id = ${decodeId('we_', id)}`
    expect(await arrived()).toBe('Bearer old')
    const { body } = await shop.api.post(`${ENDPOINTS}/${id}`, { description: 'moved' })
    expect(body.headers).toEqual({ 'x-gateway': '***' })
    expect((await row()).text).not.toContain('old')
    expect(await arrived()).toBe('Bearer old')
    await shop.api.post(`${ENDPOINTS}/${id}`, { headers: {} })
    expect(await arrived()).toBeUndefined()
    expect((await row()).sealed).toBeNull()
  })
})

/** An endpoint with a header of its account's own; what is kept of it, and what arrives. */
async function withHeaders(value: string) {
  const shop = await world.account()
  const to = await receiver()
  const { id } = await endpoint(shop, to.url, { headers: { 'X-Gateway': value } })
  return {
    id: id as string,
    shop,
    row: () => world.db.one<{ text: string; sealed: Buffer | null }>`
      select endpoint::text as text, headers_sealed as sealed
      from webhook_endpoints as endpoint
      where id = ${decodeId('we_', id)}`,
    arrived: async () => {
      await shop.api.post('/v1/customers', {})
      await world.deliver()
      return to.received.at(-1)?.headers['x-gateway']
    },
  }
}

describe('a delivery', () => {
  test('is shown with what became of it and with every try', async () => {
    const shop = await world.account()
    const to = await receiver()
    const { id: endpoint_id } = await endpoint(shop, to.url)
    const { body: customer } = await shop.api.post('/v1/customers', {})
    await world.deliver()
    const [delivery] = await list(shop)
    expect(delivery).toMatchObject({
      object: 'webhook_delivery',
      endpoint_id,
      event_type: 'customer.created',
      status: 'succeeded',
      tries: 1,
      status_code: 200,
      failure: null,
      due_at: null,
      replay_id: null,
      livemode: false,
    })
    const event = (await shop.api.get(`/v1/events/${delivery.event_id}`)).body
    expect([event.object_id, event.created_at]).toEqual([customer.id, delivery.created_at])
    expect((await shop.api.get(`${DELIVERIES}/${delivery.id}`)).body).toEqual(delivery)
    const expanded = await shop.api.get(`${DELIVERIES}/${delivery.id}?expand[]=endpoint`)
    expect(expanded.body.endpoint).toMatchObject({ id: endpoint_id, url: to.url })
    expect(await attempts(shop, delivery.id)).toEqual([
      expect.objectContaining({
        object: 'webhook_attempt',
        delivery_id: delivery.id,
        endpoint_id,
        number: 1,
        is_counted: true,
        status_code: 200,
        failure: null,
        retry_at: null,
      }),
    ])
  })

  test('that failed waits, is due at once when asked for, and is numbered on', async () => {
    const shop = await world.account()
    const to = await receiver()
    to.answer = answers(503, {}, 'not now')
    await endpoint(shop, to.url, { retry_schedule: [0, 3_600] })
    await shop.api.post('/v1/customers', {})
    await world.deliver()
    const [waiting] = await list(shop)
    expect(waiting).toMatchObject({
      status: 'pending',
      tries: 1,
      status_code: 503,
      failure: 'failed',
      finished_at: null,
    })
    expect(new Date(waiting.due_at).getTime()).toBeGreaterThan(Date.now() + 1_000_000)
    to.answer = answers(200)
    const retried = await shop.api.post(`${DELIVERIES}/${waiting.id}/retry`)
    expect(retried.body).toMatchObject({ id: waiting.id, status: 'pending', tries: 1 })
    expect(new Date(retried.body.due_at).getTime()).toBeLessThan(Date.now() + 60_000)
    await world.db.run`update webhook_lanes set blocked_until = '-infinity'`
    await world.deliver()
    expect((await list(shop))[0]).toMatchObject({ id: waiting.id, status: 'succeeded', tries: 2 })
    const tries = await attempts(shop, waiting.id)
    expect(
      tries.map(({ number, status_code, failure, response }) => [number, status_code, failure, response]),
    ).toEqual([
      [2, 200, null, ''],
      [1, 503, 'failed', 'not now'],
    ])
  })

  test('that succeeded is sent again when asked for: the same event, the same id, tries numbered on', async () => {
    const shop = await world.account()
    const to = await receiver()
    await endpoint(shop, to.url, { signature: 'standard' })
    await shop.api.post('/v1/customers', {})
    await world.deliver()
    const [sent] = await list(shop)
    const { body } = await shop.api.post(`${DELIVERIES}/${sent.id}/retry`)
    expect(body).toMatchObject({ id: sent.id, status: 'pending', tries: 0 })
    expect(await list(shop)).toHaveLength(1)
    await world.deliver()
    expect(await list(shop)).toEqual([
      expect.objectContaining({ id: sent.id, status: 'succeeded', tries: 1 }),
    ])
    expect((await attempts(shop, sent.id)).map(({ number }) => number)).toEqual([2, 1])
    expect(to.received.map(({ headers }) => headers['webhook-id'])).toEqual([sent.event_id, sent.event_id])
    expect(to.received[1]?.bytes.equals(to.received[0]?.bytes as Buffer)).toBe(true)
  })

  test('whose event is no longer kept is not sent again, and stays as it is', async () => {
    const shop = await world.account()
    const to = await receiver()
    const { id } = await endpoint(shop, to.url)
    await world.db.run`
      insert into webhook_deliveries (
        account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, failure, finished_at
      )
      select ${shop.account_id}, false, webhook_delivery_id(event, endpoint), endpoint, event, 'customer.created', 'dead',
        12, 'connect', now()
      from (select uuid_floor(now() - interval '20 days') as event, ${decodeId('we_', id)}::uuid as endpoint) as past`
    const [dead] = await list(shop)
    const { body } = await shop.api.post(`${DELIVERIES}/${dead.id}/retry`)
    expect(body.error.code).toBe('webhook_delivery_unexpected_state')
    expect(await list(shop)).toEqual([dead])
  })

  test('that waits when its endpoint is disabled is canceled, and sent when asked for after', async () => {
    const shop = await world.account()
    const to = await receiver()
    to.answer = answers(500)
    const { id } = await endpoint(shop, to.url, { retry_schedule: [0, 3_600] })
    await shop.api.post('/v1/customers', {})
    await world.deliver()
    await shop.api.post(`${ENDPOINTS}/${id}/disable`)
    await world.deliver()
    const [canceled] = await list(shop)
    expect(canceled).toMatchObject({ status: 'canceled', tries: 1 })
    const refused = await shop.api.post(`${DELIVERIES}/${canceled.id}/retry`)
    expect(refused.body.error.code).toBe('webhook_endpoint_unexpected_state')
    await shop.api.post(`${ENDPOINTS}/${id}/enable`)
    to.answer = answers(200)
    await shop.api.post(`${DELIVERIES}/${canceled.id}/retry`)
    await world.deliver()
    expect(await list(shop)).toEqual([expect.objectContaining({ id: canceled.id, status: 'succeeded' })])
  })

  test('of a test goes to the endpoint that is tested, and to no other', async () => {
    const shop = await world.account()
    const [tested, other] = [await receiver(), await receiver()]
    const { id } = await endpoint(shop, tested.url)
    await endpoint(shop, other.url, { event_types: ['*'] })
    const { body } = await shop.api.post(`${ENDPOINTS}/${id}/test`)
    await world.deliver()
    expect((await shop.api.get(`${DELIVERIES}/${body.id}`)).body.status).toBe('succeeded')
    const types = (of: Receiver) => of.received.map(({ body }) => JSON.parse(body).type as string)
    expect(types(tested)).toEqual(['webhook_endpoint.test'])
    expect(types(other)).not.toContain('webhook_endpoint.test')
  })
})

describe('the list of deliveries', () => {
  test('is one list of what waits and what is done, filtered and paged both ways', async () => {
    const shop = await world.account()
    const [good, bad] = [await receiver(), await receiver()]
    bad.answer = answers(500)
    const first = await endpoint(shop, good.url)
    const second = await endpoint(shop, bad.url, { retry_schedule: [0, 3_600] })
    await customers(shop)
    await world.deliver()
    await world.db.run`
      with first as (
        select id from webhook_queue where account_id = ${shop.account_id} order by id limit 2
      ), gone as (
        delete from webhook_queue using first where webhook_queue.id = first.id
        returning account_id, livemode, webhook_queue.id, endpoint_id, event_id, event_type
      )
      insert into webhook_deliveries (
        account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, failure, finished_at
      )
      select account_id, livemode, id, endpoint_id, event_id, event_type, 'dead', 12, 'failed', now() from gone`
    const all = await list(shop)
    expect(all).toHaveLength(2 * EVENTS)
    const ids = all.map(({ id }) => id as string)
    expect(ids).toEqual([...ids].sort().reverse())
    const count = async (query: string) => (await list(shop, query)).length
    expect(await count(`&endpoint_id=${first.id}`)).toBe(EVENTS)
    expect(await count(`&endpoint_id=${second.id}`)).toBe(EVENTS)
    expect(await count('&status=succeeded')).toBe(EVENTS)
    expect(await count('&status=dead')).toBe(2)
    expect(await count('&status=canceled')).toBe(0)
    expect(await count('&status=pending')).toBe(EVENTS - 2)
    expect(await count(`&status=pending&endpoint_id=${first.id}`)).toBe(0)
    expect(await count(`&status=dead&endpoint_id=${second.id}`)).toBe(2)
    expect(await count('&event_type=customer.deleted')).toBe(2)
    expect(await count('&event_type=customer.exploded')).toBe(0)
    // Of another event of the same millisecond, which is where its deliveries are looked for.
    const event = decodeId('evt_', all[0].event_id) as string
    await world.db.run`
      insert into webhook_deliveries (
        account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
      )
      select ${shop.account_id}, false, webhook_delivery_id(other, other), other, other, 'customer.created', 'dead', 1, now()
      from (select overlay(${event}::text placing '000000000000' from 25)::uuid as other) as event`
    const of_event = await list(shop, `&event_id=${all[0].event_id}`)
    expect(new Set(of_event.map(({ endpoint_id }) => endpoint_id))).toEqual(new Set([first.id, second.id]))
    expect(of_event).toHaveLength(2)
    expect(
      await list(shop, `&event_id=${all[0].event_id}&endpoint_id=${first.id}&status=succeeded`),
    ).toHaveLength(1)
    expect(await count(`&created_at[gt]=${all[0].created_at}`)).toBe(0)

    const walked: string[] = []
    let cursor = ''
    for (let pages = 0; pages < 10; pages++) {
      const { body } = await shop.api.get(`${DELIVERIES}?limit=3${cursor}`)
      walked.push(...body.data.map(({ id }: Json) => id))
      if (body.next_cursor === null) break
      const next = await shop.api.get(`${DELIVERIES}?limit=3&cursor=${body.next_cursor}`)
      const back = await shop.api.get(`${DELIVERIES}?limit=3&cursor=${next.body.prev_cursor}`)
      expect(back.body.data).toEqual(body.data)
      cursor = `&cursor=${body.next_cursor}`
    }
    expect(walked.filter(id => ids.includes(id))).toEqual(ids)
    expect(walked).toHaveLength(ids.length + 1)
  })

  test("shows nothing of another account or of the other mode, and neither do a delivery's tries", async () => {
    const owner = await world.account()
    const stranger = await world.account()
    const to = await receiver()
    const { id } = await endpoint(owner, to.url)
    await owner.api.post('/v1/customers', {})
    await world.deliver()
    const [delivery] = await list(owner)
    await owner.api.post(`${ENDPOINTS}/${id}/test`)
    const other_mode = world.client(await world.key(owner, { kind: 'secret', livemode: true }))
    for (const api of [stranger.api, other_mode]) {
      expect((await api.get(DELIVERIES)).body.data).toEqual([])
      expect((await api.get(`${DELIVERIES}?endpoint_id=${id}`)).body.data).toEqual([])
      expect((await api.get(`${DELIVERIES}/${delivery.id}`)).status).toBe(404)
      expect((await api.get(`${DELIVERIES}/${delivery.id}/attempts`)).status).toBe(404)
      expect((await api.post(`${DELIVERIES}/${delivery.id}/retry`)).status).toBe(404)
    }
    // The second wall, without the query's own account_id.
    const seen = await world.db.as({ account_id: stranger.account_id, livemode: false }).many`
      select id from webhook_queue union all select id from webhook_deliveries union all select id from webhook_attempts`
    expect(seen).toEqual([])
  })
})
