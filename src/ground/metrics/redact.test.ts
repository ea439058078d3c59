import { expect, test } from 'vitest'
import fc from 'fast-check'
import { reasonOf, redactFields, redactText } from './redact.ts'

const CARDS = [
  '4242424242424242',
  '4222222222222', // 13 digits
  '378282246310005',
  '6011000990139424',
  '6304000000000000000', // 19 digits
]

test.each(CARDS)('the card number %s is masked wherever it stands', card => {
  const spaced = card.replace(/(.{4})(?!$)/g, '$1 ')
  for (const text of [
    card,
    spaced,
    spaced.replaceAll(' ', '-'),
    `pay ${card}!`,
    `n${card}x`,
    `500 ${spaced} 12`,
  ]) {
    expect(redactText(text)).not.toContain(card)
    expect(redactText(text)).not.toContain(spaced.slice(0, 12))
    expect(redactText(text)).toContain('[redacted]')
  }
  expect(
    JSON.stringify(redactFields({ amount: BigInt(card), list: [{ note: `is ${card}` }] })),
  ).not.toContain(card)
})

test('digits that are no card number stay', () => {
  for (const text of [
    '4242424242424241',
    '2026-11-21T05:28:52.123Z',
    '+49 30 123456',
    '0.123456789012345',
    '12345678901234567890123',
  ]) {
    expect(redactText(text)).toBe(text)
  }
  expect(redactFields({ amount: 1099n, count: 3, ratio: 0.5 })).toEqual({
    amount: 1099,
    count: 3,
    ratio: 0.5,
  })
})

test('our own ids are never masked', () => {
  fc.assert(
    fc.property(fc.uuid(), fc.stringMatching(/^[0-9a-hjkmnp-tv-z]{26}$/), (uuid, text) => {
      expect(redactText(uuid)).toBe(uuid)
      expect(redactText(uuid.replaceAll('-', ''))).toBe(uuid.replaceAll('-', ''))
      expect(redactText(`pi_${text}`)).toBe(`pi_${text}`)
    }),
    { seed: 2, numRuns: 500 },
  )
})

test('fields with a secret name are masked whatever they hold, at any depth', () => {
  const secret = 'tell nobody'
  for (const name of [
    'authorization',
    'Authorization',
    'proxy-authorization',
    'cookie',
    'set-cookie',
    'number',
    'card_number',
    'cvc',
    'password',
    'db_password',
    'secret',
    'secret_key',
    'client_secret',
    'webhook_secret',
    'api_key',
    'access_token',
  ]) {
    expect(
      JSON.stringify(redactFields({ a: { b: [{ [name]: secret }] }, [name]: { x: secret } })),
    ).not.toContain(secret)
  }
  const harmless = { number_of_items: 3, payment_method_id: 'pm_1', idempotency_key: 'order 7', panel: 'a' }
  expect(redactFields(harmless)).toEqual(harmless)
})

test('keys, client secrets, bearer tokens and passwords in URLs are masked inside text', () => {
  expect(redactText('used sk_test_4eC39HqLyjWD and rk_live_abc')).toBe(
    'used sk_test_[redacted] and rk_live_[redacted]',
  )
  expect(redactText('pi_01jd_secret_Xy9 for whsec_abc')).toBe(
    'pi_01jd_secret_[redacted] for whsec_[redacted]',
  )
  expect(redactText('whsec_Ab+/cd/Ef== and whsk_a/b+c=, not whsecond_')).toBe(
    'whsec_[redacted] and whsk_[redacted], not whsecond_',
  )
  expect(redactText('Bearer abcdefgh123')).toBe('Bearer [redacted]')
  expect(redactText('postgres://me:pa:ss@host/db')).toBe('postgres://me:[redacted]@host/db')
  expect(redactText('risk_score of task_1')).toBe('risk_score of task_1')
})

test('a card number cut by the length limit leaves no digits behind', () => {
  const long = `${'x'.repeat(4_096 - 12)}4242424242424242`
  expect(redactText(long)).not.toMatch(/4242/)
})

test('an error keeps type, message, code, constraint and cause, and loses the rows a database quotes', () => {
  const error = Object.assign(new Error('bad 4242424242424242', { cause: new Error('why') }), {
    code: '23505',
    constraint: 'charges_pkey',
    detail: 'Key (name)=(Anna Petrova) already exists.',
  })
  const safe = redactFields({ error }).error as Record<string, unknown>
  expect(safe).toMatchObject({
    type: 'Error',
    message: 'bad [redacted]',
    code: '23505',
    constraint: 'charges_pkey',
    cause: { message: 'why' },
  })
  expect(JSON.stringify(safe)).not.toContain('Petrova')
  expect(JSON.stringify(safe)).not.toContain('4242')
})

test('any value becomes JSON: circles, depth, width, dates, bytes, functions', () => {
  const circle: Record<string, unknown> = {
    at: new Date(0),
    never: new Date(Number.NaN),
    bytes: Buffer.from('abc'),
    call: () => 1,
    nan: Number.NaN,
    none: undefined,
    set: new Set([1]),
  }
  circle.self = circle
  const safe = redactFields(circle)
  expect(JSON.stringify(safe).length).toBeLessThan(2_000)
  expect(safe).toMatchObject({
    at: '1970-01-01T00:00:00.000Z',
    never: 'invalid date',
    bytes: '[3 bytes]',
    call: '[function]',
    nan: 'NaN',
    set: '[1 items]',
  })
  const wide = redactFields({ list: Array.from({ length: 10_000 }, (_, i) => i) })
  expect((wide.list as unknown[]).length).toBeLessThan(600)
  fc.assert(
    fc.property(fc.object({ withBigInt: true, withDate: true, withTypedArray: true, maxDepth: 8 }), value => {
      JSON.parse(JSON.stringify(redactFields(value)))
    }),
    { seed: 1, numRuns: 300 },
  )
})

test('a reason is what PostgreSQL keeps and people may see', () => {
  expect(reasonOf(new Error('the card 4242424242424242\0 was refused'))).toBe(
    'the card [redacted] was refused',
  )
  expect(reasonOf('half of a pair: \ud83d')).toBe('half of a pair: \ufffd')
  expect(reasonOf(new Error('x'.repeat(10_000)))).toHaveLength(500)
  expect(reasonOf(new Error())).toBe('no reason was given')
})
