import { openDatabase } from '#db'
import { createFetcher } from '#fetch'
import { systemClock } from '#kernel'
import { createPayments, simulatorConnector } from '#payments'
import { createWebhooks } from '#webhooks'
import { afterAll, expect, test } from 'vitest'
import { endpoints, jobNames, jobs, routes } from './catalog.ts'
import { listenToProcessors } from './reactions.ts'

// Neither is connected to: what the rooms have is known without asking anybody.
const db = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
const processor = simulatorConnector({ url: 'http://127.0.0.1:1' })
const payments = createPayments({ db, clock: systemClock, connectors: { test: processor, live: null } })
const inbound = listenToProcessors(payments, [processor], payments.log)
const fetcher = createFetcher({ allowed_networks: [] })
const webhooks = createWebhooks({
  db,
  clock: systemClock,
  log: payments.log,
  fetcher,
  installation_secret: 'nobody signs with it',
})

afterAll(async () => {
  await fetcher.close()
  await processor.close()
  await db.close()
})

test('the table of contents lists every route that is served, and no other', async () => {
  const served = (await endpoints(payments, inbound, webhooks)).map(endpoint => endpoint.route)
  expect([...routes].sort()).toEqual([...served].sort())
})

test('the table of contents lists every job, and every schedule is of one of them', async () => {
  const known = await jobs(payments, inbound, { request_log_days: 30 })
  expect([...jobNames].sort()).toEqual(known.jobs.map(job => job.name).sort())
  for (const { job } of known.schedules) expect(known.jobs).toContain(job)
})
