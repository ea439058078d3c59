/**
 * One request and its answer on a connection. A status is the answer: what comes after it is read as an excerpt for
 * people, and may drip, break off or never end without changing what the receiver said.
 */
import type { Dispatcher } from 'undici'
import type { Connection } from './connections.ts'
import type { Deadline } from './deadline.ts'
import { exchangeFailure, FetchError } from './failures.ts'

/** What is read of a body. Receivers' errors are a few lines of JSON or a page that says 502; nobody reads more. */
export const RESPONSE_MOST_BYTES = 16 * 1024
/** Interim answers (1xx) before the real one. Servers send one or two; more is a way to never answer. */
const INTERIM_MOST = 16

export interface Answer {
  status: number
  headers: Record<string, string>
  response: Excerpt
  wait_ms: number
}

export interface Excerpt {
  /** UTF-8; what is not is replaced, and so is NUL, which a text of PostgreSQL cannot hold. */
  text: string
  /** The body was longer, broke off, or is encoded and not shown. */
  is_cut: boolean
}

export interface Request {
  path: string
  /** Names and values by turns. */
  headers: string[]
  body: Buffer | string
}

/**
 * An answer leaves the connection as good as before, or destroyed. Rejects with a FetchError, and the connection is then
 * the caller's to destroy; one whose `is_unanswered_close` is set came without a byte of an answer.
 */
export function exchange(connection: Connection, request: Request, deadline: Deadline): Promise<Answer> {
  return deadline.step<Answer>('the request was sent, and no answer came', (resolve, reject) => {
    const call = new Call(connection, resolve, reject)
    connection.client.dispatch({ ...request, method: 'POST' }, call)
    return late => call.stop(late)
  })
}

class Call implements Dispatcher.DispatchHandler {
  private readonly connection: Connection
  private readonly resolve: (answer: Answer) => void
  private readonly reject: (error: Error) => void
  private readonly began_ms = performance.now()
  private readonly bytes_before: number
  private wait_ms = 0
  private interim = 0
  private status = 0
  private headers: Record<string, string> = {}
  private readonly chunks: Buffer[] = []
  private size = 0
  private is_settled = false

  constructor(connection: Connection, resolve: (answer: Answer) => void, reject: (error: Error) => void) {
    this.connection = connection
    this.resolve = resolve
    this.reject = reject
    this.bytes_before = connection.socket.bytesRead
  }

  // Undici tells the new shape of a handler from the old by it.
  onRequestStart() {}

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: Record<string, string | string[] | undefined>,
  ) {
    if (status < 200) {
      this.interim += 1
      if (this.interim > INTERIM_MOST) {
        this.fail(new FetchError('protocol', 'Interim answers (1xx) came without end.'))
      }
      return
    }
    this.wait_ms = performance.now() - this.began_ms
    this.status = status
    this.headers = flatten(headers)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer) {
    if (this.is_settled) return
    const rest = RESPONSE_MOST_BYTES - this.size
    // A copy: the parser uses its memory again.
    this.chunks.push(Buffer.from(chunk.subarray(0, rest)))
    this.size += Math.min(chunk.length, rest)
    if (chunk.length > rest) this.answer(true)
  }

  onResponseEnd() {
    this.answer(false)
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error) {
    this.fail(error)
  }

  /** The deadline: with a status in hand it only ends the reading. */
  stop(late: FetchError) {
    if (this.status === 0) this.fail(late)
    else this.answer(true)
  }

  fail(error: unknown) {
    if (this.status !== 0) return this.answer(true)
    if (this.is_settled) return
    this.is_settled = true
    const is_silent = this.connection.socket.bytesRead === this.bytes_before
    this.reject(error instanceof FetchError ? error : exchangeFailure(error, is_silent))
  }

  private answer(is_cut: boolean) {
    if (this.is_settled) return
    this.is_settled = true
    // What was not read to its end would be taken for the next answer.
    if (is_cut) this.connection.destroy()
    const { status, headers, wait_ms } = this
    this.resolve({ status, headers, response: excerpt(this.chunks, headers, is_cut), wait_ms })
  }
}

function flatten(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  // Without a prototype: a server names its headers as it likes.
  const flat: Record<string, string> = Object.create(null)
  for (const name in headers) {
    const value = headers[name]
    flat[name.toLowerCase()] = Array.isArray(value) ? value.join(', ') : (value ?? '')
  }
  return flat
}

/** Never inflated, whatever came although `identity` was asked for: a few bytes of gzip are gigabytes of text. */
function excerpt(chunks: readonly Buffer[], headers: Record<string, string>, is_cut: boolean): Excerpt {
  if ((headers['content-encoding'] ?? 'identity') !== 'identity') return { text: '', is_cut: true }
  if (chunks.length === 0) return { text: '', is_cut }
  // `stream`: a character of which the cut left a part is left out.
  const text = new TextDecoder().decode(Buffer.concat(chunks), { stream: is_cut })
  return { text: text.replaceAll('\0', '\uFFFD'), is_cut }
}
