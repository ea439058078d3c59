import { afterAll, beforeAll, expect, test } from 'vitest'
import { createNotes, noteEndpoints } from './notes.fixture.ts'
import { type TestAccount, type TestApi, testApi } from './testing.ts'
import { versions } from './versions.ts'

let api: TestApi
let shop: TestAccount
let is_ready = true
beforeAll(async () => {
  api = await testApi(noteEndpoints(), {
    isReady: async () => is_ready,
    pages: [
      {
        path: '/openapi.json',
        render: () => ({ content_type: 'application/json', body: '{"openapi":"3.1.0"}' }),
      },
      {
        path: '/docs/*',
        render: rest =>
          rest === 'errors' ? { content_type: 'text/html', body: '<h1>Errors</h1>' } : undefined,
      },
    ],
    versions: [
      {
        date: '2027-01-01',
        changes: [
          {
            description: '`body` became `text`.',
            routes: ['POST /v1/notes', 'GET /v1/notes/:id'],
            request: ({ body, ...rest }) => (body === undefined ? rest : { ...rest, text: body }),
            answer: ({ text, ...rest }) => ({ ...rest, body: text }),
          },
        ],
      },
      {
        date: '2026-11-21',
        changes: [],
        deprecation: {
          since: new Date('2027-01-01T00:00:00Z'),
          sunset: new Date('2028-01-01T00:00:00Z'),
          link: 'https://example.com/upgrade',
        },
      },
    ],
  })
  await createNotes(api.db)
  shop = await api.account()
})
afterAll(() => api.close())

const authorized = () => ({ authorization: `Bearer ${shop.key}`, 'idempotency-key': crypto.randomUUID() })
const json = { 'content-type': 'application/json' }

test.each([
  ['a path that does not exist', 'GET', '/v1/nothing', {}, undefined, 404, 'route_not_found'],
  ['the root', 'GET', '/', {}, undefined, 404, 'route_not_found'],
  ['a method the path does not have', 'DELETE', '/v1/notes', {}, undefined, 405, 'method_not_allowed'],
  ['a method nobody has', 'PATCH', '/v1/notes/cus_x', {}, undefined, 405, 'method_not_allowed'],
  [
    'a form',
    'POST',
    '/v1/notes',
    { 'content-type': 'application/x-www-form-urlencoded' },
    'text=a',
    415,
    'unsupported_media_type',
  ],
  [
    'plain text',
    'POST',
    '/v1/notes',
    { 'content-type': 'text/plain' },
    '{"text":"a"}',
    415,
    'unsupported_media_type',
  ],
  [
    'a broken content type',
    'POST',
    '/v1/notes',
    { 'content-type': 'json' },
    '{"text":"a"}',
    415,
    'unsupported_media_type',
  ],
  ['a body without a content type', 'POST', '/v1/notes', {}, '{"text":"a"}', 415, 'unsupported_media_type'],
  [
    'a compressed body',
    'POST',
    '/v1/notes',
    { ...json, 'content-encoding': 'gzip' },
    '{"text":"a"}',
    415,
    'unsupported_media_type',
  ],
  ['a body of 2 MB', 'POST', '/v1/notes', json, `{"text":"${'a'.repeat(2_000_000)}"}`, 413, 'body_too_large'],
  ['broken JSON', 'POST', '/v1/notes', json, '{"text":', 400, 'invalid_json'],
  ['a list', 'POST', '/v1/notes', json, '[]', 400, 'body_must_be_object'],
  ['nesting of 10,000 levels', 'POST', '/v1/notes', json, '{"a":'.repeat(10_000), 400, 'invalid_json'],
  ['an empty body', 'POST', '/v1/notes', json, '', 400, 'parameter_missing'],
  ['no body', 'POST', '/v1/notes', {}, undefined, 400, 'parameter_missing'],
  ['a NUL in a text', 'POST', '/v1/notes', json, '{"text":"\\u0000"}', 400, 'parameter_invalid'],
  ['a name given twice', 'POST', '/v1/notes', json, '{"text":"a","text":"b"}', 400, 'invalid_json'],
  ['__proto__', 'POST', '/v1/notes', json, '{"text":"a","__proto__":{}}', 400, 'parameter_unknown'],
  [
    'an unknown parameter',
    'POST',
    '/v1/notes',
    json,
    '{"text":"a","colour":"red"}',
    400,
    'parameter_unknown',
  ],
  ['a parameter in the query of a POST', 'POST', '/v1/notes?text=a', json, '{}', 400, 'parameter_unknown'],
  [
    'an unknown query parameter',
    'GET',
    `/v1/notes/cus_${'0'.repeat(26)}?colour=red`,
    {},
    undefined,
    400,
    'parameter_unknown',
  ],
  ['a broken query', 'GET', `/v1/notes/cus_${'0'.repeat(26)}?a=%ff`, {}, undefined, 400, 'parameter_invalid'],
  ['a malformed id', 'GET', '/v1/notes/nonsense', {}, undefined, 404, 'resource_missing'],
  [
    'the id of another kind of object',
    'GET',
    `/v1/notes/pi_${'0'.repeat(26)}`,
    {},
    undefined,
    404,
    'resource_missing',
  ],
  [
    'an id that does not exist',
    'GET',
    `/v1/notes/cus_${'0'.repeat(26)}`,
    {},
    undefined,
    404,
    'resource_missing',
  ],
  ['an endless id', 'GET', `/v1/notes/${'a'.repeat(5_000)}`, {}, undefined, 404, 'resource_missing'],
  ['a NUL in the path', 'GET', '/v1/notes/a%00b', {}, undefined, 400, 'malformed_request'],
  ['a NUL in the query', 'GET', '/v1/notes/a?b=%00', {}, undefined, 400, 'malformed_request'],
  ['a path of broken escapes', 'GET', '/v1/notes/%zz', {}, undefined, 400, 'malformed_request'],
  ['a path of invalid UTF-8', 'GET', '/v1/notes/%ff', {}, undefined, 400, 'malformed_request'],
  ['a NUL on a path that does not exist', 'GET', '/nothing%00', {}, undefined, 400, 'malformed_request'],
  [
    'an unknown version',
    'GET',
    '/v1/notes/cus_x',
    { 'bursar-version': '2020-01-01' },
    undefined,
    400,
    'version_unknown',
  ],
])('%s is answered in the one shape of an error', async (_name, method, url, headers, body, status, code) => {
  const answer = await api.server.inject({
    method,
    url,
    headers: { ...authorized(), ...headers },
    ...(body !== undefined && { body }),
  })
  const { error } = answer.json<{ error: Record<string, unknown> }>()
  expect([answer.status, error.code]).toEqual([status, code])
  expect(Object.keys(error)).toEqual(['type', 'code', 'message', 'param', 'request_id', 'doc_url'])
  expect(answer.headers['content-type']).toBe('application/json; charset=utf-8')
  expect(answer.headers['request-id']).toBe(error.request_id)
  expect(answer.headers['request-id']).toMatch(/^req_[0-9a-z]{26}$/)
  expect(answer.headers['bursar-version']).toBe('2027-01-01')
})

test.each([
  ['utf-8', 201],
  ['"UTF-8"', 201],
  ['utf8; profile=x', 201],
  ['utf-16', 415],
  ['"UTF-16"', 415],
  ['iso-8859-1', 415],
  ['utf-8; charset=utf-16', 415],
  ['', 415],
])('a body that says charset=%s is %i', async (charset, status) => {
  const answer = await api.server.inject({
    method: 'POST',
    url: '/v1/notes',
    headers: { ...authorized(), 'content-type': `application/json; charset=${charset}` },
    body: '{"text":"a"}',
  })
  expect(answer.status).toBe(status)
  if (status === 415) expect(answer.json()).toMatchObject({ error: { code: 'unsupported_media_type' } })
})

test('405 names the methods the path has', async () => {
  const answer = await api.server.inject({ method: 'PUT', url: '/v1/notes/cus_x', headers: authorized() })
  expect(answer.headers.allow).toBe('GET')
})

test('a caller without a key is told so before its body is looked at', async () => {
  const answer = await api.server.inject({
    method: 'POST',
    url: '/v1/notes',
    headers: json,
    body: '{"text":',
  })
  expect(answer.status).toBe(401)
})

test('an endpoint without authentication asks for no key of either kind', async () => {
  const request = { method: 'POST', url: '/v1/notes/anonymous', body: { text: 'a' } }
  const answer = await api.server.inject(request)
  expect(answer.status).toBe(200)
  expect(answer.headers['original-request']).toBeUndefined()
  expect((await api.server.inject({ ...request, body: {} })).status).toBe(400)
})

test('every answer has a request id and a version, and is never cached', async () => {
  const answer = await shop.send('POST /v1/notes', { text: 'a' })
  expect(answer.headers).toMatchObject({ 'bursar-version': '2027-01-01', 'cache-control': 'no-store' })
  const second = await shop.send('POST /v1/notes', { text: 'a' })
  expect(second.headers['request-id']).not.toBe(answer.headers['request-id'])
})

test('a pinned version is answered in its own shape, and told that it is deprecated', async () => {
  const pinned = { 'bursar-version': '2026-11-21' }
  const created = await shop.send('POST /v1/notes', { body: 'a' }, { ...pinned, 'idempotency-key': 'v' })
  expect(created.status).toBe(201)
  expect(created.json()).toMatchObject({ body: 'a' })
  expect(created.json()).not.toHaveProperty('text')
  expect(created.headers).toMatchObject({
    'bursar-version': '2026-11-21',
    deprecation: '@1798761600',
    sunset: 'Sat, 01 Jan 2028 00:00:00 GMT',
    link: '<https://example.com/upgrade>; rel="deprecation"; type="text/html"',
  })
  const { id } = created.json<{ id: string }>()
  expect((await shop.send(`GET /v1/notes/${id}`)).json()).toMatchObject({ text: 'a' })
  const replayed = await shop.send('POST /v1/notes', { body: 'a' }, { ...pinned, 'idempotency-key': 'v' })
  expect(replayed.body).toBe(created.body)
})

test('the versions are dated, newest first', () => {
  const dates = versions.map(({ date }) => date)
  expect(dates).toEqual([...dates].sort().reverse())
  for (const date of dates) expect(date).toMatch(/^\d{4}-\d\d-\d\d$/)
})

test('health, readiness and metrics are told without a key', async () => {
  const get = (url: string) => api.server.inject({ method: 'GET', url })
  expect((await get('/healthz')).status).toBe(200)
  expect((await get('/readyz')).status).toBe(200)
  is_ready = false
  const unready = await get('/readyz')
  expect([unready.status, unready.headers['retry-after']]).toEqual([503, '1'])
  expect(unready.json()).toMatchObject({ error: { code: 'service_unavailable' } })
  is_ready = true
  const metrics = await get('/metrics')
  expect(metrics.headers['content-type']).toContain('text/plain')
  expect(metrics.body).toContain('bursar_http_requests_total{route="POST /v1/notes",status="2xx"}')
  expect(metrics.body).toContain('bursar_http_request_duration_seconds_bucket')
})

test('pages stand beside the API, and a missing one is an error like any other', async () => {
  const get = (url: string) => api.server.inject({ method: 'GET', url })
  expect((await get('/openapi.json')).json()).toEqual({ openapi: '3.1.0' })
  expect((await get('/docs/errors')).headers['content-type']).toBe('text/html')
  const missing = await get('/docs/nothing')
  expect([missing.status, missing.json<{ error: { code: string } }>().error.code]).toEqual([
    404,
    'route_not_found',
  ])
})

test('a request leaves one wide line, named for what it did', async () => {
  const answer = await shop.send('POST /v1/notes', { text: 'a' })
  const lines = api.lines.filter(({ request_id }) => request_id === answer.headers['request-id'])
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatchObject({
    event: 'notes.create',
    level: 'info',
    path: '/v1/notes',
    status: 201,
    livemode: false,
    statements: 6,
    round_trips: 2,
  })
  expect(Object.keys(lines[0] ?? {})).toEqual(
    expect.arrayContaining(['account_id', 'api_key_id', 'duration_ms']),
  )
  expect(JSON.stringify(api.lines)).not.toContain(shop.key)
})
