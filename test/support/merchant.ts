/**
 * A client as it should be: every write has a key, and is sent again with the same key until it is answered for good.
 * It remembers what it asked and what it was told, for the audit.
 */
import { randomUUID } from 'node:crypto'
import type { Database } from '#db'
import { createAccount, createApiKey } from '#http'
import { sleep, systemClock, type Tenant } from '#kernel'
/** Answers are read by tests as they come. */
export type Json = ReturnType<typeof JSON.parse>

/** Where the client finds the API now: a server that was started again has another address. */
export type Address = () => string

export interface Answer {
  status: number
  text: string
  body: Json
  replayed: boolean
  /** How often it was sent, and when the answer was there. */
  tries: number
}

export interface Asked {
  key: string
  path: string
  body: object
  /** The answer that was final; undefined while there is none. */
  answer: Answer | undefined
}

export interface PostOptions {
  key?: string
  /** How long one try may take. */
  try_ms?: number
}

export interface Merchant extends Tenant {
  readonly secret_key: string
  /** Every write that was ever asked for. */
  readonly asked: Asked[]
  /** Until it is answered for good: a success or a refusal that a retry does not change. */
  post(at: Address, path: string, body?: object, options?: PostOptions): Promise<Answer>
  /** The same request with the same key once more. */
  repeat(at: Address, asked: Asked, try_ms?: number): Promise<Answer>
  /** Once; throws what the network threw. */
  postOnce(at: Address, path: string, body: object, key: string, deadline_ms?: number): Promise<Answer>
  get(at: Address, path: string): Promise<Json>
}

/** Longer than a lease, a resolver's wait and a start after a crash on a machine that is busy with other things. */
const PATIENCE_MS = 240_000
/** A try is given up after the server's own deadline (60 s). */
const TRY_MS = 65_000
const PAUSE_MS = 100

/** A server in the place of one that died: three starts at once on a machine that runs everything at once took 150 s. */
const REPLACED_MS = 180_000

/** What a client is told to send again: the network's silence, our trouble, a twin under way, a lock. */
const isFinal = (status: number): boolean => status < 500 && status !== 409 && status !== 429

/**
 * Whoever was given the port of a server that died, in another test, does not know our key. Then its successor comes,
 * and has another address; where none comes, it was our own server that said 401, and is to be taken at its word.
 */
async function isStranger(status: number, url: string, at: Address): Promise<boolean> {
  if (status !== 401) return false
  const give_up_ms = performance.now() + REPLACED_MS
  while (at() === url && performance.now() < give_up_ms) await sleep(PAUSE_MS)
  return at() !== url
}

export async function createMerchant(db: Database): Promise<Merchant> {
  const { id: account_id } = await createAccount(db, systemClock, { name: 'A merchant' })
  const { key: secret_key } = await createApiKey(db, systemClock, {
    account_id,
    livemode: false,
    kind: 'secret',
  })
  const asked: Asked[] = []
  const headers = { authorization: `Bearer ${secret_key}`, 'content-type': 'application/json' }

  async function postOnce(
    at: Address,
    path: string,
    body: object,
    key: string,
    deadline_ms = TRY_MS,
  ): Promise<Answer> {
    const response = await fetch(`${at()}${path}`, {
      method: 'POST',
      headers: { ...headers, 'idempotency-key': key },
      body: JSON.stringify(body),
      signal: AbortSignal.timeout(deadline_ms),
    })
    const text = await response.text()
    return {
      status: response.status,
      text,
      body: JSON.parse(text) as Json,
      replayed: response.headers.get('idempotent-replayed') === 'true',
      tries: 1,
    }
  }

  /** `work` until it is done; what the network throws is a reason to come back. */
  async function persist<T>(work: (attempt: number) => Promise<T | undefined>): Promise<T> {
    const give_up_ms = performance.now() + PATIENCE_MS
    let trouble: unknown
    for (let attempt = 1; performance.now() < give_up_ms; attempt++) {
      try {
        const done = await work(attempt)
        if (done !== undefined) return done
      } catch (error) {
        trouble = error
      }
      await sleep(PAUSE_MS)
    }
    throw new Error(`a client gave up after ${PATIENCE_MS} ms`, { cause: trouble })
  }

  async function send(at: Address, { path, body, key }: Asked, try_ms?: number): Promise<Answer> {
    let last: Answer | undefined
    return persist(async attempt => {
      const url = at()
      last = await postOnce(() => url, path, body, key, try_ms)
      if (await isStranger(last.status, url, at)) return undefined
      return isFinal(last.status) ? { ...last, tries: attempt } : undefined
    }).catch((cause: unknown) => {
      const said = last === undefined ? 'nothing' : `${last.status} ${last.text}`
      throw new Error(`POST ${path} was never answered for good; the last answer was ${said}`, { cause })
    })
  }

  return {
    account_id,
    livemode: false,
    secret_key,
    asked,
    postOnce,
    async post(at, path, body = {}, { key = randomUUID(), try_ms } = {}) {
      const one: Asked = { key, path, body, answer: undefined }
      asked.push(one)
      one.answer = await send(at, one, try_ms)
      return one.answer
    },
    repeat: send,
    get: (at, path) =>
      persist(async () => {
        const url = at()
        const response = await fetch(`${url}${path}`, { headers, signal: AbortSignal.timeout(TRY_MS) })
        const body: Json = response.status < 500 ? await response.json() : undefined
        return (await isStranger(response.status, url, at)) ? undefined : body
      }),
  }
}
