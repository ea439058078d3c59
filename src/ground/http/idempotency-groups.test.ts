import { afterAll, beforeAll, expect, test } from 'vitest'
import { newId, systemClock, type Tenant } from '#kernel'
import { createNotes, noteEndpoints } from './notes.fixture.ts'
import { type TestApi, testApi } from './testing.ts'

let api: TestApi
beforeAll(async () => {
  api = await testApi(noteEndpoints())
  await createNotes(api.db)
})
afterAll(() => api.close())

const keyOf = ({ account_id }: Tenant, key: string) =>
  api.db.one<{ epoch: number; status: number | null; body: string | null }>`
    select epoch, status, body
    from idempotency_keys
    where account_id = ${account_id} and key = ${key}`

/** One request of a group, as a recorder claims for it. */
const element = (item: number, { account_id }: Tenant, key: string, more: object = {}) => ({
  item,
  account_id,
  livemode: false,
  key,
  request_id: newId(systemClock.now()),
  route: 'POST /v1/notes',
  path: '/v1/notes',
  fingerprint: 'f'.repeat(64),
  params: '{}',
  ...more,
})

const items = async (rows: Promise<Record<string, number>[]>) =>
  (await rows).flatMap(row => Object.values(row)).sort((a, b) => a - b)
const claim = (elements: object[]) =>
  items(api.db.many`select idempotency_claim(${JSON.stringify(elements)})`)
const hold = (elements: object[]) => items(api.db.many`select idempotency_hold(${JSON.stringify(elements)})`)
const finish = (elements: object[]) =>
  items(api.db.many`select idempotency_finish(${JSON.stringify(elements)})`)

test('a group claims the keys that are free, each once, and finishes at once those that have an answer', async () => {
  const [shop, other] = [await api.account(), await api.account()]
  await shop.send('POST /v1/notes', { text: 'a' }, { 'idempotency-key': 'taken' })
  expect(
    await claim([
      element(0, shop, 'a'),
      element(1, shop, 'taken'),
      element(2, other, 'a', { status: 200, body: '{"ü":1}' }),
      element(3, shop, 'a'),
      element(4, shop, 'b'),
    ]),
  ).toEqual([0, 2, 4])
  expect(await keyOf(other, 'a')).toMatchObject({ status: 200, body: '{"ü":1}', epoch: 1 })
  expect(await keyOf(shop, 'a')).toMatchObject({ status: null, epoch: 1 })
})

test('a group holds and finishes the keys whose epoch is right; whoever owns it will do when none is named', async () => {
  const shop = await api.account()
  await claim([element(0, shop, 'a'), element(1, shop, 'b'), element(2, shop, 'c')])
  const fence = (item: number, key: string, epoch: number | null) => ({ ...element(item, shop, key), epoch })
  expect(await hold([fence(0, 'a', 1), fence(1, 'b', 2), fence(2, 'nobody', 1)])).toEqual([0])
  const answer = { status: 201, body: '{}' }
  expect(
    await finish([
      { ...fence(0, 'a', 1), ...answer },
      { ...fence(1, 'b', 2), ...answer },
      { ...fence(2, 'c', null), ...answer },
    ]),
  ).toEqual([0, 2])
  expect(await finish([{ ...fence(0, 'a', 1), ...answer }])).toEqual([])
  expect(await hold([fence(0, 'a', 1)])).toEqual([])
})

test('the database refuses a 5xx as the answer of a key', async () => {
  const shop = await api.account()
  await expect(claim([element(0, shop, 'a', { status: 500, body: '{}' })])).rejects.toMatchObject({
    constraint: 'idempotency_keys_answer_is_final',
  })
})
