/**
 * One JSON exchange with a processor under one absolute deadline, over a bounded set of kept connections.
 *
 * It speaks to undici's dispatcher directly: `request()` wants an AbortSignal for a deadline, and a signal with its
 * listeners, a readable stream and its promises cost more than the exchange itself. Here a call is one object and
 * one timer.
 */
import { Agent, type Dispatcher } from 'undici'

export type Answer =
  | { kind: 'answered'; status: number; body: Record<string, unknown> | undefined }
  /** No answer that can be read; `reason` is one word (see simulator.ts for the list). */
  | { kind: 'failed'; reason: string }

export interface Exchange {
  send(call: Sent, deadline_ms: number): Promise<Answer>
  post(path: string, body: string, deadline_ms: number): Promise<Answer>
  get(path: string, deadline_ms: number): Promise<Answer>
  close(): Promise<void>
}

export interface Sent {
  method: 'GET' | 'POST'
  path: string
  headers: Record<string, string>
  body: string | null
}

/**
 * A processor that answers in 10 ms serves 6,400 calls a second over 64 connections; when it hangs, 64 calls hang
 * and the rest fail at their own deadline without having been sent.
 */
const MAX_CONNECTIONS = 64
/** Below the 120 s after which the simulator closes an idle connection, so that we are the one to close it. */
const KEEP_ALIVE_MS = 60_000
const CONNECT_TIMEOUT_MS = 5_000
/** The simulator's answers are under 1 kB, a page of its 200 events under 400 kB; more than this is not an answer. */
const MAX_ANSWER_BYTES = 1024 * 1024

export function makeExchange(url: string, { max_answer_bytes = MAX_ANSWER_BYTES } = {}): Exchange {
  const { origin } = new URL(url)
  const agent = new Agent({
    connections: MAX_CONNECTIONS,
    // One call at a time on a connection: a slow one must not hold back another.
    pipelining: 1,
    keepAliveTimeout: KEEP_ALIVE_MS,
    keepAliveMaxTimeout: KEEP_ALIVE_MS,
    connect: { timeout: CONNECT_TIMEOUT_MS },
    // The call's own deadline rules, from the queue to the last byte; these two would only measure parts of it.
    headersTimeout: 0,
    bodyTimeout: 0,
  })

  const send = (sent: Sent, deadline_ms: number) =>
    new Promise<Answer>(resolve => {
      agent.dispatch({ origin, ...sent }, new Call(resolve, deadline_ms, max_answer_bytes))
    })

  return {
    send,
    post: (path, body, deadline_ms) =>
      send({ method: 'POST', path, body, headers: JSON_HEADERS }, deadline_ms),
    get: (path, deadline_ms) => send({ method: 'GET', path, body: null, headers: NO_HEADERS }, deadline_ms),
    close: () => agent.close(),
  }
}

const JSON_HEADERS = { 'content-type': 'application/json' }
const NO_HEADERS = {}

class Call implements Dispatcher.DispatchHandler {
  private readonly resolve: (answer: Answer) => void
  private readonly timer: NodeJS.Timeout
  private readonly max_bytes: number
  /** Set once the request has a connection and is being written: from then on it may have arrived. */
  private controller: Dispatcher.DispatchController | undefined
  private is_settled = false
  private status = 0
  private chunks: Buffer[] = []
  private size = 0

  constructor(resolve: (answer: Answer) => void, deadline_ms: number, max_bytes: number) {
    this.resolve = resolve
    this.max_bytes = max_bytes
    this.timer = setTimeout(() => this.giveUp(), deadline_ms)
  }

  onRequestStart(controller: Dispatcher.DispatchController) {
    // Its turn came after its deadline: nothing may be sent now.
    if (this.is_settled) return controller.abort(new Error('the deadline has passed'))
    this.controller = controller
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number) {
    this.status = status
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer) {
    this.size += chunk.length
    if (this.size <= this.max_bytes) {
      this.chunks.push(chunk)
      return
    }
    this.settle({ kind: 'failed', reason: 'unreadable_answer' })
    controller.abort(new Error('the answer is too large'))
  }

  onResponseEnd() {
    const body = parse(this.chunks)
    if (body === undefined && this.status === 200) {
      this.settle({ kind: 'failed', reason: 'unreadable_answer' })
    } else this.settle({ kind: 'answered', status: this.status, body })
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error) {
    this.settle({ kind: 'failed', reason: this.reasonOf(error) })
  }

  private giveUp() {
    const { controller } = this
    this.settle({ kind: 'failed', reason: controller === undefined ? 'timeout_before_sending' : 'timeout' })
    controller?.abort(new Error('the deadline has passed'))
  }

  private settle(answer: Answer) {
    if (this.is_settled) return
    this.is_settled = true
    clearTimeout(this.timer)
    this.resolve(answer)
  }

  /** The error itself is dropped: its message may quote what was sent. */
  private reasonOf(error: Error & { code?: string }): string {
    if (this.controller === undefined) return 'connection_refused'
    return error.code === 'ECONNRESET' || error.code === 'EPIPE' ? 'connection_reset' : 'connection_closed'
  }
}

function parse(chunks: Buffer[]): Record<string, unknown> | undefined {
  const text = chunks.length === 1 ? (chunks[0] as Buffer).toString() : Buffer.concat(chunks).toString()
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
