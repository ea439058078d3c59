import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openDatabase } from '#db'
import { encodeId } from '#kernel'
import { createLog, metricsText } from '#metrics'
import { createNotes, type Hooks, noteEndpoints } from '../notes.fixture.ts'
import { createServer } from '../server.ts'
import { TEST_SECRET, testApi, type TestAccount, type TestApi } from '../testing.ts'
import { entryOf } from './entry.ts'
import { maintainRequestLogs } from './partitions.ts'
import { requestLogEndpoints } from './read.ts'
import { type RequestLog, startRequestLog } from './write.ts'

/** What happens between the two commits of a note that is sent; a test puts trouble there. */
const hooks: Hooks = {}
let api: TestApi
let request_log: RequestLog
let shop: TestAccount

/** Written through by whoever asks, so that a test need not wait for the clock. */
const late: RequestLog = {
  note: request => request_log.note(request),
  flush: () => request_log.flush(),
  stop: () => request_log.stop(),
}

beforeAll(async () => {
  api = await testApi([...noteEndpoints(hooks), ...requestLogEndpoints()], {
    request_log: late,
  })
  await createNotes(api.db)
  request_log = startRequestLog({ db: api.db, log: createLog({ level: 'silent' }) })
  shop = await api.account()
})
afterAll(async () => {
  await request_log.stop()
  await api.close()
})

type Json = ReturnType<typeof JSON.parse>

async function logOf(of: TestAccount, path: string): Promise<Json> {
  await request_log.flush()
  const answer = await of.send(`GET ${path}`)
  expect(answer.status, answer.body).toBe(200)
  return answer.json<Json>()
}

const idOf = (answer: { headers: Record<string, unknown> }) => String(answer.headers['request-id'])

describe('a request is in the log', () => {
  test('with what was asked, what was answered, and whose key called', async () => {
    const key = randomUUID()
    const answer = await shop.send(
      'POST /v1/notes',
      { text: 'hello', pin: '4711', tags: [{ name: 'a' }] },
      { 'idempotency-key': key },
    )
    const row = await logOf(shop, `/v1/request_logs/${idOf(answer)}`)
    expect(row).toMatchObject({
      object: 'request_log',
      method: 'POST',
      route: '/v1/notes',
      path: '/v1/notes',
      params: { text: 'hello', pin: '[redacted]', tags: [{ name: 'a' }] },
      status: 201,
      answer: answer.json(),
      error_code: null,
      api_key_id: encodeId('key_', shop.api_key_id),
      idempotency_key: key,
      idempotency_outcome: 'first',
      replayed: false,
      original_request_id: null,
      differing_params: null,
      version: '2026-11-21',
      ip: '127.0.0.1',
      livemode: false,
    })
    expect(row.duration_ms).toBeGreaterThan(0)
  })

  test('also when it was refused, with its error, and when it was a read, with its query', async () => {
    const refused = await shop.send('POST /v1/notes', { text: 5 })
    expect(await logOf(shop, `/v1/request_logs/${idOf(refused)}`)).toMatchObject({
      status: 400,
      error_code: 'parameter_invalid',
      params: { text: 5 },
    })
    const without_key = await shop.send('POST /v1/notes', { text: 'a' }, { 'idempotency-key': undefined })
    expect(await logOf(shop, `/v1/request_logs/${idOf(without_key)}`)).toMatchObject({
      status: 428,
      idempotency_key: null,
      idempotency_outcome: null,
    })
    const unread = await api.server.inject({
      method: 'POST',
      url: '/v1/notes',
      headers: { authorization: `Bearer ${shop.key}`, 'content-type': 'application/json' },
      body: '{"text":',
    })
    expect(await logOf(shop, `/v1/request_logs/${idOf(unread)}`)).toMatchObject({ status: 400, params: null })
    const read = await shop.send('GET /v1/request_logs?limit=3&status_class=4xx')
    expect(await logOf(shop, `/v1/request_logs/${idOf(read)}`)).toMatchObject({
      params: { limit: '3', status_class: '4xx' },
      answer: null,
    })
  })

  test('with the network of a browser, and the whole address of a server', () => {
    const facts = (ip: string, kind: 'secret' | 'publishable') =>
      entryOf({
        request_id: '019a0000-0000-7000-8000-000000000000',
        caller: { account_id: randomUUID(), livemode: false, api_key_id: randomUUID(), kind, scopes: [] },
        endpoint: noteEndpoints()[0]!,
        method: 'POST',
        route: '/v1/notes',
        path: '/v1/notes',
        params: undefined,
        are_params_accepted: false,
        has_secret_params: false,
        params_length: 0,
        answer: { status: 200, body: '{}' },
        error_code: undefined,
        idempotency_key: undefined,
        outcome: undefined,
        original_request_id: undefined,
        differing_params: undefined,
        version: '2026-11-21',
        ip,
        duration_ms: 1,
      }).ip
    expect(facts('203.0.113.7', 'secret')).toBe('203.0.113.7')
    expect(facts('::ffff:203.0.113.7', 'publishable')).toBe('203.0.113.0/24')
    expect(facts('2001:db8:1:2::3', 'secret')).toBe('2001:db8:1:2::3')
    expect(facts('2001:db8:1:2::3', 'publishable')).toBe('2001:db8:1::/48')
    expect(facts('::1', 'publishable')).toBe('0:0:0::/48')
    expect(facts('fe80::1%eth0', 'secret')).toBe('fe80::1')
    expect(facts('no address', 'secret')).toBe(null)
  })

  test('with the address that our own proxy saw, and not with what the caller says of himself', async () => {
    const server = createServer({
      endpoints: noteEndpoints(),
      db: api.db,
      clock: { now: () => new Date('2026-11-21T10:00:00Z') },
      log: createLog({ level: 'silent' }),
      secret: TEST_SECRET,
      request_log: late,
      proxies: 1,
    })
    const answer = await server.inject({
      method: 'POST',
      url: '/v1/notes',
      headers: { authorization: `Bearer ${shop.key}`, 'x-forwarded-for': '1.2.3.4, 198.51.100.9' },
      body: { text: 'a' },
    })
    await server.close(100)
    expect((await logOf(shop, `/v1/request_logs/${idOf(answer)}`)).ip).toBe('198.51.100.9')
  })

  test('of its own account and mode alone', async () => {
    const answer = await shop.send('POST /v1/notes', { text: 'mine' })
    await request_log.flush()
    const other = await api.account()
    expect((await other.send(`GET /v1/request_logs/${idOf(answer)}`)).status).toBe(404)
    expect((await logOf(other, '/v1/request_logs')).data.map((row: Json) => row.id)).not.toContain(
      idOf(answer),
    )
    const stolen = await api.db.as(other)
      .many`select id from request_logs where account_id = ${shop.account_id}`
    expect(stolen).toEqual([])
  })
})

describe('lists', () => {
  test('filter by status, class, method, route, error, API key and Idempotency-Key', async () => {
    const of = await api.account()
    const key = randomUUID()
    await of.send('POST /v1/notes', { text: 'one' }, { 'idempotency-key': key })
    await of.send('POST /v1/notes', { text: 'declined' })
    await of.send('POST /v1/notes', { text: 'broken' })
    await of.send('GET /v1/notes/cus_01jd3x0yfae4qa9vrf2kz5m8wt')
    const statuses = async (query: string) =>
      (await logOf(of, `/v1/request_logs?route=/v1/notes&${query}`)).data.map((row: Json) => row.status)
    expect(await statuses('')).toEqual([500, 402, 201])
    expect(await statuses('status=402')).toEqual([402])
    expect(await statuses('status_class=5xx')).toEqual([500])
    expect(await statuses('status_class=5xx&status=402')).toEqual([])
    expect(await statuses('error_code=card_declined')).toEqual([402])
    expect(await statuses(`idempotency_key=${key}`)).toEqual([201])
    expect(await statuses(`api_key_id=${encodeId('key_', of.api_key_id)}`)).toEqual([500, 402, 201])
    expect(await statuses(`api_key_id=${encodeId('key_', shop.api_key_id)}`)).toEqual([])
    expect(await statuses('method=GET')).toEqual([])
    const reads = await logOf(of, '/v1/request_logs?method=GET&route=/v1/notes/:id')
    expect(reads.data.map((row: Json) => row.status)).toEqual([404])
  })

  test('need their scope', async () => {
    const reader = await api.account({ kind: 'restricted', scopes: ['request_logs:read'] })
    const writer = await api.account({ kind: 'restricted', scopes: ['notes:write'] })
    const browser = await api.account({ kind: 'publishable' })
    expect((await reader.send('GET /v1/request_logs')).status).toBe(200)
    expect((await writer.send('GET /v1/request_logs')).status).toBe(403)
    expect((await browser.send('GET /v1/request_logs')).status).toBe(403)
  })
})

describe('two uses of one key', () => {
  const CONFLICT = { text: 'second', pin: '2222', tags: [{ name: 'b' }] }

  async function conflict(of: TestAccount) {
    const headers = { 'idempotency-key': randomUUID() }
    const first = await of.send(
      'POST /v1/notes',
      { text: 'first', pin: '1111', tags: [{ name: 'a' }] },
      headers,
    )
    const second = await of.send('POST /v1/notes', CONFLICT, headers)
    expect(second.status).toBe(409)
    return { first: idOf(first), second: idOf(second), key: headers['idempotency-key'] }
  }
  const DIFFERENCES = [
    { param: 'pin', is_secret: true, original: null, conflicting: null },
    { param: 'tags[0].name', is_secret: false, original: 'a', conflicting: 'b' },
    { param: 'text', is_secret: false, original: 'first', conflicting: 'second' },
  ]

  test('a conflict leads to the first use, and names what differs', async () => {
    const { first, second, key } = await conflict(shop)
    const row = await logOf(shop, `/v1/request_logs/${second}?expand[]=original_request`)
    expect(row).toMatchObject({
      error_code: 'idempotency_conflict',
      idempotency_outcome: 'conflict',
      replayed: false,
      original_request_id: first,
      differing_params: ['pin', 'tags[0].name', 'text'],
      original_request: { id: first, params: { text: 'first', pin: '[redacted]' } },
    })
    expect(await logOf(shop, `/v1/request_logs/${second}/comparison`)).toMatchObject({
      object: 'request_comparison',
      idempotency_key: key,
      request: { id: second, params: { ...CONFLICT, pin: '[redacted]' } },
      original: {
        id: first,
        source: 'request_log',
        status: 201,
        params: { text: 'first', pin: '[redacted]' },
      },
      differences: DIFFERENCES,
    })
  })

  test('both are shown after the row of the first has expired, from its key', async () => {
    const { first, second } = await conflict(shop)
    await request_log.flush()
    await api.db.transaction(async tx => {
      await tx.run`set local role none`
      await tx.run`delete from request_logs where account_id = ${shop.account_id} and original_request_id is null`
    })
    const shown = await logOf(shop, `/v1/request_logs/${second}/comparison`)
    expect(shown).toMatchObject({
      original: {
        id: first,
        source: 'idempotency_key',
        method: 'POST',
        path: '/v1/notes',
        status: 201,
        api_key_id: null,
        params: { text: 'first', pin: '[redacted]', tags: [{ name: 'a' }] },
        answer: { text: 'first' },
      },
      differences: DIFFERENCES,
    })
    expect((await logOf(shop, `/v1/request_logs/${second}?expand[]=original_request`)).original_request).toBe(
      null,
    )
  })

  test('a replay is one, and leads to the first use', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    const first = await shop.send('POST /v1/notes', { text: 'again' }, headers)
    const second = await shop.send('POST /v1/notes', { text: 'again' }, headers)
    expect(await logOf(shop, `/v1/request_logs/${idOf(second)}`)).toMatchObject({
      status: 201,
      idempotency_outcome: 'replayed',
      replayed: true,
      original_request_id: idOf(first),
    })
    const alone = await shop.send(`GET /v1/request_logs/${idOf(first)}/comparison`)
    expect(alone.status).toBe(404)
  })

  test('one whose first runner failed is taken over, and says so', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    hooks.between = () => Promise.reject(new Error('the network is gone'))
    const first = await shop.send('POST /v1/notes/send', { text: 'half' }, headers)
    delete hooks.between
    const second = await shop.send('POST /v1/notes/send', { text: 'half' }, headers)
    expect([first.status, second.status]).toEqual([500, 200])
    expect(await logOf(shop, `/v1/request_logs/${idOf(first)}`)).toMatchObject({
      idempotency_outcome: 'first',
    })
    expect(await logOf(shop, `/v1/request_logs/${idOf(second)}`)).toMatchObject({
      idempotency_outcome: 'resumed',
      replayed: false,
      original_request_id: idOf(first),
    })
  })

  test('one that is still running is named to its twin', async () => {
    const headers = { 'idempotency-key': randomUUID() }
    const { promise: until, resolve: goOn } = Promise.withResolvers<void>()
    const { promise: reached, resolve: reach } = Promise.withResolvers<void>()
    hooks.between = () => {
      reach()
      return until
    }
    const running = shop.send('POST /v1/notes/send', { text: 'slow' }, headers)
    await reached
    const second = await shop.send('POST /v1/notes/send', { text: 'slow' }, headers)
    delete hooks.between
    goOn()
    const first = await running
    expect([first.status, second.status]).toEqual([200, 409])
    const rows = await logOf(shop, `/v1/request_logs?idempotency_key=${headers['idempotency-key']}`)
    expect(rows.data.map((row: Json) => [row.idempotency_outcome, row.original_request_id])).toEqual([
      ['in_progress', idOf(first)],
      ['first', null],
    ])
  })

  test('are counted by account and API key', async () => {
    const of = await api.account()
    await conflict(of)
    await of.send('POST /v1/notes', { text: 'b' })
    const metrics = await metricsText()
    const labels = `account="${encodeId('acct_', of.account_id)}",api_key="${encodeId('key_', of.api_key_id)}"`
    expect(metrics).toContain(`bursar_idempotency_requests_total{${labels},outcome="first"} 2`)
    expect(metrics).toContain(`bursar_idempotency_requests_total{${labels},outcome="conflict"} 1`)
    expect(metrics).toContain(`bursar_idempotency_conflicts_total{${labels},kind="conflict"} 1`)
  })
})

describe('a log that nobody waits for', () => {
  test('answers while the database of the log is away, and writes when it is back', async () => {
    const gone = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
    let is_back = false
    const transaction = <T>(fn: Parameters<typeof gone.transaction<T>>[0]) =>
      (is_back ? api.db : gone).transaction(fn)
    const log = startRequestLog({ db: { ...gone, transaction }, log: createLog({ level: 'silent' }) })
    const before = request_log
    request_log = log
    try {
      const answer = await shop.send('POST /v1/notes', { text: 'written later' })
      expect(answer.status).toBe(201)
      await log.flush()
      expect((await shop.send(`GET /v1/request_logs/${idOf(answer)}`)).status).toBe(404)
      is_back = true
      expect(await logOf(shop, `/v1/request_logs/${idOf(answer)}`)).toMatchObject({ status: 201 })
    } finally {
      request_log = before
      await log.stop()
      await gone.close()
    }
  })

  test('drops and counts what has no room to wait', async () => {
    const gone = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
    const log = startRequestLog({ db: gone, log: createLog({ level: 'silent' }) })
    const before = request_log
    request_log = log
    try {
      const dropped = async (reason: string) =>
        Number(
          new RegExp(`bursar_request_log_dropped_total\\{reason="${reason}"\\} (\\d+)`).exec(
            await metricsText(),
          )?.[1] ?? 0,
        )
      const full = await dropped('full')
      let noted: Parameters<RequestLog['note']>[0] | undefined
      request_log = { ...log, note: request => void (noted = request) }
      await shop.send('POST /v1/notes', { text: 'one of many' })
      for (let n = 0; n < 10_003; n++) log.note(noted!)
      expect(await dropped('full')).toBe(full + 3)
      await log.stop()
      expect(await dropped('stopped')).toBe(10_000)
    } finally {
      request_log = before
      await gone.close()
    }
  })

  test('leaves out a row that the database refuses, and none beside it', async () => {
    const of = await api.account()
    const notes: Parameters<RequestLog['note']>[0][] = []
    const before = request_log
    request_log = { ...before, note: request => void notes.push(request) }
    await of.send('POST /v1/notes', { text: 'a' })
    await of.send('POST /v1/notes', { text: 'b' })
    await of.send('POST /v1/notes', { text: 'c' })
    request_log = before
    const [a, b, c] = notes
    // No path of HTTP holds such a character; a log must survive what cannot be.
    for (const request of [a!, { ...b!, path: '/v1/\u0000' }, c!]) request_log.note(request)
    const rows = await logOf(of, '/v1/request_logs?method=POST')
    expect(rows.data.map((row: Json) => row.params.text)).toEqual(['c', 'a'])
  })

  test('is written when it stops', async () => {
    const log = startRequestLog({ db: api.db, log: createLog({ level: 'silent' }) })
    const before = request_log
    request_log = log
    const answer = await shop.send('POST /v1/notes', { text: 'the last' })
    await log.stop()
    request_log = before
    expect((await shop.send(`GET /v1/request_logs/${idOf(answer)}`)).status).toBe(200)
  })
})

test('days past their time are dropped whole, and what lies in no day goes by its age', async () => {
  const { account_id } = await api.account()
  await api.db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`
      create table request_logs_20200101 partition of request_logs
      for values from ('016f5e66-e800-0000-0000-000000000000') to ('016f638d-4400-0000-0000-000000000000')`
    await tx.run`
      insert into request_logs (account_id, livemode, id, method, route, path, status, api_key_id, version, duration_ms, created_at)
      select ${account_id}, false, id, 'GET', '/v1/notes', '/v1/notes', 200, ${account_id}, '2026-11-21', 1, now()
      from unnest(array[uuid_floor('2020-01-01 10:00Z'), uuid_floor('2020-01-05 10:00Z'), uuid_floor(now() - interval '20 days')]) as id`
  })
  expect(await maintainRequestLogs(api.db, 30)).toBe(1)
  const left = await api.db.many`select id from request_logs where account_id = ${account_id}`
  expect(left.length).toBe(1)
  await expect(maintainRequestLogs(api.db, 0)).rejects.toThrow(/kept for a day/)
})
