/**
 * The one listener, and the only file that knows Fastify: routes, bodies, sockets. Whatever arrives (broken HTTP, a
 * slow or huge request, a path that does not exist), the answer is JSON in the one shape of an error, with a request
 * id; no socket is left hanging, no stack trace leaves. Per request it adds no hook, no timer and no async context.
 */
import { type FastifyReply, type FastifyRequest, fastify } from 'fastify'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import type { Db } from '#db'
import { ApiError, type Clock, encodeId, type Foreground, newId, NOBODY, sleep } from '#kernel'
import { counter, type Log, METRICS_CONTENT_TYPE, metricsText } from '#metrics'
import { createVault } from '#secrets'
import { createAuthenticator } from './auth.ts'
import { type Incoming, type Outgoing, requestHeaders, runEndpoint, type RunnerOptions } from './endpoint.ts'
import { asApiError, errorText } from './errors.ts'
import {
  ANSWER_DEADLINE_MS,
  BODY_BYTES_MOST,
  CONNECTIONS_CHECK_INTERVAL_MS,
  HEADER_BYTES_MOST,
  HEADERS_TIMEOUT_MS,
  IDLE_SOCKET_TIMEOUT_MS,
  KEEP_ALIVE_TIMEOUT_MS,
  PATH_PARAMETER_LENGTH_MOST,
  REQUEST_TIMEOUT_MS,
  REQUESTS_MOST,
  UPLOAD_ANSWER_DEADLINE_MS,
} from './limits.ts'
import {
  answerOnSocket,
  brokenHttp,
  callerAddress,
  flawOf,
  isAnswered,
  saysOtherCharset,
  transportError,
} from './transport.ts'
import { type PreparedEndpoint, prepare } from './prepared.ts'
import type { RequestLog } from './request-log/write.ts'
import type { Endpoint } from './types.ts'
import { createUploads, type UploadLimits } from './uploads.ts'
import { type Version, versionTable } from './versions.ts'

export interface PageContent {
  readonly content_type: string
  readonly body: string | Buffer
}

/** Something served beside the API: the OpenAPI document, the reference. Open to everybody. */
export interface Page {
  /** `/docs`, or `/docs/*` for everything below it. */
  readonly path: string
  /** `rest` is what stands in place of `*`. Undefined: there is no such page. */
  render(rest: string): PageContent | undefined | Promise<PageContent | undefined>
}

export interface ServerOptions {
  readonly endpoints: readonly Endpoint[]
  /** Sees all accounts. */
  readonly db: Db
  readonly clock: Clock
  readonly log: Log
  /** The installation's secret. */
  readonly secret: string
  /** For /readyz: migrated, database reachable. Draining is known here. */
  readonly isReady?: () => Promise<boolean>
  readonly pages?: readonly Page[]
  /** Where requests are kept; nowhere, when left out. Closing the server leaves it open. */
  readonly request_log?: RequestLog
  /** Proxies of ours in front, each of which has added an address to X-Forwarded-For. */
  readonly proxies?: number
  /** Told while somebody waits for a write, so that others give way. */
  readonly foreground?: Foreground
  readonly versions?: readonly Version[]
  /** Parses every answer with its own schema: for tests. */
  readonly check_answers?: boolean
  /** For tests of the deadlines; the numbers and their reasons are in limits.ts. */
  readonly timeouts?: {
    readonly headers_ms?: number
    readonly request_ms?: number
    readonly answer_ms?: number
  }
  /** Where files are received; the system's own place when left out. */
  readonly upload_directory?: string
  /** For tests of the limits; the numbers and their reasons are in limits.ts. */
  readonly uploads?: UploadLimits
}

export interface InjectedRequest {
  method: string
  url: string
  headers?: Record<string, string>
  /** An object is sent as JSON, bytes as they are. */
  body?: object | string | Buffer
}

export interface InjectedResponse {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  body: string
  json<T = unknown>(): T
}

export interface Server {
  /** Port 0 picks a free one; answers the one it got. */
  listen(at: { port: number; host?: string }): Promise<{ port: number }>
  /** A request without a socket: for tests and for the process's own calls. */
  inject(request: InjectedRequest): Promise<InjectedResponse>
  /**
   * Drains: refuses new connections, closes idle ones, finishes what runs, and after `drain_ms` cuts what is left (the
   * completer finishes its keys).
   */
  close(drain_ms: number): Promise<void>
}

const refusals = counter({
  name: 'bursar_http_refusals_total',
  help: 'Requests refused before any endpoint saw them: no HTTP, no route, too large, too slow',
  labels: ['status'],
})

/** How late an overdue request may be noticed. */
const OVERDUE_CHECK_MS = 1_000
const DRAIN_POLL_MS = 10

/** A body of 503 for who must come back; the reason is ours. */
const unavailable = () => new ApiError('service_unavailable', { headers: { 'Retry-After': '1' } })

/** Makes a server that does not listen yet. */
export function createServer(options: ServerOptions): Server {
  const { clock, log, request_log, timeouts } = options
  const versions = versionTable(options.versions)
  const authenticator = createAuthenticator(options.db)
  const runner: RunnerOptions = {
    db: options.db,
    clock,
    log,
    secret: options.secret,
    foreground: options.foreground ?? NOBODY,
    vault: createVault(options.secret, 'stored answers'),
    check_answers: options.check_answers ?? false,
    versions,
    authenticator,
  }
  const routes = options.endpoints.map(prepare)
  const patterns = routes.map(({ path, method }) => ({
    method,
    pattern: new RegExp(`^${path.replace(/:[^/]+/g, '[^/]+')}$`),
  }))
  const answer_deadline_ms = timeouts?.answer_ms ?? ANSWER_DEADLINE_MS
  // In the order of arrival; files apart, because they may take longer.
  const running = new Map<ServerResponse, number>()
  const uploads = createUploads(options.upload_directory ?? tmpdir(), options.uploads)
  let is_draining = false

  const app = fastify({
    bodyLimit: BODY_BYTES_MOST,
    requestTimeout: timeouts?.request_ms ?? REQUEST_TIMEOUT_MS,
    connectionTimeout: IDLE_SOCKET_TIMEOUT_MS,
    keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
    // What arrives on kept connections while draining is answered; Fastify's own 503 has another shape.
    return503OnClosing: false,
    http: {
      maxHeaderSize: HEADER_BYTES_MOST,
      headersTimeout: timeouts?.headers_ms ?? HEADERS_TIMEOUT_MS,
      connectionsCheckingInterval: CONNECTIONS_CHECK_INTERVAL_MS,
      // Node's own refusal has no body; flawOf's has.
      requireHostHeader: false,
    },
    clientErrorHandler(error, socket) {
      // A file has a deadline of its own.
      if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && uploads.isReceiving(socket)) return
      const outgoing = failure(brokenHttp(error.code))
      if (error.code === 'ECONNRESET') socket.destroy()
      else if (answerOnSocket(socket, outgoing)) noteRefusal(outgoing, { reason: error.code })
    },
    frameworkErrors: (error, request, reply) => refuse(request.raw, reply, transportError(error)),
    routerOptions: {
      maxParamLength: PATH_PARAMETER_LENGTH_MOST,
      // Queries have rules of their own (query.ts) and are parsed by who needs them.
      querystringParser: () => ({}),
    },
  })
  // The body stays bytes until the caller is known: nobody without a key makes us parse a megabyte of JSON.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (!saysOtherCharset(request.headers['content-type'] ?? '')) return done(null, body)
    done(new ApiError('unsupported_media_type', { message: 'Send the body as application/json in UTF-8.' }))
  })
  app.setErrorHandler((error, request, reply) => refuse(request.raw, reply, transportError(error)))
  app.setNotFoundHandler((request, reply) => refuse(request.raw, reply, notFound(request.raw)))
  app.server.on('connect', (_request, socket) => answerOnSocket(socket, failure(brokenHttp('CONNECT'))))
  app.server.on('checkExpectation', (_request: IncomingMessage, response: ServerResponse) =>
    send(response, failure(brokenHttp('EXPECT'))),
  )

  const add = (to: typeof app, route: PreparedEndpoint) =>
    to.route({
      method: route.method,
      url: route.path,
      handler: (request, reply) => serve(route, request, reply),
    })
  const taking = (takes: Endpoint['takes']) => routes.filter(({ definition }) => definition.takes === takes)
  for (const route of taking(undefined)) add(app, route)
  // What is signed may be of any type, and is read by who checks the signature.
  app.register((inner, _options, done) => {
    inner.removeAllContentTypeParsers()
    inner.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, parsed) => parsed(null, body))
    for (const route of taking('bytes')) add(inner as unknown as typeof app, route)
    done()
  })
  // A file is not read before it is known who sends it.
  app.register((inner, _options, done) => {
    inner.removeAllContentTypeParsers()
    inner.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null))
    for (const route of taking('file')) add(inner as unknown as typeof app, route)
    done()
  })
  route('/healthz', async () => json({ status: 'ok' }))
  route(
    '/readyz',
    async () => {
      const is_ready = !is_draining && (await options.isReady?.()) !== false
      return is_ready ? json({ status: 'ready' }) : undefined
    },
    unavailable,
  )
  route('/metrics', async () => ({ content_type: METRICS_CONTENT_TYPE, body: await metricsText() }))
  for (const page of options.pages ?? []) route(page.path, rest => page.render(rest))

  function serve(endpoint: PreparedEndpoint, request: FastifyRequest, reply: FastifyReply): void {
    const { raw } = request
    if (isAnswered(raw.socket)) {
      reply.hijack()
      raw.socket.destroy()
      return
    }
    const url = raw.url ?? '/'
    if (running.size >= REQUESTS_MOST) return refuse(raw, reply, unavailable())
    const takes_file = endpoint.definition.takes === 'file'
    const flaw = flawOf(raw, takes_file)
    if (flaw) return refuse(raw, reply, flaw)
    reply.hijack()
    const response = reply.raw
    const under_way = takes_file ? uploads.running : running
    under_way.set(response, performance.now())
    const query_at = url.indexOf('?')
    const incoming: Incoming = {
      path: query_at < 0 ? url : url.slice(0, query_at),
      query: query_at < 0 ? '' : url.slice(query_at + 1),
      path_params: request.params as Record<string, unknown>,
      headers: raw.headers,
      body: request.body as Buffer | undefined,
      ...(takes_file && { receive: account_id => uploads.receive(raw, response, account_id) }),
      ip: request_log && callerAddress(raw, options.proxies ?? 0),
    }
    runEndpoint(runner, endpoint, incoming)
      .catch((error: unknown) => {
        log.error('request.crashed', { route: endpoint.definition.route, error })
        return failure(asApiError(error))
      })
      .then(outgoing => {
        under_way.delete(response)
        send(response, outgoing)
        if (takes_file) uploads.finish(raw)
        if (outgoing.logged) request_log?.note(outgoing.logged)
      }, crash)
  }

  /** Writing an answer fails only when Node itself does; the process is then beyond what this file can promise. */
  function crash(error: unknown): void {
    log.error('response.crashed', { error })
  }

  /** A page beside the API; what it does not have is a 404 unless `absent` says otherwise. */
  function route(path: string, render: Page['render'], absent = () => new ApiError('route_not_found')): void {
    app.get(path, (request, reply) => {
      reply.hijack()
      const rest = (request.params as { '*'?: string })['*'] ?? ''
      Promise.resolve(rest)
        .then(render)
        .then(page => (page ? served(page) : failure(absent())))
        .catch((error: unknown) => {
          log.error('page.crashed', { path, error })
          return failure(asApiError(error))
        })
        .then(outgoing => send(reply.raw, outgoing), crash)
    })
  }

  function notFound(raw: IncomingMessage): ApiError {
    const [path = '/'] = (raw.url ?? '/').split('?', 1)
    const flaw = flawOf(raw)
    if (flaw) return flaw
    const allowed = patterns.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method)
    return allowed.length === 0
      ? new ApiError('route_not_found')
      : new ApiError('method_not_allowed', { headers: { Allow: allowed.join(', ') } })
  }

  /** The answer to what has reached no endpoint, with a request id of its own. */
  function failure(error: ApiError): Outgoing {
    const request_id = newId(clock.now())
    const headers = requestHeaders(encodeId('req_', request_id), versions.newest)
    for (const [name, value] of Object.entries(error.headers)) headers.push(name, value)
    return { status: error.status, body: errorText(error, request_id), headers }
  }

  function served(page: PageContent): Outgoing & PageContent {
    const request_id = encodeId('req_', newId(clock.now()))
    return { status: 200, headers: requestHeaders(request_id, versions.newest), ...page }
  }

  function refuse(raw: IncomingMessage, reply: FastifyReply, error: ApiError): void {
    reply.hijack()
    const outgoing = failure(error)
    send(reply.raw, outgoing)
    if (error.status < 500) noteRefusal(outgoing, { method: raw.method, code: error.code })
    else log.error('request.crashed', { request_id: outgoing.headers[1], error: error.cause ?? error })
  }

  function noteRefusal({ status, headers }: Outgoing, fields: Record<string, unknown>): void {
    refusals.inc({ status })
    log.event('request.refused', { request_id: headers[1], status, ...fields })
  }

  function send(response: ServerResponse, { status, body, headers, content_type }: Outgoing): void {
    // The deadline may have answered already, or the client has gone.
    if (response.headersSent || response.destroyed) return
    headers.push(
      'Content-Type',
      content_type ?? 'application/json; charset=utf-8',
      'Content-Length',
      String(Buffer.byteLength(body)),
      'Cache-Control',
      'no-store',
    )
    if (is_draining) headers.push('Connection', 'close')
    response.writeHead(status, headers)
    response.end(body)
  }

  function answerOverdue(requests: ReadonlyMap<ServerResponse, number>, after_ms: number): void {
    const now_ms = performance.now()
    for (const [response, since_ms] of requests) {
      // Behind the first that has time left, all have.
      if (now_ms - since_ms < after_ms) break
      if (response.headersSent) continue
      const outgoing = failure(unavailable())
      send(response, outgoing)
      log.error('request.overdue', { request_id: outgoing.headers[1], after_ms })
    }
  }

  const overdue = setInterval(
    () => {
      answerOverdue(running, answer_deadline_ms)
      answerOverdue(uploads.running, UPLOAD_ANSWER_DEADLINE_MS)
    },
    Math.min(OVERDUE_CHECK_MS, answer_deadline_ms),
  )
  overdue.unref()

  return {
    async listen({ port, host }) {
      await app.listen({ port, host: host ?? '127.0.0.1' })
      return { port: (app.server.address() as AddressInfo).port }
    },
    async inject({ method, url, headers, body }) {
      const is_json = typeof body === 'object' && !Buffer.isBuffer(body)
      const response = await app.inject({
        method: method as 'POST',
        url,
        headers: { ...(is_json && { 'content-type': 'application/json' }), ...headers },
        ...(body !== undefined && { payload: is_json ? JSON.stringify(body) : body }),
      })
      return {
        status: response.statusCode,
        headers: response.headers,
        body: response.body,
        json: <T>() => JSON.parse(response.body) as T,
      }
    },
    async close(drain_ms) {
      is_draining = true
      const until_ms = performance.now() + drain_ms
      const cut = setTimeout(() => app.server.closeAllConnections(), drain_ms)
      await app.close()
      clearTimeout(cut)
      // A client that left early leaves its request running; the database must outlive it.
      while (running.size + uploads.running.size > 0 && performance.now() < until_ms)
        await sleep(DRAIN_POLL_MS)
      clearInterval(overdue)
      authenticator.close()
    },
  }
}

const json = (value: object): PageContent => ({
  content_type: 'application/json; charset=utf-8',
  body: JSON.stringify(value),
})
