/**
 * Keeping the books through the API: closed accounts and periods, statements, and every entry of a payment.
 *
 * @every-postgresql closed periods and statements are functions in SQL.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const SAID = { reason: 'The month is done', author: 'Ada Lovelace' }
const line = (fields: object = {}) => ({
  debit_code: 'bank',
  credit_code: 'customer_credit',
  amount: 500,
  currency: 'usd',
  ...fields,
})
const back = (amount: number) => line({ debit_code: 'customer_credit', credit_code: 'bank', amount })
const adjust = async (of: TestAccount, transfers: object[], fields: object = {}) =>
  (await world.accountant(of)).post('/v1/ledger/transfers', { ...SAID, transfers, ...fields })
const accountOf = async (of: TestAccount, code: string): Promise<Json> =>
  (await of.api.get(`/v1/ledger/accounts?code=${code}`)).body.data[0]
const codeOf = (reply: { body: Json }): string => reply.body.error?.code ?? 'fine'

describe('closing an account', () => {
  const act = (of: TestAccount, id: string, action: 'close' | 'reopen') =>
    of.api.post(`/v1/ledger/accounts/${id}/${action}`, SAID)

  test('waits until it is at zero with nothing reserved; then nothing is posted to it until it is reopened', async () => {
    const of = await world.account()
    await adjust(of, [line()])
    const { id } = await accountOf(of, 'customer_credit')
    const not_yet = await act(of, id, 'close')
    expect(not_yet.body.error).toMatchObject({ code: 'ledger_account_unexpected_state' })
    expect(not_yet.body.error.message).toContain('not at zero')
    await adjust(of, [back(500)])
    const held = (await adjust(of, [{ ...back(1), kind: 'pending' }])).body.transfers[0]
    expect((await act(of, id, 'close')).body.error.message).toContain('reserved')
    await adjust(of, [{ kind: 'void_pending', pending_id: held.id }])

    const closed = await act(of, id, 'close')
    expect(closed.body).toMatchObject({ id, balance: 0 })
    expect(closed.body.closed_at).not.toBeNull()
    expect((await act(of, id, 'close')).body).toEqual(closed.body)
    const refused = await adjust(of, [line()])
    expect(refused.body.error).toMatchObject({ code: 'ledger_account_closed', param: 'transfers[0]' })
    const limits = await of.api.post(`/v1/ledger/accounts/${id}`, {
      ...SAID,
      debits_must_not_exceed_credits: true,
    })
    expect(codeOf(limits)).toBe('ledger_account_unexpected_state')

    expect((await act(of, id, 'reopen')).body.closed_at).toBeNull()
    expect(codeOf(await adjust(of, [line()]))).toBe('fine')
    const acts = (await of.api.get('/v1/ledger/acts')).body.data
    expect(acts.map((one: Json) => [one.kind, one.reason])).toEqual([
      ['reopen_account', SAID.reason],
      ['close_account', SAID.reason],
    ])
    expect(acts[0].author).toMatch(/^Ada Lovelace \(key_/)
  })

  test('is never done to an account that payments post to, nor is a limit set on one', async () => {
    const of = await world.account()
    await adjust(of, [
      line({ credit_code: 'merchant_available' }),
      line({ debit_code: 'merchant_available', credit_code: 'bank' }),
    ])
    for (const code of ['bank', 'merchant_available']) {
      const { id } = await accountOf(of, code)
      expect(codeOf(await act(of, id, 'close'))).toBe('ledger_account_unexpected_state')
      const limit = { ...SAID, debits_must_not_exceed_credits: true }
      expect(codeOf(await of.api.post(`/v1/ledger/accounts/${id}`, limit))).toBe(
        'ledger_account_unexpected_state',
      )
    }
    expect((await of.api.get('/v1/ledger/acts')).body.data).toEqual([])
  })

  test('and posting to it at once: the account is closed at zero, or it is open', async () => {
    for (let round = 0; round < 5; round++) {
      const of = await world.account()
      await adjust(of, [line(), back(500)])
      const { id } = await accountOf(of, 'customer_credit')
      const [closed, ...posted] = await Promise.all([
        act(of, id, 'close'),
        ...Array.from({ length: 4 }, () => adjust(of, [line()])),
      ])
      const account = await accountOf(of, 'customer_credit')
      const fine = posted.filter(reply => reply.status === 200).length
      expect(account.balance).toBe(500 * fine)
      expect(account.closed_at !== null).toBe(closed.status === 200)
      if (account.closed_at !== null) expect(account.balance).toBe(0)
    }
  })
})

describe('closing a period', () => {
  const close = (of: TestAccount, closed_before: string | null, fields: object = {}) =>
    of.api.post('/v1/ledger/closings', { ...SAID, closed_before, ...fields })

  test('keeps adjustments out of it, until it is reopened for a reason', async () => {
    const of = await world.account()
    const early = { effective_at: '2026-01-15T00:00:00Z' }
    expect(codeOf(await adjust(of, [line()], early))).toBe('fine')
    const closed = await close(of, '2026-02-01T00:00:00Z')
    expect(closed.body).toMatchObject({ object: 'ledger_act', kind: 'close_period', reason: SAID.reason })
    const refused = await adjust(of, [line(), line()], early)
    expect(refused.body.error).toMatchObject({ code: 'ledger_period_closed', refusal: 'period_closed' })
    expect((await of.api.get('/v1/ledger/transfers')).body.data).toHaveLength(1)
    expect((await of.api.get('/v1/ledger/trial_balance')).body.closed_before).toBe('2026-02-01T00:00:00.000Z')
    const reopened = await close(of, null, { kind: 'reopen_period', reason: 'An invoice was found' })
    expect(reopened.body).toMatchObject({ kind: 'reopen_period', closed_before: null })
    expect(codeOf(await adjust(of, [line()], early))).toBe('fine')
    const events = (await of.api.get('/v1/events')).body.data.map((event: Json) => event.type)
    expect(events).toEqual(expect.arrayContaining(['ledger_period.closed', 'ledger_period.reopened']))
  })

  test.each<[string, string | null, object, string]>([
    ['nothing', null, {}, 'parameter_invalid'],
    ['the future', '2090-01-01T00:00:00Z', {}, 'parameter_invalid'],
    ['no instant', 'yesterday', {}, 'parameter_invalid'],
    ['without a reason', '2026-01-01T00:00:00Z', { reason: '' }, 'parameter_invalid'],
    ['without an author', '2026-01-01T00:00:00Z', { author: undefined }, 'parameter_missing'],
    [
      'what is not closed, as a reopening',
      '2026-01-01T00:00:00Z',
      { kind: 'reopen_period' },
      'ledger_period_unexpected_state',
    ],
    ['in an unknown way', '2026-01-01T00:00:00Z', { kind: 'seal' }, 'parameter_invalid'],
  ])('refuses %s', async (_name, closed_before, fields, code) => {
    const of = await world.account()
    expect(codeOf(await close(of, closed_before, fields))).toBe(code)
    expect((await of.api.get('/v1/ledger/acts')).body.data).toEqual([])
  })
})

describe('a statement', () => {
  test('pages both ways with the running balance, and each entry stands in it once', async () => {
    const of = await world.account()
    for (let n = 0; n < 5; n++) await adjust(of, [line({ amount: 100 }), back(30)])
    const { id } = await accountOf(of, 'customer_credit')
    const path = `/v1/ledger/accounts/${id}/entries`
    const whole = (await of.api.get(`${path}?limit=100`)).body
    expect(whole).toMatchObject({ opening_balance: 0, closing_balance: 350, has_more: false })
    expect(whole.data.map((entry: Json) => entry.sequence)).toEqual([10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    let balance = 0
    for (const entry of whole.data.toReversed()) {
      balance += entry.side === 'credit' ? entry.amount : -entry.amount
      expect(entry.balance).toBe(balance)
    }
    const pages: Json[] = []
    let next = `${path}?limit=4`
    for (;;) {
      const { body } = await of.api.get(next)
      pages.push(body)
      expect(body).toMatchObject({ opening_balance: 0, closing_balance: 350 })
      if (body.next_cursor === null) break
      next = `${path}?limit=4&cursor=${body.next_cursor}`
    }
    expect(pages.flatMap(page => page.data)).toEqual(whole.data)
    // Back again, while new entries are posted at the other end.
    await adjust(of, [line({ amount: 1 })])
    const before = (await of.api.get(`${path}?limit=4&cursor=${pages[2].prev_cursor}`)).body
    expect(before.data).toEqual(pages[1].data)
  })

  test("refuses another account's cursor, a reversed range and what is no instant", async () => {
    const of = await world.account()
    await adjust(of, [line(), line()])
    const [one, other] = (await of.api.get('/v1/ledger/accounts')).body.data
    const { next_cursor } = (await of.api.get(`/v1/ledger/accounts/${one.id}/entries?limit=1`)).body
    const path = `/v1/ledger/accounts/${other.id}/entries`
    expect(codeOf(await of.api.get(`${path}?limit=1&cursor=${next_cursor}`))).toBe('invalid_cursor')
    const reversed = await of.api.get(`${path}?from=2026-02-01T00:00:00Z&to=2026-01-01T00:00:00Z`)
    expect(reversed.body.error).toMatchObject({ code: 'parameter_invalid', param: 'to' })
    expect(codeOf(await of.api.get(`${path}?from=monday`))).toBe('parameter_invalid')
    const empty = (await of.api.get(`${path}?to=2026-01-01T00:00:00Z`)).body
    expect(empty).toMatchObject({ data: [], opening_balance: 0, closing_balance: 0, has_more: false })
  })
})

describe('every entry of a payment', () => {
  test('is found by the intent, the charge and the refund, and by nothing else', async () => {
    const of = await world.account()
    const paying = { amount: 10_000, currency: 'usd', payment_method_id: 'pm_card_visa', confirm: true }
    const intent = (await of.api.post('/v1/payment_intents', paying)).body
    await of.api.post('/v1/payment_intents', paying)
    const refund = (await of.api.post('/v1/refunds', { payment_intent_id: intent.id, amount: 2_000 })).body
    await adjust(of, [line({ source_id: intent.id })])
    const stepsOf = async (id: string) =>
      (await of.api.get(`/v1/ledger/transfers?limit=100&source_id=${id}`)).body.data.map(
        (transfer: Json) => `${transfer.source_type} ${transfer.step.replace(/:.*/, '')} ${transfer.kind}`,
      )
    const paid = [
      'payment_attempt hold pending',
      'payment_attempt post post_pending',
      'balance_transaction fee post',
    ]
    const refunded = ['payment_attempt hold pending', 'payment_attempt post post_pending']
    expect((await stepsOf(intent.id)).toSorted()).toEqual(
      [...paid, ...refunded, 'payment_intent adjustment post'].toSorted(),
    )
    expect((await stepsOf(intent.latest_charge_id)).toSorted()).toEqual([...paid, ...refunded].toSorted())
    expect((await stepsOf(refund.id)).toSorted()).toEqual(refunded.toSorted())
    expect(await stepsOf('pi_01jd3x0yfae4qa9vrf2kz5m8wt')).toEqual([])
    const by_hand = (await of.api.get('/v1/ledger/transfers?adjustments_only=true')).body.data
    expect(by_hand.map((transfer: Json) => transfer.source_id)).toEqual([intent.id])
    const stranger = await world.account()
    expect((await stranger.api.get(`/v1/ledger/transfers?source_id=${intent.id}`)).body.data).toEqual([])
  })

  test('the trial balance balances in every currency', async () => {
    const of = await world.account()
    for (const currency of ['usd', 'jpy']) {
      const paying = { amount: 5_000, currency, payment_method_id: 'pm_card_visa' }
      await of.api.post('/v1/payment_intents', { ...paying, confirm: true })
      await of.api.post('/v1/payment_intents', { ...paying, confirm: true, capture_method: 'manual' })
    }
    const { sums, lines } = (await of.api.get('/v1/ledger/trial_balance')).body
    expect(sums.map((sum: Json) => [sum.currency, sum.is_balanced, sum.debits_pending])).toEqual([
      ['jpy', true, 5000],
      ['usd', true, 5000],
    ])
    const before = (await of.api.get('/v1/ledger/trial_balance?at=2026-01-01T00:00:00Z')).body
    for (const line of before.lines) expect(line).toMatchObject({ balance: 0, debits_pending: null })
    const whole = (await of.api.get('/v1/ledger/trial_balance?at=2090-01-01T00:00:00Z')).body
    const posted = (all: Json[]) => all.map((found: Json) => [found.code, found.currency, found.balance])
    expect(posted(whole.lines)).toEqual(posted(lines))
    expect(whole.sums.every((sum: Json) => sum.is_balanced)).toBe(true)
    const clearing = lines.find(
      (found: Json) => found.code === 'processor_clearing' && found.currency === 'usd',
    )
    expect(clearing).toMatchObject({ balance: 5000, accounts: 1, kind: 'asset', debits_pending: 5000 })
  })
})
