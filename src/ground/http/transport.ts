/**
 * Failures that happen before a request reaches an endpoint, as the caller hears them. Some arrive from Fastify with a
 * code of its own; bytes that are no HTTP at all arrive from Node's parser with a bare socket to answer on.
 */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { ApiError } from '#kernel'
import type { Outgoing } from './endpoint.ts'

const malformedPath = (): ApiError =>
  new ApiError('malformed_request', {
    message: 'The path holds a NUL character or is not valid percent-encoded UTF-8.',
  })

/**
 * What is wrong with a request that is HTTP, before anybody looks at what it asks for. A file may come packed: then it is
 * a packed file, whoever says so.
 */
export function flawOf(request: IncomingMessage, takes_file = false): ApiError | undefined {
  // PostgreSQL's text cannot hold it, so no id and no filter has one.
  if (request.url?.includes('%00')) return malformedPath()
  const { host, 'content-encoding': encoding } = request.headers
  if (host === undefined && request.httpVersion === '1.1') {
    return new ApiError('malformed_request', { message: 'HTTP/1.1 wants a Host header (RFC 9112, 3.2).' })
  }
  if (encoding !== undefined && takes_file && encoding !== 'gzip') {
    return new ApiError('unsupported_media_type', { message: 'Send the file as it is, or packed with gzip.' })
  }
  if (encoding !== undefined && !takes_file) {
    return new ApiError('unsupported_media_type', {
      message: 'Send the body as plain application/json, without Content-Encoding.',
    })
  }
  return undefined
}

const CHARSET = /;\s*charset\s*=\s*"?([^;"]*)/gi

/**
 * Whether a Content-Type names another encoding than UTF-8, the only one JSON travels in (RFC 8259, 8.1): its bytes
 * may be valid UTF-8 and mean something else.
 */
export const saysOtherCharset = (content_type: string): boolean =>
  [...content_type.matchAll(CHARSET)].some(([, charset]) => !/^utf-?8$/i.test(charset?.trim() ?? ''))

/**
 * The caller's address: the connection's, or behind proxies of ours the one that the outermost of them was called from.
 * What stands further left in X-Forwarded-For is the caller's own word.
 */
export function callerAddress(request: IncomingMessage, proxies: number): string | undefined {
  const header = request.headers['x-forwarded-for']
  if (proxies === 0 || header === undefined) return request.socket.remoteAddress
  const addresses = String(header).split(',')
  return addresses[Math.max(0, addresses.length - proxies)]?.trim()
}

/** What Fastify refused, or we in its place. Anything unexpected is our own failure. */
export function transportError(error: unknown): ApiError {
  if (error instanceof ApiError) return error
  const { code, statusCode } = error as { code?: string; statusCode?: number }
  switch (code) {
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ApiError('unsupported_media_type')
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError('body_too_large')
    case 'FST_ERR_BAD_URL':
      return malformedPath()
    case 'FST_ERR_MAX_PARAM_LENGTH':
      return new ApiError('resource_missing')
    default:
      return statusCode !== undefined && statusCode < 500
        ? new ApiError('malformed_request', { cause: error })
        : new ApiError('internal_error', { cause: error })
  }
}

/** What Node's HTTP parser refused. */
export function brokenHttp(code: string | undefined): ApiError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new ApiError('headers_too_large')
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new ApiError('body_too_large')
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new ApiError('request_timeout')
    default:
      return new ApiError('malformed_request')
  }
}

/** Closing while bytes are unread resets the connection and may take the answer with it: linger this long. */
const LINGER_MS = 1_000

const answered = new WeakSet<Duplex>()

/**
 * Whether a connection was told its fate already. A request that arrives on it nevertheless (it crossed with our 408)
 * must not run: its sender has an answer that says it did not.
 */
export const isAnswered = (socket: Duplex): boolean => answered.has(socket)

/** Answers on a socket without a response object, and closes it. False when there is nobody to answer. */
export function answerOnSocket(socket: Duplex, { status, body, headers }: Outgoing): boolean {
  if (answered.has(socket)) return false
  answered.add(socket)
  // An answer that is half sent must not be mixed with another one.
  const busy = (socket as Duplex & { _httpMessage?: ServerResponse })._httpMessage
  if (!socket.writable || busy?.headersSent) {
    socket.destroy()
    return false
  }
  const lines = [`HTTP/1.1 ${status} ${STATUS_CODES[status]}`]
  for (let i = 0; i < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
  lines.push('Content-Type: application/json; charset=utf-8', `Content-Length: ${Buffer.byteLength(body)}`)
  socket.end(`${lines.join('\r\n')}\r\nConnection: close\r\n\r\n${body.toString()}`)
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
  return true
}
