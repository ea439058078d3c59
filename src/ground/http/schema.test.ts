import fc from 'fast-check'
import { expect, expectTypeOf, test } from 'vitest'
import { z } from 'zod'
import { encodeId, newId } from '#kernel'
import type { Currency } from '#money'
import { encodeAnswer, encoderOf, JsonText } from './encoder.ts'
import {
  amount,
  amountOrZero,
  currency,
  expandable,
  id,
  metadata,
  nullable,
  object,
  signedAmount,
  text,
  timestamp,
} from './schema.ts'

const at = new Date('2026-11-21T09:30:00.005Z')
const Customer = object('customer', 'cus_', { email: nullable(text(320)), created_at: timestamp })
const Refund = object('refund', 're_', {
  amount,
  currency,
  fee: signedAmount,
  status: z.enum(['pending', 'succeeded']),
  customer_id: nullable(expandable('cus_')),
  lines: z.array(z.strictObject({ type: z.literal('line'), amount: amountOrZero })),
  reason: text(500).optional(),
  metadata,
  livemode: z.boolean(),
  created_at: timestamp,
})
const row = {
  id: newId(at),
  amount: 10_99n,
  currency: 'usd' as const,
  fee: -59n,
  status: 'pending' as const,
  customer_id: null as string | null,
  lines: [{ type: 'line' as const, amount: 0n }],
  metadata: { order: 'a "quoted"\nline' },
  livemode: false,
  created_at: at,
}

test('a row is written as JSON in declared field order, and reading the JSON gives the row back', () => {
  const json = Refund.encode(row)
  expect(json).toBe(
    `{"id":"${encodeId('re_', row.id)}","object":"refund","amount":1099,"currency":"usd","fee":-59,` +
      '"status":"pending","customer_id":null,"lines":[{"type":"line","amount":0}],' +
      '"metadata":{"order":"a \\"quoted\\"\\nline"},"livemode":false,"created_at":"2026-11-21T09:30:00.005Z"}',
  )
  expect(Refund.parse(JSON.parse(json))).toEqual({ object: 'refund', ...row })
  expect(Refund.toJson(row)).toEqual(JSON.parse(json))
})

test('columns that the object does not name stay inside', () => {
  const secretive = { ...row, processor_token: 'tok_inside' }
  expect(Refund.encode(secretive)).not.toContain('tok_inside')
})

test('a row that lacks a field, or holds what its field cannot be, is our mistake and is not written', () => {
  const { status: _, ...without } = row
  expect(() => Refund.encode(without as typeof row)).toThrow('the row of refund lacks status')
  expect(() => Refund.encode({ ...row, amount: null } as never)).toThrow('lacks amount')
  expect(() => Refund.encode({ ...row, status: 'odd' } as never)).toThrow('one of')
  expect(() => Refund.encode({ ...row, fee: 2n ** 53n })).toThrow('exact in JSON')
})

test('the types of rows are those of the database, the types of JSON those of the wire', () => {
  expectTypeOf<z.output<typeof amount>>().toEqualTypeOf<bigint>()
  expectTypeOf<z.output<typeof currency>>().toEqualTypeOf<Currency>()
  expectTypeOf(Refund.encode(row)).toEqualTypeOf<string>()
  expectTypeOf<z.output<typeof Refund>['created_at']>().toEqualTypeOf<Date>()
  expectTypeOf<z.input<typeof Refund>['created_at']>().toEqualTypeOf<string>()
})

test('an id is refused when its prefix, length or alphabet is wrong', () => {
  const uuid = newId(at)
  const schema = id('pi_')
  expect(schema.parse(encodeId('pi_', uuid))).toBe(uuid)
  for (const wrong of [encodeId('ch_', uuid), 'pi_', uuid, `${encodeId('pi_', uuid)}0`, 'pi_\0', 5, null]) {
    expect(schema.safeParse(wrong).success, String(wrong)).toBe(false)
  }
})

test('an amount is a whole JSON number that no reader rounds', () => {
  expect(amount.parse(Number.MAX_SAFE_INTEGER)).toBe(9_007_199_254_740_991n)
  for (const wrong of [
    0,
    -1,
    1.5,
    '100',
    2 ** 53,
    1e300,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    null,
    [1],
    1n,
  ]) {
    expect(amount.safeParse(wrong).success, String(wrong)).toBe(false)
  }
  expect(amountOrZero.parse(0)).toBe(0n)
  expect(signedAmount.parse(-5)).toBe(-5n)
})

test('a currency is a lower-case code of the table', () => {
  expect(currency.parse('jpy')).toBe('jpy')
  for (const wrong of ['USD', 'usdx', 'xxx', '', 5, '__proto__']) {
    expect(currency.safeParse(wrong).success, String(wrong)).toBe(false)
  }
})

test('any instant from 1970 to 9999 is written as toISOString writes it, and read back', () => {
  const encode = encoderOf(timestamp) as (instant: Date) => string
  const last = Date.parse('9999-12-31T23:59:59.999Z')
  fc.assert(
    fc.property(fc.integer({ min: 0, max: last }), ms => {
      const instant = new Date(ms)
      const json = encode(instant)
      expect(json).toBe(JSON.stringify(instant))
      expect(timestamp.parse(JSON.parse(json))).toEqual(instant)
    }),
  )
})

test('a time that does not exist or is not UTC is refused', () => {
  expect(timestamp.parse('2024-02-29T23:59:59Z')).toEqual(new Date('2024-02-29T23:59:59Z'))
  const wrong = ['2026-02-29T00:00:00Z', '2026-11-21', '2026-11-21T09:30:00+01:00', '2026-13-01T00:00:00Z']
  for (const text of [...wrong, '0000-01-01T00:00:00Z', '2026-11-21T24:00:00Z', '1795253400', 'now']) {
    expect(timestamp.safeParse(text).success, text).toBe(false)
  }
})

test('text that PostgreSQL cannot keep is refused', () => {
  expect(text(5).safeParse('héé😀').success).toBe(true)
  expect(text(5).safeParse('123456').success).toBe(false)
  expect(text(5).safeParse('a\0b').success).toBe(false)
  expect(text(5).safeParse('a\ud800').success).toBe(false)
})

test('any text is written as JSON.stringify writes it', () => {
  const encode = encoderOf(z.string()) as (value: string) => string
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), value => {
      expect(encode(value)).toBe(JSON.stringify(value))
    }),
  )
})

test("metadata keeps to Stripe's limits", () => {
  const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`k${i}`, 'v']))
  expect(metadata.safeParse(keys(50)).success).toBe(true)
  expect(metadata.safeParse(keys(51)).success).toBe(false)
  expect(metadata.safeParse({ ['k'.repeat(40)]: 'v'.repeat(500) }).success).toBe(true)
  const wrong = [
    { ['k'.repeat(41)]: 'v' },
    { k: 'v'.repeat(501) },
    { '': 'v' },
    { k: 5 },
    { k: null },
    { k: '\0' },
  ]
  for (const value of [...wrong, { '\0': 'v' }, { k: '\udc00' }, 'text', [], ['a'], null]) {
    expect(metadata.safeParse(value).success, JSON.stringify(value)).toBe(false)
  }
})

test('an expandable field puts its target beside it in the schema, under the name without _id', () => {
  const customer_row = { id: newId(at), email: null, created_at: at }
  const json = {
    ...Refund.toJson({ ...row, customer_id: customer_row.id }),
    customer: Customer.toJson(customer_row),
  }
  expect(Refund.safeParse(json).success).toBe(true)
  expect(Refund.safeParse({ ...json, customer: { object: 'customer' } }).success).toBe(false)
  expect(Refund.safeParse({ ...json, surprise: 1 }).success).toBe(false)
})

test('an object keeps its encoder inside lists and behind null, and ready text goes through untouched', () => {
  const list = z.strictObject({ data: z.array(Refund), next: nullable(Refund) })
  expect(encodeAnswer(list, { data: [row], next: null })).toBe(`{"data":[${Refund.encode(row)}],"next":null}`)
  expect(encodeAnswer(list, new JsonText('{"data":[]}'))).toBe('{"data":[]}')
})
