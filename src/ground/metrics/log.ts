/**
 * The wide log line: one line per unit of work, named `noun.verb`, with everything worth knowing about it (ids, outcome,
 * durations, query counts), so that an incident is a query over lines and not a reading of prose.
 *
 * JSON lines with UTC time. Every field passes the redaction of `redact.ts`. The trace id is added while tracing is on.
 * pino gives the buffered, non-blocking output that survives a sudden exit; the line is joined here, because redaction
 * has walked every field already and a second walk by pino costs more than all the rest (measured).
 */
import { pino } from 'pino'
import { systemClock } from '#kernel'
import { counter } from './metrics.ts'
import { redactFields } from './redact.ts'
import { traceId } from './trace.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** `noun.verb`, past tense: `payment_intent.confirmed`, `request.answered`. Always a literal, never data. */
export type EventName = `${string}.${string}`

/** Three names belong to the line itself. */
export type LogFields = Record<string, unknown> & { level?: never; time?: never; event?: never }

export interface Log {
  /** Work that ended as it may, declines and 4xx included. */
  event: (name: EventName, fields?: LogFields) => void
  debug: (name: EventName, fields?: LogFields) => void
  /** Something an operator may want to look at today. Put the error itself under `error`. */
  warn: (name: EventName, fields?: LogFields) => void
  /** Something broke that must not: a 5xx, a lost connection, a broken invariant. */
  error: (name: EventName, fields?: LogFields) => void
  /** The same log with fields on every line (`request_id`, `account_id`). */
  with: (fields: LogFields) => Log
  /** Writes what is buffered, at once. Called last at shutdown. */
  flush: () => void
}

export interface LogOptions {
  level: LogLevel
  /** The open file that lines go to: 1 is standard output, the default, and 2 standard error. */
  descriptor?: number
  /** Where whole lines go instead. */
  destination?: { write(line: string): void }
}

/** A write per 4 KiB instead of per line: at 3,000 lines a second system calls cost more than the lines. */
const BUFFER_BYTES = 4_096
/** A line is at most this old when it is written, so `kill -9` loses at most the last 100 ms of narration, never of data. */
const FLUSH_INTERVAL_MS = 100
/** When whoever reads our output stalls, payments go on: half a minute of lines is held, then lines are dropped, counted. */
const HELD_BYTES_MAX = 64 * 1024 * 1024

const dropped = counter({
  name: 'bursar_log_lines_dropped_total',
  help: 'Log lines lost to a stalled reader',
})
const failed = counter({ name: 'bursar_log_writes_failed_total', help: 'Writes of log lines that failed' })

export function createLog(options: LogOptions): Log {
  if (options.destination) return face(options.level, options.destination, '', () => undefined)
  const output = pino.destination({
    dest: options.descriptor ?? 1,
    sync: false,
    minLength: BUFFER_BYTES,
    maxLength: HELD_BYTES_MAX,
    periodicFlush: FLUSH_INTERVAL_MS,
  })
  output.on('drop', () => dropped.inc(undefined))
  // A full disk under a redirected output must not end the process; there is no log to tell it to, so it is counted.
  output.on('error', () => failed.inc(undefined))
  return face(options.level, output, '', () => output.flushSync())
}

const RANKS: Record<LogLevel, number> = { debug: 0, info: 1, warn: 2, error: 3, silent: 4 }

let last_ms = 0
let last_time = ''

/** The time of writing. Within a millisecond the text is the same, and making it costs more than the rest of the line. */
function utcTime(): string {
  const now = systemClock.now()
  if (now.getTime() !== last_ms) {
    last_ms = now.getTime()
    last_time = now.toISOString()
  }
  return last_time
}

/** The members of a JSON object with a comma before each, to be joined to others. */
function members(fields: object): string {
  const text = JSON.stringify(redactFields(fields))
  return text === '{}' ? '' : `,${text.slice(1, -1)}`
}

/** `common` is text already: a request's log writes its ids many times and makes them JSON once. */
function face(
  threshold: LogLevel,
  output: { write(line: string): unknown },
  common: string,
  flush: () => void,
): Log {
  const write =
    (level: Exclude<LogLevel, 'silent'>) =>
    (event: EventName, fields?: LogFields): void => {
      if (RANKS[level] < RANKS[threshold]) return
      const trace_id = traceId()
      const trace = trace_id === undefined ? '' : `,"trace_id":"${trace_id}"`
      const own = fields === undefined ? '' : members(fields)
      // The four levels and the names of events are our own words and need no escaping.
      output.write(`{"level":"${level}","time":"${utcTime()}","event":"${event}"${trace}${common}${own}}\n`)
    }
  return {
    event: write('info'),
    debug: write('debug'),
    warn: write('warn'),
    error: write('error'),
    with: fields => face(threshold, output, common + members(fields), flush),
    flush,
  }
}
