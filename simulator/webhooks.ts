/**
 * Signed webhooks to Bursar, off the path of every operation: an event is queued when its line is on the disk and
 * delivered by a few lanes of its own. On demand they come twice, late and out of order, as real ones do.
 *
 * Delivery is at most what memory holds: a restart forgets what was not delivered. That is a fault a receiver must
 * bear anyway; the book and the lookup stay true.
 */
import { createHmac } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { newId, systemClock } from '#kernel'
import type { BankEvent } from './bank.ts'
import { dice } from './dice.ts'
import { operationJson } from './operations.ts'
import { Refused } from './refused.ts'
import { type Body, unknownParameter } from './requests.ts'
import type { Dispute } from './state.ts'

export interface WebhookSettings {
  /** How often an event is sent twice, 0 to 1. */
  duplicate_rate: number
  /** Every event waits this long before its first attempt. */
  late_ms: number
  /** Every event waits a random moment more, so that neighbours overtake each other. */
  out_of_order: boolean
}

export interface WebhookCounts {
  queued: number
  delivered: number
  failed: number
  dropped: number
}

export interface Webhooks {
  send(event: BankEvent): void
  change(body: Body): WebhookSettings
  state(): { url: string | null; settings: WebhookSettings; counts: WebhookCounts }
  close(): void
}

/** A receiver that answers in 10 ms gets 800 a second, and the simulator keeps a core for payments. */
const LANES = 8
/** About 20 MB of waiting events; beyond that the oldest is dropped and counted. */
const MAX_QUEUED = 20_000
/** Six attempts over about a minute: what a development server needs to be restarted. */
const RETRY_AFTER_MS = [500, 2_000, 5_000, 15_000, 40_000]
const ATTEMPT_TIMEOUT_MS = 10_000
const MAX_LATE_MS = 600_000
/** Long against the time between two events of one payment, short for someone watching. */
const DISORDER_MS = 500

interface Delivery {
  body: string
  attempt: number
}

export function makeWebhooks(options: {
  url: string | undefined
  secret: string
  seed: number
  /** Where the simulator itself listens, for the links in an event. */
  simulator_url: string
}): Webhooks {
  const settings: WebhookSettings = { duplicate_rate: 0, late_ms: 0, out_of_order: false }
  const counts = { delivered: 0, failed: 0, dropped: 0 }
  const random = dice(options.seed)
  const queue: Delivery[] = []
  const timers = new Set<NodeJS.Timeout>()
  const is_https = options.url?.startsWith('https:') ?? false
  const agent = new (is_https ? HttpsAgent : HttpAgent)({ keepAlive: true, maxSockets: LANES })
  let running = 0
  let is_closed = false

  function after(ms: number, happen: () => void) {
    if (ms === 0) return happen()
    const timer = setTimeout(() => {
      timers.delete(timer)
      happen()
    }, ms)
    timers.add(timer)
  }

  function push(delivery: Delivery) {
    if (queue.length >= MAX_QUEUED) {
      queue.shift()
      counts.dropped += 1
    }
    queue.push(delivery)
    pump()
  }

  function pump() {
    while (running < LANES && !is_closed) {
      const delivery = queue.shift()
      if (delivery === undefined) return
      running += 1
      attempt(delivery.body, is_delivered => {
        running -= 1
        if (is_delivered) counts.delivered += 1
        else retry(delivery)
        pump()
      })
    }
  }

  function retry(delivery: Delivery) {
    const wait_ms = RETRY_AFTER_MS[delivery.attempt]
    if (wait_ms === undefined) counts.failed += 1
    else after(wait_ms, () => push({ ...delivery, attempt: delivery.attempt + 1 }))
  }

  /** One POST; the answer's body is thrown away. Calls back exactly once. */
  function attempt(body: string, done: (is_delivered: boolean) => void) {
    let is_done = false
    const finish = (is_delivered: boolean) => {
      if (is_done) return
      is_done = true
      done(is_delivered)
    }
    const request = (is_https ? httpsRequest : httpRequest)(options.url as string, {
      method: 'POST',
      agent,
      timeout: ATTEMPT_TIMEOUT_MS,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        'simulator-signature': sign(body, options.secret, systemClock.now()),
      },
    })
    request.on('response', response => {
      const status = response.statusCode ?? 0
      response.resume()
      response.on('end', () => finish(status >= 200 && status < 300))
      response.on('close', () => finish(false))
    })
    request.on('timeout', () => request.destroy())
    request.on('error', () => finish(false))
    request.on('close', () => finish(false))
    request.end(body)
  }

  return {
    send(event) {
      if (options.url === undefined || is_closed) return
      const body = eventJson(event, options.simulator_url)
      const copies = random() < settings.duplicate_rate ? 2 : 1
      for (let i = 0; i < copies; i++) {
        const disorder_ms = settings.out_of_order ? random() * DISORDER_MS : 0
        after(settings.late_ms + disorder_ms, () => push({ body, attempt: 0 }))
      }
    },
    change(body) {
      Object.assign(settings, parseSettings(body))
      return settings
    },
    state: () => ({ url: options.url ?? null, settings, counts: { queued: queue.length, ...counts } }),
    close() {
      is_closed = true
      for (const timer of timers) clearTimeout(timer)
      agent.destroy()
    },
  }
}

/** `t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over `t.body`, so an old body cannot be sent again with a new time. */
export function sign(body: string, secret: string, at: Date): string {
  const seconds = Math.floor(at.getTime() / 1000)
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${digest}`
}

function eventJson(event: BankEvent, simulator_url: string): string {
  const { subject } = event
  const object = 'kind' in subject ? operationJson(subject, simulator_url) : disputeJson(subject)
  const id = `sev_${newId(systemClock.now()).replaceAll('-', '')}`
  return (
    `{"id":"${id}","type":"${event.type}","created_at":"${new Date(event.at_ms).toISOString()}",` +
    `"data":{"object":${object}}}`
  )
}

export function disputeJson(dispute: Dispute): string {
  const { payment } = dispute
  return (
    `{"id":"${dispute.id}","type":"dispute","status":"${dispute.status}","reason":"${dispute.reason}",` +
    `"reference":${JSON.stringify(payment.reference)},"payment_id":"${payment.id}",` +
    `"amount":${dispute.amount},"currency":"${payment.currency}"}`
  )
}

function parseSettings(body: Body): Partial<WebhookSettings> {
  const { duplicate_rate, late_ms, out_of_order, ...unknown } = body
  const [param] = Object.keys(unknown)
  if (param !== undefined) throw unknownParameter(param)
  const changed: Partial<WebhookSettings> = {}
  if (duplicate_rate !== undefined) {
    if (typeof duplicate_rate !== 'number' || !(duplicate_rate >= 0 && duplicate_rate <= 1)) {
      throw new Refused(400, 'parameter_invalid', 'duplicate_rate is a number from 0 to 1.', 'duplicate_rate')
    }
    changed.duplicate_rate = duplicate_rate
  }
  if (late_ms !== undefined) {
    if (!Number.isInteger(late_ms) || (late_ms as number) < 0 || (late_ms as number) > MAX_LATE_MS) {
      throw new Refused(
        400,
        'parameter_invalid',
        `late_ms is a whole number from 0 to ${MAX_LATE_MS}.`,
        'late_ms',
      )
    }
    changed.late_ms = late_ms as number
  }
  if (out_of_order !== undefined) {
    if (typeof out_of_order !== 'boolean') {
      throw new Refused(400, 'parameter_invalid', 'out_of_order is true or false.', 'out_of_order')
    }
    changed.out_of_order = out_of_order
  }
  return changed
}
