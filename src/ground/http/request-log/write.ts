/**
 * Writes the request log off the path of the answer: rows wait in memory, bounded, and go to the database many at a
 * time, over a connection of their own. A payment pays no round trip and waits for nothing; what it costs is the making
 * of its row, after its answer has left. When the database is away rows wait for it as long as there is room, then they
 * are dropped and counted: a log must not take the service down with it.
 */
import { type Db, sqlState } from '#db'
import { counter, type Log } from '#metrics'
import { entryOf, type LoggedRequest, type RequestLogEntry } from './entry.ts'

const written = counter({
  name: 'bursar_request_log_written_total',
  help: 'Requests written to the request log',
})
const dropped = counter({
  name: 'bursar_request_log_dropped_total',
  help: 'Requests that are missing in the request log: no room to wait in (full), a row that the database refused (refused), one that could not be made (unmade), or a stop without a database (stopped)',
  labels: ['reason'],
})
// A series that begins above zero shows no increase: the first loss would be no alert.
for (const reason of ['full', 'refused', 'unmade', 'stopped']) dropped.inc({ reason }, 0)

/** How late a request may appear in the log; also what a crash may lose. */
const FLUSH_EVERY_MS = 1_000
/** Making the parameters of one insert takes some milliseconds of the event loop: more rows would be felt. */
const BATCH_ROWS = 200
/** Ten seconds of a thousand requests a second, for a database that restarts. */
const WAITING_ROWS_MOST = 10_000
/** Rows of lists are long: this is reached first when they are what is asked for. */
const WAITING_LENGTH_MOST = 33_554_432
/** A stop waits so long for the last rows; a database that is away then stays away. */
const STOP_MS = 3_000

export interface RequestLog {
  /** Takes the facts of a request whose answer has left. Never throws. */
  note(request: LoggedRequest): void
  /** Writes what waits now; for tests, and for whoever reads next. Never throws. */
  flush(): Promise<void>
  /** Writes what waits, within three seconds, and stops. */
  stop(): Promise<void>
}

/** `db` sees all accounts; give it a connection of its own, so that the log waits for requests and never they for it. */
export function startRequestLog({ db, log }: { db: Db; log: Log }): RequestLog {
  const waiting: RequestLogEntry[] = []
  let waiting_length = 0
  let flushing: Promise<void> | undefined
  let is_away = false

  async function writeWaiting(): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH_ROWS)
      try {
        await write(batch)
      } catch (error) {
        // Said once for each outage: the counter and the gaps say the rest.
        if (!is_away) log.warn('request_log.waiting', { waiting: waiting.length, error })
        is_away = true
        return
      }
      is_away = false
      waiting.splice(0, batch.length)
      for (const row of batch) waiting_length -= lengthOf(row)
    }
  }

  /** Halves a batch that the database refuses until the row at fault stands alone. Throws when it is the database. */
  async function write(rows: readonly RequestLogEntry[]): Promise<void> {
    try {
      await insert(db, rows)
      written.inc(undefined, rows.length)
    } catch (error) {
      if (!isRefused(error)) throw error
      if (rows.length === 1) {
        dropped.inc({ reason: 'refused' })
        log.error('request_log.refused', { route: rows[0]?.route, error })
        return
      }
      const half = Math.ceil(rows.length / 2)
      await write(rows.slice(0, half))
      await write(rows.slice(half))
    }
  }

  function flush(): Promise<void> {
    flushing ??= writeWaiting().finally(() => {
      flushing = undefined
    })
    return flushing
  }

  const timer = setInterval(() => void flush(), FLUSH_EVERY_MS)
  timer.unref()

  return {
    note(request) {
      let row: RequestLogEntry
      try {
        row = entryOf(request)
      } catch (error) {
        dropped.inc({ reason: 'unmade' })
        log.error('request_log.unmade', { route: request.route, error })
        return
      }
      const length = lengthOf(row)
      if (waiting.length >= WAITING_ROWS_MOST || waiting_length + length > WAITING_LENGTH_MOST) {
        dropped.inc({ reason: 'full' })
        return
      }
      waiting.push(row)
      waiting_length += length
      // While the database is away the clock alone asks for it.
      if (waiting.length >= BATCH_ROWS && !is_away) void flush()
    },
    async flush() {
      // What is under way may have begun before the last rows came.
      await flush()
      await flush()
    },
    async stop() {
      clearInterval(timer)
      const { promise: late, resolve } = Promise.withResolvers<void>()
      const limit = setTimeout(resolve, STOP_MS)
      await Promise.race([flush().then(flush), late])
      clearTimeout(limit)
      if (waiting.length === 0) return
      dropped.inc({ reason: 'stopped' }, waiting.length)
      log.warn('request_log.lost', { rows: waiting.length })
    },
  }
}

/** What a row holds in memory, nearly: its texts and as much again for a short one. */
const lengthOf = ({ params, answer, path }: RequestLogEntry): number =>
  500 + path.length + (params?.length ?? 0) + (answer?.length ?? 0)

/** Class 22: a value that its column cannot hold; class 23: a constraint. All else is the database's own trouble. */
const isRefused = (error: unknown): boolean => /^2[23]/.test(sqlState(error) ?? '')

/**
 * One statement for all rows. Its commit waits for no disk: a crash may take the last moment of the log, as it takes
 * what waits in memory. A batch whose commit was lost may be written already, so what is there stays.
 */
function insert(db: Db, rows: readonly RequestLogEntry[]): Promise<void> {
  const column = (name: keyof RequestLogEntry) => arrayOf(rows, name)
  return db.transaction(async tx => {
    const relaxed = tx.run`set local synchronous_commit = off`
    // It fails only with the whole transaction, and then the insert says so.
    relaxed.catch(() => {})
    await tx.run`
      insert into request_logs (
        account_id, livemode, id, method, route, path, params, status, answer, error_code, api_key_id, idempotency_key,
        idempotency_outcome, original_request_id, differing_params, version, ip, duration_ms, created_at
      )
      select
        account_id, livemode, id, method, route, path, params, status, answer, error_code, api_key_id, idempotency_key,
        idempotency_outcome, original_request_id, differing_params::jsonb, version, ip, duration_ms, created_at
      from unnest(
        ${column('account_id')}::uuid[], ${column('livemode')}::boolean[], ${column('id')}::uuid[],
        ${column('method')}::text[], ${column('route')}::text[], ${column('path')}::text[],
        ${column('params')}::text[], ${column('status')}::smallint[], ${column('answer')}::text[],
        ${column('error_code')}::text[], ${column('api_key_id')}::uuid[], ${column('idempotency_key')}::text[],
        ${column('idempotency_outcome')}::text[], ${column('original_request_id')}::uuid[],
        ${column('differing_params')}::text[], ${column('version')}::text[], ${column('ip')}::inet[],
        ${column('duration_ms')}::real[], ${column('created_at')}::timestamptz[]
      ) as row (
        account_id, livemode, id, method, route, path, params, status, answer, error_code, api_key_id, idempotency_key,
        idempotency_outcome, original_request_id, differing_params, version, ip, duration_ms, created_at
      )
      on conflict (account_id, livemode, id) do nothing`
  })
}

/** Columns whose values are ids, numbers, words and paths of ours: no quotes around them, nothing to escape. */
const FREE_TEXT: ReadonlySet<keyof RequestLogEntry> = new Set([
  'path',
  'params',
  'answer',
  'idempotency_key',
  'differing_params',
] as const)

/** One column of the rows as a PostgreSQL array; the driver's own way takes three times as long. */
function arrayOf(rows: readonly RequestLogEntry[], name: keyof RequestLogEntry): string {
  const is_free = FREE_TEXT.has(name)
  let text = ''
  for (const row of rows) {
    const value = row[name]
    if (value === null) text += ',NULL'
    else if (is_free) text += `,"${String(value).replace(/["\\]/g, '\\$&')}"`
    else text += `,${value}`
  }
  return `{${text.slice(1)}}`
}
