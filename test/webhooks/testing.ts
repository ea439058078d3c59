/**
 * For the matrix of what receivers do: an engine over a database of its own, an endpoint that misbehaves, and beside it
 * a witness, an endpoint of another tenant that is well and has as much to get.
 */
import { afterAll, afterEach, beforeAll, expect } from 'vitest'
import { createFetcher, type Fetcher, type FetcherOptions } from '#fetch'
import { type TestEndpoint, type TestEngine, useEngine } from '#webhooks/testing'
import { type Received, type Receiver, useReceivers } from '../support/receiver.ts'

export interface Attempt {
  number: number
  is_counted: boolean
  status_code: number | null
  failure: string | null
  message: string | null
  address: string | null
  is_reused: boolean | null
  dns_ms: number | null
  connect_ms: number | null
  tls_ms: number | null
  wait_ms: number | null
  duration_ms: number
  response: string | null
  is_response_cut: boolean
  is_retried: boolean
}

type Fields = Parameters<TestEngine['endpoint']>[1]

interface Closable {
  close(): Promise<void>
}

/** What happened to an endpoint, and what it is like afterwards. */
export interface Met {
  endpoint: TestEndpoint
  /** `evt_…`, in order. */
  events: string[]
  /** What the witness got until the endpoint's first try was written. */
  witnessed: number
}

export interface World extends TestEngine {
  receiver(): Promise<Receiver>
  /** Closed after the test. */
  keep<Thing extends Closable>(thing: Thing | Promise<Thing>): Promise<Thing>
  /** Calls to this origin have so long instead of the engine's 15 s, which is too long to wait for in a test. */
  hasDeadline(url: string, deadline_ms?: number): void
  /** Events for an endpoint at this URL and as many for the witness, and the engine until nothing is ready. */
  meet(url: string, options?: Fields & { events?: number }): Promise<Met>
  /** Once more: all that waits is due, and the engine works until nothing is ready. */
  again(of: TestEndpoint): Promise<void>
  tries(of: TestEndpoint): Promise<Attempt[]>
}

/** Ends a call that hangs: long enough that the witness has everything by then, on a busy machine too. */
const SHORT_MS = 3_000

export function useWorld(options: () => Partial<FetcherOptions> = () => ({})): World {
  const world = useEngine() as World
  const receivers = useReceivers()
  const kept: Closable[] = []
  const deadlines = new Map<string, number>()
  let fetcher: Fetcher
  let engine: TestEngine['engine']

  beforeAll(() => {
    fetcher = createFetcher({ allowed_networks: ['127.0.0.1/32'], ...options() })
    engine = world.another({
      fetcher: {
        ...fetcher,
        post: request =>
          fetcher.post({
            ...request,
            deadline_ms: deadlines.get(originOf(request.url)) ?? request.deadline_ms,
          }),
      },
    })
  })
  afterEach(async () => {
    for (const thing of kept.splice(0).reverse()) await thing.close()
    deadlines.clear()
  })
  afterAll(async () => {
    await engine?.stop()
    await fetcher?.close()
  })

  world.receiver = () => receivers.open()
  world.keep = async started => {
    const thing = await started
    kept.push(thing)
    return thing
  }
  world.hasDeadline = (url, deadline_ms = SHORT_MS) => void deadlines.set(originOf(url), deadline_ms)

  world.meet = async (url, { events: count = 1, ...fields } = {}) => {
    const receiver = await world.receiver()
    const witness = await world.endpoint(receiver.url)
    const endpoint = await world.endpoint(url, fields)
    // Written first and taken first: whatever it does, it does before the witness has anything.
    const events = await world.emit(endpoint, count)
    const expected = await world.emit(witness, WITNESSED)
    let witnessed: number | undefined
    const watching = setInterval(() => {
      void world
        .tries(endpoint)
        .then(tries => {
          if (tries.length > 0) witnessed ??= receiver.received.length
        })
        .catch(() => undefined)
    }, 20)
    await world.drain(engine)
    clearInterval(watching)
    expect(eventsOf(receiver.received)).toEqual(expected)
    expect(await world.queue(witness)).toEqual([])
    for (const attempt of await world.tries(witness)) {
      expect(attempt).toMatchObject({ number: 1, status_code: 200, failure: null, is_retried: false })
    }
    return { endpoint, events, witnessed: witnessed ?? receiver.received.length }
  }
  world.again = async of => {
    await world.makeDue(of)
    await world.drain(engine)
  }
  world.tries = of => world.db.many<Attempt>`
    select
      number, is_counted, status_code, failure, message, address, is_reused, dns_ms, connect_ms, tls_ms, wait_ms,
      duration_ms, response, is_response_cut, retry_at is not null as is_retried
    from webhook_attempts
    where account_id = ${of.account_id} and livemode = ${of.livemode} and endpoint_id = ${of.id}
    order by id`
  return world
}

/** So many events the witness has to get, each once. */
export const WITNESSED = 5

/** Under way at once they arrive in any order. */
export const eventsOf = (received: readonly Pick<Received, 'event_id'>[]): string[] =>
  received.map(({ event_id }) => event_id).sort()

const originOf = (url: string): string => new URL(url).origin
