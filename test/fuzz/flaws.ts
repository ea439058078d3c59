/** Everything that may be wrong with a request: its body, and here its path, query, headers and key. */
import {
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
} from './body-flaws.ts'
import type { Flaw } from './flaw.ts'
import { idOfNothing } from './requests.ts'

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
  // It may do that, and then nothing is changed: another flaw's wrong key would be mended by this one.
  if (draft.operation.id === 'payment_methods.create') return undefined
  draft.headers.authorization = `Bearer ${keys.publishable}`
  if (!draft.operation.is_publishable) return [403]
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
