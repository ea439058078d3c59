/**
 * Runs an endpoint for one request: authenticate, parse, meet the idempotency key, run, answer, one wide log line.
 * Knows nothing of sockets: the server hands over a request as data and writes the answer it gets.
 */
import { CommitUnknownError } from '#db'
import { ApiError, assert, encodeId, failpoint, type Foreground, newId } from '#kernel'
import { counter, histogram, type Log, type Span, span } from '#metrics'
import { type Authenticator, authorize } from './auth.ts'
import { readJsonObject } from './body.ts'
import { type Ground, RequestContext } from './context.ts'
import { asApiError, errorText } from './errors.ts'
import { canonicalParams, fingerprintOf } from './fingerprint.ts'
import { countIdempotent } from './idempotency-signals.ts'
import { findKey, joinFirstUse, readIdempotencyKey, releaseLease } from './idempotency.ts'
import { OWNERSHIP_TRIES_MOST } from './limits.ts'
import { assertMatches } from './matches.ts'
import type { PreparedEndpoint } from './prepared.ts'
import type { IdempotencyOutcome, LoggedRequest } from './request-log/entry.ts'
import { maskedPath } from './request-log/mask.ts'
import {
  type Answer,
  type Caller,
  type Endpoint,
  FencedError,
  KeyTakenError,
  type RawRequest,
} from './types.ts'
import type { HeldUpload } from './upload.ts'
import { parseParams, parseQuery } from './validate.ts'
import { type PinnedVersion, upgradeParams, type VersionTable } from './versions.ts'

/** A request as the server received it. Header names in lower case. */
export interface Incoming {
  /** Path without the query, as it was sent. */
  readonly path: string
  readonly query: string
  readonly path_params: Record<string, unknown>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: Buffer | undefined
  /** Of an endpoint that takes a file: receives it, for this account. */
  readonly receive?: (account_id: string) => Promise<HeldUpload>
  /** The caller's address. */
  readonly ip: string | undefined
}

export interface Outgoing {
  status: number
  body: string | Buffer
  /** JSON unless it says otherwise. */
  content_type?: string
  /** Name, value, name, value, …: `Request-Id`, `Bursar-Version` and what this answer adds. */
  headers: string[]
  /** For the request log, once the answer has left; undefined when nobody knows whose request it was. */
  logged?: LoggedRequest | undefined
}

export interface RunnerOptions extends Ground {
  readonly log: Log
  readonly authenticator: Authenticator
  readonly versions: VersionTable
  /** Told while somebody waits for a write. */
  readonly foreground: Foreground
  /** The installation's secret: keys the digests of secret parameters. */
  readonly secret: string
  /** Parses every answer with its own schema and fails loudly when it does not fit: for tests. */
  readonly check_answers: boolean
}

const requests = counter({
  name: 'bursar_http_requests_total',
  help: 'Requests answered',
  labels: ['route', 'status'],
})
const durations = histogram({
  name: 'bursar_http_request_duration_seconds',
  help: 'From the parsed request to its answer',
  labels: ['route', 'status'],
})

/** The headers of every answer; the request id as the outside knows it. */
export const requestHeaders = (request_id: string, version: PinnedVersion): string[] => [
  'Request-Id',
  request_id,
  ...version.headers,
]

/** A caller's ids as log lines have them, made once for as long as its key stays in the cache. */
const callerFields = new WeakMap<Caller, { account_id: string; livemode: boolean; api_key_id: string }>()

function fieldsOf(caller: Caller) {
  let fields = callerFields.get(caller)
  if (!fields) {
    fields = {
      account_id: encodeId('acct_', caller.account_id),
      livemode: caller.livemode,
      api_key_id: encodeId('key_', caller.api_key_id),
    }
    callerFields.set(caller, fields)
  }
  return fields
}

const single = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header.join(', ') : header

/** The life of one request, from its bytes to its answer. */
class Run {
  readonly #options: RunnerOptions
  readonly #endpoint: PreparedEndpoint
  readonly #incoming: Incoming
  readonly #request_id: string
  /** As the outside knows it. */
  readonly #public_id: string
  #version: PinnedVersion
  #caller: Caller | undefined
  #context: RequestContext | undefined
  /** The parameters as they came; undefined until they could be read. */
  #raw: Record<string, unknown> | undefined
  /** uuid of the request whose answer it is: this one, or the first use of the key. */
  #original_id: string | undefined
  /** What the key made of the request; undefined while there is none. */
  #outcome: IdempotencyOutcome | undefined
  /** uuid of the first use that refuses this one. */
  #refused_by: string | undefined
  #differing_params: string[] | undefined
  #error: ApiError | undefined

  constructor(options: RunnerOptions, endpoint: PreparedEndpoint, incoming: Incoming) {
    this.#options = options
    this.#endpoint = endpoint
    this.#incoming = incoming
    this.#request_id = newId(options.clock.now())
    this.#public_id = encodeId('req_', this.#request_id)
    this.#version = options.versions.newest
  }

  async answer(): Promise<Outgoing> {
    const started_ms = performance.now()
    let answer: Answer
    try {
      answer = await this.#handle()
    } catch (error) {
      this.#error = asApiError(error)
      answer = { status: this.#error.status, body: errorText(this.#error, this.#request_id) }
    }
    const headers = requestHeaders(this.#public_id, this.#version)
    if (this.#original_id !== undefined) {
      headers.push('Original-Request', encodeId('req_', this.#original_id))
    }
    if (this.#outcome === 'replayed') headers.push('Idempotent-Replayed', 'true')
    if (this.#error)
      for (const name in this.#error.headers) headers.push(name, this.#error.headers[name] ?? '')
    return { ...answer, headers, logged: this.#observe(answer, performance.now() - started_ms) }
  }

  async #handle(): Promise<Answer> {
    const { versions, authenticator } = this.#options
    const { headers } = this.#incoming
    this.#version = versions.pinned(single(headers['bursar-version']))
    if (this.#endpoint.auth !== 'none') {
      // Awaited only when the key is not in the cache: a hot request takes no turn of the event loop here.
      const found = authenticator.authenticate(headers.authorization as string | undefined)
      this.#caller = found instanceof Promise ? await found : found
      authorize(this.#caller, this.#endpoint)
    }
    const { definition } = this.#endpoint
    const is_raw = definition.takes === 'bytes'
    const raw = is_raw ? {} : upgradeParams(this.#version, definition.route, this.#readParams())
    this.#raw = raw
    const path = this.#readPath()
    const is_file = definition.takes === 'file'
    const source = this.#endpoint.is_write && !is_file ? 'body' : 'query'
    const params = is_raw ? this.#rawRequest() : parseParams(definition.params, raw, source)
    const context = new RequestContext(
      this.#options,
      definition,
      this.#version,
      this.#caller,
      this.#request_id,
    )
    this.#context = context
    // Without an account there is no scope for a key: a processor's webhook brings its own way to be deduplicated.
    const answer =
      is_file && this.#caller
        ? await this.#filed(context, this.#caller, raw, params, path)
        : this.#endpoint.is_write && this.#caller
          ? await this.#options.foreground.during(this.#keyed(context, this.#caller, raw, params, path))
          : await definition.run(context, params as never, path as never)
    // An older version's answer has another shape than the endpoint declares.
    if (this.#options.check_answers && this.#version.changes.length === 0) {
      assertMatches(definition, answer)
    }
    return answer
  }

  #readParams(): Record<string, unknown> {
    if (!this.#endpoint.is_write || this.#endpoint.definition.takes === 'file') {
      return parseQuery(this.#incoming.query)
    }
    if (this.#incoming.query !== '') {
      // Its names are not repeated: what stands there may be a value that went astray.
      throw new ApiError('parameter_unknown', {
        message: `A ${this.#endpoint.method} takes no query. Send its parameters in the JSON body.`,
      })
    }
    return readJsonObject(this.#incoming.body)
  }

  #rawRequest(): RawRequest {
    const { headers, body } = this.#incoming
    const names = Object.keys(headers)
    return {
      body: body ?? Buffer.alloc(0),
      headers: Object.fromEntries(names.map(name => [name, single(headers[name])])),
      received_at: this.#options.clock.now(),
    }
  }

  /** A path that cannot name an object names none: 404 and not 400. */
  #readPath(): unknown {
    const schema = this.#endpoint.definition.path
    if (!schema) return {}
    try {
      return parseParams(schema, this.#incoming.path_params)
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      throw new ApiError('resource_missing', { param: error.param ?? 'id', cause: error })
    }
  }

  /** Receives the file before the key is met: its hash is part of what is asked. */
  async #filed(
    context: RequestContext,
    caller: Caller,
    raw: Record<string, unknown>,
    params: unknown,
    path: unknown,
  ): Promise<Answer> {
    // A request that is refused anyway need not send a gigabyte first.
    readIdempotencyKey(single(this.#incoming.headers['idempotency-key']))
    const { receive } = this.#incoming
    assert(receive, 'who takes a file can receive one')
    const file = await receive(caller.account_id)
    try {
      return await this.#keyed(context, caller, { ...raw, file: file.sha256 }, { params, file }, path)
    } finally {
      await file.release()
    }
  }

  /** Runs a write under its key, or joins the first use of the key, whatever happens between the two. */
  async #keyed(
    context: RequestContext,
    caller: Caller,
    raw: Record<string, unknown>,
    params: unknown,
    path: unknown,
  ): Promise<Answer> {
    const key = readIdempotencyKey(single(this.#incoming.headers['idempotency-key']))
    const canonical = canonicalParams(this.#endpoint.masked, raw, this.#options.secret, caller)
    const claim = {
      account_id: caller.account_id,
      livemode: caller.livemode,
      key,
      request_id: this.#request_id,
      route: this.#endpoint.definition.route,
      path: this.#incoming.path,
      fingerprint: fingerprintOf(caller.kind, this.#endpoint.method, this.#incoming.path, canonical),
      params: canonical,
    }
    context.keyed(claim)
    this.#original_id = this.#request_id
    this.#outcome = 'first'
    const { definition } = this.#endpoint
    await failpoint('request.begun', definition.route)
    // What a file asks is too much to be done first and thrown away when the key turns out to be taken.
    let step: 'run' | 'join' | { resume: string } = definition.takes === 'file' ? 'join' : 'run'
    let tried_ms = performance.now()
    let waiting_since_ms: number | undefined
    for (let attempt = 1; attempt <= OWNERSHIP_TRIES_MOST; attempt++) {
      try {
        if (step === 'join') {
          // After a lost commit the key may still be ours: under the fence, or as the claim would have made it.
          const own_epoch = context.fence?.epoch ?? 1
          const first = await joinFirstUse(context.db, claim, caller.kind, own_epoch, waiting_since_ms)
          if (first.kind === 'conflict' || first.kind === 'in_progress') {
            this.#outcome = first.kind
            this.#refused_by = first.request_id
            this.#differing_params = first.differing_params
            throw first.error
          }
          if (first.kind === 'finished') {
            this.#original_id = first.request_id
            if (first.request_id !== this.#request_id) this.#outcome = 'replayed'
            await failpoint('request.answered', definition.route)
            return context.given(first.answer)
          }
          step = 'run'
          tried_ms = performance.now()
          if (first.kind === 'owned') {
            context.own(first.fence, first.request_id)
            this.#original_id = first.request_id
            if (first.is_takeover) {
              this.#outcome = 'resumed'
              context.note({ took_over: true, epoch: first.fence.epoch })
              await failpoint('key.taken_over', definition.route)
            }
            if (definition.resume && first.subject_id !== null) step = { resume: first.subject_id }
          }
        }
        const answer: Answer =
          step === 'run'
            ? await definition.run(context, params as never, path as never)
            : await (definition.resume as NonNullable<Endpoint['resume']>)(context, step.resume)
        if (!context.fence) throw new Error(`${definition.route} answered without recording its key`)
        await failpoint('request.answered', definition.route)
        return answer
      } catch (error) {
        if (!(await this.#shouldJoin(context, error, step === 'join'))) throw error
        step = 'join'
        // The wait for a twin begins with the claim that met it, and all claims of a request share it.
        waiting_since_ms = error instanceof KeyTakenError ? (waiting_since_ms ?? tried_ms) : undefined
      }
    }
    throw new ApiError('service_unavailable', { headers: { 'Retry-After': '1' } })
  }

  /** Whether a failure means that the key's row has the answer, or the next step. Releases what we hold otherwise. */
  async #shouldJoin(context: RequestContext, error: unknown, was_joining: boolean): Promise<boolean> {
    if (was_joining && error instanceof ApiError) return false
    if (
      error instanceof KeyTakenError ||
      error instanceof FencedError ||
      error instanceof CommitUnknownError
    ) {
      return true
    }
    try {
      if (context.fence) {
        await releaseLease(context.db, context.fence)
        return false
      }
      // `run` may have stumbled over what the first use of this very key has done: its answer is this key's answer.
      return (
        !context.found_key_free &&
        context.claim !== null &&
        (await findKey(context.db, context.claim, context.claim.key)) !== undefined
      )
    } catch {
      // The database is out of reach: the first error is the one to tell, and the lease lapses by itself.
      return false
    }
  }

  /** Counts the request, writes its one line, and answers what the request log is told. */
  #observe(answer: Answer, duration_ms: number): LoggedRequest | undefined {
    const { definition, name } = this.#endpoint
    const labels = { route: definition.route, status: `${Math.floor(answer.status / 100)}xx` }
    requests.inc(labels)
    durations.observe(labels, duration_ms / 1000)
    const context = this.#context
    const error = this.#error
    const code = error?.code ?? storedCode(answer)
    const rounded_ms = Math.round(duration_ms * 100) / 100
    const of_caller = this.#caller && fieldsOf(this.#caller)
    const fields: Record<string, unknown> = {
      request_id: this.#public_id,
      ...of_caller,
      path: maskedPath(this.#incoming.path),
      status: answer.status,
      code,
      param: error?.param,
      duration_ms: rounded_ms,
      statements: context?.stats.statements,
      round_trips: context?.stats.round_trips,
    }
    if (this.#outcome === 'replayed') {
      fields.replayed = true
      fields.original_request = this.#original_id && encodeId('req_', this.#original_id)
    }
    if (context?.notes) Object.assign(fields, context.notes)
    const { log } = this.#options
    if (answer.status < 500) log.event(name, fields)
    else log.error(name, { ...fields, error: error?.cause ?? error })
    if (of_caller && this.#outcome) countIdempotent(of_caller.account_id, of_caller.api_key_id, this.#outcome)
    return this.#caller && this.#logged(this.#caller, answer, code, rounded_ms)
  }

  #logged(
    caller: Caller,
    answer: Answer,
    error_code: string | undefined,
    duration_ms: number,
  ): LoggedRequest {
    const { path, query, body, headers, ip } = this.#incoming
    const original = this.#refused_by ?? this.#original_id
    return {
      request_id: this.#request_id,
      caller,
      endpoint: this.#endpoint.definition,
      method: this.#endpoint.method,
      route: this.#endpoint.path,
      path,
      params: this.#raw,
      are_params_accepted: this.#context !== undefined,
      has_secret_params: this.#endpoint.masked !== null,
      params_length: body?.length ?? query.length,
      answer,
      error_code,
      // Only one that was accepted: what is too long or unprintable is named by the error.
      idempotency_key: this.#outcome && single(headers['idempotency-key']),
      outcome: this.#outcome,
      original_request_id: original === this.#request_id ? undefined : original,
      differing_params: this.#differing_params,
      version: this.#version.date,
      ip,
      duration_ms,
    }
  }
}

/** The error code of an answer that was stored, or made, as text. */
function storedCode({ status, body }: Answer): string | undefined {
  if (status < 400) return undefined
  return (JSON.parse(body) as { error?: { code?: string } }).error?.code
}

/** Answers one request. Never throws. */
export function runEndpoint(
  options: RunnerOptions,
  endpoint: PreparedEndpoint,
  incoming: Incoming,
): Promise<Outgoing> {
  return span(
    endpoint.definition.route,
    NO_ATTRIBUTES,
    async (at: Span) => {
      const outgoing = await new Run(options, endpoint, incoming).answer()
      at.set({ 'http.response.status_code': outgoing.status, 'bursar.request_id': outgoing.headers[1] })
      return outgoing
    },
    { kind: 'server', traceparent: single(incoming.headers.traceparent) },
  )
}

const NO_ATTRIBUTES = {}
