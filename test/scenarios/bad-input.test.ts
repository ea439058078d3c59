/**
 * Bad input, every kind at every endpoint, over real sockets: the documented refusal in the one shape, nothing written,
 * nobody kept waiting. The endpoints are those of the reference, so a new one is tried here by being declared.
 */
import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { openapi } from '#http'
import { assert, encodeId, type ErrorBody, errorCodes } from '#kernel'
import { applyProcessorEvent } from '#payments'
import { type Operation, operationsOf } from '../fuzz/requests.ts'
import { countRows } from '../support/audit.ts'
import { disputeNewsOf, eventOf } from '../support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
let port: number
let shop: TestAccount
let books_key: string
let stranger: TestAccount
let operations: Operation[]
/** Ids of the stranger, by the first segment of the path. */
const foreign: Record<string, string> = {}
let foreign_cursor: string
let rows: Record<string, number>

beforeAll(async () => {
  world = await startWorld({ timeouts: { headers_ms: 3_000, request_ms: 4_000 } })
  ;({ port } = await world.server.listen({ port: 0 }))
  shop = await world.account()
  stranger = await world.account()
  operations = operationsOf(openapi(world.endpoints, { title: 'Bursar', version: '2026-11-21' }))
  books_key = await world.key(shop, { kind: 'restricted', scopes: ['ledger_transfers:write'] })
  const { api } = stranger
  const paying = { amount: 1000, currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }
  const { body: customer } = await api.post('/v1/customers')
  await api.post('/v1/customers')
  const { body: intent } = await api.post('/v1/payment_intents', paying)
  const { body: refund } = await api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 1 })
  const dispute = await disputeNewsOf(world, intent.id, { amount: 500n })
  await applyProcessorEvent(world.payments, 'simulator', eventOf(dispute))
  await api.post('/v1/payment_intents', {
    ...paying,
    amount: 100_000,
    payment_method_id: 'pm_card_bypassPending',
  })
  await world.releaseFunds()
  const { body: payout } = await api.post('/v1/payouts', { amount: 1, currency: 'usd' })
  const endpoint = { url: 'https://shop.example/', event_types: ['*'] }
  const { body: webhook } = await api.post('/v1/webhook_endpoints', endpoint)
  const { body: delivery } = await api.post(`/v1/webhook_endpoints/${webhook.id}/test`)
  const { body: replay } = await api.post(`/v1/webhook_endpoints/${webhook.id}/replay`, REPLAY)
  const upload = async (name: string, row: string): Promise<Json> => {
    const at = `/v1/reconciliation_statements?name=${name}.csv`
    return (await api.upload(at, `id,amount,currency\n${row}\n`)).body
  }
  const [statement, bank] = [await upload('ledger', 'a,1,usd'), await upload('bank', 'a,2,usd')]
  const sides = { left_statement_id: statement.id, right_statement_id: bank.id }
  const { body: run } = await api.post('/v1/reconciliation_runs', sides)
  const { body: disputes, headers } = await api.get('/v1/disputes')
  const { body: events } = await api.get('/v1/events')
  const { body: transactions } = await api.get('/v1/balance_transactions')
  Object.assign(foreign, {
    customers: customer.id,
    payment_methods: intent.payment_method_id,
    payment_intents: intent.id,
    charges: intent.latest_charge_id,
    refunds: refund.id,
    disputes: disputes.data[0].id,
    payouts: payout.id,
    request_logs: String(headers['request-id']),
    events: events.data[0].id,
    balance_transactions: transactions.data[0].id,
    webhook_endpoints: webhook.id,
    webhook_deliveries: delivery.id,
    webhook_replays: replay.id,
    reconciliation_statements: statement.id,
    reconciliation_runs: run.id,
    // Of these the shape is enough: parameters are looked at before the object is.
    ledger_accounts: encodeId('la_', randomUUID()),
    ledger_transfers: encodeId('tr_', randomUUID()),
    payment_attempts: encodeId('att_', randomUUID()),
    orphan_captures: encodeId('oc_', randomUUID()),
    reconciliation_decisions: encodeId('rdc_', randomUUID()),
  })
  foreign_cursor = (await api.get('/v1/customers?limit=1')).body.next_cursor
})
afterAll(() => world.close())
beforeEach(async () => {
  rows = await countRows(world)
})
afterEach(async () => {
  const after = await countRows(world)
  assert(JSON.stringify(after) === JSON.stringify(rows), 'what is refused writes nothing')
})

interface Heard {
  status: number
  headers: string
  error: ErrorBody['error']
}

/** Sends bytes on a connection of their own, piece by piece off the list, and hears all until it is closed. */
function talk(rest: (string | Buffer)[], pause_ms = 0): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1')
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk.toString()
    })
    // The other side may close while we still write; what it said first counts.
    socket.on('error', error => (heard === '' ? reject(error) : undefined))
    socket.on('close', () => {
      clearInterval(drip)
      resolve(heard)
    })
    const write = () => {
      const piece = rest.shift()
      if (piece !== undefined && socket.writable) socket.write(piece)
    }
    const drip = pause_ms > 0 ? setInterval(write, pause_ms) : undefined
    if (pause_ms === 0) while (rest.length > 0) write()
  })
}

/** One character at a time. */
const drops = (text: string): string[] => text.split('')

function parsed(text: string): Heard {
  const end = text.indexOf('\r\n\r\n')
  const headers = text.slice(0, end)
  const { error } = JSON.parse(text.slice(end + 4)) as ErrorBody
  expect(headers).toMatch(/^content-type: application\/json/im)
  expect(/^request-id: (req_\w+)/im.exec(headers)?.[1]).toBe(error.request_id)
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(headers)?.[1])
  expect(errorCodes[error.code]).toMatchObject({ status, type: error.type })
  return { status, headers, error }
}

interface Sent {
  headers?: Record<string, string | undefined>
  body?: string | Buffer
  query?: string
}

/** By what stands before the id: decisions of a run are of another resource than the run. */
const pathOf = ({ path }: Operation): string => {
  const [collection = ''] = path.slice('/v1/'.length).split('/{id}')
  return path.replace('{id}', foreign[collection.replace('/', '_')] ?? 'x')
}

async function send(operation: Operation, { headers, body, query = '' }: Sent): Promise<Heard> {
  const all: Record<string, string | undefined> = {
    host: 'localhost',
    connection: 'close',
    authorization: `Bearer ${operation.is_scoped ? books_key : shop.secret_key}`,
    ...(operation.method !== 'GET' && { 'idempotency-key': randomUUID() }),
    ...(body !== undefined && {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(body)),
    }),
    ...headers,
  }
  const lines = Object.entries(all)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}: ${value}`)
  const head = `${operation.method} ${pathOf(operation)}${query} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`
  return parsed(await talk([head, ...(body === undefined ? [] : [body])]))
}

const MEBIBYTE = 1024 * 1024
const deep = (depth: number) => `{"metadata":${'['.repeat(depth)}${']'.repeat(depth)}}`

const writes: [what: string, code: string, sent: Sent][] = [
  ['broken JSON', 'invalid_json', { body: '{"amount":1000' }],
  ['a list in place of the object', 'body_must_be_object', { body: '[]' }],
  ['bytes that are no UTF-8', 'invalid_json', { body: Buffer.from('{"description":"\xff\xfe"}', 'latin1') }],
  ['a NUL character', 'parameter_invalid', { body: '{"description":"a\\u0000b"}' }],
  ['half of a surrogate pair', 'parameter_invalid', { body: '{"metadata":{"k":"\\ud800"}}' }],
  ['ten thousand levels of nesting', 'invalid_json', { body: deep(10_000) }],
  ['a name given twice', 'invalid_json', { body: '{"metadata":{},"metadata":{}}' }],
  ['a prototype', 'parameter_unknown', { body: '{"__proto__":{"admin":true}}' }],
  ['a parameter nobody knows', 'parameter_unknown', { body: '{"amout":1000}' }],
  ['a number beyond all numbers', 'parameter_invalid', { body: '{"amount":1e400}' }],
  [
    'a form',
    'unsupported_media_type',
    { body: 'amount=1000', headers: { 'content-type': 'application/x-www-form-urlencoded' } },
  ],
  ['text', 'unsupported_media_type', { body: '{}', headers: { 'content-type': 'text/plain' } }],
  ['a compressed body', 'unsupported_media_type', { body: '{}', headers: { 'content-encoding': 'gzip' } }],
  ['two megabytes', 'body_too_large', { body: `{"description":"${'x'.repeat(2 * MEBIBYTE)}"}` }],
  [
    'two megabytes in chunks',
    'body_too_large',
    {
      body: `${(2 * MEBIBYTE).toString(16)}\r\n${'x'.repeat(2 * MEBIBYTE)}\r\n0\r\n\r\n`,
      headers: { 'content-length': undefined, 'transfer-encoding': 'chunked' },
    },
  ],
  ['a parameter in the query', 'parameter_unknown', { query: '?amount=1000', body: '{}' }],
  ['no idempotency key', 'missing_idempotency_key', { headers: { 'idempotency-key': undefined } }],
  [
    'an idempotency key of 256 characters',
    'idempotency_key_too_long',
    { headers: { 'idempotency-key': 'k'.repeat(256) } },
  ],
  ['an empty idempotency key', 'idempotency_key_invalid', { headers: { 'idempotency-key': '' } }],
]
const reads: [what: string, code: string, sent: Sent][] = [
  ['a parameter nobody knows', 'parameter_unknown', { query: '?colour=red' }],
  ['a NUL character', 'malformed_request', { query: '?cursor=%00' }],
  ['a prototype', 'parameter_unknown', { query: '?__proto__[x]=1' }],
]
const anything: [what: string, code: string, sent: Sent][] = [
  ['no API key', 'api_key_missing', { headers: { authorization: undefined } }],
  ['a wrong API key', 'api_key_invalid', { headers: { authorization: `Bearer sk_test_${'x'.repeat(33)}` } }],
  ['an API key that is none', 'api_key_invalid', { headers: { authorization: 'Bearer hello' } }],
  ['an unknown version', 'version_unknown', { headers: { 'bursar-version': '1999-01-01' } }],
]

const REPLAY = { created_from: new Date(Date.now() - 3_600_000).toISOString() }
const BY_HAND = { reason: 'It was counted', author: 'Ada Lovelace' }

/** Where a parameter of the query is required. */
const FITTING_QUERY: Record<string, string> = { 'reconciliation_runs.candidates': '?side=left&row=1' }

/** The least that an operation takes, so that only what is tried is wrong. */
function fittingBody({ id, method }: Operation): string | undefined {
  if (method === 'GET') return undefined
  const bodies: Record<string, object> = {
    'payment_intents.create': { amount: 1000, currency: 'usd' },
    'refunds.create': { payment_intent_id: foreign.payment_intents },
    'refunds.update': { metadata: {} },
    'disputes.update': { metadata: {} },
    'payouts.create': { amount: 1, currency: 'usd' },
    'payment_methods.create': {
      type: 'card',
      card: { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' },
    },
    'payment_methods.attach': { customer_id: foreign.customers },
    'webhook_endpoints.create': { url: 'https://shop.example/', event_types: ['*'] },
    'webhook_endpoints.replay': REPLAY,
    'ledger.accounts.update': { ...BY_HAND, debits_must_not_exceed_credits: true },
    'ledger.accounts.close': BY_HAND,
    'ledger.accounts.reopen': BY_HAND,
    'ledger.transfers.create': {
      ...BY_HAND,
      transfers: [{ debit_code: 'bank', credit_code: 'adjustments', amount: 1, currency: 'usd' }],
    },
    'reconciliation_statements.snapshot.create': {
      name: 'November',
      source: 'balance_transactions',
    },
    'reconciliation_runs.create': {
      left_statement_id: foreign.reconciliation_statements,
      right_statement_id: foreign.reconciliation_statements,
    },
    'reconciliation_runs.decisions': { ...BY_HAND, kind: 'write_off', left: [1] },
    'reconciliation_decisions.withdraw': BY_HAND,
    'ledger.closings.create': { ...BY_HAND, closed_before: '2026-01-01T00:00:00Z' },
  }
  return JSON.stringify(bodies[id] ?? {})
}

const isOfOne = ({ path }: Operation): boolean => path.includes('{id}')

describe('every endpoint that writes refuses', () => {
  test.each(writes)('%s: %s', async (_what, code, sent) => {
    const tried = operations.filter(operation => operation.method !== 'GET')
    expect(tried.length).toBeGreaterThan(10)
    for (const operation of tried) {
      const { error } = await send(operation, { body: fittingBody(operation) ?? '', ...sent })
      expect(error.code, `${operation.id}: ${error.message}`).toBe(code)
    }
  })
})

describe('every endpoint that reads refuses', () => {
  test.each(reads)('%s: %s', async (_what, code, sent) => {
    for (const operation of operations.filter(({ method }) => method === 'GET')) {
      expect((await send(operation, sent)).error.code, operation.id).toBe(code)
    }
  })

  test.each([
    ['limit=0', 'parameter_invalid_integer'],
    ['limit=101', 'parameter_invalid_integer'],
    ['limit=1.5', 'parameter_invalid_integer'],
    ['limit=ten', 'parameter_invalid_integer'],
    ['limit=1&limit=2', 'parameter_invalid'],
    ['created_at[gte]=yesterday', 'parameter_invalid'],
    ['expand[]=everything', 'expand_invalid'],
    ['cursor=x', 'invalid_cursor'],
  ])('a list asked with %s: %s', async (query, code) => {
    const [, param = ''] = /^(\w+)/.exec(query) ?? []
    const takes = ({ query: known }: Operation) => Object.keys(known).some(name => name.startsWith(param))
    // A list of one object's asks for the object before it looks into the cursor.
    const lists = operations.filter(({ query: known }) => 'cursor' in known)
    for (const operation of lists.filter(list => takes(list) && (param !== 'cursor' || !isOfOne(list)))) {
      expect((await send(operation, { query: `?${query}` })).error.code, operation.id).toBe(code)
    }
  })

  test("another account's cursor, another list's, and one used with other filters: invalid_cursor", async () => {
    const lists = operations.filter(operation => 'cursor' in operation.query && !isOfOne(operation))
    for (const operation of lists) {
      const { error } = await send(operation, { query: `?cursor=${foreign_cursor}` })
      expect(error.code, operation.id).toBe('invalid_cursor')
    }
    const list = lists.find(({ path }) => path === '/v1/customers') as Operation
    const headers = { authorization: `Bearer ${stranger.secret_key}` }
    const query = `?cursor=${foreign_cursor}&created_at[gte]=2026-01-01T00:00:00Z`
    expect((await send(list, { headers, query })).error.code).toBe('invalid_cursor')
  })
})

describe('every endpoint refuses', () => {
  test.each(anything)('%s: %s', async (_what, code, sent) => {
    for (const operation of operations) {
      const { error } = await send(operation, sent)
      expect(error.code, `${operation.id}: ${error.message}`).toBe(code)
    }
  })

  test('a publishable key where a secret one is needed, and a browser without the secret of its intent', async () => {
    const headers = { authorization: `Bearer ${await world.key(shop, { kind: 'publishable' })}` }
    rows = await countRows(world)
    for (const operation of operations) {
      if (operation.id === 'payment_methods.create') continue
      const { status, error } = await send(operation, { headers })
      if (operation.is_publishable) expect([400, 404], operation.id).toContain(status)
      else expect(error.code, operation.id).toBe('secret_key_required')
    }
  })

  test('a restricted key without the scope', async () => {
    const headers = {
      authorization: `Bearer ${await world.key(shop, { kind: 'restricted', scopes: ['ledger:read'] })}`,
    }
    for (const operation of operations) {
      expect((await send(operation, { headers })).error.code, operation.id).toBe('scope_missing')
    }
  })

  test("another account's object, and the same object with a key of the other mode", async () => {
    const live = await world.key(stranger, { kind: 'secret', livemode: true })
    const named = operations.filter(({ path }) => path.includes('{id}'))
    expect(named.length).toBeGreaterThan(12)
    for (const operation of named) {
      const body = fittingBody(operation)
      for (const key of [shop.secret_key, live]) {
        const { status, error } = await send(operation, {
          headers: { authorization: `Bearer ${key}` },
          query: FITTING_QUERY[operation.id] ?? '',
          ...(body !== undefined && { body }),
        })
        expect([status, error.code], operation.id).toEqual([404, 'resource_missing'])
      }
    }
  })
})

describe('an amount', () => {
  const bad: [text: string, code: string][] = [
    ['0', 'parameter_invalid_integer'],
    ['-0', 'parameter_invalid_integer'],
    ['-1', 'parameter_invalid_integer'],
    ['-1000', 'parameter_invalid_integer'],
    ['10.5', 'parameter_invalid_integer'],
    ['1e-3', 'parameter_invalid_integer'],
    ['1e21', 'parameter_invalid_integer'],
    ['9007199254740992', 'parameter_invalid_integer'],
    ['9223372036854775808', 'parameter_invalid_integer'],
    ['1e400', 'parameter_invalid'],
    ['"1000"', 'parameter_invalid_integer'],
    ['true', 'parameter_invalid_integer'],
    ['null', 'parameter_invalid_integer'],
    ['[1000]', 'parameter_invalid_integer'],
    ['{}', 'parameter_invalid_integer'],
  ]
  test.each(bad)('of %s is refused wherever one is taken: %s', async (text, code) => {
    for (const operation of operations) {
      const name = ['amount', 'amount_to_capture'].find(name => operation.body?.properties?.[name])
      if (!name) continue
      const others = Object.entries(JSON.parse(fittingBody(operation) ?? '{}') as Json)
      const members = others
        .filter(([other]) => other !== name)
        .map(([other, value]) => `${JSON.stringify(other)}:${JSON.stringify(value)}`)
      const { status, error } = await send(operation, {
        body: `{${[...members, `"${name}":${text}`].join(',')}}`,
      })
      expect([status, error.code, error.param], operation.id).toEqual([400, code, name])
    }
  })

  const create = () => operations.find(({ id }) => id === 'payment_intents.create') as Operation
  test.each([
    ['usd', 49, 'amount_too_small'],
    ['jpy', 49, 'amount_too_small'],
    ['usd', 1_000_000_000, 'amount_too_large'],
    ['xxx', 1000, 'currency_unknown'],
    ['USD', 1000, 'currency_unknown'],
    ['', 1000, 'currency_unknown'],
    ['dollars', 1000, 'currency_unknown'],
  ])('in %s of %i: %s', async (currency, amount, code) => {
    expect((await send(create(), { body: JSON.stringify({ amount, currency }) })).error.code).toBe(code)
  })
})

describe('who is slow', () => {
  test('with the headers, or with the body, is told so and let go', async () => {
    const head = `POST /v1/customers HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer ${shop.secret_key}\r\n`
    const with_body = `${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n`
    const dripping: string[][] = [
      drops(`${head}x-slow: ${'.'.repeat(100)}`),
      [with_body, ...drops('{"name":"'.repeat(20))],
    ]
    const heard = await Promise.all([
      talk([head], 0),
      talk([`${with_body}{"na`], 0),
      ...dripping.map(pieces => talk(pieces, 40)),
    ])
    for (const text of heard)
      expect(parsed(text)).toMatchObject({ status: 408, error: { code: 'request_timeout' } })
    // Sooner than the drops had ended.
    for (const left of dripping) expect(left.length).toBeGreaterThan(0)
  })

  test('keeps nobody else waiting, even two hundred at once', async () => {
    let let_go = 0
    const slow = Array.from({ length: 200 }, async () => {
      const text = await talk(['GET /v1/customers HTTP/1.1\r\nhost: localhost\r\nx-slow: '], 0)
      let_go += 1
      return text
    })
    const answer = await fetch(`http://127.0.0.1:${port}/v1/balance`, {
      headers: { authorization: `Bearer ${shop.secret_key}` },
    })
    expect(answer.status).toBe(200)
    await answer.text()
    expect(let_go).toBeLessThan(slow.length)
    for (const text of await Promise.all(slow)) expect(parsed(text).status).toBe(408)
  })
})
