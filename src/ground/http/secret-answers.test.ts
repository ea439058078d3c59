import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { sql } from '#db'
import { ApiError, systemClock } from '#kernel'
import { createLog } from '#metrics'
import { endpoint } from './declare.ts'
import { type RequestLog, startRequestLog } from './request-log/write.ts'
import { nullable, object } from './schema.ts'
import { createServer } from './server.ts'
import { type TestAccount, type TestApi, testApi } from './testing.ts'

// Any registered name will do.
const Token = object('payout', 'po_', { secret: nullable(z.string()) })
const ID = '0198c0de-0000-7000-8000-000000000000'
let made = 0

const makeToken = endpoint({
  route: 'POST /v1/tokens',
  summary: 'Makes a secret and shows it once.',
  resource: 'tokens',
  params: z.strictObject({ is_refused: z.boolean().default(false) }),
  returns: Token,
  has_secret_answer: true,
  run: (context, { is_refused }) =>
    context.finish('made', async () => {
      made += 1
      return is_refused ? new ApiError('card_declined') : { id: ID, secret: `whsec_Abc+/${made}+tail==` }
    }),
})

let api: TestApi
let request_log: RequestLog

/** The server is made before there is a database to write to. */
const late: RequestLog = {
  note: request => request_log.note(request),
  flush: () => request_log.flush(),
  stop: () => request_log.stop(),
}

beforeAll(async () => {
  api = await testApi([makeToken], { request_log: late })
  request_log = startRequestLog({ db: api.db, log: createLog({ level: 'silent' }) })
})
afterAll(async () => {
  await request_log.stop()
  await api.close()
})

const make = (shop: TestAccount, key: string, body: object = {}) =>
  shop.send('POST /v1/tokens', body, { 'idempotency-key': key })
const keptAs = async ({ account_id }: TestAccount): Promise<string[]> => {
  const rows = await api.db.many<{ body: string }>`
    select body from idempotency_keys where account_id = ${account_id}`
  return rows.map(row => row.body)
}

test('a secret answer is given again byte for byte, and kept in no row as it is', async () => {
  const shop = await api.account()
  const first = await make(shop, 'a')
  expect(first.body).toMatch(/"secret":"whsec_Abc\+\/\d+\+tail=="/)
  const again = await make(shop, 'a')
  expect([again.status, again.body, again.headers['idempotent-replayed']]).toEqual([200, first.body, 'true'])
  const [body = ''] = await keptAs(shop)
  expect(body).toMatch(/^sealed:/)
  expect(Buffer.from(body.slice('sealed:'.length), 'base64').toString('latin1')).not.toContain('whsec_')
})

test('a refusal shows no secret and is kept as any other', async () => {
  const shop = await api.account()
  const first = await make(shop, 'b', { is_refused: true })
  expect(first.status).toBe(402)
  expect((await make(shop, 'b', { is_refused: true })).body).toBe(first.body)
  expect(await keptAs(shop)).toEqual([first.body])
})

test('what is sealed for one key is not given for another, nor by another installation', async () => {
  const shop = await api.account()
  await make(shop, 'c')
  await make(shop, 'd')
  const rows = sql`account_id = ${shop.account_id} and key = 'd'`
  await api.db.run`
    update idempotency_keys
    set body = (select body from idempotency_keys where account_id = ${shop.account_id} and key = 'c')
    where ${rows}`
  const swapped = await make(shop, 'd')
  expect([swapped.status, swapped.body.includes('whsec_')]).toEqual([500, false])
  const other = createServer({
    endpoints: [makeToken],
    db: api.db,
    clock: systemClock,
    log: createLog({ level: 'silent' }),
    secret: 'another installation',
  })
  const headers = { authorization: `Bearer ${shop.key}`, 'idempotency-key': 'c' }
  const answer = await other.inject({ method: 'POST', url: '/v1/tokens', headers })
  expect(answer.status).toBe(500)
  await other.close(1_000)
})

test('no log line and no row of the request log has it', async () => {
  const shop = await api.account()
  await make(shop, 'e')
  await make(shop, 'e')
  await request_log.flush()
  const rows = await api.db.many<{ answer: string }>`
    select answer from request_logs where account_id = ${shop.account_id}`
  expect(rows.map(row => JSON.parse(row.answer) as object)).toEqual(
    Array(2).fill(expect.objectContaining({ secret: '[redacted]' })),
  )
  expect(api.lines.length).toBeGreaterThan(1)
  expect(JSON.stringify(api.lines)).not.toContain('Abc+/')
})
