/**
 * Finishes what died. A key whose lease has lapsed (by the database's clock) belongs to an operation whose runner was
 * killed, cut off or failed: it is taken over under the next epoch and driven to its answer by the endpoint's `resume`.
 * Also forgets keys that were finished long ago. Runs in every worker; workers skip what another one has taken.
 */
import type { Db } from '#db'
import { assert, backoffMs, type Clock, encodeId, failpoint } from '#kernel'
import { counter, type Log } from '#metrics'
import { RequestContext } from './context.ts'
import { findKey, type LapsedKey, type OpenSubjects, postpone, reap, takeLapsed } from './idempotency.ts'
import type { Caller, Endpoint } from './types.ts'
import { versionTable } from './versions.ts'

const completions = counter({
  name: 'bursar_idempotency_completions_total',
  help: 'Operations resumed by the completer: finished, still unresolved, or failed again',
  labels: ['route', 'outcome'],
})
const reaped = counter({
  name: 'bursar_idempotency_reaped_total',
  help: 'Idempotency keys forgotten after their retention',
})

/** A client that retries after a crash waits at most a lease and this. */
const LOOK_EVERY_MS = 1_000
/** Operations resumed at once: each may hold a call to a processor; more would hit a processor that has just recovered. */
const BATCH_MOST = 20
/** A resume that fails is tried again soon, then ever more rarely: the cause may need a person. */
const RETRY = { first_ms: 2_000, factor: 2, most_ms: 60_000, jitter: 0.2 }

const DAY_MS = 86_400_000
/** kept 30 days, floor 24 hours. */
const RETENTION_MS = 30 * DAY_MS
const RETENTION_FLOOR_MS = DAY_MS
const REAP_EVERY_MS = 60_000
/** A batch locks this many rows for some ten milliseconds. */
const REAP_BATCH = 1_000
/** A minute of the highest rate we know of makes 600,000 keys; the rest waits for the next minute. */
const REAP_BATCHES_MOST = 1_000

export interface CompleterOptions {
  readonly endpoints: readonly Endpoint[]
  /** Sees all accounts. */
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  /** How long a finished key is kept; at least a day. */
  readonly retention_ms?: number
  /** Which subjects of finished keys are still open, and keep their keys. None, when left out. */
  readonly openSubjects?: OpenSubjects
}

export interface Completer {
  /** One look: resumes what has lapsed and waits for it. Answers how many operations it took over. */
  runOnce(): Promise<number>
  /** Forgets what is past its retention, some batches at most. Answers how many keys. */
  reapOnce(): Promise<number>
  /** Takes nothing more and waits for what is under way. */
  stop(): Promise<void>
}

/** Makes a completer that does nothing until asked. */
export function createCompleter(options: CompleterOptions): Completer {
  const { db, log, openSubjects = async () => new Set<string>() } = options
  const retention_ms = options.retention_ms ?? RETENTION_MS
  assert(retention_ms >= RETENTION_FLOOR_MS, 'idempotency keys are kept for a day at least')
  const byRoute = new Map(options.endpoints.map(endpoint => [endpoint.route, endpoint]))
  const version = versionTable().newest
  const under_way = new Set<Promise<unknown>>()
  let is_stopping = false

  function tracked<T>(work: Promise<T>): Promise<T> {
    under_way.add(work)
    return work.finally(() => under_way.delete(work))
  }

  async function look(): Promise<number> {
    const lapsed = await takeLapsed(db, BATCH_MOST)
    await Promise.all(lapsed.map(complete))
    return lapsed.length
  }

  /** Never throws: one operation that cannot be finished must not hold up the others. */
  async function complete(key: LapsedKey): Promise<void> {
    const started_ms = performance.now()
    const fields = {
      request_id: encodeId('req_', key.request_id),
      account_id: encodeId('acct_', key.account_id),
      livemode: key.livemode,
      route: key.route,
      subject_id: key.subject_id,
      epoch: key.epoch,
      takeovers: key.takeovers,
    }
    try {
      await failpoint('key.taken_over', key.route)
      const endpoint = byRoute.get(key.route)
      assert(endpoint?.resume, `${key.route} left an unfinished key and cannot be resumed`)
      assert(key.subject_id !== null, `${key.route} left an unfinished key without a subject`)
      const context = new RequestContext(options, endpoint, version, callerOf(key), key.request_id)
      const { account_id, livemode, epoch } = key
      context.own({ account_id, livemode, key: key.key, epoch }, key.request_id)
      await endpoint.resume(context, key.subject_id)
      // `resume` may end without an answer to store: nobody knows the outcome yet, and the lease brings it back.
      const row = await findKey(db, key, key.key)
      const outcome = row && row.status === null ? 'unresolved' : 'finished'
      completions.inc({ route: key.route, outcome })
      const duration_ms = performance.now() - started_ms
      log.event('idempotency_key.completed', {
        ...fields,
        ...context.stats,
        ...context.notes,
        outcome,
        duration_ms,
      })
    } catch (error) {
      const retry_in_ms = backoffMs(RETRY, key.takeovers)
      completions.inc({ route: key.route, outcome: 'failed' })
      log.error('idempotency_key.not_completed', { ...fields, retry_in_ms, error })
      // When even this fails the database is away, and the lease of the takeover is the wait.
      await postpone(db, key, retry_in_ms).catch((cause: unknown) =>
        log.warn('idempotency_key.not_postponed', { ...fields, error: cause }),
      )
    }
  }

  async function forget(): Promise<number> {
    let total = 0
    for (let batch = 0; batch < REAP_BATCHES_MOST && !is_stopping; batch++) {
      const count = await reap(db, retention_ms, REAP_BATCH, openSubjects)
      total += count
      if (count < REAP_BATCH) break
    }
    if (total > 0) {
      reaped.inc(undefined, total)
      log.event('idempotency_keys.reaped', { count: total })
    }
    return total
  }

  return {
    runOnce: () => tracked(look()),
    reapOnce: () => tracked(forget()),
    async stop() {
      is_stopping = true
      await Promise.allSettled(under_way)
    },
  }
}

/** Starts the completer's two loops in this process. */
export function startCompleter(options: CompleterOptions): Completer {
  const completer = createCompleter(options)
  // A full batch means that more is waiting, as after a crash under load: go on at once.
  const lookWhileFull = async () => {
    while (!is_stopping && (await completer.runOnce()) === BATCH_MOST);
  }
  let is_stopping = false
  const stopLooking = every(LOOK_EVERY_MS, lookWhileFull, options.log)
  const stopReaping = every(REAP_EVERY_MS, () => completer.reapOnce(), options.log)
  return {
    ...completer,
    async stop() {
      is_stopping = true
      stopLooking()
      stopReaping()
      await completer.stop()
    },
  }
}

/** Runs `work` again and again, `pause_ms` after it has ended; a failure is logged and does not end the loop. */
function every(pause_ms: number, work: () => Promise<unknown>, log: Log): () => void {
  let timer: NodeJS.Timeout
  let is_stopped = false
  const next = () => {
    // Workers that started together look at different moments.
    const delay_ms = backoffMs({ first_ms: pause_ms, factor: 1, most_ms: pause_ms, jitter: 0.2 }, 1)
    timer = setTimeout(() => {
      work()
        .catch((error: unknown) => log.error('completer.failed', { error }))
        .finally(() => {
          if (!is_stopped) next()
        })
    }, delay_ms)
    timer.unref()
  }
  next()
  return () => {
    is_stopped = true
    clearTimeout(timer)
  }
}

/** No key is at hand, only the account it spoke for: the completer acts for that account, with all its rights. */
const NO_API_KEY = '00000000-0000-0000-0000-000000000000'

const callerOf = ({ account_id, livemode }: LapsedKey): Caller => ({
  account_id,
  livemode,
  api_key_id: NO_API_KEY,
  kind: 'secret',
  scopes: [],
})
