import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { CommitUnknownError, type Db } from '#db'
import { systemClock, type Tenant } from '#kernel'
import { createLog } from '#metrics'
import { createNotes, type Hooks, noteEndpoints } from './notes.fixture.ts'
import { createServer } from './server.ts'
import { type TestApi, TEST_SECRET, testApi } from './testing.ts'

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

const errorOf = (answer: { json(): unknown }) => (answer.json() as { error: { code: string } }).error
const notesOf = ({ account_id }: Tenant) => api.db.many`
  select id from notes where account_id = ${account_id}`
const keysOf = ({ account_id }: Tenant) => api.db.many<{ key: string }>`
  select key from idempotency_keys where account_id = ${account_id}`

/** The database, whose next commit is lost: after it has happened, or instead of it. */
function losingCommits(db: Db, lost: { next: 'happened' | 'did not happen' | undefined }): Db {
  return {
    ...db,
    as: tenant => losingCommits(db.as(tenant), lost),
    counting: stats => losingCommits(db.counting(stats), lost),
    async transaction(fn) {
      const how = lost.next
      lost.next = undefined
      if (how === 'did not happen') throw new CommitUnknownError(new Error('Connection terminated'))
      const result = await db.transaction(fn)
      if (how === 'happened') throw new CommitUnknownError(new Error('Connection terminated'))
      return result
    },
  }
}

test('when a commit is lost the key tells what became of it: one effect, one answer', async () => {
  const lost: { next: 'happened' | 'did not happen' | undefined } = { next: undefined }
  let lose_last: typeof lost.next
  hooks.between = async () => {
    lost.next = lose_last
  }
  const server = createServer({
    endpoints: noteEndpoints(hooks),
    db: losingCommits(api.db, lost),
    clock: systemClock,
    log: createLog({ level: 'silent' }),
    secret: TEST_SECRET,
  })
  for (const url of ['/v1/notes', '/v1/notes/send']) {
    for (const which of ['first', 'last']) {
      for (const how of ['happened', 'did not happen'] as const) {
        const shop = await api.account()
        const request = {
          method: 'POST',
          url,
          headers: { authorization: `Bearer ${shop.key}`, 'idempotency-key': 'k' },
          body: { text: 'a' },
        }
        lost.next = which === 'first' ? how : undefined
        lose_last = which === 'last' ? how : undefined
        const first = await server.inject(request)
        expect([url, which, how, first.status < 300]).toEqual([url, which, how, true])
        expect(first.headers['idempotent-replayed']).toBeUndefined()
        expect(await notesOf(shop)).toHaveLength(1)
        expect((await server.inject(request)).body).toBe(first.body)
      }
    }
  }
  await server.close(100)
})

test('a connection that breaks inside the transaction is a 503 to retry, and the retry runs', async () => {
  const shop = await api.account()
  hooks.inside = async () => {
    delete hooks.inside
    await api.db.transaction(async tx => {
      await tx.run`set local role none`
      await tx.run`
        select pg_terminate_backend(pid, 10000)
        from pg_stat_activity
        where datname = current_database() and state like 'idle in transaction%'`
    })
    await new Promise(resolve => setTimeout(resolve, 50))
  }
  const first = await shop.send('POST /v1/notes', { text: 'a' }, { 'idempotency-key': 'k' })
  expect([first.status, errorOf(first).code]).toEqual([503, 'service_unavailable'])
  expect(first.headers['retry-after']).toBe('1')
  expect((await shop.send('POST /v1/notes', { text: 'a' }, { 'idempotency-key': 'k' })).status).toBe(201)
  expect(await notesOf(shop)).toHaveLength(1)
})

test('a row that somebody holds too long is a 429 lock_timeout, and nothing is stored', async () => {
  const shop = await api.account()
  const { id } = (await shop.send('POST /v1/notes', { text: 'a' }, { 'idempotency-key': 'k' })).json<{
    id: string
  }>()
  const [locked, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const holder = api.db.transaction(async tx => {
    await tx.run`select id from notes where account_id = ${shop.account_id} for update`
    locked.resolve()
    await released.promise
  })
  await locked.promise
  const answer = await shop.send(`POST /v1/notes/${id}/close`, {}, { 'idempotency-key': 'close' })
  released.resolve()
  await holder
  expect([answer.status, errorOf(answer).code, answer.headers['retry-after']]).toEqual([
    429,
    'lock_timeout',
    '1',
  ])
  expect(await keysOf(shop)).toEqual([{ key: 'k' }])
})
