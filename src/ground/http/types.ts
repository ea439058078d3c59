/**
 * What an endpoint is, and what it is given. An endpoint is data with one function in it: `run` gathers, decides and
 * records in phases (each phase one commit), with any network call between two phases and never inside one. Its last
 * phase stores the answer together with the effect, so a retry with the same key gets the same bytes.
 */
import type { z } from 'zod'
import type { Db, QueryStats, TransactionOptions, Tx } from '#db'
import type { ApiError, Clock, Tenant } from '#kernel'
import type { Upload } from './upload.ts'

export type Method = 'GET' | 'POST' | 'DELETE'
export type Route = `${Method} /${string}`

/** Who calls: the key's facts, never the key. */
export interface Caller extends Tenant {
  readonly api_key_id: string
  readonly kind: 'secret' | 'restricted' | 'publishable'
  /** Of a restricted key: `payment_intents:write`, `customers:read`; write includes read. Empty for other kinds. */
  readonly scopes: readonly string[]
}

/** An answer as it is stored and sent: the same bytes on every replay. */
export interface Answer {
  readonly status: number
  readonly body: string
  /** Of a page; all else is JSON. */
  readonly content_type?: string
}

/** The key's row as the first phase inserts it; a recorder that groups requests puts it into its own statement. */
export interface Claim extends Tenant {
  readonly key: string
  readonly request_id: string
  readonly route: Route
  readonly path: string
  readonly fingerprint: string
  /** Canonical parameters, secret values replaced by keyed digests. */
  readonly params: string
}

/** Names the runner that may still write for a key: a commit that carries an old epoch changes nothing. */
export interface Fence extends Tenant {
  readonly key: string
  readonly epoch: number
}

export interface Context {
  readonly tenant: Tenant
  readonly caller: Caller
  readonly clock: Clock
  /** uuid of the request; `req_…` outside. */
  readonly request_id: string
  readonly idempotency_key: string | null
  /** Seen as the tenant (row-level security on); counts into the request's log line. */
  readonly db: Db
  /** What the request has cost the database so far: a recorder that groups requests adds its share. */
  readonly stats: QueryStats
  /** Sees all accounts: only for recorders that group requests of many accounts. */
  readonly system: Db

  /**
   * One commit of a keyed operation that has more to come. The first phase also claims the key; later ones check that
   * this runner still owns it. `subject_id` names what `resume` needs to go on after a crash (kept in the key's row).
   */
  readonly phase: <T>(name: string, subject_id: string, fn: (tx: Tx) => Promise<T>) => Promise<T>
  /**
   * The last commit: `fn` returns the object to answer with, or the ApiError that is this key's final answer
   * (a decline). What it throws rolls back and is not stored.
   */
  readonly finish: (
    name: string,
    fn: (tx: Tx) => Promise<object | ApiError>,
    options?: TransactionOptions,
  ) => Promise<Answer>

  /** Encodes a value as the endpoint's answer without storing it: for reads, and for recorders that store it. */
  readonly answer: (value: object | ApiError) => Answer
  /** For a recorder: the claim while the key is not ours yet, else null. After a commit with it call `claimed()`. */
  readonly claim: Claim | null
  /** For a recorder: what each later commit must check; null until claimed. */
  readonly fence: Fence | null
  readonly claimed: () => void
  /** Adds fields to the request's one log line. */
  readonly note: (fields: Record<string, unknown>) => void
}

/** What a caller must hold; `endpoint()`'s `auth` says which is which. */
export type EndpointAuth = 'secret' | 'publishable' | 'scoped' | 'none'

export interface EndpointDefinition<Path extends z.ZodType, Params extends z.ZodType> {
  /** `POST /v1/payment_intents/:id/confirm`. */
  route: Route
  /** One sentence for the reference. */
  summary: string
  /** The resource it belongs to: tag in the reference, and the scope a restricted key needs. */
  resource: string
  /**
   * `publishable`: a browser may call it, with the proof the endpoint itself demands (a client_secret). `none`: nobody
   * is asked who they are; without an account there is no tenant, and a write has no Idempotency-Key. `scoped`: only a
   * restricted key that names the scope; that somebody holds a secret key is not enough.
   */
  auth?: EndpointAuth
  path?: Path
  /** Body of a POST or DELETE, query of a GET. Unknown parameters are refused. */
  params: Params
  /** The object's schema, or a list of it. */
  returns: z.ZodType
  status?: 200 | 201
  /**
   * The answer shows a secret once: what a retry gets again is kept sealed, so that a copy of the database does not show
   * it. Only for endpoints of one phase: nobody else than a caller is ever answered.
   */
  has_secret_answer?: true
  run(context: Context, params: z.output<Params>, path: z.output<Path>): Promise<Answer>
  /** Drives an operation whose runner died to its end; only for endpoints with more than one phase. */
  resume?(context: Context, subject_id: string): Promise<Answer>
}

/** A request as it came, for an endpoint that must see the very bytes that were signed. */
export interface RawRequest {
  /** Any content type, at most 1 MiB; empty when nothing was sent. */
  readonly body: Buffer
  /** Names in lower case; what came more than once is joined by commas. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** When all of it had arrived. */
  readonly received_at: Date
}

/**
 * An endpoint that is handed the bytes, unread: for senders who prove themselves by a signature over them. Nobody is
 * asked for a key, so a retry is recognised by what the body says and not by an Idempotency-Key.
 */
export interface RawEndpointDefinition<Path extends z.ZodType> {
  route: Route
  summary: string
  resource: string
  path?: Path
  returns: z.ZodType
  run(context: Context, request: RawRequest, path: z.output<Path>): Promise<Answer>
}

/** A file that was sent, and what was said of it in the query. */
export interface FileRequest<Params> {
  readonly params: Params
  readonly file: Upload
}

/**
 * An endpoint whose body is a file of any size and type, and whose parameters stand in the query. The file is there, whole,
 * before `run`; its hash is part of the request's fingerprint, as the parameter `file`.
 */
export interface FileEndpointDefinition<Path extends z.ZodType, Params extends z.ZodType>
  extends Omit<EndpointDefinition<Path, Params>, 'auth' | 'run' | 'resume' | 'has_secret_answer'> {
  /** What may be sent, for the reference. */
  takes_what: string
  run(context: Context, request: FileRequest<z.output<Params>>, path: z.output<Path>): Promise<Answer>
}

/** An endpoint that answers with a page for people: what is there, as HTML. Its refusals are JSON as everywhere. */
export interface PageEndpointDefinition<Path extends z.ZodType, Params extends z.ZodType>
  extends Pick<EndpointDefinition<Path, Params>, 'summary' | 'resource' | 'path' | 'params'> {
  route: `GET /${string}`
  /** From `<!doctype html>` on. It loads nothing and runs nothing: whoever fetched it had a key, and a browser has none. */
  run(context: Context, params: z.output<Params>, path: z.output<Path>): Promise<string>
}

/** An endpoint with its types erased, as the server, the reference and the completer hold it. */
export type Endpoint = Omit<EndpointDefinition<z.ZodType, z.ZodType>, 'run'> & {
  /** `bytes`: the body is handed over unread; `file`: on disk. */
  takes?: 'bytes' | 'file'
  takes_what?: string
  /** HTML instead of JSON. */
  shows?: 'page'
  run(context: Context, params: never, path: never): Promise<Answer>
}

/** Thrown by a recorder whose claim met a taken key: the runner then joins the first use of the key. */
export class KeyTakenError extends Error {
  constructor() {
    super('the idempotency key is taken')
    this.name = 'KeyTakenError'
  }
}

/** Thrown when a commit found another runner's epoch: this runner writes nothing more and joins. */
export class FencedError extends Error {
  constructor() {
    super('another runner took over this idempotency key')
    this.name = 'FencedError'
  }
}
