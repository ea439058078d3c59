/**
 * The simulator's HTTP: a route table over raw node:http. It shares its machine with the system it serves, so a
 * request must cost next to nothing: no framework, no copies, one JSON parse, one write.
 *
 * Every answer is JSON (but for the challenge page, the book and the statement), also the errors of the parser.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { Refused } from './refused.ts'
import type { Body } from './requests.ts'

export interface Call {
  response: ServerResponse
  request: IncomingMessage
  /** The values of the `:name` segments, in order. */
  path: string[]
  query: URLSearchParams
  /** Empty for GET and DELETE, and for a form without JSON. */
  body: Body
}

export interface Route {
  method: 'GET' | 'POST' | 'DELETE'
  path: string
  run(call: Call): void | Promise<void>
}

/** The same as Bursar's own limit; a real request is under 1 kB. */
const MAX_BODY_BYTES = 1024 * 1024
const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 15_000
/** Longer than any client keeps an idle connection, so the client is the one to close it and no request is lost to a race. */
const KEEP_ALIVE_TIMEOUT_MS = 120_000
/** A request takes milliseconds; only a reader that stopped reading a long book is cut off by this. */
const CLOSE_TIMEOUT_MS = 2_000
const NO_QUERY = new URLSearchParams()

export interface Listening {
  port: number
  /** The routes, given once the port is ours: opening the book waits for that. */
  serve(routes: readonly Route[]): void
  /** Takes no new connection, lets what runs finish, then resolves. */
  close(): Promise<void>
}

export function listen(options: { port: number; host: string }): Promise<Listening> {
  let table: (Route & { segments: string[] })[] = []
  const server = createServer(
    {
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      headersTimeout: HEADERS_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      noDelay: true,
    },
    handle,
  )
  server.on('clientError', answerBrokenRequest)

  function handle(request: IncomingMessage, response: ServerResponse) {
    const url = request.url ?? '/'
    const question = url.indexOf('?')
    const segments = (question < 0 ? url : url.slice(0, question)).split('/')
    let is_known_path = false
    for (const route of table) {
      if (!matches(route.segments, segments)) continue
      is_known_path = true
      if (route.method !== request.method) continue
      const path: string[] = []
      for (let i = 0; i < segments.length; i++) {
        if (route.segments[i]?.startsWith(':')) path.push(decode(segments[i] as string))
      }
      const query = question < 0 ? NO_QUERY : new URLSearchParams(url.slice(question + 1))
      if (request.method === 'GET') return run(route, { request, response, path, query, body: {} })
      readBody(request, response, body => run(route, { request, response, path, query, body }))
      return
    }
    const refusal = is_known_path
      ? new Refused(405, 'method_not_allowed', 'This path does not know that method.')
      : new Refused(404, 'not_found', 'No such path.')
    sendError(response, refusal)
  }

  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port, options.host, () => {
      server.removeListener('error', reject)
      resolve({
        port: (server.address() as AddressInfo).port,
        serve(routes) {
          table = routes.map(route => ({ ...route, segments: route.path.split('/') }))
        },
        close: () =>
          new Promise(done => {
            const timer = setTimeout(() => server.closeAllConnections(), CLOSE_TIMEOUT_MS)
            server.close(() => {
              clearTimeout(timer)
              done()
            })
            server.closeIdleConnections()
          }),
      })
    })
  })
}

function matches(pattern: readonly string[], segments: readonly string[]): boolean {
  if (pattern.length !== segments.length) return false
  for (let i = 0; i < pattern.length; i++) {
    const expected = pattern[i] as string
    if (expected.startsWith(':') ? segments[i] === '' : expected !== segments[i]) return false
  }
  return true
}

function decode(segment: string): string {
  if (!segment.includes('%')) return segment
  try {
    return decodeURIComponent(segment)
  } catch (error) {
    if (error instanceof URIError) return segment
    throw error
  }
}

function run(route: Route, call: Call) {
  try {
    const promise = route.run(call)
    promise?.catch(error => fail(call.response, error))
  } catch (error) {
    fail(call.response, error)
  }
}

function fail(response: ServerResponse, error: unknown) {
  if (error instanceof Refused) return sendError(response, error)
  // The message may hold a piece of the request, so only what and where are printed.
  const where = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 4).join('\n') : ''
  process.stderr.write(`simulator: unexpected ${error instanceof Error ? error.name : 'failure'}\n${where}\n`)
  sendError(
    response,
    new Refused(500, 'internal_error', 'The simulator failed. Ask by reference what happened.'),
  )
}

function readBody(request: IncomingMessage, response: ServerResponse, done: (body: Body) => void) {
  let chunks: Buffer[] = []
  let size = 0
  request.on('data', (chunk: Buffer) => {
    size += chunk.length
    if (size <= MAX_BODY_BYTES) {
      chunks.push(chunk)
      return
    }
    if (response.headersSent) return
    chunks = []
    response.setHeader('connection', 'close')
    sendError(response, new Refused(413, 'body_too_large', 'A body is at most 1 MiB.'))
  })
  request.on('end', () => {
    if (size > MAX_BODY_BYTES) return
    const text = chunks.length === 1 ? (chunks[0] as Buffer).toString() : Buffer.concat(chunks).toString()
    const is_form = request.headers['content-type']?.startsWith('application/x-www-form-urlencoded')
    const body = text === '' || is_form ? {} : parseObject(text)
    if (body === undefined) {
      return sendError(response, new Refused(400, 'invalid_json', 'The body must be a JSON object.'))
    }
    done(body)
  })
  // The caller went away before it had said everything: there is no one to answer.
  request.on('error', () => response.destroy())
}

/** The parser's own message quotes the text, which may hold a card number, so it is dropped. */
function parseObject(text: string): Body | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Body) : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

export function sendJson(response: ServerResponse, status: number, json: string) {
  if (response.headersSent || response.destroyed) return
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(json),
  })
  response.end(json)
}

export function sendError(response: ServerResponse, refused: Refused) {
  sendJson(response, refused.status, errorJson(refused))
}

export function errorJson(error: { code: string; message: string; param?: string | undefined }): string {
  const { code, message, param } = error
  return JSON.stringify({ error: { code, message, ...(param === undefined ? {} : { param }) } })
}

/** The parser refused the bytes, or they took too long: there is no response object, only the socket. */
function answerBrokenRequest(error: NodeJS.ErrnoException, socket: Socket) {
  if (!socket.writable || error.code === 'ECONNRESET') {
    socket.destroy()
    return
  }
  const [status, code, message] =
    error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      ? ['408 Request Timeout', 'request_timeout', 'The request took too long to arrive.']
      : error.code === 'HPE_HEADER_OVERFLOW'
        ? ['431 Request Header Fields Too Large', 'headers_too_large', 'The headers are too large.']
        : ['400 Bad Request', 'invalid_request', 'This is not HTTP.']
  const json = errorJson({ code, message })
  socket.end(
    `HTTP/1.1 ${status}\r\ncontent-type: application/json; charset=utf-8\r\n` +
      `content-length: ${Buffer.byteLength(json)}\r\nconnection: close\r\n\r\n${json}`,
  )
}
