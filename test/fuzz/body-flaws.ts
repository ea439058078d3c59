/** What may be wrong with a body: values, names, syntax, size. */
import type { Flaw } from './flaw.ts'
import { type Draft, type Schema } from './requests.ts'

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
export const wrongType: Flaw = (draft, { dice }) => {
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

export const oddAmount: Flaw = (draft, { dice }) => {
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

export const tooLittleOrTooMuch: Flaw = (draft, { dice }) => {
  if (draft.operation.id !== 'payment_intents.create') return undefined
  draft.params.currency = 'usd'
  draft.params.amount = dice.pick([1, 49, 100_000_000_000, 2 ** 53 - 1])
  return [400]
}

export const unknownCurrency: Flaw = (draft, { dice }) => {
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

export const unknownParameter: Flaw = (draft, { dice }) => {
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

export const proto: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET')
    draft.query.push([
      dice.pick(['__proto__', '__proto__[x]', 'created_at[__proto__]', 'constructor[prototype][x]']),
      '1',
    ])
  else if (dice.oneIn(2)) withRaw(draft, '__proto__', '{"amount":1000}')
  else withRaw(draft, 'metadata', '{"__proto__":"x"}')
  return [400]
}

export const duplicateName: Flaw = (draft, { dice }) => {
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

export const brokenJson: Flaw = (draft, { dice }) => {
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

export const notAnObject: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET') return undefined
  draft.raw_body = dice.pick(['[]', '[{}]', 'null', '5', '"text"', 'true', '1e400', '[["a"]]'])
  return [400]
}

export const deep: Flaw = (draft, { dice }) => {
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

export const mediaType: Flaw = (draft, { dice }) => {
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

export const idempotencyKey: Flaw = (draft, { dice }) => {
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
export const unstorable: Flaw = (draft, { dice }) => {
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

export const tooLong: Flaw = (draft, { dice }) => {
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

export const hugeBody: Flaw = (draft, { dice }) => {
  if (draft.method === 'GET' || !dice.oneIn(20)) return undefined
  withRaw(draft, 'description', `"${'x'.repeat(1_100_000 + dice.int(1_000_000))}"`)
  return [413]
}
