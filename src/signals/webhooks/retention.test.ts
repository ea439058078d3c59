import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openDatabase, raw } from '#db'
import { testDatabase } from '#db/testing'
import { idRangeFloor, newId, systemClock } from '#kernel'
import { forgetReplays, forgetSecrets, maintainWebhooks } from './retention.ts'
import { addSecret, secretsVault } from './secrets.ts'

let db: Database
let drop: () => Promise<void>
beforeAll(async () => {
  const database = await testDatabase()
  db = openDatabase({ url: database.url })
  drop = () => database.drop()
})
afterAll(async () => {
  await db.close()
  await drop()
})

const DAY_MS = 86_400_000
const daysAgo = (days: number) => new Date(systemClock.now().getTime() - days * DAY_MS)
const tenant = { account_id: newId(daysAgo(0)), livemode: false }
const vault = secretsVault('a secret of the tests')

/** A day's partitions, made as they were made then. */
async function openDay(days: number): Promise<string> {
  const day = daysAgo(days).toISOString().slice(0, 10)
  const from = idRangeFloor(new Date(`${day}T00:00:00Z`))
  const to = idRangeFloor(new Date(new Date(`${day}T00:00:00Z`).getTime() + DAY_MS))
  const suffix = day.replaceAll('-', '')
  await db.transaction(async tx => {
    await tx.run`set local role none`
    for (const table of ['webhook_deliveries', 'webhook_attempts']) {
      const partition = `${table}_${suffix}`
      await tx.run`${raw(
        `create table if not exists ${partition} partition of ${table} for values from ('${from}') to ('${to}')`,
      )}`
    }
  })
  return suffix
}

/** A delivery of an event so long ago, with one try. */
async function delivered(days: number): Promise<string> {
  const id = idRangeFloor(daysAgo(days))
  await db.run`
    insert into webhook_deliveries (
      account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
    )
    values (${tenant.account_id}, false, ${id}, ${id}, ${id}, 'customer.created', 'succeeded', 1, now())`
  await db.run`
    insert into webhook_attempts (account_id, livemode, id, delivery_id, endpoint_id, number, is_counted, duration_ms)
    values (${tenant.account_id}, false, ${id}, ${id}, ${id}, 1, true, 1.5)`
  return id
}

const isKept = async (id: string) => {
  const { deliveries, attempts } = await db.one<{ deliveries: number; attempts: number }>`
    select
      (select count(*)::integer from webhook_deliveries where id = ${id}) as deliveries,
      (select count(*)::integer from webhook_attempts where id = ${id}) as attempts`
  return [deliveries, attempts]
}
const exists = async (table: string) =>
  (await db.one<{ is_there: boolean }>`select to_regclass(${table}) is not null as is_there`).is_there

async function makeEndpoint(): Promise<string> {
  const id = newId(daysAgo(0))
  await db.run`
    insert into webhook_endpoints (
      account_id, livemode, id, url, event_types, payload, signature, max_concurrency, created_at
    )
    values (${tenant.account_id}, false, ${id}, 'https://shop.example/', array['*'], 'snapshot', 'bursar', 1, now())`
  return id
}

test('deliveries and their tries are dropped by the day, 30 days after their event, wherever they lie', async () => {
  const past_default = await delivered(40)
  const recent_default = await delivered(29)
  const gone_day = await openDay(33)
  const gone = await delivered(33)
  const kept_day = await openDay(30)
  const kept = await delivered(30)
  expect(await maintainWebhooks(db)).toBe(2)
  expect(await Promise.all([past_default, recent_default, gone, kept].map(isKept))).toEqual([
    [0, 0],
    [1, 1],
    [0, 0],
    [1, 1],
  ])
  const tables = [gone_day, kept_day].flatMap(day => [`webhook_deliveries_${day}`, `webhook_attempts_${day}`])
  expect(await Promise.all(tables.map(exists))).toEqual([false, false, true, true])
  expect(await maintainWebhooks(db)).toBe(0)
})

test('no tenant may drop what others keep', async () => {
  await expect(maintainWebhooks(db.as(tenant))).rejects.toThrow('permission denied')
})

test('a secret whose time is over is destroyed, and no other', async () => {
  const endpoint = { ...tenant, id: await makeEndpoint() }
  const made: string[] = []
  for (const hours of [-1, 1]) {
    await addSecret(db, vault, daysAgo(0), endpoint, 'hmac')
    const { id } = await db.one<{ id: string }>`
      update webhook_secrets set expires_at = now() + ${hours} * interval '1 hour'
      where endpoint_id = ${endpoint.id} and expires_at is null
      returning id`
    made.push(id)
  }
  await addSecret(db, vault, daysAgo(0), endpoint, 'hmac')
  expect(await forgetSecrets(db)).toBe(1)
  const left = await db.many<{
    id: string
  }>`select id from webhook_secrets where endpoint_id = ${endpoint.id}`
  expect(left).toHaveLength(2)
  expect(left.map(row => row.id)).not.toContain(made[0])
})

test('replays are forgotten 30 days after their end, and never while they run', async () => {
  const endpoint = await makeEndpoint()
  const insert = (status: string, finished_at: Date | null) => db.run`
    insert into webhook_replays (
      account_id, livemode, id, endpoint_id, event_types, delivery_status, created_from, created_before, status,
      created_at, finished_at
    )
    values (
      ${tenant.account_id}, false, ${newId(daysAgo(60))}, ${endpoint}, array['*'], 'any', ${daysAgo(62)}, ${daysAgo(61)},
      ${status}, ${daysAgo(60)}, ${finished_at}
    )`
  await insert('running', null)
  await insert('succeeded', daysAgo(29))
  await insert('succeeded', daysAgo(31))
  await insert('canceled', daysAgo(31))
  expect(await forgetReplays(db)).toBe(2)
  const left = await db.many<{ status: string }>`
    select status from webhook_replays where endpoint_id = ${endpoint} order by status`
  expect(left.map(row => row.status)).toEqual(['running', 'succeeded'])
})
