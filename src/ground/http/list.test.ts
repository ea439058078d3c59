import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { z } from 'zod'
import { type Database, openDatabase, plainArray, sql } from '#db'
import { asAdmin, testDatabase, type TestDatabase } from '#db/testing'
import { ApiError, newId, type Tenant } from '#kernel'
import { keyset, listOf, listParams, page } from './list.ts'
import { parseQuery } from './query.ts'
import { object, timestamp } from './schema.ts'
import { parseParams } from './validate.ts'

interface Row {
  id: string
  status: 'odd' | 'even'
  created_at: Date
}
const Thing = object('charge', 'ch_', { status: z.enum(['odd', 'even']), created_at: timestamp })
const params = listParams({ filters: { status: z.enum(['odd', 'even']).optional() } })
const Things = listOf(Thing)

let home: TestDatabase
let db: Database
beforeAll(async () => {
  home = await testDatabase({ is_empty: true })
  const statements = [
    'create table things (account_id uuid, livemode boolean, id uuid, status text, created_at timestamptz,' +
      ' primary key (account_id, livemode, id))',
    'create index things_by_status on things (account_id, livemode, status, id)',
    'grant select, insert on things to bursar_system',
  ]
  for (const statement of statements) await asAdmin(home.url, statement)
  db = openDatabase({ url: home.url, connections: 2 })
})
afterAll(async () => {
  await db?.close()
  await home?.drop()
})

const START = Date.parse('2026-11-21T09:30:00Z')
let clock_ms = START
const newTenant = (): Tenant => ({ account_id: newId(new Date(clock_ms)), livemode: false })

/** Inserts `count` things, several in each millisecond, and answers their ids from old to new. */
async function insert(tenant: Tenant, count: number): Promise<string[]> {
  const rows = Array.from({ length: count }, (_, i) => {
    if (i % 3 === 0) clock_ms += 1
    return newId(new Date(clock_ms))
  })
  await db.run`
    insert into things (account_id, livemode, id, status, created_at)
    select ${tenant.account_id}, ${tenant.livemode}, id, case when position % 2 = 0 then 'odd' else 'even' end, now()
    from unnest(${plainArray(rows)}::uuid[]) with ordinality as made (id, position)`
  return rows
}

async function list(tenant: Tenant, query: string) {
  const asked = parseParams(params, parseQuery(query), 'query')
  const at = keyset(Thing, tenant, asked)
  const filter = asked.status ? sql`and status = ${asked.status}` : sql``
  const rows = await db.many<Row>`
    select things.id, things.status, things.created_at
    from (
      select id
      from things
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} ${filter} and ${at.where}
      order by ${at.order_by}
      limit ${at.limit}
    ) as page
    join things using (id)
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode}`
  const answer = await page({ db, tenant, caller: { kind: 'secret', scopes: [] } }, Thing, at, rows)
  const parsed = Things.parse(JSON.parse(answer.text))
  return { ...parsed, ids: parsed.data.map(({ id }) => id) }
}

const codeOf = async (run: () => Promise<unknown>) => {
  try {
    await run()
    return 'accepted'
  } catch (error) {
    return error instanceof ApiError ? error.code : String(error)
  }
}

const QUIET_AFTER = 30

test('paging through a history meets every row once, in both directions, while rows are inserted', async () => {
  const step = fc.record({ inserted: fc.nat(3), limit: fc.integer({ min: 1, max: 7 }) })
  await fc.assert(
    fc.asyncProperty(fc.nat(25), fc.array(step, { minLength: 1, maxLength: 5 }), async (count, steps) => {
      const tenant = newTenant()
      const before = (await insert(tenant, count)).reverse()
      const after: string[] = []
      let taken = 0
      const next = async (cursor: string | null) => {
        const { inserted, limit } = steps[taken++ % steps.length] as (typeof steps)[number]
        const answer = await list(tenant, `limit=${limit}${cursor ? `&cursor=${cursor}` : ''}`)
        // Who pages back by one while three arrive never sees the top: at some time it is quiet.
        if (taken < QUIET_AFTER) after.unshift(...(await insert(tenant, inserted)).reverse())
        return answer
      }

      const seen: string[] = []
      let current = await next(null)
      seen.push(...current.ids)
      while (current.next_cursor) {
        expect(current.has_more).toBe(true)
        current = await next(current.next_cursor)
        seen.push(...current.ids)
      }
      expect(current.has_more).toBe(false)
      expect(seen).toEqual(before)

      // Back from the last page to the top: all that was there, and what came meanwhile above it.
      const back = [...current.ids]
      let top_at_last_page: string[] = []
      while (current.prev_cursor) {
        top_at_last_page = [...after]
        current = await next(current.prev_cursor)
        back.unshift(...current.ids)
        expect(current.has_more).toBe(current.prev_cursor !== null)
        if (current.ids.length > 0) expect(current.next_cursor).not.toBeNull()
      }
      expect(back.slice(-before.length || back.length)).toEqual(before)
      if (back.length > before.length) expect(back).toEqual([...top_at_last_page, ...before])
    }),
    { numRuns: 25 },
  )
})

test('a page that exactly holds the rest says that nothing follows', async () => {
  const tenant = newTenant()
  await insert(tenant, 4)
  const first = await list(tenant, 'limit=2')
  expect(first).toMatchObject({ has_more: true, prev_cursor: null })
  const second = await list(tenant, `limit=2&cursor=${first.next_cursor}`)
  expect(second).toMatchObject({ has_more: false, next_cursor: null })
  const back = await list(tenant, `limit=2&cursor=${second.prev_cursor}`)
  expect(back).toMatchObject({ ids: first.ids, has_more: false, prev_cursor: null })
})

test('created_at ranges cut at the exact millisecond, open or closed', async () => {
  const tenant = newTenant()
  clock_ms += 10
  const at_ms = clock_ms + 1
  const [a, b, c, d] = await insert(tenant, 4)
  const at = new Date(at_ms).toISOString()
  const within = async (query: string) => (await list(tenant, query)).ids
  expect(await within(`created_at[gt]=${at}`)).toEqual([d])
  expect(await within(`created_at[gte]=${at}`)).toEqual([d, c, b, a])
  expect(await within(`created_at[lte]=${at}`)).toEqual([c, b, a])
  expect(await within(`created_at[lt]=${at}`)).toEqual([])
  expect(await within(`created_at[gte]=${at}&created_at[gt]=${at}`)).toEqual([d])
  const first = await list(tenant, `created_at[lte]=${at}&limit=2`)
  const second = await list(tenant, `limit=2&created_at[lte]=${at}&cursor=${first.next_cursor}`)
  expect([...first.ids, ...second.ids]).toEqual([c, b, a])
})

test('a cursor is refused with other filters, another account or mode, and when any character is changed', async () => {
  const tenant = newTenant()
  await insert(tenant, 6)
  const { next_cursor } = await list(tenant, 'limit=1&status=odd')
  const cursor = next_cursor as string
  const used = (query: string, by = tenant) => codeOf(() => list(by, query))
  expect(await used(`cursor=${cursor}&status=odd&limit=3`)).toBe('accepted')
  expect(await used(`cursor=${cursor}`)).toBe('invalid_cursor')
  expect(await used(`cursor=${cursor}&status=even`)).toBe('invalid_cursor')
  expect(await used(`cursor=${cursor}&status=odd&created_at[gte]=2026-01-01T00:00:00Z`)).toBe(
    'invalid_cursor',
  )
  expect(await used(`cursor=${cursor}&status=odd`, newTenant())).toBe('invalid_cursor')
  expect(await used(`cursor=${cursor}&status=odd`, { ...tenant, livemode: true })).toBe('invalid_cursor')
  for (let i = 0; i < cursor.length; i++) {
    const changed = cursor.slice(0, i) + (cursor[i] === 'A' ? 'B' : 'A') + cursor.slice(i + 1)
    expect(await used(`status=odd&cursor=${changed}`), changed).toBe('invalid_cursor')
  }
  for (const odd of ['', '%00', `${cursor}A`, `${cursor}=`, cursor.slice(1), `${cursor} `]) {
    expect(await used(`status=odd&cursor=${odd}`), odd).toBe('invalid_cursor')
  }
})

test('a page of ids is read from the index alone', async () => {
  const tenant = newTenant()
  await insert(tenant, 30)
  await asAdmin(home.url, 'vacuum analyze things')
  const at = keyset(Thing, tenant, parseParams(params, {}, 'query'))
  const plan = await db.transaction(async tx => {
    // The table is tiny, so a scan of all of it is cheaper; the question is whether the index would do.
    await tx.run`set local enable_seqscan = off`
    await tx.run`set local enable_bitmapscan = off`
    return tx.many<{ 'QUERY PLAN': string }>`
      explain select id from things
      where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and status = ${'odd'} and ${at.where}
      order by ${at.order_by} limit ${at.limit}`
  })
  const text = plan.map(line => line['QUERY PLAN']).join('\n')
  expect(text).toContain('Index Only Scan Backward using things_by_status')
  expect(text).not.toContain('Sort')
})
