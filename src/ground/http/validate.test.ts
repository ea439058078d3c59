import fc from 'fast-check'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ApiError, encodeId, newId } from '#kernel'
import { parseQuery } from './query.ts'
import {
  amount,
  chargeLimits,
  currency,
  id,
  integer,
  metadata,
  nullable,
  secret,
  text,
  timestamp,
} from './schema.ts'
import { maskSecrets, parseParams } from './validate.ts'

const params = z
  .strictObject({
    amount,
    currency,
    customer_id: id('cus_').optional(),
    confirm: z.boolean().default(false),
    capture_method: z.enum(['automatic', 'manual']).optional(),
    description: nullable(text(10)).optional(),
    items: z
      .array(z.strictObject({ price_id: text(20), quantity: integer.min(1).optional() }))
      .max(3)
      .optional(),
    card: z.strictObject({ number: secret(text(19)), exp_month: integer }).optional(),
    metadata: metadata.optional(),
  })
  .check(chargeLimits)
const fine = { amount: 1099, currency: 'usd' }

const refusal = (run: () => unknown): { code: string; param: string | undefined; message: string } => {
  try {
    run()
  } catch (error) {
    if (error instanceof ApiError) return { code: error.code, param: error.param, message: error.message }
    throw error
  }
  throw new Error('nothing was refused')
}

test('parameters arrive as what rows hold', () => {
  const uuid = newId(new Date('2026-11-21T09:30:00Z'))
  expect(parseParams(params, { ...fine, customer_id: encodeId('cus_', uuid), description: null })).toEqual({
    amount: 1099n,
    currency: 'usd',
    customer_id: uuid,
    confirm: false,
    description: null,
  })
})

test.each([
  [{ currency: 'usd' }, 'parameter_missing', 'amount'],
  [{ ...fine, capture_method: 'later' }, 'parameter_invalid', 'capture_method'],
  [{ ...fine, amuont: 1 }, 'parameter_unknown', 'amuont'],
  [{ currency: 'usd', amuont: 1 }, 'parameter_unknown', 'amuont'],
  [{ ...fine, amount: 10.5 }, 'parameter_invalid_integer', 'amount'],
  [{ ...fine, amount: '1099' }, 'parameter_invalid_integer', 'amount'],
  [{ ...fine, amount: 1e300 }, 'parameter_invalid_integer', 'amount'],
  [{ ...fine, amount: -1 }, 'parameter_invalid_integer', 'amount'],
  [{ ...fine, amount: 0 }, 'parameter_invalid_integer', 'amount'],
  [{ ...fine, amount: null }, 'parameter_invalid_integer', 'amount'],
  [{ ...fine, amount: 49 }, 'amount_too_small', 'amount'],
  [{ ...fine, amount: 100_000_000 }, 'amount_too_large', 'amount'],
  [{ ...fine, currency: 'USD' }, 'currency_unknown', 'currency'],
  [{ ...fine, currency: 5 }, 'parameter_invalid', 'currency'],
  [{ ...fine, customer_id: 'pi_1' }, 'parameter_invalid', 'customer_id'],
  [{ ...fine, confirm: 'true' }, 'parameter_invalid', 'confirm'],
  [{ ...fine, description: 'longer than ten' }, 'parameter_invalid', 'description'],
  [{ ...fine, description: 'a\0' }, 'parameter_invalid', 'description'],
  [{ ...fine, items: {} }, 'parameter_invalid', 'items'],
  [{ ...fine, items: [[]] }, 'parameter_invalid', 'items[0]'],
  [{ ...fine, items: [{ price_id: 'p' }, {}] }, 'parameter_missing', 'items[1].price_id'],
  [{ ...fine, items: [{ price_id: 'p', quantity: 0 }] }, 'parameter_invalid_integer', 'items[0].quantity'],
  [{ ...fine, items: [{ price_id: 'p', amount: 1 }] }, 'parameter_unknown', 'items[0].amount'],
  [{ ...fine, items: Array(4).fill({ price_id: 'p' }) }, 'parameter_invalid', 'items'],
  [{ ...fine, metadata: { order: 5 } }, 'parameter_invalid', 'metadata.order'],
  [{ ...fine, metadata: 'x' }, 'parameter_invalid', 'metadata'],
  [JSON.parse('{"amount":1099,"currency":"usd","__proto__":{}}'), 'parameter_unknown', '__proto__'],
  [{ ...fine, constructor: 1 }, 'parameter_unknown', 'constructor'],
  [[], 'body_must_be_object', undefined],
  [null, 'body_must_be_object', undefined],
  ['text', 'body_must_be_object', undefined],
])('%j is refused with %s at %s', (raw, code, param) => {
  const error = refusal(() => parseParams(params, raw))
  expect(error).toMatchObject({ code, param })
  if (param) expect(error.message.startsWith(`${param} `)).toBe(true)
  expect(error.message.endsWith('.')).toBe(true)
})

test('no value that was sent comes back in an error, nor a name that may be one', () => {
  const number = '4242424242424242'
  const wrong = [
    { ...fine, card: { number: `${number}000000000`, exp_month: 1 } },
    { ...fine, card: { number: Number(number), exp_month: 1 } },
    { ...fine, card: number },
    { ...fine, [number]: 1 },
    { ...fine, metadata: { [number]: 1 } },
    { ...fine, currency: number },
    { ...fine, capture_method: number },
    { ...fine, customer_id: number },
  ]
  for (const raw of wrong)
    expect(JSON.stringify(refusal(() => parseParams(params, raw)))).not.toContain('4242')
})

test('no body is an empty body', () => {
  expect(parseParams(z.strictObject({}), undefined)).toEqual({})
})

test('whatever JSON arrives, it is parsed or refused with an ApiError', () => {
  const keys = fc.constantFrom(
    'amount',
    'currency',
    'items',
    'card',
    'metadata',
    'confirm',
    '__proto__',
    'x y',
  )
  const raw = fc.oneof(fc.jsonValue(), fc.dictionary(keys, fc.jsonValue()))
  fc.assert(
    fc.property(raw, value => {
      try {
        parseParams(params, value)
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError)
      }
    }),
    { numRuns: 500 },
  )
})

test('secrets are masked wherever they stand, and nothing else is', () => {
  const raw = { ...fine, card: { number: '4242424242424242', exp_month: 1 } }
  expect(maskSecrets(params, raw, () => '***')).toEqual({ ...fine, card: { number: '***', exp_month: 1 } })
})

const filters = z.strictObject({
  limit: integer.min(1).max(100).default(20),
  status: z.enum(['open', 'done']).optional(),
  livemode: z.boolean().optional(),
  amount: z.strictObject({ gte: amount.optional() }).optional(),
  created_at: z.strictObject({ gte: timestamp.optional(), lt: timestamp.optional() }).optional(),
  expand: z.array(z.string()).optional(),
})
const query = (text: string) => parseParams(filters, parseQuery(text), 'query')

test('a query becomes nested parameters whose texts are what the schema asks for', () => {
  expect(
    query(
      'limit=50&livemode=true&created_at%5Bgte%5D=2026-01-01T00%3A00%3A00Z&amount[gte]=5' +
        '&expand[]=customer&expand[1]=charge',
    ),
  ).toEqual({
    limit: 50,
    livemode: true,
    created_at: { gte: new Date('2026-01-01T00:00:00Z') },
    amount: { gte: 5n },
    expand: ['customer', 'charge'],
  })
  expect(query('')).toEqual({ limit: 20 })
})

test.each([
  ['limit=2.5', 'parameter_invalid_integer', 'limit'],
  ['limit=1e1', 'parameter_invalid_integer', 'limit'],
  ['limit=0x10', 'parameter_invalid_integer', 'limit'],
  ['limit=+20', 'parameter_invalid_integer', 'limit'],
  ['limit=020', 'parameter_invalid_integer', 'limit'],
  ['limit=', 'parameter_invalid_integer', 'limit'],
  ['limit=0', 'parameter_invalid_integer', 'limit'],
  ['limit=101', 'parameter_invalid_integer', 'limit'],
  ['amount[gte]=99999999999999999999', 'parameter_invalid_integer', 'amount[gte]'],
  ['limit=1&limit=2', 'parameter_invalid', 'limit'],
  ['limit[]=1', 'parameter_invalid_integer', 'limit'],
  ['livemode=yes', 'parameter_invalid', 'livemode'],
  ['expand=customer', 'parameter_invalid', 'expand'],
  ['expand[1]=customer', 'parameter_invalid', 'expand'],
  ['expand[]=a&expand[x]=b', 'parameter_invalid', 'expand'],
  ['created_at=2026-01-01T00:00:00Z', 'parameter_invalid', 'created_at'],
  ['created_at[gte]=x', 'parameter_invalid', 'created_at[gte]'],
  ['created_at[after]=x', 'parameter_unknown', 'created_at[after]'],
  ['created_at[gte]=x&created_at=y', 'parameter_invalid', 'created_at'],
  ['created_at=y&created_at[gte]=x', 'parameter_invalid', 'created_at'],
  ['__proto__[limit]=1', 'parameter_unknown', '__proto__'],
  ['constructor=1', 'parameter_unknown', 'constructor'],
  ['a[b][c][d][e]=1', 'parameter_invalid', undefined],
  ['a[=1', 'parameter_invalid', undefined],
  ['=1', 'parameter_invalid', undefined],
  ['limit=%ff', 'parameter_invalid', undefined],
])('the query %s is refused with %s at %s', (text, code, param) => {
  expect(refusal(() => query(text))).toMatchObject({ code, param })
})

test('a query that is too long or has too many parameters is refused', () => {
  for (const text of [`status=${'x'.repeat(9_000)}`, 'a&'.repeat(201)]) {
    expect(refusal(() => query(text)).code).toBe('parameter_invalid')
  }
})

test('whatever query arrives, it is parsed or refused with an ApiError', () => {
  const piece = fc.constantFrom(
    'limit',
    '=',
    '&',
    '[',
    ']',
    '[]',
    '[0]',
    'gte',
    '1',
    '%',
    '%5B',
    '__proto__',
    '\0',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), pieces => {
      try {
        query(pieces.join(''))
      } catch (error) {
        expect(error).toBeInstanceOf(ApiError)
      }
    }),
    { numRuns: 500 },
  )
})
