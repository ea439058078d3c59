/**
 * Runs jobs. graphile-worker claims, retries (after e^attempt seconds) and keeps the schedule; this file gives it our
 * jobs, keeps it alive through a restart of the database, and stops it without cutting work off. It is loaded only by a
 * process that runs jobs.
 */
import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CronItem, Job as ClaimedJob, Runner, TaskList, WorkerEvents } from 'graphile-worker'
import type { Database } from '#db'
import { backoffMs, type BackoffPolicy } from '#kernel'
import type { Log } from '#metrics'
import { countJobsOf } from './counts.ts'
import type { Envelope, Job, Schedule } from './define.ts'
import { runJob } from './run.ts'
import { holdWorkerLock, watchForLostWorkers } from './worker-life.ts'

export interface WorkerOptions {
  /** The owner's: graphile-worker's schema is its own. */
  url: string
  /** What jobs work with; one of its connections is held for as long as the worker runs. */
  db: Database
  jobs: readonly Job[]
  schedules: readonly Schedule[]
  log: Log
  /** Jobs at once. Besides `db` the worker has this many connections and two more. */
  concurrency: number
}

export interface Worker {
  /** Takes no more jobs and waits for those that run: 20 s, then their signal aborts, then 5 s more. */
  stop: () => Promise<void>
}

/** As long as an orchestrator usually waits (30 s), less the rest of a shutdown. */
const DRAIN_MS = 20_000
/** What a job gets to end in good order once it was told. What is left then is freed as a lost worker's jobs are. */
const ABORT_MS = 5_000
/** A job enqueued starts at once (NOTIFY); this is for retries and jobs that were put off. */
const POLL_INTERVAL_MS = 1_000
/** Runs missed during an outage no longer than this are made up for, unless the schedule says otherwise. */
const BACKFILL_MS = 60 * 60_000
/** A database restarts in seconds; the wait grows so that one that is down for an hour does not fill the log. */
const RESTART: BackoffPolicy = { first_ms: 500, factor: 2, most_ms: 15_000, jitter: 0.2 }

/** A graphile-worker runner and the lock that says it lives. */
interface Life {
  runner: Runner
  /** Lets go of the lock: from now on its jobs count as lost. */
  end: () => Promise<void>
}

/** Starts a worker. Throws when the database cannot be reached or a schedule is malformed. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { db, log } = options
  const stopping = new AbortController()
  let life: Life | undefined = await beginLife(options)
  let restarting: Promise<Life | undefined> | undefined
  countJobsOf(db)
  const watching = watchForLostWorkers(db, log, stopping.signal)
  void supervise()

  /** A runner ends by itself when it cannot write a job's result, as when the database is away; work must go on. */
  async function supervise(): Promise<void> {
    while (life !== undefined) {
      const failure = await ended(life.runner)
      if (stopping.signal.aborted) return
      log.error('worker.failed', { error: failure })
      await life.end()
      restarting = restart()
      life = await restarting
    }
  }

  /** Another life as soon as the database allows, or undefined when asked to stop meanwhile. */
  async function restart(): Promise<Life | undefined> {
    for (let attempt = 1; ; attempt++) {
      await sleep(backoffMs(RESTART, attempt), undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return undefined
      try {
        return await beginLife(options)
      } catch (error) {
        log.warn('worker.waiting', { attempt, error })
      }
    }
  }

  async function stop(): Promise<void> {
    stopping.abort()
    // A life that is just beginning must be ended too; supervise has put it in place when this goes on.
    await restarting
    if (life !== undefined) await drain(life, log)
    await watching
    countJobsOf(undefined)
  }

  let stopped: Promise<void> | undefined
  return { stop: () => (stopped ??= stop()) }
}

async function ended(runner: Runner): Promise<unknown> {
  try {
    await runner.promise
    return new Error('the runner ended unasked')
  } catch (error) {
    return error
  }
}

async function drain(life: Life, log: Log): Promise<void> {
  const limit = new AbortController()
  const late = sleep(DRAIN_MS + ABORT_MS, 'late', { signal: limit.signal }).catch(() => undefined)
  const drained = life.runner.stop().catch((error: unknown) => log.warn('worker.stopped', { error }))
  if ((await Promise.race([drained, late])) === 'late')
    log.warn('worker.abandoned', { waited_ms: DRAIN_MS + ABORT_MS })
  limit.abort()
  // Only now: while jobs run, no other worker may take them for lost.
  await life.end()
}

async function beginLife(options: WorkerOptions): Promise<Life> {
  const { run, parseCronItems, Logger } = await import('graphile-worker')
  const { db, log } = options
  const over = new AbortController()
  let holding: Promise<void> = Promise.resolve()
  const events: WorkerEvents = new EventEmitter()
  events.once('pool:create', ({ workerPool }) => {
    holding = holdWorkerLock(db, workerPool.id, log, over.signal)
  })
  const runner = await run(
    {
      connectionString: options.url,
      concurrency: options.concurrency,
      // One connection listens; one is for the schedule and for giving jobs back while all others are busy.
      maxPoolSize: options.concurrency + 2,
      pollInterval: POLL_INTERVAL_MS,
      // Signals belong to who started the process.
      noHandleSignals: true,
      preset: {
        worker: {
          gracefulShutdownAbortTimeout: DRAIN_MS,
          // Unset, graphile-worker does not wait for the write of a job's result: a stop loses it, and a lost connection
          // is an unhandled rejection that ends the process. Set, it retries, and waits before it stops.
          completeJobBatchDelay: 0,
          failJobBatchDelay: 0,
        },
      },
      // A failed job has its own line; what else goes wrong in there is told, its progress is not.
      logger: new Logger(() => (level, message, meta) => {
        const is_trouble = level === 'error' || level === 'warning'
        if (is_trouble && meta?.failure !== true) log.warn('worker.warned', { message })
      }),
      events,
    },
    taskList(options),
    parseCronItems(cronItems(options.schedules)),
  )
  return {
    runner,
    end() {
      over.abort()
      return holding
    },
  }
}

function taskList({ jobs, db, log }: WorkerOptions): TaskList {
  const tasks: TaskList = {}
  for (const job of jobs) {
    if (tasks[job.name]) throw new Error(`two jobs are named ${job.name}`)
    tasks[job.name] = (envelope, { job: claimed, abortSignal: aborted }) =>
      runJob(job, envelope as Envelope, claimed as ClaimedJob, { db, log, aborted })
  }
  return tasks
}

function cronItems(schedules: readonly Schedule[]): CronItem[] {
  const names = new Set(schedules.map(schedule => schedule.job.name))
  // The name is what graphile-worker remembers a schedule by.
  if (names.size < schedules.length) throw new Error('a job has two schedules; make it one, or two jobs')
  return schedules.map(cronItem)
}

function cronItem({ cron, job, payload = {}, backfill_ms = BACKFILL_MS }: Schedule): CronItem {
  return {
    task: job.name,
    match: cron,
    identifier: job.name,
    payload: { payload },
    options: {
      backfillPeriod: backfill_ms,
      maxAttempts: job.max_attempts,
      // A run that still waits when the next is due is replaced by it: they never pile up.
      jobKey: `${job.name}:schedule`,
      ...(job.queue !== undefined && { queueName: job.queue }),
    },
  }
}
