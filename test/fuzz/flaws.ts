/**
 * Everything that may be wrong with a request. A flaw changes a draft so that it must be refused before it does
 * anything, and says with which statuses; or answers nothing when it does not apply to the operation.
 */
import type { Dice } from './dice.ts'
import { type Draft, idOfNothing, type Pool, type Schema } from './requests.ts'

export interface FlawContext {
  dice: Dice
  /** Ids of another account. */
  foreign: Pool
  /** Cursors that fit some other list, filter or account. */
  cursors: string[]
  keys: {
    publishable: string
    /** May read events and nothing else. */
    restricted: string
    live: string
    revoked: string
    expired: string
  }
}

export type Flaw = (draft: Draft, context: FlawContext) => number[] | undefined

/** Names of parameters at the top of a body, with their schemas. */
const bodyParams = ({ operation, params }: Draft): [string, Schema][] =>
  Object.entries(operation.body?.properties ?? {}).filter(([name]) => name in params)

const kindsOf = (schema: Schema): string[] => [
  ...(schema.type ? [schema.type] : []),
  ...(schema.enum || schema.pattern || schema.const !== undefined ? ['string'] : []),
  ...[...(schema.anyOf ?? []), ...(schema.oneOf ?? [])].flatMap(kindsOf),
]

/** Values of each JSON type; one whose type a parameter does not have is wrong for it. */
const VALUES: Record<string, unknown[]> = {
  null: [null],
  boolean: [true, false],
  string: ['', 'text', '1000', '1e3', 'true', 'null'],
  integer: [0, -1, 7, 2 ** 53],
  number: [0.5, -0.5, 1e21],
  array: [[], [1], [[]], ['usd']],
  object: [{}, { a: 1 }, { amount: 5 }],
}

/** Puts a value of the wrong type in place of one of the parameters. */
const wrongType: Flaw = (draft, { dice }) => {
  const params = bodyParams(draft)
  if (params.length === 0) return undefined
  const [name, schema] = dice.pick(params)
  const known = kindsOf(schema)
  const kind = dice.pick(
    Object.keys(VALUES).filter(
      kind =>
        !known.includes(kind) &&
        !(kind === 'integer' && known.includes('number')) &&
        !(kind === 'number' && known.includes('integer')),
    ),
  )
  draft.params[name] = dice.pick(VALUES[kind] as unknown[])
  return [400]
}

/** Writes the body with one parameter as it stands here, which JSON.stringify cannot write. */
function withRaw(draft: Draft, name: string, text: string): void {
  const rest = Object.entries(draft.params).filter(([member]) => member !== name)
  const members = [
    ...rest.map(([member, value]) => `${JSON.stringify(member)}:${JSON.stringify(value)}`),
    `${JSON.stringify(name)}:${text}`,
  ]
  draft.raw_body = `{${members.join(',')}}`
}

const oddAmount: Flaw = (draft, { dice }) => {
  const name = ['amount', 'amount_to_capture'].find(name => draft.operation.body?.properties?.[name])
  if (!name) return undefined
  withRaw(
    draft,
    name,
    dice.pick([
      '0',
      '-0',
      '-1',
      '-1000',
      '0.5',
      '10.01',
      '1e400',
      '-1e400',
      '1e21',
      '1e-7',
      '9007199254740992',
      '9223372036854775808',
      '99999999999999999999999999',
      '"1000"',
      '"1000.00"',
      '"0x64"',
      'true',
      'null',
      '[1000]',
      '{"value":1000}',
    ]),
  )
  return [400]
}

const tooLittleOrTooMuch: Flaw = (draft, { dice }) => {
  if (draft.operation.id !== 'payment_intents.create') return undefined
  draft.params.currency = 'usd'
  draft.params.amount = dice.pick([1, 49, 100_000_000_000, 2 ** 53 - 1])
  return [400]
}

const unknownCurrency: Flaw = (draft, { dice }) => {
  if (!draft.operation.body?.properties?.currency) return undefined
  draft.params.currency = dice.pick([
    'xxx',
    'USD',
    'us',
    '',
    'usdd',
    'btc',
    ' usd',
    'usd ',
    'ＵＳＤ',
    'zzz',
    'toString',
    '__proto__',
  ])
  return [400]
}

const unknownParameter: Flaw = (draft, { dice }) => {
  const name = dice.pick([
    'amout',
    'Amount',
    'constructor',
    'toString',
    'hasOwnProperty',
    'id',
    'status',
    'account_id',
    'livemode',
    '',
    '$where',
    'a.b',
    dice.word(300),
  ])
  if (draft.method === 'GET') draft.query.push([encodeURIComponent(name), '1'])
  else withRaw(draft, name, dice.pick(['1', '"x"', 'null', '{}']))
  return [400]
}

const proto: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET')
    draft.query.push([
      dice.pick(['__proto__', '__proto__[x]', 'created_at[__proto__]', 'constructor[prototype][x]']),
      '1',
    ])
  else if (dice.oneIn(2)) withRaw(draft, '__proto__', '{"amount":1000}')
  else withRaw(draft, 'metadata', '{"__proto__":"x"}')
  return [400]
}

const duplicateName: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') {
    draft.query.push(['limit', '5'], ['limit', dice.pick(['5', '6'])])
    return [400]
  }
  const [name, again] = dice.pick([
    ['amount', '100'],
    ['metadata', '{}'],
    ['description', '"x"'],
  ] as const)
  draft.raw_body = `{"${name}":${again},"${dice.oneIn(2) ? name : `\\u${name.charCodeAt(0).toString(16).padStart(4, '0')}${name.slice(1)}`}":${again}}`
  return [400]
}

const brokenJson: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') return undefined
  const text = JSON.stringify({ ...draft.params, metadata: {} })
  draft.raw_body = dice.pick([
    text.slice(0, 1 + dice.int(text.length - 1)),
    `${text},`,
    `${text}${text}`,
    text.replaceAll('"', "'"),
    `${text.slice(0, -1)},}`,
    '{"amount":NaN}',
    '{"amount":01}',
    '{"amount":+1}',
    '{amount:1}',
    '// x\n{}',
    '\ufeff{}',
    '{"a":"\u0001"}',
    '{"a":"\\x"}',
    '{"a":"\\u12"}',
    'undefined',
    '{',
    ' ',
  ])
  return [400]
}

const notAnObject: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') return undefined
  draft.raw_body = dice.pick(['[]', '[{}]', 'null', '5', '"text"', 'true', '1e400', '[["a"]]'])
  return [400]
}

const deep: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') {
    draft.query.push([`created_at${'[gte]'.repeat(dice.pick([2, 50, 500]))}`, 'x'])
    return [400]
  }
  const depth = dice.pick([33, 200, 10_000])
  const [open, close] = dice.pick([
    ['[', ']'],
    ['{"a":', '}'],
  ] as const)
  withRaw(draft, dice.pick(['metadata', 'x', 'amount']), `${open.repeat(depth)}1${close.repeat(depth)}`)
  return [400]
}

const mediaType: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') return undefined
  draft.raw_body = JSON.stringify(draft.params)
  if (dice.oneIn(5)) draft.headers['content-encoding'] = dice.pick(['gzip', 'br', 'identity'])
  else {
    draft.headers['content-type'] = dice.pick([
      'text/plain',
      'text/html',
      'application/x-www-form-urlencoded',
      'multipart/form-data; boundary=x',
      'application/xml',
      'application/jsonx',
      'json',
      '',
      'application/octet-stream',
      '*/*',
      'text/json',
    ])
  }
  return [415]
}

const idempotencyKey: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') return undefined
  const key = dice.pick([
    undefined,
    'k'.repeat(256),
    'k'.repeat(5_000),
    '',
    'ключ',
    'a\tb',
    'a\u0001b',
    'ünï',
    '💶',
  ])
  if (key === undefined) {
    delete draft.headers['idempotency-key']
    return [428]
  }
  draft.headers['idempotency-key'] = key
  return [400]
}

/** Text that PostgreSQL cannot keep. */
const unstorable: Flaw = (draft, { dice }) => {
  const text = dice.pick(['a\\u0000b', '\\u0000', '\\ud800', '\\udc00\\ud800', 'x\\ud83d'])
  if (draft.method === 'GET') {
    draft.query.push([
      dice.pick(['type', 'email', 'cursor', 'limit', 'x']),
      dice.pick(['%00', 'a%00b', '%ff', '%ed%a0%80', '%', '%zz']),
    ])
    return [400]
  }
  const where = dice.pick(['description', 'metadata', 'email', 'currency', 'payment_method_id'])
  if (where === 'metadata') withRaw(draft, 'metadata', dice.oneIn(2) ? `{"k":"${text}"}` : `{"${text}":"v"}`)
  else withRaw(draft, where, `"${text}"`)
  return [400]
}

const tooLong: Flaw = (draft, { dice }) => {
  const properties = draft.operation.body?.properties ?? {}
  const texts = Object.entries(properties).filter(
    ([, schema]) => schema.maxLength !== undefined && schema.maxLength < 10_000,
  )
  if (properties.metadata && dice.oneIn(2)) {
    draft.params.metadata = dice.pick<Record<string, string>>([
      Object.fromEntries(Array.from({ length: 51 }, (_, n) => [`k${n}`, 'v'])),
      { ['k'.repeat(41)]: 'v' },
      { k: 'v'.repeat(501) },
      { '': 'v' },
    ])
    return [400]
  }
  if (texts.length === 0) return undefined
  const [name, { maxLength = 0 }] = dice.pick(texts)
  draft.params[name] = dice.pick(['x', '💶']).repeat(maxLength + 1)
  return [400]
}

const hugeBody: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET' || !dice.oneIn(20)) return undefined
  withRaw(draft, 'description', `"${'x'.repeat(1_100_000 + dice.int(1_000_000))}"`)
  return [413]
}

const PREFIX_OF = {
  customer_id: 'cus_',
  payment_intent_id: 'pi_',
  charge_id: 'ch_',
  payment_method_id: 'pm_',
} as const
const NAMES_OF_OBJECTS = Object.keys(PREFIX_OF) as (keyof typeof PREFIX_OF)[]

const foreignId: Flaw = (draft, { dice, foreign }) => {
  const inPath = /\/([a-z]+_)[0-9a-z]{26}/.exec(draft.path)
  const prefix = inPath?.[1]
  if (prefix && dice.oneIn(2)) {
    const other = foreign.id(prefix, dice)
    if (!other) return undefined
    draft.path = draft.path.replace(/\/[a-z]+_[0-9a-z]{26}/, `/${other}`)
    return draft.operation.body?.required ? [404, 400] : [404]
  }
  const named = NAMES_OF_OBJECTS.filter(name => draft.operation.body?.properties?.[name])
  if (named.length === 0 || draft.operation.id === 'payment_intents.confirm') return undefined
  const name = dice.pick(named)
  const other = foreign.id(PREFIX_OF[name], dice)
  if (!other) return undefined
  draft.params[name] = other
  // The object in the path may be in a state that is refused first.
  return [404, 400]
}

const oddPath: Flaw = (draft, { dice }) => {
  if (!/\/[a-z]+_[0-9a-z]{26}/.test(draft.path)) return undefined
  const odd = dice.pick([
    'x',
    'pi_',
    'pi_!!!',
    'cus_',
    '..%2f..',
    '%00',
    '%ff',
    '%',
    'pi_%F0%9F%92%B6',
    'null',
    '0',
    `pi_${'0'.repeat(5_000)}`,
    'PI_01JD3X0YFAE4QA9VRF2KZ5M8WT',
    `pi_8${'z'.repeat(25)}`,
    idOfNothing('req_', dice),
    idOfNothing('acct_', dice),
    "pi_'--",
  ])
  draft.path = draft.path.replace(/\/[a-z]+_[0-9a-z]{26}/, `/${odd}`)
  return [404, 400]
}

const oddQuery: Flaw = (draft, { dice }) => {
  if (!('limit' in draft.operation.query)) {
    draft.query.push(['limit', '1'])
    return [400]
  }
  draft.query = [
    dice.pick([
      ['limit', '0'],
      ['limit', '101'],
      ['limit', '-1'],
      ['limit', '1.5'],
      ['limit', 'abc'],
      ['limit', '1e1'],
      ['limit', ''],
      ['limit', '0x10'],
      ['limit', '٣'],
      ['limit[]', '1'],
      ['limit[gte]', '1'],
      ['expand[]', 'nothing'],
      ['expand', 'customer'],
      ['expand[]', 'customer.customer.customer.customer.customer'],
      ['expand[]', '__proto__'],
      ['expand[]', 'constructor'],
      ['expand[9]', 'customer'],
      ['created_at', 'yesterday'],
      ['created_at[gte]', 'yesterday'],
      ['created_at[gte]', '2026-02-30T00:00:00Z'],
      ['created_at[gte]', '+275760-09-13T00:00:00.001Z'],
      ['created_at[near]', '2026-01-01T00:00:00Z'],
      ['created_at[', 'x'],
      ['created_at]', 'x'],
      ['[created_at]', 'x'],
      ['', 'x'],
      ['status', 'unheard'],
      ['customer_id', 'cus_'],
      ['customer_id', 'pi_x'],
      ['=', '='],
      ['a', '&&'],
      ['offset', '5'],
    ] as [string, string][]),
  ]
  return [400]
}

const oddCursor: Flaw = (draft, { dice, cursors }) => {
  if (!('cursor' in draft.operation.query)) return undefined
  const real = dice.pick(cursors)
  const at = dice.int(real.length)
  // A filter that no cursor of the collection was made with.
  draft.query = [
    ['created_at[lt]', '2031-03-04T05:06:07Z'],
    [
      'cursor',
      dice.pick([
        real,
        `${real.slice(0, at)}${real[at] === 'A' ? 'B' : 'A'}${real.slice(at + 1)}`,
        real.slice(1),
        '',
        'x',
        'x'.repeat(300),
        '%2e%2e',
        `${real}=`,
      ]),
    ],
  ]
  return [400]
}

const strayQuery: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') return undefined
  draft.query.push([dice.pick(['amount', 'expand[]', 'limit', 'x']), '1'])
  return [400]
}

const wrongKey: Flaw = (draft, { dice, keys }) => {
  const authorization = dice.pick([
    undefined,
    '',
    'Bearer',
    'Bearer ',
    `Bearer sk_test_${dice.word(33)}`,
    `Bearer sk_test_${dice.word(5_000)}`,
    `Bearer ${keys.revoked}`,
    `Bearer ${keys.expired}`,
    `Bearer ${keys.live.slice(0, -1)}`,
    `Basic ${Buffer.from('sk_test_x:').toString('base64')}`,
    'Basic %%%',
    `Digest ${dice.word(20)}`,
    'Bearer null',
    `Bearer ${keys.live} ${keys.live}`,
    'Bearer ключ',
    `bearer\t${dice.word(30)}`,
  ])
  if (authorization === undefined) delete draft.headers.authorization
  else draft.headers.authorization = authorization
  return [401]
}

const publishableKey: Flaw = (draft, { keys }) => {
  draft.headers.authorization = `Bearer ${keys.publishable}`
  if (!draft.operation.is_publishable) return [403]
  if (draft.operation.id === 'payment_methods.create') return undefined
  // A browser shows the secret of its intent; without one it is refused, and so is a wrong one.
  delete draft.params.client_secret
  draft.query = draft.query.filter(([name]) => name !== 'client_secret')
  return [400, 404]
}

const withoutScope: Flaw = (draft, { keys }) => {
  if (draft.operation.resource === 'events' && draft.method === 'GET') return undefined
  draft.headers.authorization = `Bearer ${keys.restricted}`
  return [403]
}

/** A key of the other mode sees nothing of this one, and no processor is configured there. */
const otherMode: Flaw = (draft, { keys }) => {
  const names_object = /\/[a-z]+_[0-9a-z]{26}/.test(draft.path)
  if (!names_object) return undefined
  draft.headers.authorization = `Bearer ${keys.live}`
  return draft.operation.body ? [404, 400] : [404]
}

const version: Flaw = (draft, { dice }) => {
  draft.headers['bursar-version'] = dice.pick(['2020-01-01', 'latest', '', '2026-11-22', '1'])
  return [400]
}

const route: Flaw = (draft, { dice }) => {
  if (dice.oneIn(2)) {
    draft.path = dice.pick([
      '/v1',
      '/v2/customers',
      '/v1/customer',
      `${draft.path}/x/y`,
      '/v1//customers',
      '/',
      '/v1/%2e%2e/customers',
      '/V1/customers',
    ])
    return [404]
  }
  draft.method = dice.pick(['PUT', 'PATCH', 'OPTIONS'])
  return [404, 405]
}

export const flaws: Record<string, Flaw> = {
  wrongType,
  oddAmount,
  tooLittleOrTooMuch,
  unknownCurrency,
  unknownParameter,
  proto,
  duplicateName,
  brokenJson,
  notAnObject,
  deep,
  mediaType,
  idempotencyKey,
  unstorable,
  tooLong,
  hugeBody,
  foreignId,
  oddPath,
  oddQuery,
  oddCursor,
  strayQuery,
  wrongKey,
  publishableKey,
  withoutScope,
  otherMode,
  version,
  route,
}
