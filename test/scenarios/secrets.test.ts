/**
 * A card's number and security code reach the processor and nothing else: no table, no log line, no event, no error, no
 * metric, no span, no file of the simulator. API keys and client secrets are in no log either. Everything that is kept
 * is read here as text and searched.
 */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { raw } from '#db'
import { createLog, metricsText, startTracing } from '#metrics'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

/** Valid by its check digit, of a brand with four digits of code, and like nothing else in the world of these tests. */
const NUMBER = '374929385017262'
/** One whose check digit is wrong. */
const MISTYPED = '374929385017263'
const CVC = '9371'

/** The span processor forgets at shutdown, so what was exported is kept as text. */
class KeptSpans extends InMemorySpanExporter {
  text = ''
  override export(...[spans, done]: Parameters<InMemorySpanExporter['export']>): void {
    for (const { name, attributes, events, status } of spans) {
      this.text += `${JSON.stringify({ name, attributes, events, status })}\n`
    }
    super.export(spans, done)
  }
}

let world: World
let shop: TestAccount
let stopTracing: () => Promise<void>
const spans = new KeptSpans()

beforeAll(async () => {
  const log = createLog({ level: 'silent' })
  stopTracing = (await startTracing({ version: '0', role: 'api', log, exporter: spans })).stop
  world = await startWorld()
  shop = await world.account()
})
afterAll(() => world.close())

/** The number in any of the ways in which bytes become text; the code alone, not within some longer number. */
const NUMBERS = [NUMBER, MISTYPED].flatMap(number => [
  number,
  number.replace(/(\d{4})(?=\d)/g, '$1 '),
  number.replace(/(\d{4})(?=\d)/g, '$1-'),
  Buffer.from(number).toString('hex'),
  Buffer.from(number).toString('base64').slice(0, 20),
])
const CODE = new RegExp(`(?<![0-9A-Za-z_.:+-])${CVC}(?![0-9A-Za-z_.:-])`)

function expectNoCard(text: string, where: string): void {
  for (const number of NUMBERS) expect(text.includes(number), `${where} holds a card number`).toBe(false)
  expect(CODE.test(text), `${where} holds a security code: ${CODE.exec(text)?.input.slice(0, 300)}`).toBe(
    false,
  )
}

/** They count up for the whole server, and one of them is the code of the card one day. */
const TRANSACTION_IDS = ['committed_in', 'recorded_xid']

/** Every row of every table of the database, as JSON text, read as its owner. */
function everyRow(): Promise<Map<string, string>> {
  return world.db.transaction(async tx => {
    await tx.run`select set_config('role', 'none', true)`
    const tables = await tx.many<{ name: string }>`
      select format('%I.%I', nspname, relname) as name
      from pg_class
      join pg_namespace on pg_namespace.oid = relnamespace
      where relkind = 'r' and nspname not in ('pg_catalog', 'information_schema') and nspname not like 'pg\\_%'
      order by 1`
    const rows = new Map<string, string>()
    for (const { name } of tables) {
      const found = await tx.many<{ text: string }>`
        select (to_jsonb(kept) - ${TRANSACTION_IDS}::text[])::text as text from ${raw(name)} as kept`
      rows.set(name, found.map(row => row.text).join('\n'))
    }
    return rows
  })
}

/** The request log is one of the tables; a search in it means nothing when it is empty. */
function expectLogged(rows: Map<string, string>, what: string): void {
  const logged = [...rows]
    .filter(([table]) => table.startsWith('public.request_logs'))
    .map(([, text]) => text)
  expect(logged.join('\n')).toContain(what)
}

const card = (more: object = {}) => ({
  type: 'card',
  card: { number: NUMBER, exp_month: 11, exp_year: 2034, cvc: CVC, ...more },
})

function rawly(body: string, type = 'application/json') {
  const headers = {
    authorization: `Bearer ${shop.secret_key}`,
    'idempotency-key': randomUUID(),
    'content-type': type,
  }
  return world.server.inject({ method: 'POST', url: '/v1/payment_methods', headers, body })
}

/** Requests that carry the card where it belongs, and wherever a mistake may put it. */
async function sendCardEverywhere(): Promise<string[]> {
  const { api, publishable } = shop
  const answers: string[] = []
  const keep = async (reply: Promise<{ text: string; headers: object; status: number }>) => {
    const { text, headers, status } = await reply
    expect(status).toBeLessThan(500)
    answers.push(`${text} ${JSON.stringify(headers)}`)
    return JSON.parse(text) as Json
  }
  const key = { 'idempotency-key': randomUUID() }
  const method = await keep(api.post('/v1/payment_methods', card(), key))
  expect(method.card).toMatchObject({ last4: '7262' })
  await keep(api.post('/v1/payment_methods', card(), key))
  const conflict = await keep(api.post('/v1/payment_methods', card({ number: '4242424242424242' }), key))
  expect(conflict.error.params).toEqual(['card.number'])
  const other_code = await keep(api.post('/v1/payment_methods', card({ cvc: '1234' }), key))
  expect(other_code.error.params).toEqual(['card.cvc'])
  await keep(publishable.post('/v1/payment_methods', card()))
  for (const wrong of [
    card({ number: MISTYPED }),
    card({ exp_year: 2001 }),
    card({ number: Number(NUMBER) }),
    card({ cvc: Number(CVC) }),
    card({ cvc: `${CVC} ` }),
    card({ number: `${NUMBER} ` }),
    card({ number: NUMBER.replace(/(\d{4})(?=\d)/g, '$1 ') }),
    card({ number: [NUMBER] }),
    card({ number: { value: NUMBER } }),
    card({ [NUMBER]: '1' }),
    card({ exp_month: Number(NUMBER) }),
    { ...card(), type: NUMBER },
    { ...card(), card: NUMBER },
    { ...card(), [NUMBER]: CVC },
    { ...card(), number: NUMBER, cvc: CVC },
    { ...card(), metadata: { [`${NUMBER}${'0'.repeat(40)}`]: 'x' } },
  ]) {
    const { error } = await keep(api.post('/v1/payment_methods', wrong))
    expect(error.code).toBeTypeOf('string')
  }
  const paying = { amount: 1000, currency: 'usd' }
  for (const [path, body] of [
    ['/v1/payment_intents', { ...paying, payment_method_id: NUMBER }],
    ['/v1/payment_intents', { ...paying, currency: NUMBER }],
    ['/v1/payment_intents', { ...paying, card: card().card }],
    ['/v1/payment_intents', { ...paying, client_secret: NUMBER }],
    ['/v1/refunds', { payment_intent_id: NUMBER }],
    [`/v1/payment_methods/${NUMBER}/attach`, { customer_id: NUMBER }],
    [`/v1/payment_intents/${NUMBER}/confirm`, {}],
  ] as const) {
    await keep(api.post(path, body))
  }
  for (const path of [
    `/v1/payment_methods/${NUMBER}`,
    `/v1/customers?email=${NUMBER}`,
    `/v1/customers?cursor=${NUMBER}`,
    `/v1/customers?${NUMBER}=1`,
    `/v1/events?type=${NUMBER}`,
    `/v1/${NUMBER}`,
  ]) {
    await keep(api.get(path))
  }
  for (const [body, type] of [
    [`{"type":"card","card":{"number":"${NUMBER}","cvc":"${CVC}"`],
    [`{"type":"card","card":{"number":"${NUMBER}\\u0000"}}`],
    [`{"number":"${NUMBER}","number":"${NUMBER}"}`],
    [`number=${NUMBER}&cvc=${CVC}`, 'application/x-www-form-urlencoded'],
    [`"${NUMBER}"`],
  ] as const) {
    const { status, headers, body: text } = await rawly(body, type)
    expect(status).toBeLessThan(500)
    answers.push(`${text} ${JSON.stringify(headers)}`)
  }
  // The card is charged, refunded and shown, so that its rows and events are there.
  const paid = await keep(
    api.post('/v1/payment_intents', { ...paying, payment_method_id: method.id, confirm: true }),
  )
  expect(paid.status).toBe('succeeded')
  await keep(api.post('/v1/refunds', { payment_intent_id: paid.id, amount: 5 }))
  await keep(api.get('/v1/events?limit=100'))
  await keep(api.get('/v1/charges?expand[]=payment_method'))
  return answers
}

test('a card number and its code are in no table, log line, event, error, metric, span or file', async () => {
  const answers = await sendCardEverywhere()
  answers.forEach((answer, n) => expectNoCard(answer, `answer ${n} (${answer.slice(0, 200)})`))
  await world.flushRequestLog()
  const rows = await everyRow()
  expect([...rows.keys()]).toEqual(
    expect.arrayContaining(['public.payment_methods', 'public.idempotency_keys']),
  )
  expectLogged(rows, '"path": "/v1/payment_methods"')
  expect(rows.get('public.payment_methods')).toContain('7262')
  for (const [table, text] of rows) expectNoCard(text, `the table ${table}`)
  expect(world.lines.length).toBeGreaterThan(30)
  world.lines.forEach(line => expectNoCard(line, `a log line (${line.slice(0, 300)})`))
  expectNoCard(await metricsText(), 'the metrics')
  await stopTracing()
  expect(spans.text).toContain('POST /v1/payment_methods')
  expectNoCard(spans.text, 'a span')
  const folder = join(world.data_dir, 'simulator')
  for (const file of readdirSync(folder)) expectNoCard(readFileSync(join(folder, file), 'utf8'), file)
})

test('API keys are in no table and no log line, and client secrets in no log line and no event', async () => {
  const { api, publishable, secret_key } = shop
  const { body: intent } = await api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    payment_method_id: 'pm_card_chargeDeclined',
  })
  const path = `/v1/payment_intents/${intent.id}`
  const client_secret = intent.client_secret as string
  const restricted = await world.key(shop, { kind: 'restricted', scopes: ['events:read'] })
  await publishable.get(`${path}?client_secret=${client_secret}`)
  await publishable.get(`${path}?client_secret=${client_secret}x`)
  await publishable.get(`${path}?${client_secret}=1`)
  const declined = await publishable.post(`${path}/confirm`, { client_secret })
  expect(declined.status).toBe(402)
  expect(declined.text).not.toContain(client_secret)
  await publishable.post(`${path}/cancel`, { client_secret })
  await api.get(`/v1/payment_intents/${client_secret}`)
  await api.post(path, { description: 5, client_secret })
  await api.get(`/v1/customers?api_key=${secret_key}`)
  await api.get(`/v1/customers/${secret_key}`)
  await api.post('/v1/customers', { [secret_key]: 'x' })
  await world.client(restricted).get('/v1/customers')
  await world.client(`${secret_key}x`).get('/v1/customers')
  await world.server.inject({
    method: 'GET',
    url: '/v1/customers',
    headers: { authorization: `Basic ${Buffer.from(`${secret_key}:`).toString('base64')}` },
  })
  const keys = [secret_key, restricted]
  const basic = Buffer.from(secret_key).toString('base64').slice(0, 40)
  for (const line of world.lines) {
    for (const secret of [
      ...keys,
      client_secret,
      client_secret.slice(client_secret.indexOf('_secret_')),
      basic,
    ]) {
      expect(line).not.toContain(secret)
    }
  }
  await world.flushRequestLog()
  const rows = await everyRow()
  expectLogged(rows, `${path}/confirm`)
  for (const [table, text] of rows) for (const key of keys) expect(text.includes(key), table).toBe(false)
  for (const [table, text] of rows) {
    // The intent's own row, and the answers that a retry gets again.
    if (table === 'public.payment_intents' || table === 'public.idempotency_keys') continue
    expect(text.includes(client_secret), table).toBe(false)
  }
})

test.each([
  ['text that cannot be kept', '"\\u0000"'],
  ['a number beyond all numbers', '1e999'],
  ['an object of its own', '{"__proto__":1}'],
])('a card number in the place of a name, with %s, is not repeated to the caller', async (_what, value) => {
  for (const body of [`{"${NUMBER}":${value}}`, `{"metadata":{"${NUMBER}":${value}}}`]) {
    const answer = await rawly(body)
    expect(answer.status).toBe(400)
    expectNoCard(answer.body, 'the answer')
  }
})

test('a card number in a name that a conflict tells of, or percent-encoded in a path, is in no log', async () => {
  const key = { 'idempotency-key': randomUUID() }
  await shop.api.post('/v1/customers', { metadata: { [NUMBER]: 'x' } }, key)
  const conflict = await shop.api.post('/v1/customers', { metadata: { [MISTYPED]: 'x' } }, key)
  expect(conflict.status).toBe(409)
  const groups = NUMBER.match(/\d{1,4}/g) as string[]
  for (const between of ['%20', '%2D', '']) {
    const hidden = between === '' ? `%3${NUMBER[0]}${NUMBER.slice(1)}` : groups.join(between)
    expect((await shop.api.get(`/v1/customers/${hidden}`)).status).toBe(404)
  }
  await eventually(async () => {
    const rows = await world.db.many<{ path: string; differing_params: string[] | null; text: string }>`
      select path, differing_params, to_jsonb(kept)::text as text
      from request_logs as kept
      where account_id = ${shop.account_id}
      order by id`
    const [told] = rows.filter(row => row.differing_params?.[0]?.startsWith('metadata'))
    expect(told?.differing_params).toEqual(['metadata.[redacted]', 'metadata.[redacted]'])
    expect(rows.filter(row => row.path === '/v1/customers/[redacted]')).toHaveLength(3)
    expectNoCard(told?.text ?? '', 'the request log')
  })
})
