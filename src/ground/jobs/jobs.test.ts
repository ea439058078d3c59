import { InMemorySpanExporter } from '@opentelemetry/sdk-trace-base'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { z } from 'zod'
import { type Database, openDatabase } from '#db'
import { asAdmin, type TestDatabase, testDatabase } from '#db/testing'
import { createLog, metricsText, span, startTracing, traceId } from '#metrics'
import {
  deadJobs,
  defineJob,
  enqueue,
  type Job,
  migrateJobs,
  retryDeadJob,
  startWorker,
  type Worker,
  type WorkerOptions,
} from './index.ts'

let database: TestDatabase
let db: Database
const lines: Record<string, unknown>[] = []
const log = createLog({ level: 'info', destination: { write: line => void lines.push(JSON.parse(line)) } })
const tenant = { account_id: '01890000-0000-7000-8000-000000000001', livemode: false }
const workers: Worker[] = []

beforeAll(async () => {
  database = await testDatabase()
  await Promise.all([migrateJobs(database.url), migrateJobs(database.url)])
  db = openDatabase({ url: database.url })
})
afterEach(async () => {
  await Promise.all(workers.splice(0).map(worker => worker.stop()))
  lines.length = 0
})
afterAll(async () => {
  await db?.close()
  await database?.drop()
})

async function work(jobs: Job[], more: Partial<WorkerOptions> = {}): Promise<Worker> {
  const worker = await startWorker({
    url: database.url,
    db,
    jobs,
    schedules: [],
    log,
    concurrency: 4,
    ...more,
  })
  workers.push(worker)
  return worker
}

/** A job that remembers what it was given; each test has its own name, so tests do not meet in the queue. */
function noting(
  name: string,
  options: { max_attempts?: number; queue?: string; fail?: (n: number) => boolean } = {},
) {
  const seen: string[] = []
  const { fail, ...rest } = options
  const job = defineJob({
    name,
    payload: z.strictObject({ what: z.string() }),
    async run(context, { what }) {
      seen.push(what)
      context.note({ what })
      await context.db.one`select 1 as one`
      if (fail?.(seen.length)) throw new Error(`cannot do ${what} with 4242424242424242`)
    },
    ...rest,
  })
  return { job, seen }
}
const until = (check: () => unknown, timeout = 40_000) =>
  vi.waitFor(async () => expect(await check()).toBeTruthy(), { timeout, interval: 20 })
const queued = (name: string) =>
  db.many<{ state: string; jobs: bigint }>`select state, jobs from job_counts() where job = ${name}`

test('a job exists when its transaction commits and never did when it rolls back', async () => {
  const { job, seen } = noting('commit.test')
  await work([job])
  await db.transaction(tx => enqueue(tx, job, { what: 'kept' }))
  await expect(
    db.transaction(async tx => {
      await enqueue(tx, job, { what: 'undone' })
      throw new Error('no')
    }),
  ).rejects.toThrow('no')
  await db.transaction(tx => enqueue(tx, job, { what: 'kept too' }))
  await until(() => seen.length === 2)
  await sleep(100)
  expect(seen.sort()).toEqual(['kept', 'kept too'])
})

test('a tenant’s transaction may ask for a job and may do nothing else with the queue', async () => {
  const { job, seen } = noting('tenant.test')
  await work([job])
  await db.as(tenant).transaction(tx => enqueue(tx, job, { what: 'mine' }))
  await until(() => seen.length === 1)
  await expect(db.as(tenant).many`select * from graphile_worker._private_jobs`).rejects.toThrow(
    'permission denied',
  )
  await expect(deadJobs(db.as(tenant))).rejects.toThrow('permission denied')
  await expect(retryDeadJob(db.as(tenant), '1')).rejects.toThrow('permission denied')
  await expect(db.as(tenant).many`select job_release_lost('{x}')`).rejects.toThrow('permission denied')
})

test('a payload that does not fit is refused where it is asked for', async () => {
  const { job } = noting('misfit.test')
  await expect(enqueue(db, job, { what: 7 as unknown as string })).rejects.toThrow(z.ZodError)
  expect(await queued('misfit.test')).toEqual([])
})

test('a run is one wide line with its costs, and a metric', async () => {
  const { job, seen } = noting('line.test')
  await work([job])
  const job_id = await enqueue(db, job, { what: 'x' })
  await until(() => lines.some(line => line.event === 'job.succeeded'))
  expect(seen).toEqual(['x'])
  expect(lines.filter(line => line.job === 'line.test')).toEqual([
    expect.objectContaining({
      level: 'info',
      event: 'job.succeeded',
      job_id,
      attempt: 1,
      max_attempts: 21,
      what: 'x',
      statements: 1,
      round_trips: 1,
      duration_ms: expect.any(Number),
      waited_ms: expect.any(Number),
    }),
  ])
  expect(await metricsText()).toContain('bursar_job_runs_total{job="line.test",outcome="succeeded"} 1')
})

test('a job continues the trace of who asked for it', async () => {
  const exporter = new InMemorySpanExporter()
  const tracing = await startTracing({ version: '0', role: 'test', log, exporter })
  try {
    const traces: (string | undefined)[] = []
    const job = defineJob({
      name: 'trace.test',
      payload: z.object({}),
      async run() {
        traces.push(traceId())
      },
    })
    await work([job])
    const asked = await span('POST /v1/refunds', {}, async () => {
      await enqueue(db, job, {})
      return traceId()
    })
    await until(() => traces.length === 1)
    expect(asked).toMatch(/^[0-9a-f]{32}$/)
    expect(traces).toEqual([asked])
    await until(() => lines.some(line => line.event === 'job.succeeded' && line.trace_id === asked))
  } finally {
    await tracing.stop()
  }
})

test('a failed job runs again after a pause, until it succeeds', async () => {
  const { job, seen } = noting('retry.test', { fail: n => n === 1 })
  await work([job])
  const before = performance.now()
  await enqueue(db, job, { what: 'again' })
  await until(() => lines.some(line => line.event === 'job.succeeded'))
  expect(performance.now() - before).toBeGreaterThan(2_000) // e^1 s
  expect(seen).toEqual(['again', 'again'])
  const failed = lines.filter(line => line.event === 'job.failed')
  expect(failed).toHaveLength(1)
  expect(failed[0]).toMatchObject({
    level: 'warn',
    attempt: 1,
    error: { message: 'cannot do again with [redacted]' },
  })
  await until(async () => (await queued('retry.test')).length === 0)
})

test('a job that failed as often as it may is listed dead, counted, and runs again when retried', async () => {
  let is_broken = true
  const { job, seen } = noting('dead.test', { max_attempts: 1, fail: () => is_broken })
  await work([job])
  const id = await enqueue(db, job, { what: 'poison' })
  await until(() => lines.some(line => line.event === 'job.died'))
  await until(async () => (await queued('dead.test'))[0]?.state === 'dead')
  expect(await deadJobs(db)).toEqual([
    {
      id,
      job: 'dead.test',
      payload: { what: 'poison' },
      attempts: 1,
      last_error: 'cannot do poison with [redacted]',
      created_at: expect.any(Date),
      died_at: expect.any(Date),
    },
  ])
  expect(await deadJobs(db, { before: id })).toEqual([])
  const metrics = await metricsText()
  expect(metrics).toContain('bursar_jobs{job="dead.test",state="dead"} 1')
  expect(metrics).toContain('bursar_job_runs_total{job="dead.test",outcome="dead"} 1')
  expect(JSON.stringify(lines)).not.toContain('4242')

  is_broken = false
  expect(await retryDeadJob(db, id)).toBe(true)
  await until(() => lines.some(line => line.event === 'job.succeeded'))
  expect(seen).toHaveLength(2)
  await until(async () => (await deadJobs(db)).length === 0)
  expect(await retryDeadJob(db, id)).toBe(false)
})

test('of jobs with one key only the last waits, and keys of different jobs do not meet', async () => {
  const a = noting('key_a.test')
  const b = noting('key_b.test')
  const later = new Date(Date.now() + 3_600_000)
  await enqueue(db, a.job, { what: 'first' }, { key: 'k', run_at: later })
  await enqueue(db, a.job, { what: 'last' }, { key: 'k', run_at: later })
  await enqueue(db, b.job, { what: 'other' }, { key: 'k', run_at: later })
  expect(await queued('key_a.test')).toEqual([{ state: 'scheduled', jobs: 1n }])
  await enqueue(db, a.job, { what: 'now' }, { key: 'k' })
  await work([a.job, b.job])
  await until(() => a.seen.length === 1)
  expect(a.seen).toEqual(['now'])
  expect(b.seen).toEqual([])
})

test('jobs of one queue run one at a time, in order', async () => {
  let running = 0
  let most = 0
  const order: number[] = []
  const job = defineJob({
    name: 'serial.test',
    queue: 'serial.test',
    payload: z.object({ n: z.number() }),
    async run(_context, { n }) {
      most = Math.max(most, ++running)
      await sleep(10)
      order.push(n)
      running--
    },
  })
  for (let n = 0; n < 5; n++) await enqueue(db, job, { n })
  await work([job])
  await until(() => order.length === 5)
  expect(order).toEqual([0, 1, 2, 3, 4])
  expect(most).toBe(1)
})

test('a job that takes too long fails and is told to stop', async () => {
  let was_told = false
  const job = defineJob({
    name: 'slow.test',
    timeout_ms: 50,
    max_attempts: 1,
    payload: z.object({}),
    run: ({ signal }) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          was_told = true
        })
      }),
  })
  await work([job])
  const id = await enqueue(db, job, {})
  await until(async () =>
    (await deadJobs(db)).some(dead => dead.id === id && dead.last_error === 'the job took over 50 ms'),
  )
  expect(was_told).toBe(true)
})

test('stop waits for the job that runs and leaves the rest for later', async () => {
  const began: string[] = []
  const ended: string[] = []
  const released = Promise.withResolvers<void>()
  const job = defineJob({
    name: 'drain.test',
    payload: z.object({ what: z.string() }),
    async run(_context, { what }) {
      began.push(what)
      await released.promise
      ended.push(what)
    },
  })
  const worker = await work([job], { concurrency: 1 })
  await enqueue(db, job, { what: 'one' })
  await enqueue(db, job, { what: 'two' })
  await until(() => began.length === 1)
  let is_over = false
  const stopped = Promise.all([worker.stop(), worker.stop()]).then(() => {
    is_over = true
  })
  // Long enough for a stop that does not wait: on a busy machine it may be over later, and then goes unseen.
  await sleep(300)
  expect([is_over, ended]).toEqual([false, []])
  released.resolve()
  await stopped
  expect(ended).toEqual(['one'])
  expect(await queued('drain.test')).toEqual([{ state: 'ready', jobs: 1n }])
  await work([job])
  await until(() => ended.length === 2)
  expect(ended).toEqual(['one', 'two'])
})

test('a schedule makes up for what was missed, and each run knows the minute it stands for', async () => {
  const scheduled: (Date | undefined)[] = []
  const job = defineJob({
    name: 'schedule.test',
    payload: z.strictObject({ why: z.string() }),
    async run({ scheduled_for }) {
      scheduled.push(scheduled_for)
    },
  })
  const schedules = [{ cron: '* * * * *', job, payload: { why: 'cron' } }]
  // As if a worker had known the schedule and had been down for ten minutes.
  await asAdmin(
    database.url,
    `insert into graphile_worker._private_known_crontabs (identifier, known_since, last_execution)
    values ('schedule.test', now() - interval '1 day', now() - interval '10 minutes')`,
  )
  await work([job], { schedules })
  const age_ms = () => Date.now() - Math.max(...scheduled.map(at => at?.getTime() ?? 0))
  await until(() => scheduled.length > 0 && age_ms() < 61_000)
  await sleep(300)
  expect(scheduled.length).toBeLessThanOrEqual(11)
  for (const at of scheduled) expect(at?.getUTCSeconds()).toBe(0)
})

test('malformed schedules and two jobs of one name stop the start', async () => {
  const { job } = noting('wrong.test')
  await expect(work([job], { schedules: [{ cron: 'every day', job }] })).rejects.toThrow('every day')
  await expect(
    work([job], {
      schedules: [
        { cron: '* * * * *', job },
        { cron: '0 * * * *', job },
      ],
    }),
  ).rejects.toThrow('two schedules')
  await expect(work([job, job])).rejects.toThrow('two jobs are named wrong.test')
})

test('the result of every job that ran is written before stop returns', async () => {
  const { job, seen } = noting('result.test')
  const worker = await work([job])
  for (let i = 0; i < 20; i++) await enqueue(db, job, { what: `${i}` })
  await until(() => seen.length > 5)
  await worker.stop()
  expect(await queued('result.test').then(rows => rows.filter(row => row.state === 'running'))).toEqual([])
  const left = await queued('result.test').then(rows => Number(rows[0]?.jobs ?? 0))
  expect(seen.length + left).toBe(20)
})

test('the worker outlives the loss of all its connections', async () => {
  const seen: string[] = []
  const job = defineJob({
    name: 'restart.test',
    payload: z.strictObject({ what: z.string() }),
    async run(_context, { what }) {
      seen.push(what)
      // All connections go while the first runs: its result is then written over a new one.
      if (seen.length === 1) await cutAll()
    },
  })
  const cutAll = () =>
    asAdmin(
      database.url,
      `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`,
    )
  await work([job])
  await enqueue(db, job, { what: 'before' })
  await until(() => seen.length === 1)
  await vi.waitFor(() => enqueue(db, job, { what: 'after' }), { timeout: 15_000 })
  await until(() => seen.includes('after'))
  await until(async () => (await queued('restart.test')).length === 0)
  expect(seen).toEqual(expect.arrayContaining(['before', 'after']))
})

test('a killed worker’s job runs again within seconds, and a living worker’s is left alone', async () => {
  const name = 'killed.test'
  const script = `
    import { z } from 'zod'
    import { openDatabase } from '#db'
    import { defineJob, startWorker } from '#jobs'
    import { createLog } from '#metrics'
    const url = process.env.TEST_DATABASE
    const run = () => { console.log('began'); return new Promise(() => undefined) }
    const job = defineJob({ name: '${name}', payload: z.strictObject({ what: z.string() }), run })
    await startWorker({ url, db: openDatabase({ url }), jobs: [job], schedules: [], concurrency: 1, log: createLog({ level: 'silent' }) })`
  const { job, seen } = noting(name)
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    env: { ...process.env, TEST_DATABASE: database.url },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  try {
    await enqueue(db, job, { what: 'held' })
    await once(child.stdout, 'data')
    await work([job])
    // It holds a job and lives: nobody takes it for lost.
    await until(async () => (await db.many`select * from job_lost_workers()`).length === 0)
    await sleep(1_000)
    expect(await db.many`select * from job_lost_workers()`).toEqual([])
    expect(seen).toEqual([])
    child.kill('SIGKILL')
    await until(() => seen.length === 1, 30_000)
    await until(() => lines.some(line => line.event === 'job.succeeded'))
    expect(lines).toContainEqual(expect.objectContaining({ event: 'lost_worker.released', jobs: 1 }))
    expect(lines).toContainEqual(expect.objectContaining({ event: 'job.succeeded', attempt: 2 }))
  } finally {
    child.kill('SIGKILL')
  }
})
