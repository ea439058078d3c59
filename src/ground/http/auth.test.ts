import { afterAll, beforeAll, expect, test } from 'vitest'
import { fixedClock, newId } from '#kernel'
import { createAuthenticator } from './auth.ts'
import { createApiKey, createUser, listApiKeys, revokeApiKey } from './keys.ts'
import { createNotes, noteEndpoints } from './notes.fixture.ts'
import { type TestApi, testApi } from './testing.ts'

let api: TestApi
const clock = fixedClock(new Date('2026-11-21T00:00:00Z'))
beforeAll(async () => {
  api = await testApi(noteEndpoints())
  await createNotes(api.db)
})
afterAll(() => api.close())

const codeOf = (answer: { json(): unknown }) => (answer.json() as { error: { code: string } }).error.code

test('a key works as Bearer and as the user name of Basic', async () => {
  const shop = await api.account()
  const basic = `Basic ${Buffer.from(`${shop.key}:`).toString('base64')}`
  expect((await shop.send('POST /v1/notes', { text: 'a' })).status).toBe(201)
  expect((await shop.send('POST /v1/notes', { text: 'a' }, { authorization: basic })).status).toBe(201)
  const lower = { authorization: `bearer ${shop.key}` }
  expect((await shop.send('POST /v1/notes', { text: 'a' }, lower)).status).toBe(201)
})

test.each([
  ['no header', undefined, 'api_key_missing'],
  ['an empty header', '', 'api_key_missing'],
  ['another scheme', 'Digest abc', 'api_key_missing'],
  ['a text that is no key', 'Bearer hello', 'api_key_invalid'],
  ['an unknown key', `Bearer sk_test_${'a'.repeat(33)}`, 'api_key_invalid'],
  ['broken base64', 'Basic !!!!', 'api_key_invalid'],
  [
    'a key with a NUL',
    `Basic ${Buffer.from(`sk_test_\0${'a'.repeat(32)}:`).toString('base64')}`,
    'api_key_invalid',
  ],
])('%s is a 401 that says how to authenticate', async (_name, authorization, code) => {
  const shop = await api.account()
  const answer = await shop.send('POST /v1/notes', { text: 'a' }, { authorization })
  expect(answer.status).toBe(401)
  expect(codeOf(answer)).toBe(code)
  expect(answer.headers['www-authenticate']).toBe('Bearer realm="Bursar"')
  expect(answer.headers['request-id']).toMatch(/^req_/)
})

test('the database keeps no key, only its hash and four characters', async () => {
  const shop = await api.account()
  const rows = await api.db.many<{ row: string }>`
    select api_keys::text as row from api_keys where account_id = ${shop.account_id}`
  expect(rows).toHaveLength(1)
  expect(rows[0]?.row).not.toContain(shop.key.slice(8, -4))
  expect(shop.key).toMatch(/^sk_test_[0-9A-Za-z]{33}$/)
  expect((await listApiKeys(api.db, shop.account_id))[0]?.hint).toBe(shop.key.slice(-4))
})

test('a revoked key is refused at once in this process', async () => {
  const shop = await api.account()
  expect((await shop.send('POST /v1/notes', { text: 'a' })).status).toBe(201)
  await revokeApiKey(api.db, clock, { account_id: shop.account_id, id: shop.api_key_id })
  expect((await shop.send('POST /v1/notes', { text: 'a' })).status).toBe(401)
})

test('an account revokes its own keys alone', async () => {
  const [shop, other] = [await api.account(), await api.account()]
  await expect(
    revokeApiKey(api.db, clock, { account_id: other.account_id, id: shop.api_key_id }),
  ).rejects.toMatchObject({ code: 'resource_missing' })
  expect((await shop.send('POST /v1/notes', { text: 'a' })).status).toBe(201)
})

test('a key revoked by another process is refused after five seconds, and serves from memory until then', async () => {
  let now_ms = 0
  const authenticator = createAuthenticator(api.db, () => now_ms)
  const shop = await api.account()
  const header = `Bearer ${shop.key}`
  await authenticator.authenticate(header)
  await api.db.run`update api_keys set revoked_at = now() where id = ${shop.api_key_id}`
  now_ms = 4_999
  expect(authenticator.authenticate(header)).toMatchObject({ account_id: shop.account_id })
  now_ms = 5_001
  await expect(authenticator.authenticate(header)).rejects.toMatchObject({ code: 'api_key_invalid' })
  authenticator.close()
})

test('an expired key is refused', async () => {
  const { account_id } = await api.account()
  const { key } = await createApiKey(api.db, clock, {
    account_id,
    livemode: false,
    kind: 'secret',
    expires_at: new Date('2020-01-01T00:00:00Z'),
  })
  const answer = await api.server.inject({
    method: 'POST',
    url: '/v1/notes',
    headers: { authorization: `Bearer ${key}`, 'idempotency-key': 'k' },
    body: { text: 'a' },
  })
  expect(answer.status).toBe(401)
})

test('a publishable key may only do what a browser must', async () => {
  const shop = await api.account({ kind: 'publishable' })
  expect(shop.key).toMatch(/^pk_test_/)
  const refused = await shop.send('POST /v1/notes', { text: 'a' })
  expect([refused.status, codeOf(refused)]).toEqual([403, 'secret_key_required'])
  const allowed = await shop.send(`GET /v1/notes/cus_${'0'.repeat(26)}`)
  expect(codeOf(allowed)).toBe('resource_missing')
})

test('a restricted key does what its scopes say: write includes read, another resource is closed', async () => {
  const writer = await api.account({ kind: 'restricted', scopes: ['notes:write'] })
  expect((await writer.send('POST /v1/notes', { text: 'a' })).status).toBe(201)
  expect(codeOf(await writer.send(`GET /v1/notes/cus_${'0'.repeat(26)}`))).toBe('resource_missing')
  const reader = await api.account({ kind: 'restricted', scopes: ['notes:read', 'other:write'] })
  const refused = await reader.send('POST /v1/notes', { text: 'a' })
  expect([refused.status, codeOf(refused)]).toEqual([403, 'scope_missing'])
  expect(refused.body).toContain('notes:write')
  expect(codeOf(await reader.send(`GET /v1/notes/cus_${'0'.repeat(26)}`))).toBe('resource_missing')
})

test('a restricted key needs well-formed scopes and no other kind has any', async () => {
  const { account_id } = await api.account()
  const make = (kind: 'secret' | 'restricted', scopes: string[]) =>
    createApiKey(api.db, clock, { account_id, livemode: false, kind, scopes })
  await expect(make('restricted', [])).rejects.toMatchObject({ param: 'scopes' })
  await expect(make('secret', ['notes:read'])).rejects.toMatchObject({ param: 'scopes' })
  await expect(make('restricted', ['notes'])).rejects.toMatchObject({ param: 'scopes' })
})

test('a row of another account, or of the other mode, does not exist', async () => {
  const shop = await api.account()
  const note = (await shop.send('POST /v1/notes', { text: 'mine' })).json<{ id: string }>()
  expect((await shop.send(`GET /v1/notes/${note.id}`)).status).toBe(200)
  const other = await api.account()
  expect((await other.send(`GET /v1/notes/${note.id}`)).status).toBe(404)
  const { key } = await createApiKey(api.db, clock, {
    account_id: shop.account_id,
    livemode: true,
    kind: 'secret',
  })
  const live = await shop.send(`GET /v1/notes/${note.id}`, undefined, { authorization: `Bearer ${key}` })
  expect(live.status).toBe(404)
})

test('the second wall stands without the first: a tenant sees and writes only its own keys and tenants', async () => {
  const [shop, other] = [await api.account(), await api.account()]
  await other.send('POST /v1/notes', { text: 'a' }, { 'idempotency-key': 'theirs' })
  const db = api.db.as(shop)
  // No account_id in these: the policies alone stand between.
  expect(await db.many`select key from idempotency_keys`).toEqual([])
  expect(await db.many`select text from notes`).toEqual([])
  expect(await db.many`select id from accounts`).toEqual([{ id: shop.account_id }])
  await expect(db.many`select hash from api_keys`).rejects.toThrow('permission denied')
  await expect(db.many`select email from users`).rejects.toThrow('permission denied')
  await expect(
    db.run`
      insert into notes (account_id, livemode, id, text, state, created_at)
      values (${other.account_id}, false, ${newId(clock.now())}, 'planted', 'draft', now())`,
  ).rejects.toThrow('row-level security')
  const claim = {
    item: 0,
    account_id: other.account_id,
    livemode: false,
    key: 'planted',
    request_id: newId(clock.now()),
    route: 'POST /v1/notes',
    path: '/v1/notes',
    fingerprint: 'a'.repeat(64),
    params: '{}',
  }
  await expect(db.many`select idempotency_claim(${JSON.stringify([claim])})`).rejects.toThrow(
    'row-level security',
  )
  expect(
    await db.run`update idempotency_keys set status = 200, body = '{}', finished_at = now(), lease_until = null`,
  ).toBe(0)
  const live = api.db.as({ account_id: other.account_id, livemode: true })
  expect(await live.many`select key from idempotency_keys`).toEqual([])
})

test("a user's password is kept as argon2id and nothing else", async () => {
  const { account_id } = await api.account()
  const id = await createUser(api.db, clock, {
    account_id,
    email: 'ada@example.com',
    password: 'correct horse battery',
  })
  const row = await api.db.one<{ password_hash: string }>`select password_hash from users where id = ${id}`
  expect(row.password_hash).toMatch(/^\$argon2id\$/)
  await expect(
    createUser(api.db, clock, { account_id, email: 'ADA@example.com', password: 'correct horse battery' }),
  ).rejects.toMatchObject({ constraint: 'users_email_is_unique' })
})
