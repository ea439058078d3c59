/** What an account may not say of a webhook endpoint, and what nobody else hears of one: secrets, other accounts. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const PATH = '/v1/webhook_endpoints'
const wanted = { url: 'https://shop.example/webhooks', event_types: ['*'] }

const made = async (shop: TestAccount, more: object = {}): Promise<Json> => {
  const { status, body, text } = await shop.api.post(PATH, { ...wanted, ...more })
  expect(status, text).toBe(200)
  return body
}
const eventsOf = async (shop: TestAccount, id: string): Promise<Json[]> =>
  (await shop.api.get(`/v1/events?object_id=${id}&limit=100`)).body.data

describe('what is not fit to be sent to is refused, and nothing is kept', () => {
  const bad: [what: string, param: string, code: string, change: object][] = [
    ['a URL that is none', 'url', 'webhook_url_invalid', { url: 'shop.example/webhooks' }],
    ['an empty URL', 'url', 'webhook_url_invalid', { url: '' }],
    ['a URL of another protocol', 'url', 'webhook_url_invalid', { url: 'ftp://shop.example' }],
    ['credentials in the URL', 'url', 'webhook_url_invalid', { url: 'https://me:foxtrot@shop.example' }],
    ['a fragment', 'url', 'webhook_url_invalid', { url: 'https://shop.example/#x' }],
    ['a private address', 'url', 'webhook_url_invalid', { url: 'https://10.0.0.1/' }],
    ['a private address in one number', 'url', 'webhook_url_invalid', { url: 'https://2851995905/' }],
    ['a private address in IPv6', 'url', 'webhook_url_invalid', { url: 'https://[::ffff:10.0.0.1]/' }],
    ['the metadata of a cloud', 'url', 'webhook_url_invalid', { url: 'http://169.254.169.254/latest' }],
    ['a port of something else', 'url', 'webhook_url_invalid', { url: 'https://shop.example:25/' }],
    ['a port that is none', 'url', 'webhook_url_invalid', { url: 'https://shop.example:99999/' }],
    [
      'a URL that is too long',
      'url',
      'parameter_invalid',
      { url: `https://shop.example/${'x'.repeat(2_048)}` },
    ],
    [
      'an event that does not exist',
      'event_types[0]',
      'event_type_unknown',
      { event_types: ['charge.exploded'] },
    ],
    [
      'a resource that does not exist',
      'event_types[1]',
      'event_type_unknown',
      { event_types: ['*', 'invoices.*'] },
    ],
    ['half a wildcard', 'event_types[0]', 'event_type_unknown', { event_types: ['charge.suc*'] }],
    ['no events at all', 'event_types', 'parameter_invalid', { event_types: [] }],
    ['no rate', 'max_per_second', 'parameter_invalid_integer', { max_per_second: 0 }],
    ['too high a rate', 'max_per_second', 'parameter_invalid_integer', { max_per_second: 1_001 }],
    ['no concurrency', 'max_concurrency', 'parameter_invalid_integer', { max_concurrency: 0 }],
    ['too much concurrency', 'max_concurrency', 'parameter_invalid_integer', { max_concurrency: 101 }],
    ['an empty schedule', 'retry_schedule', 'parameter_invalid', { retry_schedule: [] }],
    ['too many tries', 'retry_schedule', 'parameter_invalid', { retry_schedule: Array(21).fill(1) }],
    ['a wait before its time', 'retry_schedule[1]', 'parameter_invalid_integer', { retry_schedule: [0, -1] }],
    [
      'a wait of over a week',
      'retry_schedule[0]',
      'parameter_invalid_integer',
      { retry_schedule: [604_801] },
    ],
    ['a header of ours', 'headers', 'parameter_invalid', { headers: { 'Webhook-Id': 'x' } }],
    ['a header of the connection', 'headers', 'parameter_invalid', { headers: { Connection: 'close' } }],
    ['a header that frames', 'headers', 'parameter_invalid', { headers: { 'content-length': '1' } }],
    ['a header that ends the headers', 'headers', 'parameter_invalid', { headers: { x: 'a\r\nHost: b' } }],
    ['a name that is none', 'headers', 'parameter_invalid', { headers: { 'a b': 'x' } }],
    ['one name twice', 'headers', 'parameter_invalid', { headers: { a: 'x', A: 'y' } }],
    ['too long a header', 'headers', 'parameter_invalid', { headers: { a: 'x'.repeat(1_025) } }],
    [
      'too many headers',
      'headers',
      'parameter_invalid',
      { headers: Object.fromEntries(Array.from({ length: 21 }, (_, i) => [`h${i}`, 'x'])) },
    ],
    ['an address that is none', 'notification_email', 'parameter_invalid', { notification_email: 'ops' }],
    ['a payload that is none', 'payload', 'parameter_invalid', { payload: 'fat' }],
    ['a signature that is none', 'signature', 'parameter_invalid', { signature: 'md5' }],
    ['a status', 'status', 'parameter_unknown', { status: 'enabled' }],
    ['a secret of one’s own', 'secret', 'parameter_unknown', { secret: 'whsec_short' }],
  ]

  test.each(bad)('%s', async (_what, param, code, change) => {
    const shop = await world.account()
    const { id } = await made(shop)
    for (const path of [PATH, `${PATH}/${id}`]) {
      const { status, body } = await shop.api.post(path, path === PATH ? { ...wanted, ...change } : change)
      expect([status, body.error?.code, body.error?.param], body.error?.message).toEqual([400, code, param])
      expect(body.error.message).not.toContain('foxtrot')
    }
    expect((await shop.api.get(PATH)).body.data).toHaveLength(1)
    expect(await eventsOf(shop, id)).toHaveLength(1)
  })

  test.each([
    ['shop.example/webhooks', 'begins with https://'],
    ['https://shop.example:99999/', 'a port from 1 to 65535'],
    ['https://user:pass@shop.example:1x/a?b', 'a port from 1 to 65535'],
    ['https://[2001:db8::1]:70000', 'a port from 1 to 65535'],
    ['https://exa mple.com/', 'must name a host'],
    ['https://', 'must name a host'],
  ])('says which part of %s is wrong', async (url, sentence) => {
    const shop = await world.account()
    const { body } = await shop.api.post(PATH, { ...wanted, url })
    expect(body.error).toMatchObject({ code: 'webhook_url_invalid', param: 'url' })
    expect(body.error.message).toContain(sentence)
  })

  test('no events at all, in words that are right of one', async () => {
    const shop = await world.account()
    const { body } = await shop.api.post(PATH, { ...wanted, event_types: [] })
    expect(body.error.message).toContain('at least 1 element.')
  })

  test('in live mode http, and addresses beside the server only where the operator allows them', async () => {
    const shop = await world.account()
    const live = world.client(await world.key(shop, { kind: 'secret', livemode: true }))
    const refused = await live.post(PATH, { ...wanted, url: 'http://shop.example/' })
    expect(refused.body.error).toMatchObject({ code: 'webhook_url_invalid', param: 'url' })
    expect((await live.post(PATH, wanted)).status).toBe(200)
    expect((await shop.api.post(PATH, { ...wanted, url: 'http://shop.example/' })).status).toBe(200)
  })
})

test('no secret, and no value of a header, is in a log, an event, a stored answer or any row but its own', async () => {
  const shop = await world.account()
  const VALUE = 'Bearer fox-trot-uniform-94'
  const body = { ...wanted, headers: { 'X-Gateway': VALUE } }
  const key = { 'idempotency-key': randomUUID() }
  const first = (await shop.api.post(PATH, body, key)).body
  expect((await shop.api.post(PATH, body, key)).body.secret).toBe(first.secret)
  const conflict = await shop.api.post(PATH, { ...body, headers: { 'X-Gateway': `${VALUE}x` } }, key)
  expect(conflict.body.error.params).toEqual(['headers'])
  await shop.api.post(PATH, { ...body, headers: { 'X-Gateway': `${VALUE}\n` } })
  const rotated = (await shop.api.post(`${PATH}/${first.id}/rotate_secret`)).body
  await shop.api.post(`${PATH}/${first.id}`, { headers: { Authorization: VALUE } })
  await shop.api.get(`${PATH}/${first.secret}`)
  await shop.api.post(`${PATH}/${first.id}/test`)
  const secrets = [first.secret.slice(10, 40), rotated.secret.slice(10, 40), 'fox-trot-uniform']
  for (const line of world.lines) for (const secret of secrets) expect(line).not.toContain(secret)
  await world.flushRequestLog()
  const logged = await world.db.many<{ text: string }>`
    select to_jsonb(kept)::text as text from request_logs as kept where account_id = ${shop.account_id}`
  expect(logged.length).toBeGreaterThan(6)
  const kept = await world.db.many<{ text: string }>`
    select to_jsonb(kept)::text as text from idempotency_keys as kept where account_id = ${shop.account_id}`
  const events = await world.db.many<{ text: string }>`
    select body as text from events where account_id = ${shop.account_id}`
  expect(events).toHaveLength(4)
  for (const { text } of [...logged, ...kept, ...events]) {
    for (const secret of secrets) expect(text).not.toContain(secret)
  }
})

test("another account's endpoint, and the other mode's, is not there", async () => {
  const owner = await world.account()
  const stranger = await world.account()
  const { id } = await made(owner)
  const other_mode = world.client(await world.key(owner, { kind: 'secret', livemode: true }))
  const an_hour_ago = new Date(Date.now() - 3_600_000).toISOString()
  for (const api of [stranger.api, other_mode]) {
    expect((await api.get(`${PATH}/${id}`)).status).toBe(404)
    expect((await api.post(`${PATH}/${id}`, { description: 'mine' })).status).toBe(404)
    expect((await api.delete(`${PATH}/${id}`)).status).toBe(404)
    for (const act of ['rotate_secret', 'enable', 'disable', 'test']) {
      expect([act, (await api.post(`${PATH}/${id}/${act}`)).status]).toEqual([act, 404])
    }
    const replay = await api.post(`${PATH}/${id}/replay`, { created_from: an_hour_ago })
    expect(replay.status).toBe(404)
    expect((await api.get(PATH)).body.data).toEqual([])
  }
  // The second wall, without the query's own account_id.
  const seen = await world.db.as({ account_id: stranger.account_id, livemode: false }).many`
    select id from webhook_endpoints union all select endpoint_id from webhook_secrets
    union all select endpoint_id from webhook_lanes`
  expect(seen).toEqual([])
  expect(await eventsOf(owner, id)).toHaveLength(1)
  expect((await owner.api.get(`${PATH}/${id}`)).status).toBe(200)
})
