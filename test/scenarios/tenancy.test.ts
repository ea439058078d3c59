/**
 * Two walls around an account: every query names it, and PostgreSQL would let nothing else through if one did not.
 *
 * @every-postgresql row-level security is the database's.
 */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { raw } from '#db'
import { applyProcessorEvent } from '#payments'
import { disputeNewsOf, eventOf, newsOf } from '../support/news.ts'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'

let world: World
let owner: TestAccount
let stranger: TestAccount
let tables: string[]
beforeAll(async () => {
  world = await startWorld()
  owner = await world.account()
  stranger = await world.account()
  const paid = await owner.api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
  })
  await owner.api.post('/v1/refunds', { payment_intent_id: paid.body.id, amount: 100 })
  await owner.api.post('/v1/customers', { email: 'owner@example.com' })
  const news = await disputeNewsOf(world, paid.body.id, { amount: 1_000n })
  await applyProcessorEvent(world.payments, 'simulator', eventOf(news))
  await owner.api.post('/v1/payment_intents', {
    amount: 100_000,
    currency: 'usd',
    payment_method_id: 'pm_card_bypassPending',
    confirm: true,
  })
  await world.releaseFunds()
  await owner.api.post('/v1/payouts', { amount: 100, currency: 'usd' })
  await orphanCapture()
  const rows = await world.db.many<{ name: string }>`
    select relname as name
    from pg_class
    join pg_attribute on attrelid = pg_class.oid and attname = 'account_id'
    where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace
      and relname not in ('api_keys', 'users')
    order by relname`
  tables = rows.map(row => row.name)
})
afterAll(() => world.close())

/** A payment that the processor took and that had ended here as declined. */
async function orphanCapture(): Promise<void> {
  await world.fault({ operation: 'authorize', kind: 'error', moment: 'after', count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', count: 1 })
  await owner.api.post('/v1/payment_intents', {
    amount: 1000,
    currency: 'usd',
    payment_method_id: 'pm_card_visa',
    confirm: true,
  })
  const taken = await newsOf(world, owner, 'authorize')
  const decline = { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' }
  const declined = { ...taken, outcome: { kind: 'declined', processor_id: null, decline } as const }
  for (const news of [declined, taken]) await applyProcessorEvent(world.payments, 'simulator', eventOf(news))
}

test('every table of an account shows a tenant its own rows and no others, though the query names nobody', async () => {
  expect(tables).toContain('payment_intents')
  expect(tables).toContain('ledger_entries')
  for (const table of ['disputes', 'payouts', 'orphan_captures', 'payment_attempts']) {
    const { count } = await world.db.one<{ count: bigint }>`select count(*) from ${raw(table)}`
    expect([table, count > 0n]).toEqual([table, true])
  }
  for (const table of tables) {
    const count = async (account: TestAccount | undefined, livemode = false) => {
      const db = account ? world.db.as({ account_id: account.account_id, livemode }) : world.db
      return Number((await db.one<{ count: bigint }>`select count(*) from ${raw(table)}`).count)
    }
    const all = await count(undefined)
    expect([table, await count(owner)]).toEqual([table, all])
    expect([table, await count(stranger)]).toEqual([table, 0])
    expect([table, await count(owner, true)]).toEqual([table, 0])
  }
})

test('a tenant can neither write a row of another account nor move one of its own there', async () => {
  const mine = world.db.as({ account_id: stranger.account_id, livemode: false })
  const insert = mine.run`
    insert into customers (account_id, livemode, id, version, created_at)
    values (${owner.account_id}, false, ${owner.account_id}, 1, now())`
  await expect(insert).rejects.toThrow('row-level security')
  const theirs = world.db.as({ account_id: owner.account_id, livemode: false })
  await expect(theirs.run`update customers set account_id = ${stranger.account_id}`).rejects.toThrow(
    'row-level security',
  )
  expect(await mine.run`update customers set name = 'x'`).toBe(0)
})

test('the API finds nothing of another account or of the other mode, whatever the id', async () => {
  const { body } = await owner.api.get('/v1/events?limit=100')
  const ids = new Set(body.data.map((event: { object_id: string }) => event.object_id))
  const paths: Record<string, string> = {
    pi: 'payment_intents',
    ch: 'charges',
    re: 'refunds',
    dp: 'disputes',
    po: 'payouts',
    cus: 'customers',
    oc: 'orphan_captures',
    att: 'payment_attempts',
    txn: 'balance_transactions',
  }
  // Those that no event is about.
  for (const list of ['payment_attempts', 'balance_transactions']) {
    const { data } = (await owner.api.get(`/v1/${list}`)).body
    for (const { id } of data) ids.add(id)
  }
  expect(new Set([...(ids as Set<string>)].map(id => id.split('_')[0]))).toEqual(new Set(Object.keys(paths)))
  const other_mode = world.client(await world.key(owner, { kind: 'secret', livemode: true }))
  for (const id of ids as Set<string>) {
    const path = `/v1/${paths[id.split('_')[0] as string]}/${id}`
    expect([path, (await owner.api.get(path)).status]).toEqual([path, 200])
    expect([path, (await stranger.api.get(path)).status]).toEqual([path, 404])
    expect([path, (await other_mode.get(path)).status]).toEqual([path, 404])
  }
  for (const path of Object.values(paths)) {
    for (const api of [stranger.api, other_mode]) {
      expect([path, (await api.get(`/v1/${path}`)).body.data]).toEqual([path, []])
    }
  }
  for (const path of ids as Set<string>) {
    const [prefix] = path.split('_')
    const acts = prefix === 'dp' ? ['', '/close'] : prefix === 'po' ? ['/cancel'] : []
    for (const act of acts) {
      for (const api of [stranger.api, other_mode]) {
        const reply = await api.post(`/v1/${paths[prefix as string]}/${path}${act}`)
        expect([path, act, reply.status]).toEqual([path, act, 404])
      }
    }
  }
})
