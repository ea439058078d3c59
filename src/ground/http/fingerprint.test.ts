import { expect, test } from 'vitest'
import { z } from 'zod'
import { canonicalParams, differingParams, fingerprintOf, hasSecrets } from './fingerprint.ts'
import { amount, metadata, secret, text } from './schema.ts'

const schema = z.strictObject({
  amount: z.int(),
  card: z.strictObject({ number: secret(text(20)), exp_month: z.int() }).optional(),
  cards: z.array(z.strictObject({ number: secret(text(20)) })).optional(),
})
const shop = { account_id: '0197a000-0000-7000-8000-000000000001', livemode: false }
const other = { account_id: '0197a000-0000-7000-8000-000000000002', livemode: false }
const canonical = (raw: Record<string, unknown>, tenant = shop) =>
  canonicalParams(schema, raw, 'the secret', tenant)

test('the order of names and the spelling of numbers make no difference', () => {
  expect(canonical({ amount: 1000, card: { number: '1', exp_month: 1 } })).toBe(
    canonical({ card: { exp_month: 1.0, number: '1' }, amount: 1e3 }),
  )
})

test('a secret is replaced by a digest wherever it stands, and equal secrets stay equal', () => {
  const first = canonical({ card: { number: '4242424242424242', exp_month: 1 }, cards: [{ number: '4000' }] })
  expect(first).not.toContain('4242')
  expect(first).not.toContain('4000')
  expect(first).toContain('"exp_month":1')
  expect(first).toBe(
    canonical({ card: { number: '4242424242424242', exp_month: 1 }, cards: [{ number: '4000' }] }),
  )
  expect(first).not.toBe(
    canonical({ card: { number: '4242424242424241', exp_month: 1 }, cards: [{ number: '4000' }] }),
  )
})

test('a schema knows whether it has a secret, however deep', () => {
  expect(hasSecrets(schema)).toBe(true)
  expect(hasSecrets(z.strictObject({ cards: z.array(z.object({ pin: secret(text(9)).nullable() })) }))).toBe(
    true,
  )
  expect(hasSecrets(z.strictObject({ amount, metadata: metadata.optional() }))).toBe(false)
})

test('the digest of one account says nothing about another, nor without the secret', () => {
  const raw = { card: { number: '4242424242424242', exp_month: 1 } }
  expect(canonical(raw)).not.toBe(canonical(raw, other))
  expect(canonical(raw)).not.toBe(canonicalParams(schema, raw, 'another secret', shop))
})

test('the kind of caller, method, path and parameters all count', () => {
  const all = [
    fingerprintOf('secret', 'POST', '/v1/a', '{}'),
    fingerprintOf('publishable', 'POST', '/v1/a', '{}'),
    fingerprintOf('secret', 'DELETE', '/v1/a', '{}'),
    fingerprintOf('secret', 'POST', '/v1/b', '{}'),
    fingerprintOf('secret', 'POST', '/v1/a', '{"a":1}'),
  ]
  expect(new Set(all).size).toBe(5)
  expect(fingerprintOf('restricted', 'POST', '/v1/a', '{}')).toBe(all[0])
})

test('what differs is named by its path, and never by its value', () => {
  const a = '{"amount":1,"items":[{"price":"x"},{"price":"y"}],"metadata":{"k":"1"},"same":{"a":[1]}}'
  const b = '{"amount":2,"items":[{"price":"z"}],"metadata":{"k":"2","l":"3"},"same":{"a":[1]},"new":null}'
  expect(differingParams(a, b)).toEqual([
    'amount',
    'items[0].price',
    'items[1]',
    'metadata.k',
    'metadata.l',
    'new',
  ])
  expect(differingParams(a, a)).toEqual([])
})
