/** For tests: the room over a database of its own, with a bank that tells it things. */
import { afterAll, beforeAll } from 'vitest'
import { type Database, openDatabase } from '#db'
import { testDatabase } from '#db/testing'
import { createServer, type InjectedResponse, type Server } from '#http'
import { type Clock, systemClock } from '#kernel'
import { createLog, type Log } from '#metrics'
import { type Bank, type BankNews, makeBank, signed } from './bank.fixture.ts'
import { createInbound, type Inbound, type InboundHandler, type StoredEvent } from './index.ts'
import type { InboundOptions } from './inbound.ts'

export interface TestInbound {
  db: Database
  url: string
  clock: Clock
  server: Server
  inbound: Inbound
  bank: Bank
  /** A second processor, silent unless a test makes it speak. */
  other: Bank
  log: Log
  /** What was logged, as it was written. */
  lines: string[]
  /** What the handler was asked, in order. */
  handled: StoredEvent[]
  /** The handler's deed from now on; at first it applies everything. */
  deed: { current: InboundHandler }
  /** Tells news by webhook, signed. */
  tell(news: BankNews | string, headers?: Record<string, string>): Promise<InjectedResponse>
  /** Another worker of the same database, as of another process. */
  another(timing?: InboundOptions['timing']): Inbound
  /** What is stored about a subject, oldest first. */
  rows(subject: string): Promise<{ event_id: string; status: string; tries: number; reason: string | null }[]>
  /** One run of the job. */
  run(job: 'inbound.catch_up' | 'inbound.forget'): Promise<Record<string, unknown>>
}

/** Retries come at once, so that a test needs not wait for them. */
const AT_ONCE = { first_ms: 1, factor: 1, most_ms: 1, jitter: 0 }

/** Opens the room for the test file; what it answers is there from the first test on. */
export function useInbound(timing: InboundOptions['timing'] = {}): TestInbound {
  const opened = {} as TestInbound
  let close = async () => {}
  beforeAll(async () => {
    const database = await testDatabase()
    const db = openDatabase({ url: database.url })
    const lines: string[] = []
    const log = createLog({ level: 'debug', destination: { write: line => void lines.push(line) } })
    const bank = makeBank()
    const other = makeBank('other')
    const handled: StoredEvent[] = []
    const deed: TestInbound['deed'] = { current: async () => 'applied' }
    const make = (more: InboundOptions['timing'] = {}) =>
      createInbound({
        db,
        clock: systemClock,
        log,
        sources: [bank, other],
        timing: { retry: AT_ONCE, tries_most: 3, ...timing, ...more },
        async handle(event) {
          handled.push(event)
          return deed.current(event)
        },
      })
    const inbound = make()
    const { endpoints } = inbound
    const secret = 'a secret of the tests alone'
    const server = createServer({
      endpoints,
      db,
      clock: systemClock,
      log,
      secret,
      check_answers: true,
      timeouts: { headers_ms: 3_000, request_ms: 4_000 },
    })
    Object.assign(opened, {
      db,
      url: database.url,
      clock: systemClock,
      server,
      inbound,
      bank,
      other,
      log,
      lines,
      handled,
      deed,
    })
    opened.another = make
    opened.tell = (news, headers) => {
      const body = typeof news === 'string' ? news : JSON.stringify(news)
      return server.inject({
        method: 'POST',
        url: '/v1/webhooks/bank',
        headers: headers ?? signed(body),
        body,
      })
    }
    opened.rows = subject => db.many`
      select event_id, status, tries, reason
      from inbound_events
      where subject = ${subject}
      order by id`
    opened.run = async name => {
      const job = inbound.jobs.jobs.find(candidate => candidate.name === name)
      const notes: Record<string, unknown> = {}
      const { signal } = new AbortController()
      const around = { db, signal, job_id: '1', attempt: 1, max_attempts: 1, scheduled_for: undefined }
      await job?.run({ ...around, note: fields => void Object.assign(notes, fields) }, {})
      return notes
    }
    close = async () => {
      await inbound.lanes.stop()
      await server.close(1_000)
      await db.close()
      await database.drop()
    }
  })
  afterAll(() => close())
  return opened
}
