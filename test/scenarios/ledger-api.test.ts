/**
 * The books through the API: reading them, adjusting them by hand, limits, closed accounts and closed periods.
 *
 * @every-postgresql the books' own functions, each reached by a request.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
let account: TestAccount
beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const SAID = { reason: 'Cash found in the drawer', author: 'Ada Lovelace' }
const line = (fields: object = {}) => ({
  debit_code: 'bank',
  credit_code: 'adjustments',
  amount: 500,
  currency: 'usd',
  ...fields,
})
const adjust = async (of: TestAccount, transfers: object[], fields: object = {}) =>
  (await world.accountant(of)).post('/v1/ledger/transfers', { ...SAID, transfers, ...fields })
const accountOf = async (of: TestAccount, code: string, currency = 'usd'): Promise<Json> =>
  (await of.api.get(`/v1/ledger/accounts?code=${code}&currency=${currency}`)).body.data[0]

test('an adjustment posts with its reason, and its author with the key that was used', async () => {
  const { status, body } = await adjust(account, [line()])
  expect(status).toBe(200)
  const [transfer] = body.transfers
  expect(transfer).toMatchObject({ kind: 'post', amount: 500, reason: SAID.reason })
  expect(transfer.author).toMatch(/^Ada Lovelace \(key_[0-9a-z]{26}\)$/)
  expect(transfer.source_id).toMatch(/^req_/)
  expect(transfer.entries).toMatchObject([
    { side: 'debit', amount: 500, balance: 500 },
    { side: 'credit', amount: 500, balance: 500 },
  ])
  const read = await account.api.get(`/v1/ledger/transfers/${transfer.id}`)
  expect(read.body).toEqual(transfer)
  const bank = await accountOf(account, 'bank')
  expect(bank).toMatchObject({ balance: 500, normal_side: 'debit', owner_id: null, closed_at: null })
})

test('a voucher is posted all or none, and its refusal leaves no trace', async () => {
  const of = await world.account()
  const good = await adjust(of, [
    line(),
    line({ debit_code: 'adjustments', credit_code: 'write_offs', amount: 20 }),
  ])
  expect(good.status).toBe(200)
  const [first, second] = good.body.transfers
  expect(first.linked_id).not.toBeNull()
  expect(second.linked_id).toBe(first.linked_id)
  const before = (await of.api.get('/v1/ledger/trial_balance')).text
  const bad = await adjust(of, [line(), line({ credit_code: 'bank' })])
  expect(bad).toMatchObject({
    status: 400,
    body: {
      error: {
        code: 'parameter_invalid',
        param: 'transfers[1].credit_account_id',
        refusal: 'accounts_must_differ',
      },
    },
  })
  expect((await of.api.get('/v1/ledger/trial_balance')).text).toBe(before)
  expect((await of.api.get('/v1/ledger/transfers')).body.data).toHaveLength(2)
})

test('the same key posts a voucher once', async () => {
  const of = await world.account()
  const key = { 'idempotency-key': 'voucher 7' }
  const body = { ...SAID, transfers: [line()] }
  const books = await world.accountant(of)
  const first = await books.post('/v1/ledger/transfers', body, key)
  const again = await books.post('/v1/ledger/transfers', body, key)
  expect(again.text).toBe(first.text)
  expect((await accountOf(of, 'bank')).balance).toBe(500)
})

test('a pending by hand is reserved, then posted in part or voided, once', async () => {
  const of = await world.account()
  const held = (await adjust(of, [line({ kind: 'pending' })])).body.transfers[0]
  expect(held.entries).toEqual([])
  expect(await accountOf(of, 'bank')).toMatchObject({ balance: 0, balance_with_pending: 500 })
  const too_much = await adjust(of, [{ kind: 'post_pending', pending_id: held.id, amount: 501 }])
  expect(too_much.body.error).toMatchObject({ param: 'transfers[0].amount', refusal: 'exceeds_pending' })
  const posted = await adjust(of, [{ kind: 'post_pending', pending_id: held.id, amount: 300 }])
  expect(posted.body.transfers[0].entries).toHaveLength(2)
  expect(await accountOf(of, 'bank')).toMatchObject({ balance: 300, balance_with_pending: 300 })
  const again = await adjust(of, [{ kind: 'void_pending', pending_id: held.id }])
  expect(again.body.error.code).toBe('ledger_pending_unexpected_state')
  const resolution = await of.api.get(`/v1/ledger/transfers?pending_id=${held.id}`)
  expect(resolution.body.data.map((found: Json) => found.id)).toEqual([posted.body.transfers[0].id])
})

test("a payment's hold is not resolved by hand: what the processor then moves could not be recorded", async () => {
  const of = await world.account()
  const paying = { amount: 5_000, currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }
  const intent = (await of.api.post('/v1/payment_intents', { ...paying, capture_method: 'manual' })).body
  const [hold] = (await of.api.get(`/v1/ledger/transfers?source_id=${intent.id}`)).body.data
  expect(hold.kind).toBe('pending')
  for (const kind of ['void_pending', 'post_pending']) {
    const refused = await adjust(of, [line(), { kind, pending_id: hold.id }])
    expect(refused).toMatchObject({
      status: 400,
      body: { error: { code: 'ledger_pending_unexpected_state', param: 'transfers[1].pending_id' } },
    })
  }
  const captured = await of.api.post(`/v1/payment_intents/${intent.id}/capture`)
  expect(captured.body).toMatchObject({ status: 'succeeded', amount_received: 5_000 })
})

const NEVER_THERE = 'la_01jd3x0yfae4qa9vrf2kz5m8wt'
const AHEAD = (days: number) => new Date(Date.now() + days * 86_400_000).toISOString()

test.each<[name: string, transfers: object[], fields: object, error: object]>([
  ['no reason', [line()], { reason: undefined }, { code: 'parameter_missing', param: 'reason' }],
  ['an empty reason', [line()], { reason: '  ' }, { code: 'parameter_invalid', param: 'reason' }],
  [
    'a reason too long',
    [line()],
    { reason: 'x'.repeat(501) },
    { code: 'parameter_invalid', param: 'reason' },
  ],
  ['no author', [line()], { author: undefined }, { code: 'parameter_missing', param: 'author' }],
  ['no transfers', [], {}, { code: 'parameter_invalid', param: 'transfers' }],
  [
    'too many',
    Array.from({ length: 101 }, () => line()),
    {},
    { code: 'parameter_invalid', param: 'transfers' },
  ],
  ['an unknown code', [line({ debit_code: 'petty_cash' })], {}, { param: 'transfers[0].debit_code' }],
  [
    'both names of a side',
    [line({ debit_account_id: NEVER_THERE })],
    {},
    { param: 'transfers[0].debit_account_id' },
  ],
  [
    'neither name of a side',
    [line({ debit_code: undefined })],
    {},
    { param: 'transfers[0].debit_account_id' },
  ],
  [
    'an account that is not there',
    [line({ debit_code: undefined, debit_account_id: NEVER_THERE })],
    {},
    { code: 'resource_missing', param: 'transfers[0].debit_account_id' },
  ],
  ['amount zero', [line({ amount: 0 })], {}, { param: 'transfers[0].amount' }],
  ['an amount in decimals', [line({ amount: 1.5 })], {}, { code: 'parameter_invalid_integer' }],
  ['an amount beyond int64', [line({ amount: 1e19 })], {}, { code: 'parameter_invalid_integer' }],
  ['an amount as text', [line({ amount: '9223372036854775808' })], {}, { code: 'parameter_invalid_integer' }],
  [
    'no amount',
    [line({ amount: undefined })],
    {},
    { code: 'parameter_missing', param: 'transfers[0].amount' },
  ],
  ['an unknown currency', [line({ currency: 'xxx' })], {}, { code: 'currency_unknown' }],
  ['no currency', [line({ currency: undefined })], {}, { param: 'transfers[0].currency' }],
  [
    'a pending_id in a post',
    [line({ pending_id: 'tr_01jd3x0yfae4qa9vrf2kz5m8wt' })],
    {},
    { param: 'transfers[0].pending_id' },
  ],
  ['an expiry in a post', [line({ expires_at: AHEAD(1) })], {}, { param: 'transfers[0].expires_at' }],
  [
    'an expiry in the past',
    [line({ kind: 'pending', expires_at: AHEAD(-1) })],
    {},
    { param: 'transfers[0].expires_at' },
  ],
  [
    'an expiry too far',
    [line({ kind: 'pending', expires_at: AHEAD(367) })],
    {},
    { param: 'transfers[0].expires_at' },
  ],
  [
    'a void without its pending',
    [{ kind: 'void_pending' }],
    {},
    { code: 'parameter_missing', param: 'transfers[0].pending_id' },
  ],
  [
    'a pending that is not there',
    [{ kind: 'void_pending', pending_id: 'tr_01jd3x0yfae4qa9vrf2kz5m8wt' }],
    {},
    { code: 'resource_missing', param: 'transfers[0].pending_id' },
  ],
  [
    'an account in a resolution',
    [{ ...line(), kind: 'void_pending', pending_id: 'tr_01jd3x0yfae4qa9vrf2kz5m8wt' }],
    {},
    { param: 'transfers[0].debit_code' },
  ],
  [
    'a date too far ahead',
    [line()],
    { effective_at: AHEAD(367) },
    { code: 'parameter_invalid', param: 'effective_at' },
  ],
  [
    'no date',
    [line()],
    { effective_at: '2026-02-30T00:00:00Z' },
    { code: 'parameter_invalid', param: 'effective_at' },
  ],
  ['a source that is no id', [line({ source_id: 'order 7' })], {}, { param: 'transfers[0].source_id' }],
  ['an unknown parameter', [line({ debit: 'bank' })], {}, { code: 'parameter_unknown' }],
])('an adjustment with %s is refused with a clear error', async (_name, transfers, fields, error) => {
  const reply = await adjust(account, transfers, fields)
  expect(reply.status, reply.text).toBeGreaterThanOrEqual(400)
  expect(reply.status, reply.text).toBeLessThan(500)
  expect(reply.body.error).toMatchObject(error)
})

describe('another account or mode', () => {
  test('its ledger accounts and transfers are not there', async () => {
    const [owner, stranger] = [await world.account(), await world.account()]
    const made = (await adjust(owner, [line({ kind: 'pending' })])).body.transfers[0]
    const bank = await accountOf(owner, 'bank')
    const live = world.client(await world.key(owner, { kind: 'secret', livemode: true }))
    const live_books = await world.accountant({ ...owner, livemode: true })
    for (const [api, books] of [
      [stranger.api, await world.accountant(stranger)],
      [live, live_books],
    ] as const) {
      for (const path of [`accounts/${bank.id}`, `accounts/${bank.id}/entries`, `transfers/${made.id}`]) {
        expect((await api.get(`/v1/ledger/${path}`)).status, path).toBe(404)
      }
      for (const action of ['', '/close', '/reopen']) {
        const body = { ...SAID, ...(action === '' && { debits_must_not_exceed_credits: true }) }
        expect((await api.post(`/v1/ledger/accounts/${bank.id}${action}`, body)).status).toBe(404)
      }
      const into = await books.post('/v1/ledger/transfers', {
        ...SAID,
        transfers: [line({ debit_code: undefined, debit_account_id: bank.id })],
      })
      expect(into.status).toBe(404)
      const resolved = await books.post('/v1/ledger/transfers', {
        ...SAID,
        transfers: [{ kind: 'void_pending', pending_id: made.id }],
      })
      expect(resolved.status).toBe(404)
      for (const list of ['accounts', 'transfers', 'acts']) {
        expect((await api.get(`/v1/ledger/${list}`)).body.data).toEqual([])
      }
      expect((await api.get(`/v1/ledger/transfers?source_id=${made.source_id}`)).body.data).toEqual([])
      expect((await api.get('/v1/ledger/trial_balance')).body.lines).toEqual([])
    }
  })

  test('an adjustment takes a restricted key that names its scope, not just a secret key', async () => {
    const of = await world.account()
    const keyed = async (scope: string) =>
      world.client(await world.key(of, { kind: 'restricted', scopes: [scope] }))
    const post = async (scope: string) =>
      (await keyed(scope)).post('/v1/ledger/transfers', { ...SAID, transfers: [line()] })
    expect((await post('ledger_transfers:write')).status).toBe(200)
    expect((await post('ledger_transfers:read')).body.error.code).toBe('scope_missing')
    expect((await post('payment_intents:write')).body.error.code).toBe('scope_missing')
    const refused = await of.api.post('/v1/ledger/transfers', { ...SAID, transfers: [line()] })
    expect(refused).toMatchObject({ status: 403, body: { error: { code: 'scope_missing' } } })
    expect(refused.body.error.message).toContain('ledger_transfers:write')
    expect((await of.publishable.post('/v1/ledger/transfers', { ...SAID, transfers: [line()] })).status).toBe(
      403,
    )
  })
})

describe('limits', () => {
  const limit = (of: TestAccount, id: string, fields: object) =>
    of.api.post(`/v1/ledger/accounts/${id}`, { ...SAID, ...fields })
  const spend = (amount: number) => line({ debit_code: 'customer_credit', credit_code: 'bank', amount })

  test('a limit holds from the moment it is set, and no longer than it stands', async () => {
    const of = await world.account()
    await adjust(of, [line({ credit_code: 'customer_credit', amount: 100 })])
    const { id } = await accountOf(of, 'customer_credit')
    const set = await limit(of, id, { debits_must_not_exceed_credits: true })
    expect(set.body).toMatchObject({ id, debits_must_not_exceed_credits: true })
    expect((await adjust(of, [spend(101)])).body.error).toMatchObject({
      code: 'ledger_limit_exceeded',
      refusal: 'exceeds_credits',
      param: 'transfers[0].amount',
    })
    expect((await adjust(of, [spend(100)])).status).toBe(200)
    expect((await adjust(of, [spend(1)])).status).toBe(400)
    await limit(of, id, { debits_must_not_exceed_credits: false })
    expect((await adjust(of, [spend(1)])).status).toBe(200)
    const acts = (await of.api.get('/v1/ledger/acts')).body.data
    expect(
      acts.map((act: Json) => [act.kind, act.ledger_account_id, act.debits_must_not_exceed_credits]),
    ).toEqual([
      ['set_limits', id, false],
      ['set_limits', id, true],
    ])
    const events = (await of.api.get(`/v1/events?object_id=${id}`)).body.data
    expect(events.map((event: Json) => [event.type, event.object_version])).toEqual([
      ['ledger_account.updated', 3],
      ['ledger_account.updated', 2],
    ])
  })

  test('a limit that is violated already is refused, and so are both at once', async () => {
    const of = await world.account()
    await adjust(of, [spend(1)])
    const { id } = await accountOf(of, 'customer_credit')
    expect((await limit(of, id, { debits_must_not_exceed_credits: true })).body.error.code).toBe(
      'ledger_limit_exceeded',
    )
    const both = { debits_must_not_exceed_credits: true, credits_must_not_exceed_debits: true }
    expect((await limit(of, id, both)).body.error.code).toBe('parameter_invalid')
    expect((await limit(of, id, {})).status).toBe(200)
    expect((await of.api.get('/v1/ledger/acts')).body.data).toEqual([])
  })

  test('of many who spend at once, those fit whom the limit allows, while it is being set and lifted', async () => {
    const of = await world.account()
    await adjust(of, [line({ credit_code: 'customer_credit', amount: 1000 })])
    const { id } = await accountOf(of, 'customer_credit')
    const [first] = await Promise.all([
      limit(of, id, { debits_must_not_exceed_credits: true }),
      ...Array.from({ length: 20 }, () => adjust(of, [spend(40)])),
    ])
    expect(first.status).toBe(200)
    const replies = await Promise.all(Array.from({ length: 30 }, () => adjust(of, [spend(40)])))
    expect(replies.filter(reply => reply.status === 200)).toHaveLength(5)
    expect((await accountOf(of, 'customer_credit')).balance).toBe(0)
  })
})
