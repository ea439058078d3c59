/**
 * What an endpoint's `run` is given for one request, and the phases in which a keyed request commits. The claim of the
 * key travels with BEGIN and the phase's first queries, so it costs no round trip of its own; it is answered for before
 * the commit, and a lost claim outweighs whatever the phase made of a world in which its twin was first.
 */
import { type Db, newQueryStats, type QueryStats, sqlState, type TransactionOptions, type Tx } from '#db'
import { ApiError, assert, type Clock, type Tenant } from '#kernel'
import type { Vault } from '#secrets'
import { encodeAnswer } from './encoder.ts'
import { errorText } from './errors.ts'
import {
  type Answer,
  type Caller,
  type Claim,
  type Context,
  type Endpoint,
  FencedError,
  type Fence,
  KeyTakenError,
} from './types.ts'
import { downgradeAnswer, type PinnedVersion } from './versions.ts'

/** What all requests of a server share. */
export interface Ground {
  /** Sees all accounts. */
  readonly db: Db
  readonly clock: Clock
  /** Seals answers that show a secret; the completer has none, because it answers nobody. */
  readonly vault?: Vault
}

/** Before a sealed answer, in place of the brace with which every other begins. */
const SEALED = 'sealed:'

const LOCK_NOT_AVAILABLE = '55P03'

export class RequestContext implements Context {
  readonly stats: QueryStats = newQueryStats()
  readonly clock: Clock
  /** Of the first use: an operation that is taken over answers in its name. */
  request_id: string
  idempotency_key: string | null = null
  /** Fields that the endpoint adds to the log line. */
  notes: Record<string, unknown> | undefined
  /** True once an insert of ours found the key free: nobody had it then, even if that was rolled back later. */
  found_key_free = false

  readonly #ground: Ground
  readonly #endpoint: Endpoint
  readonly #version: PinnedVersion
  readonly #caller: Caller | undefined
  #tenant: Tenant | undefined
  #claim: Claim | null = null
  #fence: Fence | null = null
  #db: Db | undefined
  #system: Db | undefined

  constructor(
    ground: Ground,
    endpoint: Endpoint,
    version: PinnedVersion,
    caller: Caller | undefined,
    request_id: string,
  ) {
    this.clock = ground.clock
    this.request_id = request_id
    this.#ground = ground
    this.#endpoint = endpoint
    this.#version = version
    this.#caller = caller
  }

  get caller(): Caller {
    assert(this.#caller, 'an endpoint without authentication has no caller')
    return this.#caller
  }

  /** Account and mode alone: it is spread into every row of a batch. */
  get tenant(): Tenant {
    if (!this.#tenant) {
      const { account_id, livemode } = this.caller
      this.#tenant = { account_id, livemode }
    }
    return this.#tenant
  }

  get db(): Db {
    this.#db ??= this.#ground.db.as(this.tenant).counting(this.stats)
    return this.#db
  }

  get system(): Db {
    this.#system ??= this.#ground.db.counting(this.stats)
    return this.#system
  }

  /** While the key is not ours. Recorders read it at the moment they record. */
  get claim(): Claim | null {
    return this.#fence ? null : this.#claim
  }

  get fence(): Fence | null {
    return this.#fence
  }

  /** Makes the request a keyed one. */
  keyed(claim: Claim): void {
    this.#claim = claim
    this.idempotency_key = claim.key
  }

  /** The key is ours under this epoch: a takeover, or the completer's work. */
  own(fence: Fence, request_id: string): void {
    this.#fence = fence
    this.idempotency_key = fence.key
    this.request_id = request_id
  }

  claimed = (): void => {
    assert(this.#claim, 'a request with an idempotency key was claimed')
    const { account_id, livemode, key } = this.#claim
    this.#fence ??= { account_id, livemode, key, epoch: 1 }
  }

  note = (fields: Record<string, unknown>): void => {
    this.notes = { ...this.notes, ...fields }
  }

  answer = (value: object | ApiError): Answer => {
    if (value instanceof ApiError) return { status: value.status, body: errorText(value, this.request_id) }
    const body = encodeAnswer(this.#endpoint.returns, value)
    return {
      status: this.#endpoint.status ?? 200,
      body:
        this.#version.changes.length === 0
          ? body
          : downgradeAnswer(this.#version, this.#endpoint.route, body),
    }
  }

  phase = <T>(name: string, subject_id: string, fn: (tx: Tx) => Promise<T>): Promise<T> =>
    this.#commit(name, subject_id, fn, undefined)

  finish = async (
    name: string,
    fn: (tx: Tx) => Promise<object | ApiError>,
    options?: TransactionOptions,
  ): Promise<Answer> => {
    let answer: Answer | undefined
    const answerOf = (value: object | ApiError) => {
      answer = this.answer(value)
      assert(answer.status < 500, "a failure of ours is never a key's final answer")
      return answer
    }
    await this.#commit(name, null, fn, answerOf, options)
    assert(answer, 'a committed phase has made its answer')
    return answer
  }

  async #commit<T>(
    name: string,
    subject_id: string | null,
    fn: (tx: Tx) => Promise<T>,
    answerOf: ((value: T) => Answer) | undefined,
    options?: TransactionOptions,
  ): Promise<T> {
    assert(this.#claim || this.#fence, 'phases are for requests with an idempotency key')
    // PostgreSQL answers COMMIT of a transaction that an unawaited statement broke without saying why: kept here.
    let failed_finish: unknown
    const attempt = async (tx: Tx): Promise<T> => {
      failed_finish = undefined
      const ownership = this.#sendOwnership(tx, name, subject_id)
      let value: T
      try {
        value = await fn(tx)
      } catch (error) {
        await ownership
        throw error
      }
      await ownership
      if (answerOf) {
        // Not awaited: it travels with COMMIT. It cannot miss its row, which this transaction holds.
        sendFinish(tx, this.#keyOf(), this.#kept(answerOf(value))).catch((error: unknown) => {
          failed_finish = error
        })
      }
      return value
    }
    try {
      const value = await this.db.transaction(attempt, options)
      if (!this.#fence) this.claimed()
      return value
    } catch (error) {
      throw failed_finish ?? error
    }
  }

  /** A stored answer as it was given. */
  given = (stored: Answer): Answer => {
    if (!stored.body.startsWith(SEALED)) return stored
    const sealed = Buffer.from(stored.body.slice(SEALED.length), 'base64')
    try {
      return { ...stored, body: this.#vault().open(sealed, this.#identity()) }
    } catch (cause) {
      // Trying again would not help: it was sealed under another secret of the installation.
      throw new ApiError('internal_error', { cause })
    }
  }

  #kept(answer: Answer): Answer {
    if (this.#endpoint.has_secret_answer !== true || answer.status >= 400) return answer
    const sealed = this.#vault().seal(answer.body, this.#identity())
    return { ...answer, body: SEALED + sealed.toString('base64') }
  }

  #vault(): Vault {
    const { vault } = this.#ground
    assert(vault, 'who answers with a secret can seal it')
    return vault
  }

  #identity(): string {
    const { account_id, livemode, key } = this.#keyOf()
    return `idempotency_keys ${account_id} ${livemode} ${key}`
  }

  #keyOf(): Claim | Fence {
    const key = this.#fence ?? this.#claim
    assert(key, 'the request is keyed')
    return key
  }

  /** Claims the key, or checks that it is still ours; throws when it is not. Marked as handled: it is awaited later. */
  #sendOwnership(tx: Tx, name: string, subject_id: string | null): Promise<void> {
    const owned = this.#fence ? this.#enter(tx, this.#fence, name) : this.#sendClaim(tx, name, subject_id)
    owned.catch(() => {})
    return owned
  }

  async #sendClaim(tx: Tx, recovery_point: string, subject_id: string | null): Promise<void> {
    const element = { item: 0, ...this.#claim, recovery_point, subject_id }
    let items: unknown[]
    try {
      items = await tx.many`select idempotency_claim(${JSON.stringify([element])})`
    } catch (error) {
      // The twin's transaction outlasted the wait for it.
      throw sqlState(error) === LOCK_NOT_AVAILABLE ? new KeyTakenError() : error
    }
    if (items.length === 0) throw new KeyTakenError()
    this.found_key_free = true
  }

  async #enter(tx: Tx, fence: Fence, name: string): Promise<void> {
    const { is_ours } = await tx.one<{ is_ours: boolean }>`
      select idempotency_enter(${fence.account_id}, ${fence.livemode}, ${fence.key}, ${fence.epoch}, ${name})
        as is_ours`
    if (!is_ours) throw new FencedError()
  }
}

function sendFinish(tx: Tx, key: Claim | Fence, answer: Answer): Promise<number> {
  return tx.run`
    update idempotency_keys
    set
      status = ${answer.status},
      body = ${answer.body},
      finished_at = now(),
      lease_until = null
    where account_id = ${key.account_id}
      and livemode = ${key.livemode}
      and key = ${key.key}
      and finished_at is null`
}
