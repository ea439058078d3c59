/**
 * "One request in twenty fails with key reused": a shop makes its Idempotency-Keys from the second of the day, so two
 * customers in one second get one key. What its operator then sees: the query of the runbook, the command line, the API
 * and the metrics name the account, the API key and both requests; and the books say that nobody was charged wrongly.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { raw } from '#db'
import { encodeId } from '#kernel'
import { metricsText } from '#metrics'
import {
  eventually,
  type Json,
  type Reply,
  startWorld,
  type TestAccount,
  type World,
} from '../support/testing.ts'

const PROJECT = join(import.meta.dirname, '..', '..')

/** Twenty payments fall into nineteen seconds: one conflict in twenty, again and again. */
const PAYMENTS = 100
const SECOND_OF = Array.from({ length: PAYMENTS }, (_, n) => n - Math.floor((n + 1) / 20))
const CONFLICTS = 5
const REUSED = ['pay-18', 'pay-37', 'pay-56', 'pay-75', 'pay-94']

let world: World
let careless: TestAccount
let careful: TestAccount
let careless_key_id: string
const replies: Reply[] = []

beforeAll(async () => {
  world = await startWorld()
  careless = await world.account()
  careful = await world.account()
  for (const [n, second] of SECOND_OF.entries()) {
    const order = { currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }
    replies.push(
      await careless.api.post(
        '/v1/payment_intents',
        { ...order, amount: 1_000 + n, metadata: { order_id: String(n) } },
        { 'idempotency-key': `pay-${second}` },
      ),
    )
    if (n % 10 === 0) await careful.api.post('/v1/payment_intents', { ...order, amount: 500 })
  }
  await world.flushRequestLog()
  careless_key_id = encodeId('key_', await keyIdOf(careless))
})
afterAll(() => world.close())

const refused = () => replies.filter(({ status }) => status !== 200)
const keyIdOf = async ({ account_id }: TestAccount) =>
  (
    await world.db.one<{ id: string }>`
    select id
    from api_keys
    where account_id = ${account_id} and kind = 'secret'`
  ).id

async function bursar(...args: string[]): Promise<Json> {
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [join(PROJECT, 'src', 'cli.ts'), 'requests', ...args],
    { cwd: PROJECT, env: { ...process.env, DATABASE_URL: world.url } },
  )
  return args.includes('--json') ? (JSON.parse(stdout) as Json) : stdout
}

test('one payment in twenty is refused, and nobody is charged wrongly', async () => {
  expect(refused().map(({ body }) => body.error.code)).toEqual(Array(CONFLICTS).fill('idempotency_conflict'))
  const charged = replies.filter(({ status }) => status === 200).map(({ body }) => body.amount as number)
  expect(new Set(charged).size).toBe(PAYMENTS - CONFLICTS)
  const moved = (await world.book()).filter(({ type }) => type === 'capture').map(({ amount }) => amount)
  expect(moved.filter(amount => amount >= 1_000)).toEqual(charged)
  await world.verifyLedger()
})

test('the queries of the runbook name the account, the API key and the reused keys', async () => {
  const page = readFileSync(join(PROJECT, 'docs', 'runbooks', 'idempotency-keys-reused.md'), 'utf8')
  const queries = [...page.matchAll(/^```sql\n([\s\S]*?);\n```$/gm)].map(([, query = '']) => query)
  expect(queries.length).toBe(3)
  const ask = (query = '') =>
    world.db.many<Json>`${raw(query.replace('00000000-0000-0000-0000-000000000000', careless.account_id))}`
  const rates = await ask(queries[0])
  expect(rates).toMatchObject([
    { api_key_id: await keyIdOf(careless), requests: 100n, conflicts: 5n, percent: '5.00', reused_keys: 5n },
  ])
  const reused = await ask(queries[1])
  expect(reused.map(row => row.idempotency_key)).toEqual(REUSED.toReversed())
  expect(reused[0]).toMatchObject({ differing_params: ['amount', 'metadata.order_id'], method: 'POST' })
  // The accounts of tests are in test mode; the page asks for what was lost in live mode.
  expect(await ask(queries[2])).toEqual([])
  const lost = await ask(queries[2]?.replace('and livemode', 'and not livemode'))
  expect(lost.map(row => row.idempotency_key)).toEqual(REUSED)
})

test('the command line names the API key with its rate, and shows both requests', async () => {
  const { rates, keys } = await bursar('conflicts', '--json')
  expect(rates).toMatchObject([
    {
      account_id: encodeId('acct_', careless.account_id),
      api_key_id: careless_key_id,
      requests: 100,
      conflicts: 5,
      keys: 5,
      rate: 0.05,
    },
  ])
  expect(keys.length).toBe(5)
  expect(keys[0]).toMatchObject({ conflicts: 1, route: 'POST /v1/payment_intents' })
  const shown = await bursar('show', keys[0].request_id, '--json')
  expect(shown).toMatchObject({
    request: { id: keys[0].request_id, status: 409 },
    original: { id: keys[0].original_request_id, status: 200, source: 'request_log' },
  })
  expect(shown.differences.map((one: Json) => one.param)).toEqual(['amount', 'metadata.order_id'])
  expect(shown.differences[0].conflicting - shown.differences[0].original).toBe(1)
  const text = await bursar('conflicts', '--since', '2h')
  expect(text).toContain('5.00 %')
  expect(text).toContain(careless_key_id)
  const other = await bursar('conflicts', '--account', encodeId('acct_', careful.account_id), '--json')
  expect(other).toMatchObject({ rates: [], keys: [] })
  const failed = await bursar('list', '--status', '4xx', '--json')
  expect(failed.data.length).toBe(5)
  expect((await bursar('list', '--key', 'pay-18', '--json')).data.map((row: Json) => row.status)).toEqual([
    409, 200,
  ])
  await expect(bursar('show', 'req_01jd3x0yfae4qa9vrf2kz5m8wt')).rejects.toThrow(/no request/)
  await expect(bursar('conflicts', '--since', 'long')).rejects.toThrow(/--since must be/)
})

test('the account itself sees them by its own key', async () => {
  const list = await careless.api.get('/v1/request_logs?error_code=idempotency_conflict&limit=10')
  expect(list.body.data.length).toBe(CONFLICTS)
  const { body } = await careless.api.get(`/v1/request_logs/${list.body.data[0].id}/comparison`)
  expect(body.request.params.amount - body.original.params.amount).toBe(1)
  expect(body.original.answer.status).toBe('succeeded')
})

test('the metrics name account and API key, above the rate of the alert', async () => {
  await eventually(async () => {
    const metrics = await metricsText()
    const labels = `account="${encodeId('acct_', careless.account_id)}",api_key="${careless_key_id}"`
    expect(metrics).toContain(`bursar_idempotency_conflicts_total{${labels},kind="conflict"} ${CONFLICTS}`)
    expect(metrics).toContain(
      `bursar_idempotency_requests_total{${labels},outcome="first"} ${PAYMENTS - CONFLICTS}`,
    )
  })
  expect(await metricsText()).not.toContain(
    `bursar_idempotency_conflicts_total{account="${encodeId('acct_', careful.account_id)}"`,
  )
})
