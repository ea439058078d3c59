/**
 * Webhook endpoints that are as bad as the ones out there, on raw sockets: each function starts one at loopback, which
 * misbehaves in exactly one way and remembers what it was sent. None lets go by itself unless its name says so, so
 * whatever ends a call against it is the caller's own doing.
 */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import * as tls from 'node:tls'
import { gzipSync } from 'node:zlib'

export interface Received {
  method: string
  path: string
  /** Names in lower case. */
  headers: Record<string, string>
  body: string
  /** Which connection it came over, from 1. */
  connection: number
  /** Among the requests of its connection, from 1. */
  turn: number
}

export interface Endpoint {
  url: string
  port: number
  /** Requests that arrived whole, in order. */
  readonly seen: Received[]
  /** Connections accepted so far. */
  readonly connections: number
  /** Connections that are open now. */
  readonly open: number
  close(): Promise<void>
}

export interface EndpointOptions {
  /** Speaks TLS with this; the URL is https then. */
  tls?: tls.TlsOptions
  /** Where to listen. */
  address?: string
  /** The host of the URL, when another than the address: `localhost`, or a name that a test's name server knows. */
  host?: string
  port?: number
}

/** What is done with a request that arrived whole. */
type Behaviour = (socket: Socket, request: Received) => void

/** Listens, and misbehaves as told; `onConnection` answers false to leave the socket unread. */
export async function endpoint(
  behave: Behaviour,
  options: EndpointOptions = {},
  onConnection: (socket: Socket) => boolean = () => true,
): Promise<Endpoint> {
  const sockets = new Set<Socket>()
  const seen: Received[] = []
  let connections = 0
  const accept = (socket: Socket) => {
    connections += 1
    const connection = connections
    sockets.add(socket)
    // A kept connection has a listener for each of its requests.
    socket.setMaxListeners(0)
    socket.on('close', () => sockets.delete(socket))
    // The other side goes away in the middle of things here all the time.
    socket.on('error', () => socket.destroy())
    if (!onConnection(socket)) return
    let turn = 0
    readRequests(socket, request => {
      turn += 1
      const received = { ...request, connection, turn }
      seen.push(received)
      behave(socket, received)
    })
  }
  const server: Server =
    options.tls === undefined ? createServer(accept) : tls.createServer(options.tls, accept)
  server.on('tlsClientError', (_error, socket) => socket.destroy())
  const address = options.address ?? '127.0.0.1'
  server.listen(options.port ?? 0, address)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const host = options.host ?? (address.includes(':') ? `[${address}]` : address)
  return {
    url: `${options.tls === undefined ? 'http' : 'https'}://${host}:${port}/`,
    port,
    seen,
    get connections() {
      return connections
    },
    get open() {
      return sockets.size
    },
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

/** Requests with a content-length, one after the other, as this house sends them. */
function readRequests(socket: Socket, take: (request: Omit<Received, 'connection' | 'turn'>) => void): void {
  let pending = Buffer.alloc(0)
  socket.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk])
    for (;;) {
      const end = pending.indexOf('\r\n\r\n')
      if (end === -1) return
      const [first = '', ...lines] = pending.subarray(0, end).toString('latin1').split('\r\n')
      const headers = Object.fromEntries(
        lines.map(line => [
          line.slice(0, line.indexOf(':')).toLowerCase(),
          line.slice(line.indexOf(':') + 1).trim(),
        ]),
      )
      const length = Number(headers['content-length'] ?? 0)
      if (pending.length < end + 4 + length) return
      const body = pending.subarray(end + 4, end + 4 + length).toString()
      pending = pending.subarray(end + 4 + length)
      const [method = '', path = ''] = first.split(' ')
      take({ method, path, headers, body })
    }
  })
}

/** A whole response with its length, as bytes. */
export function response(
  status: number,
  headers: Record<string, string> = {},
  body: string | Buffer = '',
): Buffer {
  const lines = Object.entries({ 'content-length': String(Buffer.byteLength(body)), ...headers })
  const head = [`HTTP/1.1 ${status} Said`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join(
    '\r\n',
  )
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.from(body)])
}

/** Well-behaved: this answer to every request. */
export const answer = (
  status: number,
  headers: Record<string, string> = {},
  body: string | Buffer = '',
  options: EndpointOptions = {},
) => endpoint(socket => socket.write(response(status, headers, body)), options)

/** The n-th request gets the n-th status, and each one after the last gets the first again: 500, 200, 500, … */
export function flapping(statuses: readonly number[], options: EndpointOptions = {}): Promise<Endpoint> {
  let next = 0
  return endpoint(socket => {
    socket.write(response(statuses[next % statuses.length] ?? 200))
    next += 1
  }, options)
}

/** Answers so much later: longer than the caller's deadline, and the work is done all the same. */
export const answerLate = (after_ms: number, options: EndpointOptions = {}) =>
  endpoint(socket => later(socket, after_ms, () => socket.write(response(200))), options)

/** Takes the request and says nothing. */
export const hangBeforeHeaders = (options: EndpointOptions = {}) => endpoint(() => undefined, options)

/** Takes the connection and reads nothing from it. */
export const acceptWithoutReading = (options: EndpointOptions = {}) =>
  endpoint(
    () => undefined,
    options,
    socket => {
      socket.pause()
      return false
    },
  )

/** A status, and then a body of which a byte comes now and then, for ever. */
export const slowBody = (status = 200, options: EndpointOptions = {}) =>
  endpoint(socket => {
    socket.write(`HTTP/1.1 ${status} Said\r\ncontent-length: 1000000\r\n\r\n`)
    const drip = setInterval(() => socket.write('.'), 20)
    socket.on('close', () => clearInterval(drip))
  }, options)

/** A status, and then a body without end, as fast as it is taken. */
export const endlessBody = (status = 200, options: EndpointOptions = {}) =>
  endpoint(socket => {
    const chunk = Buffer.alloc(64 * 1024, 'x')
    socket.write(`HTTP/1.1 ${status} Said\r\ncontent-length: 1000000000000\r\n\r\n`)
    const pour = () => {
      while (!socket.destroyed && socket.write(chunk));
    }
    socket.on('drain', pour)
    pour()
  }, options)

/** A few kilobytes that say they are gzip and would become 16 MB. */
export const gzipBomb = (status = 200, options: EndpointOptions = {}) =>
  answer(status, { 'content-encoding': 'gzip' }, gzipSync(Buffer.alloc(16 * 1024 * 1024)), options)

/** RST instead of an answer, for the first so many requests; then 200. */
export function resetBeforeResponse(
  times = Number.POSITIVE_INFINITY,
  options: EndpointOptions = {},
): Promise<Endpoint> {
  let left = times
  return endpoint(socket => {
    left -= 1
    if (left >= 0) reset(socket)
    else socket.write(response(200))
  }, options)
}

/** Keeps a connection, and resets it when a second request comes over it. */
export const staleKeepAlive = (options: EndpointOptions = {}) =>
  endpoint((socket, { turn }) => {
    if (turn === 1) socket.write(response(200))
    else reset(socket)
  }, options)

/** A status and the beginning of a body; then RST. */
export const resetMidBody = (status = 200, options: EndpointOptions = {}) =>
  endpoint(socket => {
    socket.write(`HTTP/1.1 ${status} Said\r\ncontent-length: 1000\r\n\r\nhalf`)
    later(socket, 100, () => reset(socket))
  }, options)

/** These bytes in answer to every request, whatever they are. */
export const bytes = (text: string, options: EndpointOptions = {}) =>
  endpoint(socket => socket.write(Buffer.from(text, 'latin1')), options)

export const invalidHeaders = (options: EndpointOptions = {}) =>
  bytes('HTTP/1.1 200 OK\r\nno colon in this line\r\n\r\n', options)

/** 1 MB of headers. */
export const oversizedHeaders = (options: EndpointOptions = {}) =>
  bytes(`HTTP/1.1 200 OK\r\n${`x-filler: ${'y'.repeat(1_000)}\r\n`.repeat(1_000)}\r\n`, options)

/** An answer of the protocol before there were headers. */
export const http09 = (options: EndpointOptions = {}) => bytes('<html>thank you</html>\n', options)

/** 200, and a chunked body whose length is no number. */
export const badChunking = (status = 200, options: EndpointOptions = {}) =>
  bytes(`HTTP/1.1 ${status} Said\r\ntransfer-encoding: chunked\r\n\r\nnonsense\r\n`, options)

/** Interim answers without end, and never the real one. */
export const interimFlood = (options: EndpointOptions = {}) =>
  endpoint(socket => {
    const chunk = 'HTTP/1.1 102 Processing\r\n\r\n'
    const flood = setInterval(() => socket.write(chunk.repeat(10)), 5)
    socket.on('close', () => clearInterval(flood))
  }, options)

/** Does something to a socket later, unless it is closed by then. */
function later(socket: Socket, after_ms: number, act: () => void): void {
  const timer = setTimeout(act, after_ms)
  socket.on('close', () => clearTimeout(timer))
}

/** RST; over TLS the connection is only cut. */
function reset(socket: Socket): void {
  if (socket instanceof tls.TLSSocket) socket.destroy()
  else socket.resetAndDestroy()
}
