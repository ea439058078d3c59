import { beforeEach, expect, test } from 'vitest'
import { z } from 'zod'
import { openDatabase } from '#db'
import { ApiError, newId } from '#kernel'
import { assertExpansionsLoad, type Reader, expandMany, expandOne, loads, parseExpand } from './expand.ts'
import { expandable, nullable, object, text } from './schema.ts'

const Customer = object('customer', 'cus_', { name: text(50) })
const Charge = object('charge', 'ch_', {
  customer_id: nullable(expandable('cus_')),
  payment_intent_id: expandable('pi_'),
})
const Intent = object('payment_intent', 'pi_', {
  customer_id: nullable(expandable('cus_')),
  latest_charge_id: nullable(expandable('ch_')),
})

const at = new Date('2026-11-21T09:30:00Z')
const customers = ['Ada', 'Grace'].map(name => ({ id: newId(at), name }))
const charges = Array.from({ length: 6 }, (_, i) => ({
  id: newId(at),
  customer_id: customers[i % 2]?.id ?? null,
  payment_intent_id: newId(at),
}))
const intents = charges.map((charge, i) => ({
  id: charge.payment_intent_id,
  customer_id: i === 5 ? null : charge.customer_id,
  latest_charge_id: charge.id,
}))

// The loaders below read lists: expansion itself asks the database nothing, so none needs to be running.
const database = openDatabase({ url: 'postgresql://127.0.0.1:9/none' })
const readerFor = (kind: Reader['caller']['kind'], ...scopes: string[]): Reader => ({
  db: database,
  tenant: { account_id: newId(at), livemode: false },
  caller: { kind, scopes },
})
const reader = readerFor('secret')
let loaded: [string, number][] = []
beforeEach(() => {
  loaded = []
})
const from =
  <Row extends { id: string }>(name: string, rows: readonly Row[]) =>
  async (_: Reader, ids: readonly string[]) => {
    loaded.push([name, ids.length])
    return rows.filter(row => ids.includes(row.id)).reverse()
  }
loads(Customer, from('customers', customers))
loads(Charge, from('charges', charges))
loads(Intent, from('intents', intents))

const expanded = async (paths: string[]) => {
  const texts = await expandMany(reader, Intent, intents, parseExpand(Intent, paths))
  return texts.map(json => z.record(z.string(), z.unknown()).parse(JSON.parse(json)))
}

test('an expanded object appears beside its id, and null where there is none', async () => {
  const answers = await expanded(['customer'])
  expect(answers[0]).toEqual({
    ...Intent.toJson(intents[0] as (typeof intents)[number]),
    customer: Customer.toJson(customers[0] as (typeof customers)[number]),
  })
  expect(answers[5]).toMatchObject({ customer_id: null, customer: null })
  for (const answer of answers) expect(Intent.safeParse(answer).success).toBe(true)
})

test('a page costs one query for each path, each id asked for once', async () => {
  await expanded(['customer', 'latest_charge.customer', 'latest_charge.payment_intent', 'latest_charge'])
  expect(loaded).toEqual([
    ['customers', 2],
    ['charges', 6],
    ['customers', 2],
    ['intents', 6],
  ])
})

test('four levels are expanded and a fifth is refused', async () => {
  const four = 'latest_charge.payment_intent.latest_charge.customer'
  const answer = JSON.parse(
    (await expandOne(reader, Intent, intents[1] as (typeof intents)[number], [four])).text,
  )
  expect(answer.latest_charge.payment_intent.latest_charge.customer.name).toBe('Grace')
  expect(Intent.safeParse(answer).success).toBe(true)
  expect(() =>
    parseExpand(Intent, ['latest_charge.payment_intent.latest_charge.payment_intent.customer']),
  ).toThrow(/deeper than 4/)
})

test.each([
  'nothing',
  'customer_id',
  '',
  'customer.',
  'customer.name',
  'latest_charge..customer',
  '__proto__',
  'constructor',
])('expanding "%s" is refused with what can be expanded', path => {
  try {
    parseExpand(Intent, ['customer', path])
    expect.unreachable()
  } catch (error) {
    expect(error).toBeInstanceOf(ApiError)
    expect(error).toMatchObject({ code: 'expand_invalid', param: 'expand[1]' })
  }
})

test('a restricted key expands to what it may read and to nothing else, at any level', async () => {
  const paths = ['latest_charge', 'latest_charge.customer']
  const expandFor = (...scopes: string[]) =>
    expandMany(readerFor('restricted', ...scopes), Intent, intents, parseExpand(Intent, paths))
  const scopes = ['payment_intents:write', 'charges:read']
  await expect(expandFor('payment_intents:write')).rejects.toMatchObject({
    code: 'scope_missing',
    param: 'expand[0]',
    message: 'This restricted key lacks the scope "charges:read", which expand[0] needs.',
  })
  await expect(expandFor(...scopes)).rejects.toMatchObject({ code: 'scope_missing', param: 'expand[1]' })
  expect(loaded).toEqual([])
  expect(await expandFor(...scopes, 'customers:read')).toEqual(
    await expandMany(reader, Intent, intents, parseExpand(Intent, paths)),
  )
  expect(await expandFor(...scopes, 'customers:write')).toHaveLength(intents.length)
})

test('a path asks for the scopes of all that it leads through', async () => {
  const through = parseExpand(Intent, ['latest_charge.customer'])
  const caller = readerFor('restricted', 'payment_intents:read', 'customers:read')
  await expect(expandMany(caller, Intent, intents, through)).rejects.toMatchObject({ param: 'expand[0]' })
})

test('a scope is asked for on an empty page as on a full one', async () => {
  const caller = readerFor('restricted', 'payment_intents:read')
  await expect(expandMany(caller, Intent, [], parseExpand(Intent, ['customer']))).rejects.toMatchObject({
    code: 'scope_missing',
  })
})

test('a publishable key expands nothing', async () => {
  const [intent] = intents
  const caller = readerFor('publishable')
  await expect(
    expandOne(caller, Intent, intent as (typeof intents)[number], ['customer']),
  ).rejects.toMatchObject({ code: 'secret_key_required', param: 'expand[0]' })
  expect(loaded).toEqual([])
  await expect(expandMany(caller, Intent, intents, parseExpand(Intent, []))).resolves.toHaveLength(6)
})

test('an object that can be expanded to belongs to a resource whose scope can be given', () => {
  const resources = [
    { resource: 'customers', returns: Customer },
    { resource: 'charges', returns: Charge },
    { resource: 'payment_intents', returns: Intent },
  ]
  expect(() => assertExpansionsLoad(resources)).not.toThrow()
  expect(() => assertExpansionsLoad(resources.slice(1))).toThrow('customers')
  const elsewhere = { resource: 'people', returns: Customer }
  expect(() => assertExpansionsLoad([elsewhere, ...resources.slice(1)])).toThrow('customers')
})

test('an object that is gone leaves null beside its id', async () => {
  const gone = { ...(intents[0] as (typeof intents)[number]), customer_id: newId(at) }
  const { text: json } = await expandOne(reader, Intent, gone, ['customer'])
  expect(JSON.parse(json)).toMatchObject({ customer: null })
})
