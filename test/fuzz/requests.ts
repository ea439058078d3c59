/**
 * Requests made from the OpenAPI document, as a client would make them: each operation with parameters that fit their
 * schemas, and ids that are really there. What is wrong with a request is added by flaws.ts.
 */
import type { OpenApiDocument } from '#http'
import type { Dice } from '../support/dice.ts'

export interface Schema {
  type?: string
  enum?: unknown[]
  const?: unknown
  pattern?: string
  format?: string
  minimum?: number
  maximum?: number
  maxLength?: number
  minItems?: number
  properties?: Record<string, Schema>
  required?: string[]
  additionalProperties?: boolean | Schema
  items?: Schema
  anyOf?: Schema[]
  oneOf?: Schema[]
}

export interface Operation {
  id: string
  method: 'GET' | 'POST' | 'DELETE'
  /** `/v1/customers/{id}`. */
  path: string
  path_params: Record<string, Schema>
  query: Record<string, Schema>
  query_required: string[]
  body: Schema | undefined
  is_publishable: boolean
  /** A secret key is not enough. */
  is_scoped: boolean
  resource: string
}

/** A request before it is written down; flaws change it. */
export interface Draft {
  operation: Operation
  method: string
  /** Path without the query, ids filled in. */
  path: string
  query: [name: string, value: string][]
  headers: Record<string, string>
  params: Record<string, unknown>
  /** Takes the place of `params` as they would be written. */
  raw_body?: string
}

interface Parameter {
  $ref?: string
  name: string
  in: string
  required?: boolean
  schema: Schema
}

export function operationsOf(document: OpenApiDocument): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, described]): Operation[] => {
      const operation = described as unknown as {
        operationId: string
        tags: string[]
        parameters: Parameter[]
        security: object[]
        requestBody?: { content: { 'application/json'?: { schema: Schema } } }
      }
      // What is wrong with a file is no matter of JSON: readers of files have their own tests.
      if (operation.requestBody && !operation.requestBody.content['application/json']) return []
      const named = (where: string) =>
        Object.fromEntries(
          operation.parameters
            .filter(parameter => parameter.in === where && !parameter.$ref)
            .map(({ name, schema }) => [name, schema]),
        )
      const found = {
        id: operation.operationId,
        method: method.toUpperCase() as Operation['method'],
        path,
        path_params: named('path'),
        query: named('query'),
        query_required: operation.parameters
          .filter(parameter => parameter.in === 'query' && parameter.required === true)
          .map(({ name }) => name),
        body: operation.requestBody?.content['application/json']?.schema,
        is_publishable: operation.security.some(scheme => 'publishable_key' in scheme),
        is_scoped: operation.security.some(scheme => Object.values(scheme).some(roles => roles.length > 0)),
        resource: operation.tags[0] ?? '',
      }
      return [found]
    }),
  )
}

/** Ids that exist, by prefix, gathered from answers. */
export class Pool {
  readonly #ids = new Map<string, string[]>()
  /** Enough to choose from; old ones are as interesting as new ones. */
  static readonly MOST = 200

  gather(text: string): void {
    for (const [id, prefix] of text.matchAll(/\b([a-z]+_)[0-7][0-9a-hjkmnp-tv-z]{25}\b/g)) {
      const ids = this.#ids.get(prefix as string) ?? []
      if (ids.length < Pool.MOST && !ids.includes(id)) ids.push(id)
      this.#ids.set(prefix as string, ids)
    }
  }

  id(prefix: string, dice: Dice): string | undefined {
    const ids = this.#ids.get(prefix)
    return ids && dice.pick(ids)
  }
}

export const CURRENCIES = ['usd', 'eur', 'jpy', 'bhd', 'gbp']
const CARDS = [
  'pm_card_visa',
  'pm_card_mastercard',
  'pm_card_chargeDeclined',
  'pm_card_threeDSecure2Required',
  'pm_card_pendingRefund',
]
const EVENT_TYPES = ['*', 'charge.*', 'charge.dispute.*', 'customer.created', 'webhook_endpoint.test']
const NUMBERS = ['4242424242424242', '5555555555554444', '378282246310005', '4000000000000002']
const ID_PATTERN = /^\^([a-z]+_)/

/** An id of the kind that is well formed and names nothing. */
export const idOfNothing = (prefix: string, dice: Dice): string =>
  `${prefix}0${dice.word(25).replaceAll(/[ilou]/g, '7')}`

export function draft(operation: Operation, pool: Pool, dice: Dice, key: string): Draft {
  const known = (prefix: string) => pool.id(prefix, dice) ?? idOfNothing(prefix, dice)
  // A payment method's may be one of the magic cards, so its schema says nothing.
  const path = operation.path.replaceAll(/\{(\w+)\}/g, (_, name: string) =>
    known(ID_PATTERN.exec(operation.path_params[name]?.pattern ?? '')?.[1] ?? 'pm_'),
  )
  const query: Draft['query'] = []
  for (const [name, schema] of Object.entries(operation.query)) {
    const is_asked = operation.query_required.includes(name) || dice.oneIn(3)
    if (!is_asked || name === 'cursor' || name === 'client_secret') continue
    if (name === 'expand[]') continue
    if (schema.properties) {
      const bound = dice.pick(Object.keys(schema.properties))
      query.push([`${name}[${bound}]`, '2026-01-01T00:00:00Z'])
    } else query.push([name, String(value(schema, name, pool, dice))])
  }
  return {
    operation,
    method: operation.method,
    path,
    query,
    headers: {
      authorization: `Bearer ${key}`,
      ...(operation.method !== 'GET' && { 'idempotency-key': `fuzz-${dice.word(20)}` }),
    },
    params: operation.body ? (value(operation.body, '', pool, dice) as Record<string, unknown>) : {},
  }
}

/** A value that fits the schema and, as far as the name tells, the world. */
export function value(schema: Schema, name: string, pool: Pool, dice: Dice): unknown {
  const options = schema.anyOf ?? schema.oneOf
  if (options) return value(dice.pick(options), name, pool, dice)
  if (schema.enum) return dice.pick(schema.enum)
  if (schema.const !== undefined) return schema.const
  switch (schema.type) {
    case 'object': {
      if (!schema.properties) return dice.oneIn(3) ? {} : { [dice.word(5)]: dice.word(8) }
      const is_transfer = 'debit_code' in schema.properties
      const required = is_transfer ? NEEDED_IN_A_TRANSFER : (schema.required ?? [])
      // A refund is of an intent or of a charge, never of both.
      const without = 'charge_id' in schema.properties && 'payment_intent_id' in schema.properties
      const skipped = without ? [dice.pick(['charge_id', 'payment_intent_id'])] : []
      if (is_transfer) skipped.push(...UNUSUAL_IN_A_TRANSFER)
      const { properties } = schema
      const rule = DEPENDENT.find(({ known_by }) => known_by.every(member => member in properties))
      skipped.push(...(rule?.without ?? []))
      return Object.fromEntries(
        Object.entries(schema.properties)
          .filter(
            ([member]) => !skipped.includes(member) && (required.includes(member) || wanted(member, dice)),
          )
          .map(([member, inner]) => [member, value(inner, member, pool, dice)])
          .concat(Object.entries(rule?.always ?? {})),
      )
    }
    case 'array':
      return Array.from({ length: schema.minItems ?? 0 }, () => value(schema.items ?? {}, name, pool, dice))
    case 'boolean':
      return dice.oneIn(2)
    case 'integer':
      return integerFor(schema, name, dice)
    case 'null':
      return null
    default:
      return textFor(schema, name, pool, dice)
  }
}

/** What a ledger transfer needs depends on its kind: here they post at once, between accounts named by code. */
const NEEDED_IN_A_TRANSFER = ['debit_code', 'credit_code', 'amount', 'currency']
const UNUSUAL_IN_A_TRANSFER = ['kind', 'debit_account_id', 'credit_account_id', 'pending_id', 'expires_at']

/** Parameters of which the one says whether the other may be there, known by those that stand together nowhere else. */
const DEPENDENT: { known_by: string[]; without: string[]; always: Record<string, unknown> }[] = [
  {
    known_by: ['card', 'token', 'type'],
    without: ['token'],
    always: { card: { number: NUMBERS[0], exp_month: 12, exp_year: 2040, cvc: '123' } },
  },
  // A cut of the books; a decision about rows of a run.
  {
    known_by: ['ledger_account_id', 'source'],
    without: ['ledger_account_id', 'code', 'from', 'to'],
    always: { source: 'payouts' },
  },
  { known_by: ['as_of', 'timing_days'], without: ['as_of'], always: { as_of: '2026-11-21' } },
  {
    known_by: ['ledger_code', 'kind', 'left'],
    without: ['ledger_code', 'right'],
    always: { kind: 'write_off', left: [1] },
  },
]

/** What makes a request more often legal than not. */
function wanted(name: string, dice: Dice): boolean {
  if (name === 'payment_intent_id' || name === 'charge_id') return true
  if (name === 'client_secret' || name === 'off_session') return dice.oneIn(20)
  if (name === 'customer_id') return dice.oneIn(6)
  if (name === 'payment_method_id') return !dice.oneIn(3)
  return dice.oneIn(3)
}

function integerFor(schema: Schema, name: string, dice: Dice): number {
  if (name === 'amount') return 500 + dice.int(9_000)
  if (name === 'amount_to_capture') return 1 + dice.int(800)
  if (name === 'exp_year') return 2030 + dice.int(9)
  const least = Math.max(schema.minimum ?? 0, 0)
  return least + dice.int(Math.min(schema.maximum ?? 100, least + 100) - least + 1)
}

function textFor(schema: Schema, name: string, pool: Pool, dice: Dice): string {
  if (name === 'payment_method_id')
    return pool.id('pm_', dice) && dice.oneIn(4) ? (pool.id('pm_', dice) as string) : dice.pick(CARDS)
  const prefix = ID_PATTERN.exec(schema.pattern ?? '')?.[1]
  if (prefix) return pool.id(prefix, dice) ?? idOfNothing(prefix, dice)
  if (name === 'currency') return dice.pick(CURRENCIES)
  if (name === 'event_types') return dice.pick(EVENT_TYPES)
  // Events are kept for a month: a replay begins within it.
  if (name === 'created_from') return new Date(Date.now() - 86_400_000).toISOString()
  if (name === 'created_before') return new Date(Date.now() - 3_600_000).toISOString()
  if (name === 'number') return dice.pick(NUMBERS)
  if (name === 'cvc') return '123'
  if (name === 'object_id' || name === 'source_id') return pool.id('pi_', dice) ?? idOfNothing('pi_', dice)
  if (schema.format === 'email') return `${dice.word(10)}@example.com`
  if (schema.format === 'uri') return `https://shop.example/${dice.word(6)}`
  if (schema.format === 'date-time') return '2026-01-01T00:00:00Z'
  const length = 1 + dice.int(Math.min(schema.maxLength ?? 20, 20))
  return dice.oneIn(5)
    ? '日本 “ünï” 💶'.slice(0, length).toWellFormed().replaceAll('\ufffd', '')
    : dice.word(length)
}

/** The draft as it is sent. */
export function written(draft: Draft): {
  method: string
  url: string
  headers: Record<string, string>
  body?: string
} {
  const query = draft.query.map(([name, text]) => `${name}=${text}`).join('&')
  const body =
    draft.raw_body ??
    (draft.method === 'GET' || !draft.operation.body ? undefined : JSON.stringify(draft.params))
  return {
    method: draft.method,
    url: query === '' ? draft.path : `${draft.path}?${query}`,
    headers: {
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...draft.headers,
    },
    ...(body !== undefined && { body }),
  }
}
