/**
 * POST to a URL that a stranger chose. Whatever is there, the answer is a value, in time: one absolute deadline over
 * name, connection, TLS, headers and body; no redirect is followed; 16 kB are read; nothing but the public internet
 * and what the operator allows is dialled.
 */
import { counter, gauge, histogram } from '#metrics'
import { createGuard } from './addresses.ts'
import { parseTarget, type Target } from './check-url.ts'
import { type Connection, Connections, CONNECTIONS_MOST, CONNECTIONS_PER_ORIGIN } from './connections.ts'
import { Deadline } from './deadline.ts'
import { createDialler, type Phases } from './dial.ts'
import { type Answer, type Excerpt, exchange, type Request } from './exchange.ts'
import { type Failure, FetchError } from './failures.ts'
import { createNames } from './resolve.ts'

export interface FetcherOptions {
  /** CIDRs that may be dialled although they are not public, such as `127.0.0.0/8`. */
  allowed_networks: readonly string[]
  /** PEM certificates of authorities to trust beside the public ones. */
  ca?: readonly string[]
  /** `address:port` of name servers, in place of the system's. */
  dns_servers?: readonly string[]
  /** Sockets of this fetcher, and those of one host among them. */
  connections_most?: number
  connections_per_origin?: number
}

export interface PostRequest {
  url: string
  /** `accept-encoding`, `content-length`, `host` and `connection` are set here. */
  headers: Readonly<Record<string, string>>
  body: Uint8Array | string
  /** Over everything, from now to the last byte that is read. */
  deadline_ms: number
}

/** Milliseconds by phase; null: there was none (a kept connection, a literal address, http), or it did not end. */
export interface Trace {
  /** The one dialled, or the last one that was tried. */
  address: string | null
  /** The request went over a connection that had served another; null: it had none. */
  is_reused: boolean | null
  dns_ms: number | null
  connect_ms: number | null
  tls_ms: number | null
  /** From the request to the status. */
  wait_ms: number | null
  duration_ms: number
}

export type FetchResult =
  /** Whatever the status. Names of headers are in lower case. */
  | ({ kind: 'answered'; status: number; headers: Record<string, string>; response: Excerpt } & Trace)
  /** `message` is a sentence for the receiver's people; it holds nothing of the URL's query or of the request. */
  | ({ kind: 'failed'; failure: Failure; message: string } & Trace)

export interface Fetcher {
  /** Never throws. */
  post(request: PostRequest): Promise<FetchResult>
  /** Why this URL can never be called, as a sentence; null: nothing speaks against it before it is dialled. */
  checkUrl(url: string, options: { allow_http: boolean }): string | null
  /** Lets calls that are under way end (each has its deadline); nothing is called after. */
  close(): Promise<void>
}

const calls = counter({
  name: 'bursar_fetch_calls_total',
  help: 'Calls to URLs that strangers chose, by what came of them: answered, or the class of the failure',
  labels: ['outcome'],
})
const connectionsUsed = counter({
  name: 'bursar_fetch_connections_total',
  help: 'Connections that calls had: new, or reused; their ratio decides how many calls a process can make',
  labels: ['connection'],
})
const phaseSeconds = histogram({
  name: 'bursar_fetch_phase_seconds',
  help: 'Time of each phase of a call: dns, connect, tls, wait (from the request to the status)',
  labels: ['phase'],
})
/** URLs kept parsed, at 500 bytes or so: more than the endpoints that one process is busy with in a minute. */
const TARGETS_MOST = 5_000

const living = new Set<Connections>()
gauge({
  name: 'bursar_fetch_sockets',
  help: 'Sockets to receivers, busy or idle, and calls that wait for one',
  labels: ['state'],
  collect: set => {
    const counts = [...living].map(connections => connections.counts)
    for (const state of ['busy', 'idle', 'waiting'] as const) {
      set(
        { state },
        counts.reduce((sum, one) => sum + one[state], 0),
      )
    }
  },
})

/** Throws when a network or a certificate is none. */
export function createFetcher(options: FetcherOptions): Fetcher {
  const guard = createGuard(options.allowed_networks)
  const names = createNames(options.dns_servers)
  const dialler = createDialler(guard, names, options.ca ?? [])
  const connections = new Connections(
    options.connections_most ?? CONNECTIONS_MOST,
    options.connections_per_origin ?? CONNECTIONS_PER_ORIGIN,
  )
  living.add(connections)
  const underway = new Set<Promise<FetchResult>>()
  const targets = new Map<string, Target | string>()
  let is_closed = false

  /** Whether plain http is welcome was decided when the URL was stored. */
  function targetOf(url: string): Target | string {
    const known = targets.get(url)
    if (known !== undefined) return known
    const target = parseTarget(url, guard, true)
    if (targets.size >= TARGETS_MOST) targets.clear()
    targets.set(url, target)
    return target
  }

  async function call(request: PostRequest): Promise<FetchResult> {
    const began_ms = performance.now()
    const deadline = new Deadline(request.deadline_ms)
    const trace = newTrace()
    let outcome: FetchResult
    try {
      if (is_closed) throw new FetchError('connect', 'The server is being stopped.')
      const target = targetOf(request.url)
      if (typeof target === 'string') throw new FetchError('blocked', target)
      const answer = await ask(target, request, deadline, trace)
      outcome = { kind: 'answered', ...answer, ...trace, duration_ms: performance.now() - began_ms }
    } catch (error) {
      const { failure, message } = error instanceof FetchError ? error : unexpected(error)
      outcome = { kind: 'failed', failure, message, ...trace, duration_ms: performance.now() - began_ms }
    } finally {
      deadline.clear()
    }
    measure(outcome)
    return outcome
  }

  async function ask(
    target: Target,
    { headers, body }: PostRequest,
    deadline: Deadline,
    trace: Trace,
  ): Promise<Answer> {
    const request: Request = { path: target.path, headers: sendable(headers), body: bytesOf(body) }
    try {
      return await askOnce(target, request, deadline, trace, false)
    } catch (error) {
      // A kept connection may have been closed while it rested, and a server that restarts closes new ones, too.
      // The receiver may have worked on what it did not answer; it knows a repetition by the event's id.
      if (!(error instanceof FetchError && error.is_unanswered_close)) throw error
      Object.assign(trace, newTrace())
      return await askOnce(target, request, deadline, trace, true)
    }
  }

  async function askOnce(
    target: Target,
    request: Request,
    deadline: Deadline,
    trace: Trace,
    is_fresh: boolean,
  ): Promise<Answer> {
    const kept = await connections.acquire(target.origin, is_fresh, deadline)
    const connection = kept ?? (await connect(target, deadline, trace))
    trace.address = connection.address
    trace.is_reused = connection.is_reused
    connectionsUsed.inc({ connection: connection.is_reused ? 'reused' : 'new' })
    try {
      const { wait_ms, ...answer } = await exchange(connection, request, deadline)
      trace.wait_ms = wait_ms
      connections.release(connection)
      return { ...answer, wait_ms }
    } catch (error) {
      connection.destroy()
      throw error
    }
  }

  async function connect(target: Target, deadline: Deadline, phases: Phases): Promise<Connection> {
    try {
      const { socket, address } = await dialler.dial(target, deadline, phases)
      return connections.adopt(target.origin, socket, address)
    } catch (error) {
      connections.giveUp(target.origin)
      throw error
    }
  }

  return {
    post(request) {
      const outcome = call(request)
      underway.add(outcome)
      void outcome.then(() => underway.delete(outcome))
      return outcome
    },
    checkUrl(url, { allow_http }) {
      const target = parseTarget(url, guard, allow_http)
      return typeof target === 'string' ? target : null
    },
    async close() {
      is_closed = true
      await Promise.all(underway)
      connections.close()
      names.close()
      living.delete(connections)
    },
  }
}

const newTrace = (): Trace => ({
  address: null,
  is_reused: null,
  dns_ms: null,
  connect_ms: null,
  tls_ms: null,
  wait_ms: null,
  duration_ms: 0,
})

/** What frames the request is ours to say. */
const OURS = new Set([
  'accept-encoding',
  'connection',
  'content-length',
  'expect',
  'host',
  'transfer-encoding',
])

function sendable(headers: Readonly<Record<string, string>>): string[] {
  const pairs = ['accept-encoding', 'identity']
  for (const name in headers) {
    if (!OURS.has(name.toLowerCase())) pairs.push(name, headers[name] ?? '')
  }
  return pairs
}

/** The same memory: undici knows a Buffer. */
const bytesOf = (body: Uint8Array | string): Buffer | string =>
  typeof body === 'string' ? body : Buffer.from(body.buffer, body.byteOffset, body.byteLength)

/** Whoever calls counts on an answer. The error's own words may quote the request; its kind may be told. */
const unexpected = (error: unknown) =>
  new FetchError('protocol', `The request could not be made, by a fault of ours (${nameOf(error)}).`)
const nameOf = (error: unknown) => (error instanceof Error ? error.name : typeof error)

function measure(outcome: FetchResult): void {
  calls.inc({ outcome: outcome.kind === 'answered' ? 'answered' : outcome.failure })
  for (const phase of ['dns', 'connect', 'tls', 'wait'] as const) {
    const ms = outcome[`${phase}_ms`]
    if (ms !== null) phaseSeconds.observe({ phase }, ms / 1_000)
  }
}
