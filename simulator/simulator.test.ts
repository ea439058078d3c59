/** The simulator's HTTP, in this process: behaviour of cards, faults, pages and bad input. */
import { connect } from 'node:net'
import { describe, expect, test } from 'vitest'
import { book, call, lookup, moved, pay, refund, restart, simulator } from './calls.fixture.ts'
import { MAGIC_CARDS } from './magic.ts'
import { passesLuhn } from './tokens.ts'

describe('magic cards', () => {
  test('every number passes Luhn and every name stands once', () => {
    for (const card of MAGIC_CARDS) expect(passesLuhn(card.number), card.names[0]).toBe(true)
    const names = MAGIC_CARDS.flatMap(card => card.names)
    expect(new Set(names).size).toBe(names.length)
  })

  test('every magic card does what its row says, by name and by number', async () => {
    for (const card of MAGIC_CARDS) {
      const cvc = card.brand === 'amex' ? '1234' : '123'
      const token = await call('POST', '/v1/tokens', {
        number: card.number,
        exp_month: 12,
        exp_year: 2034,
        cvc,
      })
      const { token: by_number } = token.body as unknown as { token: string }
      const expected =
        card.decline !== undefined
          ? 'declined'
          : card.challenge !== undefined
            ? 'requires_action'
            : 'approved'
      for (const payment_token of [by_number, `pm_card_${card.names[0]}`, `tok_${card.names[0]}`]) {
        const { body } = await pay(`${card.names[0]}-${payment_token}`, { payment_token })
        expect(body.status, payment_token).toBe(expected)
        expect(body.decline?.decline_code).toBe(card.decline?.decline_code)
      }
    }
  })

  test('a disputed payment loses its money, cannot be refunded, and wins it back with evidence', async () => {
    const { body } = await pay('disputed', { payment_token: 'pm_card_createDispute' })
    await call('POST', '/settle', {})
    const [, , dispute] = await book()
    expect(dispute).toMatchObject({ type: 'dispute', amount: 1000, reference: 'disputed' })
    expect((await refund(body.id, 'r1')).body.error.code).toBe('charge_disputed')
    const path = `/v1/disputes/${dispute?.processor_id}/evidence`
    expect((await call('POST', path, { text: 'nothing much' })).body.status).toBe('under_review')
    expect((await call('POST', path, { text: 'winning_evidence' })).body.status).toBe('won')
    await restart()
    expect((await call('POST', path, { text: 'losing_evidence' })).body.status).toBe('won')
    expect((await moved()).slice(2)).toEqual([
      ['dispute', 1000],
      ['dispute', -1000],
    ])
  })

  test('a dispute takes only what was not refunded before', async () => {
    const part = await pay('part', { payment_token: 'pm_card_createDispute' })
    await refund(part.body.id, 'part-refund', 400)
    const whole = await pay('whole', { payment_token: 'pm_card_createDispute' })
    await refund(whole.body.id, 'whole-refund')
    await call('POST', '/settle', {})
    expect((await book()).filter(movement => movement.type === 'dispute')).toMatchObject([
      { reference: 'part', amount: 600 },
    ])
  })

  test('an inquiry and a fraud warning move nothing', async () => {
    await pay('inquiry', { payment_token: 'pm_card_createDisputeInquiry' })
    await pay('warning', { payment_token: 'pm_card_createIssuerFraudRecord' })
    await call('POST', '/settle', {})
    expect((await moved()).map(([type]) => type)).toEqual(['authorize', 'capture', 'authorize', 'capture'])
  })

  test('a pending refund moves when it succeeds, also when a restart lies between', async () => {
    const { body } = await pay('slow', { payment_token: 'pm_card_pendingRefund' })
    expect((await refund(body.id, 'slow-refund', 300)).body.status).toBe('pending')
    expect(await book()).toHaveLength(2)
    await restart()
    expect(await call('POST', '/settle', {})).toMatchObject({ body: { settled: 1 } })
    expect((await lookup('slow-refund')).body.status).toBe('approved')
    expect(await moved()).toContainEqual(['refund', 300])
  })

  test('a refund that bounces gives its room back', async () => {
    const { body } = await pay('bounce', { payment_token: 'pm_card_refundFail' })
    expect((await refund(body.id, 'bounced', 1000)).body.status).toBe('approved')
    expect((await refund(body.id, 'too-much', 1)).body.error.code).toBe('charge_already_refunded')
    await call('POST', '/settle', {})
    expect((await lookup('bounced')).body).toMatchObject({
      status: 'declined',
      decline: { decline_code: 'refund_failed' },
    })
    expect((await moved()).slice(2)).toEqual([
      ['refund', 1000],
      ['refund', -1000],
    ])
    expect((await refund(body.id, 'again', 1000)).body.status).toBe('approved')
  })

  test('a forged or changed token is refused', async () => {
    const card = { number: '4000000000009995', exp_month: 12, exp_year: 2034, cvc: '123' }
    const { token } = (await call('POST', '/v1/tokens', card)).body as unknown as { token: string }
    const forged = token.replace('chargeDeclinedInsufficientFunds', 'visa')
    expect((await pay('forged', { payment_token: forged })).body.error.code).toBe('invalid_payment_token')
    expect((await pay('real', { payment_token: token })).body.status).toBe('declined')
  })
})

describe('faults', () => {
  const fault = (body: object) => call('POST', '/faults', body)

  test('a fault with a count strikes that often and is gone', async () => {
    await fault({ operation: 'authorize', kind: 'error', rate: 1, count: 2 })
    const statuses = []
    for (let i = 0; i < 4; i++) statuses.push((await pay(`c${i}`)).status)
    expect(statuses).toEqual([500, 500, 200, 200])
    expect((await call('GET', '/faults')).body.data).toEqual([])
    expect(await book()).toHaveLength(4)
  })

  test('a fault with a rate strikes about that often, and the same seed strikes the same requests', async () => {
    const statuses = async (name: string) => {
      await fault({ operation: 'authorize', kind: 'error', rate: 0.3, seed: 42 })
      const found = []
      for (let i = 0; i < 200; i++) found.push((await pay(`${name}${i}`)).status)
      await call('DELETE', '/faults')
      return found
    }
    const first = await statuses('a')
    // Binomial(200, 0.3): 60 expected, 6.5 the deviation; five of them on each side.
    const struck = first.filter(status => status === 500).length
    expect(struck).toBeGreaterThan(27)
    expect(struck).toBeLessThan(93)
    expect(await statuses('b')).toEqual(first)
  })

  test('a fault strikes only its operation', async () => {
    await fault({ operation: 'refund', kind: 'error' })
    const { status, body } = await pay('p')
    expect(status).toBe(200)
    expect((await refund(body.id, 'r')).status).toBe(500)
    expect((await lookup('p')).status).toBe(200)
    expect((await call('GET', '/faults')).body.data).toMatchObject([{ struck: 1, count: null }])
  })

  test('a dropped answer leaves a movement that says it was not answered', async () => {
    await fault({ operation: 'authorize', kind: 'drop_response', count: 1 })
    const abort = new AbortController()
    const hanging = fetch(`${simulator.url}/v1/authorizations`, {
      method: 'POST',
      signal: abort.signal,
      body: JSON.stringify({
        reference: 'lost',
        amount: 5,
        currency: 'eur',
        payment_token: 'pm_card_visa',
        capture: false,
      }),
    })
    while ((await lookup('lost')).status !== 200) await new Promise(resolve => setTimeout(resolve, 5))
    abort.abort()
    await expect(hanging).rejects.toThrow()
    await pay('kept')
    expect((await book()).map(({ reference, answered }) => [reference, answered])).toEqual([
      ['lost', false],
      ['kept', true],
      ['kept', true],
    ])
  })

  test.each([
    [{ kind: 'delay' }, 'operation'],
    [{ operation: 'tokens', kind: 'delay' }, 'operation'],
    [{ operation: '*', kind: 'fire' }, 'kind'],
    [{ operation: '*', kind: 'delay', rate: 1.1 }, 'rate'],
    [{ operation: '*', kind: 'delay', rate: 'often' }, 'rate'],
    [{ operation: '*', kind: 'delay', count: 0 }, 'count'],
    [{ operation: '*', kind: 'delay', ms: -1 }, 'ms'],
    [{ operation: '*', kind: 'late_success', ms: 60_000 }, 'ms'],
    [{ operation: '*', kind: 'delay', probability: 1 }, 'probability'],
    [{ operation: '*', kind: 'delay', moment: 'after' }, 'moment'],
    [{ operation: '*', kind: 'reset', moment: 'never' }, 'moment'],
  ])('the fault %j is refused for its %s', async (body, param) => {
    const answer = await fault(body)
    expect(answer.status).toBe(400)
    expect(answer.body.error.param).toBe(param)
  })
})

describe('the challenge page', () => {
  test('asks, sends the browser back with the result, and asks no second time', async () => {
    const { body } = await pay('3ds', {
      payment_token: 'pm_card_authenticationRequired',
      return_url: 'https://shop.example/done?cart=7',
    })
    const page = await fetch(body.redirect_url)
    expect(page.headers.get('content-type')).toContain('text/html')
    expect(await page.text()).toContain('$10.00')
    const done = await fetch(`${body.redirect_url}/complete`, { method: 'POST', redirect: 'manual' })
    expect(done.status).toBe(303)
    expect(done.headers.get('location')).toBe(
      'https://shop.example/done?cart=7&reference=3ds&result=succeeded',
    )
    const again = await fetch(`${body.redirect_url}/fail`, { method: 'POST', redirect: 'manual' })
    expect(again.headers.get('location')).toContain('result=succeeded')
    expect(await (await fetch(body.redirect_url)).text()).toContain('Confirmed')
    await restart()
    expect((await lookup('3ds')).body).toMatchObject({ status: 'approved', payment_state: 'captured' })
  })

  test('never sends a browser to anything but http and https', async () => {
    for (const return_url of ['javascript:alert(1)', 'data:text/html,x', '/relative', 7]) {
      const { status, body } = await pay('bad', { return_url })
      expect([status, body.error.param]).toEqual([400, 'return_url'])
    }
  })
})

test('a long book is read whole by one reader and left in the middle by another, without a warning', async () => {
  const warnings: Error[] = []
  const listen = (warning: Error) => warnings.push(warning)
  process.on('warning', listen)
  const payments = 4_000
  const left = Array.from({ length: payments }, (_, i) => i)
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let i = left.pop(); i !== undefined; i = left.pop()) await pay(`long-${i}`)
    }),
  )
  const leaver = new AbortController()
  const response = await fetch(`${simulator.url}/book`, { signal: leaver.signal })
  await response.body?.getReader().read()
  leaver.abort()
  expect(await book()).toHaveLength(2 * payments)
  expect((await lookup('long-0')).status).toBe(200)
  process.off('warning', listen)
  expect(warnings).toEqual([])
})

describe('bad input', () => {
  const valid = { reference: 'x', amount: 100, currency: 'usd', payment_token: 'pm_card_visa' }

  test.each([
    [{ ...valid, reference: '' }, 'reference'],
    [{ ...valid, reference: 'x'.repeat(256) }, 'reference'],
    [{ ...valid, reference: 'with space' }, 'reference'],
    [{ ...valid, amount: 0 }, 'amount'],
    [{ ...valid, amount: -5 }, 'amount'],
    [{ ...valid, amount: 1.5 }, 'amount'],
    [{ ...valid, amount: 2 ** 53 }, 'amount'],
    [{ ...valid, amount: '100' }, 'amount'],
    [{ ...valid, currency: 'xxq' }, 'currency'],
    [{ ...valid, currency: 'USD' }, 'currency'],
    [{ ...valid, payment_token: 'pm_card_nobody' }, 'payment_token'],
    [{ ...valid, capture: 'yes' }, 'capture'],
    [{ ...valid, surprise: 1 }, 'surprise'],
  ])('%j is refused for its field and moves nothing', async (body, param) => {
    const answer = await call('POST', '/v1/authorizations', body)
    expect(answer.status).toBe(400)
    expect(answer.body.error.param).toBe(param)
    expect(await book()).toEqual([])
  })

  test('broken JSON is refused without quoting it', async () => {
    for (const body of ['{4242424242424242', '[]', '"4242424242424242"', 'null']) {
      const response = await fetch(`${simulator.url}/v1/tokens`, { method: 'POST', body })
      const text = await response.text()
      expect([response.status, text.includes('4242')]).toEqual([400, false])
    }
  })

  test('nesting a hundred thousand deep is refused like any other nonsense', async () => {
    const answer = await call('POST', '/v1/authorizations', `{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}`)
    expect([answer.status, answer.body.error.param]).toEqual([400, 'a'])
  })

  test('a body over 1 MiB is refused with 413', async () => {
    const answer = await call('POST', '/v1/authorizations', `{"reference":"${'x'.repeat(1024 * 1024)}"}`)
    expect(answer.status).toBe(413)
  })

  test('an unknown path is 404, a wrong method 405, an unknown payment 404, all in JSON', async () => {
    expect((await call('GET', '/nowhere')).body.error.code).toBe('not_found')
    expect((await call('DELETE', '/book')).body.error.code).toBe('method_not_allowed')
    expect((await refund('pay_nobody', 'r')).body.error.code).toBe('payment_not_found')
    expect((await call('GET', '/challenge/pay_nobody')).body.error.code).toBe('challenge_not_found')
    expect((await lookup('%E0%A4%A')).status).toBe(404)
  })

  test('what is not HTTP is answered in JSON too', async () => {
    const socket = connect(Number(new URL(simulator.url).port), '127.0.0.1')
    socket.write('hello\r\n\r\n')
    let text = ''
    for await (const chunk of socket) text += String(chunk)
    expect(text).toContain('HTTP/1.1 400')
    expect(text).toContain('"code":"invalid_request"')
  })
})
