/** A key of an account is met by all its API keys: what those in browsers may learn from one another and the server. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApiError, systemClock } from '#kernel'
import { createApiKey, type KeyKind } from './keys.ts'
import { createNotes, noteEndpoints } from './notes.fixture.ts'
import { type TestAccount, type TestApi, testApi } from './testing.ts'
import type { Endpoint } from './types.ts'

/** A browser may write a note with its pin as proof, as it confirms an intent with a client_secret. */
const withProof = (endpoint: Endpoint): Endpoint =>
  endpoint.route !== 'POST /v1/notes'
    ? endpoint
    : {
        ...endpoint,
        auth: 'publishable',
        async run(context, params, path) {
          const { pin } = params as { pin?: string }
          if (context.caller.kind === 'publishable' && pin !== 'right') {
            throw new ApiError('parameter_missing', { param: 'pin' })
          }
          return endpoint.run(context, params, path)
        },
      }

let api: TestApi
beforeAll(async () => {
  api = await testApi(noteEndpoints().map(withProof))
  await createNotes(api.db)
})
afterAll(() => api.close())

/** Sends under the key `k` with another API key of the account. */
async function sender(shop: TestAccount, kind: KeyKind, scopes?: string[]) {
  const { key } = await createApiKey(api.db, systemClock, {
    account_id: shop.account_id,
    livemode: false,
    kind,
    ...(scopes && { scopes }),
  })
  return (body: object, route = 'POST /v1/notes') =>
    shop.send(route, body, { authorization: `Bearer ${key}`, 'idempotency-key': 'k' })
}
const errorOf = (answer: { json(): unknown }) => (answer.json() as { error: Record<string, unknown> }).error

test("a publishable key gets nothing of a server's answer, nor of its request", async () => {
  const shop = await api.account()
  const first = await (await sender(shop, 'secret'))({ text: 'ours' })
  expect(first.status).toBe(201)
  const browser = await sender(shop, 'publishable')
  for (const body of [{ text: 'ours' }, { text: 'another' }, { text: 'ours', pin: 'right' }]) {
    const answer = await browser(body)
    expect([answer.status, answer.headers['idempotent-replayed']]).toEqual([409, undefined])
    expect(errorOf(answer)).toEqual({
      type: 'idempotency_error',
      code: 'idempotency_conflict',
      message: 'This Idempotency-Key was used with a different request. Use a new key.',
      param: null,
      request_id: answer.headers['request-id'],
      doc_url: '/docs/errors#idempotency_conflict',
    })
    expect(answer.body).not.toContain('POST')
  }
})

test('a publishable key without the proof does not learn of one that had it', async () => {
  const shop = await api.account()
  const browser = await sender(shop, 'publishable')
  const first = await browser({ text: 'a', pin: 'right' })
  expect(first.status).toBe(201)
  const stranger = await sender(shop, 'publishable')
  for (const body of [{ text: 'a' }, { text: 'a', pin: 'wrong' }]) {
    const answer = await stranger(body)
    expect(answer.status).toBe(409)
    expect(Object.keys(errorOf(answer))).not.toContain('params')
  }
  expect((await browser({ text: 'a', pin: 'right' })).body).toBe(first.body)
})

test('a server that meets a key of a browser is told that the other key was of another kind', async () => {
  const shop = await api.account()
  await (await sender(shop, 'publishable'))({ text: 'a', pin: 'right' })
  const answer = await (await sender(shop, 'secret'))({ text: 'a', pin: 'right' })
  expect(answer.status).toBe(409)
  expect(errorOf(answer)).toMatchObject({ code: 'idempotency_conflict', params: [] })
  expect(errorOf(answer).message).toContain('publishable')
})

test('secret and restricted keys are one kind, and a scope is asked for before the key is looked at', async () => {
  const shop = await api.account()
  const first = await (await sender(shop, 'secret'))({ text: 'a' })
  const writer = await sender(shop, 'restricted', ['notes:write'])
  expect((await writer({ text: 'a' })).body).toBe(first.body)
  const reader = await sender(shop, 'restricted', ['notes:read'])
  for (const body of [{ text: 'a' }, { text: 'another' }]) {
    const refused = await reader(body)
    expect([refused.status, errorOf(refused).code]).toEqual([403, 'scope_missing'])
  }
})
