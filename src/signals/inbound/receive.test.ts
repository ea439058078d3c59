import { randomBytes } from 'node:crypto'
import { connect } from 'node:net'
import { beforeAll, expect, test } from 'vitest'
import { systemClock } from '#kernel'
import { metricsText } from '#metrics'
import { bankNews, bankSignature, signed } from './bank.fixture.ts'
import { useInbound } from './testing.ts'

const room = useInbound()
let port: number
beforeAll(async () => {
  ;({ port } = await room.server.listen({ port: 0 }))
})

const minutes = (count: number) => new Date(systemClock.now().getTime() + count * 60_000)

async function countEvents(): Promise<bigint> {
  const { count } = await room.db.one<{ count: bigint }>`
    select (select count(id) from inbound_events) + (select count(id) from inbound_bodies) as count`
  return count
}

test('a proven webhook is kept byte for byte, and its sender hears 200 at once', async () => {
  const news = bankNews()
  const body = ` {"about":"${news.about}",  "id":"${news.id}","type":"payment.approved","name":"Zoë 🎉"}\n`
  const reply = await room.tell(body)
  expect(reply.status).toBe(200)
  expect(reply.json()).toEqual({ received: true, duplicate: false })
  const stored = await room.db.one<{ body: string }>`
    select body
    from inbound_bodies
    join inbound_events using (id)
    where event_id = ${news.id}`
  expect(stored.body).toBe(body)
  expect(room.handled).toEqual([])
})

test('a hundred copies at the same moment are one row, and one application', async () => {
  const news = bankNews()
  const replies = await Promise.all(Array.from({ length: 100 }, () => room.tell(news)))
  expect(replies.map(reply => reply.status)).toEqual(Array(100).fill(200))
  expect(replies.filter(reply => !reply.json<{ duplicate: boolean }>().duplicate)).toHaveLength(1)
  expect(await room.rows(news.about)).toHaveLength(1)
  await room.inbound.lanes.runOnce()
  expect(room.handled.filter(event => event.event_id === news.id)).toHaveLength(1)
  expect((await room.tell(news)).json()).toEqual({ received: true, duplicate: true })
  await room.inbound.lanes.runOnce()
  expect(room.handled.filter(event => event.event_id === news.id)).toHaveLength(1)
})

test('the same id from two processors is two pieces of news', async () => {
  const news = bankNews()
  await room.tell(news)
  await room.db.run`
    insert into inbound_events (id, processor, event_id, type, subject, source, received_at)
    values (gen_random_uuid(), 'another', ${news.id}, 'x', ${news.about}, 'webhook', now())`
  expect(await room.rows(news.about)).toHaveLength(2)
})

const body = JSON.stringify(bankNews())
const wrong: [string, string, Record<string, string>, number, string][] = [
  ['without a signature', body, {}, 400, 'webhook_signature_missing'],
  [
    'signed with another secret',
    body,
    { 'bank-signature': bankSignature(body, minutes(0), 'x') },
    400,
    'webhook_signature_invalid',
  ],
  ['whose body is not what was signed', `${body} `, signed(body), 400, 'webhook_signature_invalid'],
  ['cut short', body.slice(0, -5), signed(body), 400, 'webhook_signature_invalid'],
  ['with a signature that is none', body, { 'bank-signature': 'yes' }, 400, 'webhook_signature_invalid'],
  ['signed six minutes ago', body, signed(body, minutes(-6)), 400, 'webhook_timestamp_stale'],
  ['signed in an hour', body, signed(body, minutes(60)), 400, 'webhook_timestamp_stale'],
  ['that is not JSON', '{"id":', signed('{"id":'), 400, 'invalid_json'],
  ['that is empty', '', signed(''), 400, 'invalid_json'],
  [
    'without an id',
    '{"type":"a","about":"b"}',
    signed('{"type":"a","about":"b"}'),
    400,
    'webhook_unreadable',
  ],
  ['that is null', 'null', signed('null'), 400, 'webhook_unreadable'],
  [
    'whose id cannot be stored',
    String.raw`{"id":"a\u0000","type":"a","about":"b"}`,
    signed(String.raw`{"id":"a\u0000","type":"a","about":"b"}`),
    400,
    'webhook_unreadable',
  ],
  ['of ten megabytes', 'a'.repeat(10_000_000), {}, 413, 'body_too_large'],
]

test.each(wrong)(
  'a webhook %s is refused with a code, and nothing is kept',
  async (_name, bytes, headers, status, code) => {
    const before = await countEvents()
    const reply = await room.tell(bytes, headers)
    expect([reply.status, reply.json<{ error: { code: string } }>().error.code]).toEqual([status, code])
    expect(await countEvents()).toBe(before)
  },
)

test('a webhook that is not UTF-8 is refused, although it is signed', async () => {
  const bytes = Buffer.from('{"id":"a\xff"}', 'latin1')
  const url = `http://127.0.0.1:${port}/v1/webhooks/bank`
  const reply = await fetch(url, { method: 'POST', headers: signed(bytes), body: bytes })
  expect([reply.status, await reply.json()]).toMatchObject([400, { error: { code: 'invalid_json' } }])
})

test('a webhook of a processor that is not connected is answered 404', async () => {
  const reply = await room.server.inject({
    method: 'POST',
    url: '/v1/webhooks/nobody',
    headers: signed(body),
    body,
  })
  expect(reply.status).toBe(404)
  expect(reply.json()).toMatchObject({ error: { code: 'resource_missing', param: 'processor' } })
})

test('what was refused is counted by its reason, and no line of the log repeats a body', async () => {
  const secret_name = `Erika${randomBytes(6).toString('hex')}`
  const news = { ...bankNews(), name: secret_name }
  await room.tell(JSON.stringify(news), {})
  await room.tell(`{"name":"${secret_name}"`, signed(`{"name":"${secret_name}"`))
  room.deed.current = async () => Promise.reject(new Error('the books are closed'))
  await room.tell(JSON.stringify(news))
  await room.inbound.lanes.runOnce()
  room.deed.current = async () => 'applied'
  const metrics = await metricsText()
  for (const reason of [
    'unsigned',
    'wrong_signature',
    'malformed_signature',
    'stale',
    'not_json',
    'no_event_id',
  ]) {
    expect(metrics).toMatch(
      new RegExp(`bursar_inbound_refused_total{processor="bank",reason="${reason}"} \\d`),
    )
  }
  expect(metrics).toContain('bursar_inbound_refused_total{processor="unknown",reason="processor_unknown"} 1')
  expect(room.lines.join('')).not.toContain(secret_name)
  expect(room.lines.join('')).toContain(news.id)
})

/** Sends bytes as they are and answers all that came back until the other side closed. */
function talk(...pieces: (string | number)[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk.toString()
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(heard))
    const write = async () => {
      for (const piece of pieces) {
        if (typeof piece === 'string') socket.write(piece)
        else await new Promise(done => setTimeout(done, piece))
      }
    }
    write().catch(reject)
  })
}

const head = (headers: Record<string, string>) =>
  [
    'POST /v1/webhooks/bank HTTP/1.1',
    'Host: a',
    'Connection: close',
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
    '',
    '',
  ].join('\r\n')

test('a body in chunks, of any content type or none, is kept', async () => {
  for (const type of [
    undefined,
    'text/plain',
    'application/json; charset=utf-8',
    'application/x-www-form-urlencoded',
  ]) {
    const news = bankNews()
    const text = JSON.stringify(news)
    const headers = {
      ...signed(text),
      'Transfer-Encoding': 'chunked',
      ...(type !== undefined && { 'Content-Type': type }),
    }
    const chunk = (part: string) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`
    const heard = await talk(head(headers), chunk(text.slice(0, 9)), 20, chunk(text.slice(9)), '0\r\n\r\n')
    expect(heard, type).toMatch(/^HTTP\/1\.1 200 /)
    expect(await room.rows(news.about)).toHaveLength(1)
  }
})

test('a body that never ends is given up with 408, and nothing is kept', async () => {
  const before = await countEvents()
  const heard = await talk(
    head({ ...signed(body), 'Content-Length': String(body.length) }),
    body.slice(0, 10),
  )
  expect(heard).toMatch(/^HTTP\/1\.1 408 /)
  expect(await countEvents()).toBe(before)
})

test('chunks beyond 1 MiB are refused before they have all come', async () => {
  const megabyte = 'a'.repeat(1_048_577)
  const heard = await talk(
    head({ ...signed(body), 'Transfer-Encoding': 'chunked' }),
    `${megabyte.length.toString(16)}\r\n${megabyte}\r\n`,
    200,
    '0\r\n\r\n',
  )
  expect(heard).toMatch(/^HTTP\/1\.1 413 /)
})

test('a storm of a thousand is taken in few commits', async () => {
  const all = Array.from({ length: 1_000 }, () => bankNews())
  const before = room.db.pool.totals.statements
  const replies = await Promise.all(all.map(news => room.tell(news)))
  expect(new Set(replies.map(reply => reply.status))).toEqual(new Set([200]))
  expect(room.db.pool.totals.statements - before).toBeLessThan(200)
})
