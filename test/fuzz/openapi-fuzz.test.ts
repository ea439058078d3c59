/**
 * Thousands of requests made from the API's own description, right ones and wrong ones mixed. Whatever arrives is
 * answered in the one shape of answers, with a documented code, never with a failure of ours; and what is refused has
 * written nothing, in no table. `FUZZ_SEED` and `FUZZ_REQUESTS` go on where the suite stops.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type InjectedResponse, openapi, revokeApiKey } from '#http'
import { type ErrorBody, errorCodes, systemClock } from '#kernel'
import { createApiKey } from '#http'
import { countRows } from '../support/audit.ts'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'
import { type Dice, dice as throwDice } from '../support/dice.ts'
import type { FlawContext } from './flaw.ts'
import { flaws } from './flaws.ts'
import { draft, type Operation, operationsOf, Pool, written } from './requests.ts'

const SEED = Number(process.env.FUZZ_SEED ?? 20_261_121)
const REQUESTS = Number(process.env.FUZZ_REQUESTS ?? 10_000)
/** Of these a round is made: first some that may succeed, so that there is something to refuse. */
const RIGHT = 100
const WRONG = 300
const ROUNDS = Math.ceil(REQUESTS / (RIGHT + WRONG))
/** Requests under way at once. */
const TOGETHER = 50
/** Half a minute is usual for the suite's ten thousand; this ends what hangs. */
const TIMEOUT_MS = 60_000 + REQUESTS * 60

/** Where most can go wrong, most is tried. */
const WEIGHTS: Record<string, number> = {
  'payment_intents.create': 6,
  'payment_intents.confirm': 3,
  'refunds.create': 3,
  'payment_methods.attach': 2,
}

let world: World
let shop: TestAccount
let books_key: string
let operations: Operation[]
let context: Omit<FlawContext, 'dice'>
const pool = new Pool()

beforeAll(async () => {
  world = await startWorld()
  shop = await world.account()
  operations = operationsOf(openapi(world.endpoints, { title: 'Bursar', version: '2026-11-21' })).flatMap(
    operation => Array<Operation>(WEIGHTS[operation.id] ?? 1).fill(operation),
  )
  const expired = await createApiKey(world.db, systemClock, {
    account_id: shop.account_id,
    livemode: false,
    kind: 'secret',
    expires_at: new Date(systemClock.now().getTime() - 1),
  })
  const revoked = await createApiKey(world.db, systemClock, {
    account_id: shop.account_id,
    livemode: false,
    kind: 'secret',
  })
  await revokeApiKey(world.db, systemClock, { account_id: shop.account_id, id: revoked.id })
  const foreign = new Pool()
  books_key = await world.key(shop, { kind: 'restricted', scopes: ['ledger_transfers:write'] })
  context = {
    foreign,
    cursors: await strangersWork(foreign),
    keys: {
      publishable: await world.key(shop, { kind: 'publishable' }),
      restricted: await world.key(shop, { kind: 'restricted', scopes: ['events:read'] }),
      live: await world.key(shop, { kind: 'secret', livemode: true }),
      revoked: revoked.key,
      expired: expired.key,
    },
  }
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

/** Another account with some of everything; answers cursors of its lists. */
async function strangersWork(foreign: Pool): Promise<string[]> {
  const { api } = await world.account()
  const paying = { amount: 1000, currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }
  for (let n = 0; n < 3; n++) {
    foreign.gather((await api.post('/v1/customers')).text)
    const { text, body } = await api.post('/v1/payment_intents', paying)
    foreign.gather(text)
    foreign.gather((await api.post('/v1/refunds', { payment_intent_id: body.id, amount: 10 })).text)
  }
  // A list within an object has a path of its own for each; those of the collections are enough.
  const lists = [...new Set(operations)].filter(({ query, path }) => 'cursor' in query && !path.includes('{'))
  const pages = await Promise.all(lists.map(operation => api.get(`${operation.path}?limit=1`)))
  for (const page of pages) foreign.gather(page.text)
  return pages.map(page => page.body.next_cursor as string | null).filter(cursor => cursor !== null)
}

interface Sent {
  flaws: string[]
  request: ReturnType<typeof written>
  statuses: number[]
}

/** Fails with what one needs to see it again. */
function expectThat(is_so: boolean, what: string, { flaws, request }: Sent, answer?: InjectedResponse): void {
  if (is_so) return
  const body = request.body && request.body.length > 2_000 ? `${request.body.slice(0, 2_000)}…` : request.body
  throw new Error(
    `${what}\nFUZZ_SEED=${SEED}\nflaws: ${flaws.join(', ') || 'none'}\n` +
      `request: ${JSON.stringify({ ...request, body }, null, 1)}\n` +
      (answer ? `answer: ${answer.status} ${answer.body.slice(0, 2_000)}` : ''),
  )
}

const ERROR_FIELDS = new Set([
  'type',
  'code',
  'message',
  'param',
  'request_id',
  'doc_url',
  'decline_code',
  'payment_intent',
  'params',
  'original_request',
  'refusal',
])

function checkAnswer(sent: Sent, answer: InjectedResponse): void {
  const check = (is_so: boolean, what: string) => expectThat(is_so, what, sent, answer)
  const request_id = answer.headers['request-id']
  check(/^req_[0-9a-z]{26}$/.test(String(request_id)), 'an answer has a Request-Id')
  check(answer.headers['bursar-version'] === '2026-11-21', 'an answer names its version')
  check(String(answer.headers['content-type']).startsWith('application/json'), 'an answer is JSON')
  check(answer.status < 500, 'nothing a caller sends is a failure of ours')
  if (answer.status === 200) {
    check(sent.statuses.length === 0, 'what is wrong is refused')
    pool.gather(answer.body)
    return
  }
  const { error } = JSON.parse(answer.body) as ErrorBody
  const rule = errorCodes[error.code]
  check(rule !== undefined, 'the code is in the table')
  check(rule.status === answer.status && rule.type === error.type, 'status and type are those of the code')
  check(
    Object.keys(error).every(field => ERROR_FIELDS.has(field)),
    'an error has no other fields',
  )
  const original = answer.headers['original-request']
  check(error.request_id === request_id || error.request_id === original, 'an error names its request')
  check(error.param === null || /^[A-Za-z_][\w[\].-]*$/.test(error.param), 'param is a path')
  check(error.message.length > 10 && error.message.length < 300, 'a message is a sentence')
  check(
    !/\n|\.ts:|node:|Error:|select |undefined|\[object/.test(error.message),
    'a message is meant for the caller',
  )
  if (sent.statuses.length > 0)
    check(sent.statuses.includes(answer.status), `refused with ${sent.statuses.join(' or ')}`)
}

async function sendAll(all: readonly Sent[]): Promise<InjectedResponse[]> {
  const answers: InjectedResponse[] = []
  for (let from = 0; from < all.length; from += TOGETHER) {
    const some = all.slice(from, from + TOGETHER)
    answers.push(...(await Promise.all(some.map(({ request }) => world.server.inject(request)))))
  }
  all.forEach((sent, i) => checkAnswer(sent, answers[i] as InjectedResponse))
  return answers
}

function drafted(dice: Dice) {
  const operation = dice.pick(operations)
  return draft(operation, pool, dice, operation.is_scoped ? books_key : shop.secret_key)
}

const right = (dice: Dice): Sent => ({
  flaws: [],
  request: written(drafted(dice)),
  statuses: [],
})

/** A request with one flaw, and now and then with two. */
function wrong(dice: Dice): Sent {
  for (;;) {
    const made = drafted(dice)
    const names: string[] = []
    const statuses: number[] = []
    const wanted = dice.oneIn(5) ? 2 : 1
    for (let tries = 0; tries < 10 && names.length < wanted; tries++) {
      const name = dice.pick(Object.keys(flaws))
      // Where a second flaw would mend the first (a body given whole), the first stands alone.
      if (names.includes(name) || made.raw_body !== undefined) continue
      const refused = flaws[name]?.(made, { ...context, dice })
      if (refused) {
        names.push(name)
        statuses.push(...refused)
      }
    }
    if (names.length > 0) return { flaws: names, request: written(made), statuses }
  }
}

/** Sent again one by one, until the one that writes is found. */
async function nameTheWriter(all: readonly Sent[]): Promise<never> {
  for (const sent of all) {
    const before = await countRows(world)
    const answer = await world.server.inject(sent.request)
    expectThat(
      JSON.stringify(await countRows(world)) === JSON.stringify(before),
      'what is refused writes nothing',
      sent,
      answer,
    )
  }
  throw new Error(`what is refused writes nothing, but one of a batch did, and not again (FUZZ_SEED=${SEED})`)
}

test(
  `${ROUNDS * (RIGHT + WRONG)} requests made from the reference are answered as it says, and refused ones write nothing`,
  async () => {
    const dice = throwDice(SEED)
    const statuses = new Map<number, number>()
    const struck = new Set<string>()
    const refused_by_state: Sent[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const rights = Array.from({ length: RIGHT }, () => right(dice))
      const answers = await sendAll(rights)
      const wrongs = Array.from({ length: WRONG }, () => wrong(dice))
      const before = await countRows(world)
      answers.push(...(await sendAll(wrongs)))
      if (JSON.stringify(await countRows(world)) !== JSON.stringify(before)) await nameTheWriter(wrongs)
      for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1)
      for (const { flaws } of wrongs) for (const flaw of flaws) struck.add(flaw)
      refused_by_state.push(...rights.filter((_, i) => [400, 404, 409].includes(answers[i]?.status ?? 0)))
    }
    expect([...struck].sort()).toEqual(Object.keys(flaws).sort())
    // A fuzz in which everything is refused has tried nothing.
    expect(statuses.get(200) ?? 0).toBeGreaterThan((ROUNDS * RIGHT) / 3)
    expect(refused_by_state.length).toBeGreaterThan(0)
    for (const sent of refused_by_state.slice(-100)) {
      const before = await countRows(world)
      const answer = await world.server.inject(sent.request)
      if (answer.status === 200 || answer.status === 402) continue
      const is_same = JSON.stringify(await countRows(world)) === JSON.stringify(before)
      expectThat(is_same, 'what is refused for the state of its object writes nothing', sent, answer)
    }
    expect(world.lines.filter(line => line.includes('"level":"error"'))).toEqual([])
  },
  TIMEOUT_MS,
)
