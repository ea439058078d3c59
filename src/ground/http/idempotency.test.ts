import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { systemClock, type Tenant } from '#kernel'
import { createLog, metricsText } from '#metrics'
import { IDEMPOTENCY_KEY_LENGTH_MOST, JOIN_WAIT_MS } from './limits.ts'
import { createNotes, type Hooks, noteEndpoints } from './notes.fixture.ts'
import { createServer } from './server.ts'
import { type TestAccount, type TestApi, TEST_SECRET, testApi } from './testing.ts'

let api: TestApi
const hooks: Hooks = {}
beforeAll(async () => {
  api = await testApi(noteEndpoints(hooks))
  await createNotes(api.db)
})
beforeEach(() => {
  delete hooks.between
  delete hooks.inside
})
afterAll(() => api.close())

const create = (shop: TestAccount, key: string | undefined, body: object = { text: 'a' }) =>
  shop.send('POST /v1/notes', body, { 'idempotency-key': key })
const sendNote = (shop: TestAccount, key: string, body: object = { text: 'a' }) =>
  shop.send('POST /v1/notes/send', body, { 'idempotency-key': key })
const errorOf = (answer: { json(): unknown }) =>
  (answer.json() as { error: { code: string; type: string; params?: string[]; message: string } }).error

const notesOf = ({ account_id }: Tenant) => api.db.many<{ text: string; state: string }>`
  select text, state from notes where account_id = ${account_id}`
const keyOf = ({ account_id }: Tenant, key: string) =>
  api.db.maybe<{
    epoch: number
    status: number | null
    body: string | null
    params: string
    recovery_point: string
  }>`
    select epoch, status, body, params, recovery_point
    from idempotency_keys
    where account_id = ${account_id} and key = ${key}`
const letLeaseLapse = ({ account_id }: Tenant) => api.db.run`
  update idempotency_keys
  set lease_until = now() - interval '1 second'
  where account_id = ${account_id} and finished_at is null`

/** Whether somebody waits for a transaction to end. */
const isWaitedFor = async () =>
  (
    await api.db.one<{ waits: boolean }>`
      select exists (
        select from pg_locks
        where not granted and pid in (select pid from pg_stat_activity where datname = current_database())
      ) as waits`
  ).waits

/** A promise with its handle outside. */
const gate = () => Promise.withResolvers<void>()

test('a write without a key is 428, and nothing is written', async () => {
  const shop = await api.account()
  const answer = await create(shop, undefined)
  expect(answer.status).toBe(428)
  expect(errorOf(answer)).toMatchObject({ code: 'missing_idempotency_key', type: 'idempotency_error' })
  expect(await notesOf(shop)).toEqual([])
})

test('a key has 1 to 255 printable ASCII characters', async () => {
  const shop = await api.account()
  const long = await create(shop, 'k'.repeat(IDEMPOTENCY_KEY_LENGTH_MOST + 1))
  expect([long.status, errorOf(long).code]).toEqual([400, 'idempotency_key_too_long'])
  expect((await create(shop, 'k'.repeat(IDEMPOTENCY_KEY_LENGTH_MOST))).status).toBe(201)
  expect((await create(shop, ' ~')).status).toBe(201)
  for (const key of ['', 'schlüssel', 'a\tb']) {
    const answer = await create(shop, key)
    expect([key, answer.status, errorOf(answer).code]).toEqual([key, 400, 'idempotency_key_invalid'])
  }
})

test('a second use answers with the same bytes, and says whose they are', async () => {
  const shop = await api.account()
  const first = await create(shop, 'k')
  expect(first.status).toBe(201)
  expect(first.headers['original-request']).toBe(first.headers['request-id'])
  expect(first.headers['idempotent-replayed']).toBeUndefined()
  const second = await create(shop, 'k')
  expect(second.status).toBe(201)
  expect(second.body).toBe(first.body)
  expect(second.headers['idempotent-replayed']).toBe('true')
  expect(second.headers['original-request']).toBe(first.headers['request-id'])
  expect(second.headers['request-id']).not.toBe(first.headers['request-id'])
  expect(await notesOf(shop)).toHaveLength(1)
})

test('a replay does not depend on the order of names in the body', async () => {
  const shop = await api.account()
  const first = await create(shop, 'k', { text: 'a', tags: [{ name: 'x' }] })
  const second = await create(shop, 'k', { tags: [{ name: 'x' }], text: 'a' })
  expect(second.body).toBe(first.body)
})

test('another process replays the same bytes', async () => {
  const shop = await api.account()
  const first = await create(shop, 'k')
  const restarted = createServer({
    endpoints: noteEndpoints(),
    db: api.db,
    clock: systemClock,
    log: createLog({ level: 'silent' }),
    secret: TEST_SECRET,
  })
  const second = await restarted.inject({
    method: 'POST',
    url: '/v1/notes',
    headers: { authorization: `Bearer ${shop.key}`, 'idempotency-key': 'k' },
    body: { text: 'a' },
  })
  await restarted.close(100)
  expect(second.body).toBe(first.body)
  expect(second.headers['idempotent-replayed']).toBe('true')
})

test('another request under a used key is 409 and names what differs', async () => {
  const shop = await api.account()
  await create(shop, 'k', { text: 'a', tags: [{ name: 'x' }] })
  const answer = await create(shop, 'k', { text: 'b', tags: [{ name: 'y' }] })
  expect(answer.status).toBe(409)
  expect(errorOf(answer)).toMatchObject({
    code: 'idempotency_conflict',
    type: 'idempotency_error',
    params: ['tags[0].name', 'text'],
  })
  expect(await notesOf(shop)).toHaveLength(1)
})

test('a used key on another path is 409 and names the first', async () => {
  const shop = await api.account()
  await create(shop, 'k')
  const answer = await sendNote(shop, 'k')
  expect(answer.status).toBe(409)
  expect(errorOf(answer).message).toContain('POST /v1/notes.')
})

test('a conflict over a secret names the parameter and nothing of its value, and no row holds it', async () => {
  const shop = await api.account()
  await create(shop, 'k', { text: 'a', pin: 'pin-74921' })
  const answer = await create(shop, 'k', { text: 'a', pin: 'pin-74922' })
  expect(errorOf(answer).params).toEqual(['pin'])
  expect(answer.body).not.toContain('pin-7492')
  expect((await keyOf(shop, 'k'))?.params).not.toContain('pin-7492')
  expect((await create(shop, 'k', { text: 'a', pin: 'pin-74921' })).headers['idempotent-replayed']).toBe(
    'true',
  )
  expect(JSON.stringify(api.lines)).not.toContain('pin-7492')
})

test('a key belongs to its account and its mode', async () => {
  const [shop, other] = [await api.account(), await api.account()]
  await create(shop, 'k', { text: 'a' })
  expect((await create(other, 'k', { text: 'b' })).status).toBe(201)
  const live = await api.account({ livemode: true })
  expect((await create(live, 'k', { text: 'c' })).status).toBe(201)
})

test('a decline is the final answer of its key', async () => {
  const shop = await api.account()
  const first = await create(shop, 'k', { text: 'declined' })
  expect(first.status).toBe(402)
  expect(first.json()).toMatchObject({ error: { code: 'card_declined', decline_code: 'no' } })
  const second = await create(shop, 'k', { text: 'declined' })
  expect(second.body).toBe(first.body)
  expect(second.headers['idempotent-replayed']).toBe('true')
  expect(await notesOf(shop)).toHaveLength(1)
})

test('what is refused before or inside the first commit leaves the key free', async () => {
  const shop = await api.account()
  const unknown = await create(shop, 'k', { text: 'a', colour: 'red' })
  expect([unknown.status, errorOf(unknown).code]).toEqual([400, 'parameter_unknown'])
  const refused = await create(shop, 'k', { text: 'refused' })
  expect([refused.status, errorOf(refused).code]).toEqual([400, 'parameter_invalid'])
  expect(await keyOf(shop, 'k')).toBeUndefined()
  expect(await notesOf(shop)).toEqual([])
  expect((await create(shop, 'k', { text: 'a' })).status).toBe(201)
})

test('a failure of ours is a 500 that tells nothing, is logged whole, and leaves the key free', async () => {
  const shop = await api.account()
  const answer = await create(shop, 'k', { text: 'broken' })
  expect([answer.status, errorOf(answer).code]).toEqual([500, 'internal_error'])
  expect(answer.body).not.toContain('secret reason')
  const line = api.lines.find(({ request_id }) => request_id === answer.headers['request-id'])
  expect(line).toMatchObject({ event: 'notes.create', level: 'error', status: 500, code: 'internal_error' })
  expect(JSON.stringify(line)).toContain('secret reason [redacted]')
  expect(JSON.stringify(line)).toContain('notes.fixture.ts')
  expect(await keyOf(shop, 'k')).toBeUndefined()
})

test('fifty callers with one key make one effect; all get its answer', async () => {
  const shop = await api.account()
  const answers = await Promise.all(Array.from({ length: 50 }, () => create(shop, 'k')))
  expect(await notesOf(shop)).toHaveLength(1)
  const bodies = new Set(answers.map(({ body }) => body))
  expect(bodies.size).toBe(1)
  expect(answers.filter(({ headers }) => headers['idempotent-replayed'] === undefined)).toHaveLength(1)
})

test('fifty callers with one key around a network call make one effect; each gets the answer or a 409', async () => {
  const shop = await api.account()
  let calls = 0
  hooks.between = async () => {
    calls += 1
    await new Promise(resolve => setTimeout(resolve, 100))
  }
  const answers = await Promise.all(Array.from({ length: 50 }, () => sendNote(shop, 'k')))
  expect(calls).toBe(1)
  expect(await notesOf(shop)).toEqual([{ text: 'a', state: 'sent' }])
  const done = answers.filter(({ status }) => status === 200)
  expect(new Set(done.map(({ body }) => body)).size).toBe(1)
  for (const answer of answers.filter(({ status }) => status !== 200)) {
    expect([answer.status, errorOf(answer).code]).toEqual([409, 'idempotency_in_progress'])
  }
})

test('a caller waits two seconds for a running twin, then hears 409 with Retry-After; the twin is not disturbed', async () => {
  const shop = await api.account()
  const [reached, released] = [gate(), gate()]
  hooks.between = async () => {
    reached.resolve()
    await released.promise
  }
  const first = sendNote(shop, 'k')
  await reached.promise
  const started_ms = performance.now()
  const second = await sendNote(shop, 'k')
  expect(performance.now() - started_ms).toBeGreaterThanOrEqual(JOIN_WAIT_MS)
  expect([second.status, errorOf(second).code]).toEqual([409, 'idempotency_in_progress'])
  expect(second.headers['retry-after']).toBe('1')
  released.resolve()
  expect((await first).status).toBe(200)
  expect((await sendNote(shop, 'k')).body).toBe((await first).body)
})

test('a twin inside its first transaction is waited for as well', async () => {
  const shop = await api.account()
  const [reached, released] = [gate(), gate()]
  hooks.inside = async () => {
    delete hooks.inside
    reached.resolve()
    await released.promise
  }
  const first = create(shop, 'k')
  await reached.promise
  const second = create(shop, 'k')
  await expect.poll(isWaitedFor).toBe(true)
  released.resolve()
  expect((await second).body).toBe((await first).body)
  expect(await notesOf(shop)).toHaveLength(1)
})

test('a twin that stays inside its first transaction is waited for two seconds in all, then it is 409', async () => {
  const [shop, beside] = [await api.account(), await api.account()]
  const [reached, released] = [gate(), gate()]
  hooks.inside = async () => {
    delete hooks.inside
    reached.resolve()
    await released.promise
  }
  const first = create(shop, 'k')
  await reached.promise
  // The twin of one that is between its transactions waits for the key alone, on the same machine at the same time.
  const between = gate()
  hooks.between = async () => {
    between.resolve()
    await released.promise
  }
  const first_beside = sendNote(beside, 'k')
  await between.promise
  const started_ms = performance.now()
  const waitedSince = () => performance.now() - started_ms
  const [[second, waited_ms], waited_beside_ms] = await Promise.all([
    create(shop, 'k').then(answer => [answer, waitedSince()] as const),
    sendNote(beside, 'k').then(waitedSince),
  ])
  released.resolve()
  await first_beside
  expect([second.status, errorOf(second).code]).toEqual([409, 'idempotency_in_progress'])
  expect(second.headers['retry-after']).toBe('1')
  expect(waited_ms).toBeGreaterThanOrEqual(JOIN_WAIT_MS)
  // In all, and not for the transaction and the key each: that would be as long again.
  expect(waited_ms - waited_beside_ms).toBeLessThan(JOIN_WAIT_MS / 2)
  expect((await create(shop, 'k')).body).toBe((await first).body)
  expect(await notesOf(shop)).toHaveLength(1)
})

test('a lapsed lease is taken over at the recovery point; the old runner wakes, writes nothing and joins', async () => {
  const shop = await api.account()
  const [reached, released] = [gate(), gate()]
  let calls = 0
  hooks.between = async () => {
    calls += 1
    reached.resolve()
    await released.promise
  }
  const first = sendNote(shop, 'k')
  await reached.promise
  expect(await keyOf(shop, 'k')).toMatchObject({ epoch: 1, status: null, recovery_point: 'written' })
  await letLeaseLapse(shop)
  const second = await sendNote(shop, 'k')
  expect(second.status).toBe(200)
  expect(await keyOf(shop, 'k')).toMatchObject({ epoch: 2, status: 200, recovery_point: 'sent' })
  released.resolve()
  const old = await first
  // `resume` went on after the call, and the old runner's last phase was fenced off.
  expect(calls).toBe(1)
  expect(old.status).toBe(200)
  expect(old.body).toBe(second.body)
  expect(await notesOf(shop)).toEqual([{ text: 'a', state: 'sent' }])
  expect(second.headers['original-request']).toBe(old.headers['request-id'])
  const line = api.lines.find(({ request_id }) => request_id === second.headers['request-id'])
  expect(line).toMatchObject({ took_over: true, epoch: 2 })
})

test('an old runner cannot write under a successor that is still at work', async () => {
  const shop = await api.account()
  const [reached, released] = [gate(), gate()]
  hooks.between = async () => {
    reached.resolve()
    await released.promise
  }
  const first = sendNote(shop, 'k')
  await reached.promise
  // The successor has taken the key and written nothing yet.
  await api.db.run`
    update idempotency_keys set epoch = epoch + 1 where account_id = ${shop.account_id} and key = 'k'`
  released.resolve()
  const old = await first
  expect([old.status, errorOf(old).code]).toEqual([409, 'idempotency_in_progress'])
  expect(await notesOf(shop)).toEqual([{ text: 'a', state: 'draft' }])
})

test('a failure after execution began is not stored, and the next caller goes on at once', async () => {
  const shop = await api.account()
  hooks.between = () => Promise.reject(new Error('the processor burst'))
  const first = await sendNote(shop, 'k')
  expect([first.status, errorOf(first).code]).toEqual([500, 'internal_error'])
  expect(await keyOf(shop, 'k')).toMatchObject({ status: null, recovery_point: 'written' })
  const second = await sendNote(shop, 'k')
  expect(second.status).toBe(200)
  expect(await notesOf(shop)).toEqual([{ text: 'a', state: 'sent' }])
})

test('an error that run meets because the first use has changed the world gives way to the stored answer', async () => {
  const shop = await api.account()
  const { id } = (await create(shop, 'k')).json<{ id: string }>()
  const close = (key: string) => shop.send(`POST /v1/notes/${id}/close`, {}, { 'idempotency-key': key })
  const first = await close('close')
  expect(first.status).toBe(200)
  const again = await close('close')
  expect(again.body).toBe(first.body)
  expect(again.headers['idempotent-replayed']).toBe('true')
  expect(errorOf(await close('another')).code).toBe('payment_intent_unexpected_state')
})

test('reads ignore the header', async () => {
  const shop = await api.account()
  const { id } = (await create(shop, 'k')).json<{ id: string }>()
  const headers = { 'idempotency-key': 'k' }
  const first = await shop.send(`GET /v1/notes/${id}`, undefined, headers)
  const second = await shop.send(`GET /v1/notes/${id}`, undefined, headers)
  expect([first.status, second.status]).toEqual([200, 200])
  expect(second.headers['idempotent-replayed']).toBeUndefined()
  expect(second.headers['original-request']).toBeUndefined()
})

test('conflicts are counted by account and API key', async () => {
  const shop = await api.account()
  await create(shop, 'k', { text: 'a' })
  const { request_id } = errorOf(await create(shop, 'k', { text: 'b' })) as unknown as { request_id: string }
  expect(request_id).toMatch(/^req_/)
  const line = api.lines.findLast(({ code }) => code === 'idempotency_conflict')
  const labels = `account="${line?.account_id as string}",api_key="${line?.api_key_id as string}"`
  expect(await metricsText()).toContain(`bursar_idempotency_conflicts_total{${labels},kind="conflict"} 1`)
})

test('a plain write costs two round trips', async () => {
  const shop = await api.account()
  const answer = await create(shop, 'k')
  const line = api.lines.find(({ request_id }) => request_id === answer.headers['request-id'])
  expect(line).toMatchObject({ event: 'notes.create', status: 201, statements: 6, round_trips: 2 })
})
