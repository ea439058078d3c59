import { Validator } from '@seriousme/openapi-schema-validator'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { ApiError } from '#kernel'
import { loads, retrieveParams } from './expand.ts'
import { listOf, listParams } from './list.ts'
import { assertMatches } from './matches.ts'
import { openapi } from './openapi.ts'
import {
  amount,
  currency,
  expandable,
  id,
  metadata,
  nullable,
  object,
  secret,
  text,
  timestamp,
} from './schema.ts'
import type { Endpoint } from './types.ts'

const Customer = object('customer', 'cus_', { email: nullable(text(320)), metadata, created_at: timestamp })
loads(Customer, async () => [])
const Intent = object('payment_intent', 'pi_', {
  amount,
  currency,
  customer_id: nullable(expandable('cus_')),
  created_at: timestamp,
})
const run = () => Promise.reject(new Error('the reference runs nothing'))
const path = z.object({ id: id('pi_') })
const resource = 'payment_intents'
const endpoints: Endpoint[] = [
  {
    route: 'POST /v1/payment_intents',
    summary: 'Create a payment intent.',
    resource,
    params: z.strictObject({
      amount,
      currency,
      card: z.strictObject({ number: secret(text(19)) }).optional(),
      confirm: z.boolean().default(false),
      metadata: metadata.optional(),
    }),
    returns: Intent,
    run,
  },
  {
    route: 'GET /v1/payment_intents',
    summary: 'List payment intents.',
    resource,
    params: listParams({ filters: { customer_id: id('cus_').optional() } }),
    returns: listOf(Intent),
    run,
  },
  {
    route: 'GET /v1/payment_intents/:id',
    summary: 'Read one.',
    resource,
    path,
    params: retrieveParams,
    returns: Intent,
    run,
  },
  {
    route: 'POST /v1/payment_intents/:id/confirm',
    summary: 'Confirm one.',
    resource,
    auth: 'publishable',
    path,
    params: z.strictObject({}),
    returns: Intent,
    run,
  },
  {
    route: 'GET /v1/customers/:id',
    summary: 'Read one.',
    resource: 'customers',
    path: z.object({ id: id('cus_') }),
    params: retrieveParams,
    returns: Customer,
    run,
  },
  {
    route: 'POST /v1/webhooks/:processor',
    summary: 'Hear from a processor.',
    resource: 'webhooks',
    auth: 'none',
    path: z.object({ processor: text(20) }),
    params: z.looseObject({}),
    returns: z.strictObject({ received: z.literal(true) }),
    run,
  },
]
const info = { title: 'Bursar', version: '2026-11-21' }
const document = openapi(endpoints, info)
const operation = (method: string, at: string) => document.paths[at]?.[method] as Record<string, never>

test('the document is valid OpenAPI 3.1', async () => {
  const validator = new Validator()
  const result = await validator.validate(JSON.parse(JSON.stringify(document)))
  expect(result.errors ?? []).toEqual([])
  expect(result.valid).toBe(true)
  expect(validator.version).toBe('3.1')
})

test('every reference leads to a component that is there', () => {
  const references = [...JSON.stringify(document).matchAll(/"\$ref":"#\/components\/(\w+)\/(\w+)"/g)]
  expect(references.length).toBeGreaterThan(20)
  expect(JSON.stringify(document)).not.toMatch(/\$defs|"id":"/)
  for (const [, kind, name] of references)
    expect(document.components[kind as string]).toHaveProperty(name as string)
})

test('the same endpoints give the same text', () => {
  expect(JSON.stringify(openapi(endpoints, info))).toBe(JSON.stringify(document))
})

test('objects are components under their names, described as they are on the wire', () => {
  expect(Object.keys(document.components.schemas)).toEqual([
    'customer',
    'error',
    'payment_intent',
    'payment_intent_list',
  ])
  expect(document.components.schemas['payment_intent']).toMatchObject({
    type: 'object',
    required: ['id', 'object', 'amount', 'currency', 'customer_id', 'created_at'],
    properties: {
      id: { type: 'string', pattern: '^pi_[0-7][0-9a-hjkmnp-tv-z]{25}$' },
      object: { const: 'payment_intent' },
      amount: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
      created_at: { type: 'string', format: 'date-time' },
      customer: { anyOf: [{ $ref: '#/components/schemas/customer' }, { type: 'null' }] },
    },
  })
})

test('parameters are closed and answers are open', () => {
  expect(JSON.stringify(document.components.schemas)).not.toContain('"additionalProperties":false')
  const { requestBody } = operation('post', '/v1/payment_intents')
  expect(requestBody).toMatchObject({
    required: true,
    content: {
      'application/json': {
        schema: {
          additionalProperties: false,
          required: ['amount', 'currency'],
          properties: {
            confirm: { type: 'boolean', default: false },
            card: { properties: { number: { writeOnly: true } } },
            metadata: { maxProperties: 50 },
          },
        },
      },
    },
  })
})

test('a write needs its key, a read has its query', () => {
  const named = (method: string, at: string) =>
    (operation(method, at)['parameters'] as unknown as { name?: string; $ref?: string }[]).map(
      ({ name, $ref }) => name ?? $ref?.split('/').at(-1),
    )
  expect(named('post', '/v1/payment_intents')).toEqual(['idempotency_key', 'version'])
  expect(named('get', '/v1/payment_intents')).toEqual([
    'version',
    'limit',
    'cursor',
    'created_at',
    'expand[]',
    'customer_id',
  ])
  expect(named('get', '/v1/payment_intents/{id}')).toEqual(['id', 'version', 'expand[]'])
  expect(named('post', '/v1/webhooks/{processor}')).toEqual(['processor', 'version'])
})

test('operations are named for what they do, and keys for who may', () => {
  const ids = Object.values(document.paths).flatMap(operations =>
    Object.values(operations).map(({ operationId }) => operationId),
  )
  expect(ids).toEqual([
    'payment_intents.create',
    'payment_intents.list',
    'payment_intents.retrieve',
    'payment_intents.confirm',
    'customers.retrieve',
    'webhooks.create',
  ])
  expect(operation('post', '/v1/webhooks/{processor}')['security']).toEqual([])
  expect(JSON.stringify(operation('post', '/v1/payment_intents/{id}/confirm')['security'])).toContain(
    'publishable_key',
  )
  expect(() => openapi([...endpoints, ...endpoints], info)).toThrow('one endpoint')
})

test('an answer that is not what its endpoint declares is found out', () => {
  const [create] = endpoints as [Endpoint]
  const row = {
    id: '019ab2c4-0000-7000-8000-000000000000',
    amount: 5n,
    currency: 'usd' as const,
    customer_id: null,
    created_at: new Date(0),
  }
  const body = Intent.encode(row)
  assertMatches(create, { status: 200, body })
  expect(() => assertMatches(create, { status: 201, body })).toThrow('status 201 instead of 200')
  const surprising = JSON.stringify({ ...Intent.toJson(row), token: 'tok_1', amount: '5' })
  expect(() => assertMatches(create, { status: 200, body: surprising })).toThrow(
    'POST /v1/payment_intents answered other than it declares: amount: invalid_type; : unrecognized_keys token',
  )
  const error = new ApiError('card_declined', {
    detail: { decline_code: 'generic_decline', payment_intent: {} },
  })
  assertMatches(create, { status: 402, body: JSON.stringify(error.body('req_1')) })
  expect(() => assertMatches(create, { status: 402, body: '{"error":{"code":"odd"}}' })).toThrow('error.code')
})

test('a field that expands to what nobody loads is found before anything is served', () => {
  object('balance_transaction', 'txn_', { amount })
  object('refund', 're_', { balance_transaction_id: expandable('txn_') })
  expect(() => openapi(endpoints, info)).toThrow(
    'balance_transaction says how it is loaded, for refund.balance_transaction_id',
  )
})
