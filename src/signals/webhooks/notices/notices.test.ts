import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Database, openDatabase } from '#db'
import { testDatabase } from '#db/testing'
import { createConsumers, emit, type EventType, eventOf } from '#events'
import { createAccount } from '#http'
import { migrateJobs } from '#jobs'
import { encodeId, newId, systemClock as clock } from '#kernel'
import { createMailer, type Mailer } from '#mail'
import { createLog } from '#metrics'
import { type MailServer, startMailServer } from '../../../../test/support/mail-server.ts'
import { noticesConsumer } from './consume.ts'
import { noticeJob } from './send.ts'

let db: Database
let server: MailServer
let mailer: Mailer
let account_id: string
let close = async () => {}
const log = createLog({ level: 'silent' })

const DAY_MS = 86_400_000
const ago = (days: number) => new Date(clock.now().getTime() - days * DAY_MS)

beforeAll(async () => {
  const database = await testDatabase()
  await migrateJobs(database.url)
  db = openDatabase({ url: database.url })
  server = await startMailServer()
  mailer = createMailer({ url: `smtp://127.0.0.1:${server.port}`, from: 'bursar@example.com', log })
  account_id = (await createAccount(db, clock, { name: 'Analytical Engines' })).id
  close = async () => {
    await mailer.close()
    await server.close()
    await db.close()
    await database.drop()
  }
})
afterEach(() => {
  server.received.length = 0
})
afterAll(() => close())

interface Made {
  id: string
  tell(type: EventType, disabled_reason?: string | null): Promise<string>
}

/** An endpoint that has failed for four days, with a try a minute ago and what waits. */
async function failingEndpoint(email: string | null = 'ada@example.com', waiting = 3): Promise<Made> {
  const id = newId(clock.now())
  const failed_at = clock.now().getTime() - 60_000
  const state = { failing_since: ago(4).getTime(), failed_at, warned: 1 }
  await db.run`
    insert into webhook_endpoints (
      account_id, livemode, id, url, event_types, payload, signature, max_concurrency, notification_email, created_at
    )
    values (
      ${account_id}, false, ${id}, 'https://hooks.example.com/in', '{*}', 'snapshot', 'bursar', 16, ${email}, now()
    )`
  await db.run`
    insert into webhook_lanes (account_id, livemode, endpoint_id, state)
    values (${account_id}, false, ${id}, ${state})`
  for (let n = 0; n < waiting; n++) {
    await db.run`
      insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, due_at)
      values (
        ${account_id}, false, ${newId(clock.now())}, ${id}, ${newId(ago(3))}, 'payment_intent.created', 0, now()
      )`
  }
  // Of this endpoint the newer failure counts, and none of another's.
  const attempts: [endpoint: string, at: number, message: string][] = [
    [id, failed_at - 5_000, 'An older one.'],
    [id, failed_at - 1_000, 'The endpoint answered 503.'],
    [newId(clock.now()), failed_at - 500, 'Somebody else.'],
  ]
  for (const [endpoint_id, at, message] of attempts) {
    await db.run`
      insert into webhook_attempts (
        account_id, livemode, id, delivery_id, endpoint_id, number, is_counted, status_code, failure, message, duration_ms
      )
      values (
        ${account_id}, false, ${newId(new Date(at))}, ${newId(clock.now())}, ${endpoint_id}, 1, true, 503, 'failed',
        ${message}, 12
      )`
  }
  let version = 1n
  return {
    id,
    async tell(type, disabled_reason = null) {
      version += 1n
      const event = eventOf(
        { tenant: { account_id, livemode: false }, clock, request_id: null, idempotency_key: null },
        type,
        { prefix: 'we_', id, version, text: JSON.stringify({ id: encodeId('we_', id), disabled_reason }) },
      )
      await db.transaction(tx => emit(tx, event))
      return event.id
    },
  }
}

const disable = (id: string, reason: 'gone' | 'failing') => db.run`
  update webhook_endpoints
  set status = 'disabled', disabled_reason = ${reason}
  where account_id = ${account_id} and livemode = false and id = ${id}`

/** Reads the stream to its end, and runs what it asked for; answers what each run noted, or what it failed of. */
async function tellAll(with_mailer: Mailer | null = mailer): Promise<Record<string, unknown>[]> {
  const job = noticeJob(with_mailer)
  const consumers = createConsumers({ db, clock, log, consumers: [noticesConsumer] })
  while ((await consumers.runOnce()) > 0);
  await consumers.stop()
  const asked = await db.transaction(async tx => {
    // The queue is the worker's alone.
    await tx.run`set local role none`
    return tx.many<{ id: bigint; payload: { payload: object } }>`
      delete from graphile_worker._private_jobs as job
      using graphile_worker._private_tasks as task
      where task.id = job.task_id and task.identifier = ${job.name}
      returning job.id, job.payload`
  })
  const { signal } = new AbortController()
  const runs: Record<string, unknown>[] = []
  for (const { id, payload } of asked) {
    const notes: Record<string, unknown> = {}
    const around = { db, signal, job_id: String(id), attempt: 1, max_attempts: 1, scheduled_for: undefined }
    const note = (fields: object) => void Object.assign(notes, fields)
    await job
      .run({ ...around, note }, job.payload.parse(payload.payload))
      .catch((error: Error) => note({ error: error.message }))
    runs.push(notes)
  }
  return runs
}

test('an endpoint that fails is told of once: since when, why, what waits, and until when', async () => {
  await tellAll()
  const endpoint = await failingEndpoint()
  const event_id = await endpoint.tell('webhook_endpoint.failing')
  await endpoint.tell('webhook_endpoint.updated')
  expect(await tellAll()).toEqual([
    { endpoint_id: encodeId('we_', endpoint.id), kind: 'failing', outcome: 'sent' },
  ])
  expect(await tellAll()).toEqual([])
  expect(server.received).toHaveLength(1)
  const [got] = server.received
  expect(got?.to).toEqual(['ada@example.com'])
  expect(got?.mail.messageId).toBe(`<notice.${encodeId('evt_', event_id)}@example.com>`)
  expect(got?.mail.subject).toMatch(
    /^Test mode: Webhooks to hooks\.example\.com fail, and stop on \d+ \w+ if/,
  )
  const text = got?.mail.text?.replaceAll(/\s+/g, ' ')
  expect(text).toContain('“Analytical Engines” (test mode)')
  expect(text).toContain('The endpoint answered 503.')
  expect(text).not.toContain('Somebody else.')
  expect(text).toContain('3 deliveries wait, the oldest since')
  expect(got?.mail.html).toContain(encodeId('we_', endpoint.id))
})

test('an endpoint that was disabled is told of with what was set aside', async () => {
  const endpoint = await failingEndpoint()
  await disable(endpoint.id, 'failing')
  await endpoint.tell('webhook_endpoint.disabled', 'failing')
  const queued = await db.many<{ id: string; event_id: string }>`
    delete from webhook_queue
    where account_id = ${account_id} and livemode = false
      and id in (select id from webhook_queue where endpoint_id = ${endpoint.id} limit 2)
    returning id, event_id`
  for (const [n, { id, event_id }] of queued.entries()) {
    // One was canceled with the endpoint, one long before.
    await db.run`
      insert into webhook_deliveries (
        account_id, livemode, id, endpoint_id, event_id, event_type, status, tries, finished_at
      )
      values (
        ${account_id}, false, ${id}, ${endpoint.id}, ${event_id}, 'payment_intent.created', 'canceled', 1,
        now() + interval '1 second' - ${n} * interval '1 day'
      )`
  }
  expect(await tellAll()).toMatchObject([{ kind: 'failed', outcome: 'sent' }])
  const text = server.received[0]?.mail.text?.replaceAll(/\s+/g, ' ')
  expect(text).toContain('2 deliveries were set aside, the oldest since')
  expect(text).toContain(`bursar webhooks replay ${encodeId('we_', endpoint.id)} --from`)
})

test('an endpoint that is gone is told of, one that its account disabled is not', async () => {
  const [gone, asked] = [await failingEndpoint(), await failingEndpoint()]
  await disable(gone.id, 'gone')
  await gone.tell('webhook_endpoint.disabled', 'gone')
  await asked.tell('webhook_endpoint.disabled', 'requested')
  expect(await tellAll()).toMatchObject([{ kind: 'gone', outcome: 'sent' }])
  expect(server.received[0]?.mail.text).toContain('What happened')
})

test('a letter that the mail server does not take is tried again', async () => {
  const endpoint = await failingEndpoint()
  await endpoint.tell('webhook_endpoint.failing')
  const away = createMailer({ url: 'smtp://127.0.0.1:1', from: 'bursar@example.com', log })
  const [run] = await tellAll(away)
  expect(run).toMatchObject({ outcome: 'failed', error: expect.stringContaining('ECONNREFUSED') })
  await away.close()
})

test('a letter that will never be taken is not tried again', async () => {
  const endpoint = await failingEndpoint('not an address@example.com')
  await endpoint.tell('webhook_endpoint.failing')
  expect(await tellAll()).toMatchObject([{ outcome: 'refused' }])
})

test.each([
  ['has no address to write to', null, mailer_of => mailer_of, 'no_address'],
  ['has an address, but no mail server was named', 'ada@example.com', () => null, 'no_mail_server'],
] satisfies [string, string | null, (mailer: Mailer) => Mailer | null, string][])(
  'an endpoint that %s is told of by its event alone',
  async (_what, email, which, reason) => {
    const endpoint = await failingEndpoint(email)
    await endpoint.tell('webhook_endpoint.failing')
    expect(await tellAll(which(mailer))).toMatchObject([{ outcome: 'not_sent', reason }])
    expect(server.received).toEqual([])
  },
)

test('an endpoint that was deleted meanwhile is not told of', async () => {
  const endpoint = await failingEndpoint()
  await endpoint.tell('webhook_endpoint.failing')
  await db.run`
    update webhook_endpoints
    set status = 'disabled', disabled_reason = 'requested', deleted_at = now()
    where account_id = ${account_id} and livemode = false and id = ${endpoint.id}`
  expect(await tellAll()).toMatchObject([{ outcome: 'not_sent', reason: 'endpoint_deleted' }])
})

test('what the handler asked for goes with its transaction', async () => {
  const endpoint = await failingEndpoint()
  const consumer = noticesConsumer
  const failing = createConsumers({
    db,
    clock,
    log,
    consumers: [
      {
        ...consumer,
        async handle(tx, events) {
          await consumer.handle(tx, events)
          throw new Error('no')
        },
      },
    ],
  })
  await endpoint.tell('webhook_endpoint.failing')
  await failing.runOnce()
  await failing.stop()
  await db.run`update event_consumers set retry_at = null where name = ${consumer.name}`
  expect(await tellAll()).toHaveLength(1)
})
