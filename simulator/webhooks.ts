/**
 * Signed webhooks to Bursar, off the path of every operation: an event is queued when its line is on the disk and
 * delivered by a few lanes of its own. On demand they come twice, late, out of order or never, as real ones do.
 *
 * Delivery is at most what memory holds: a restart forgets what was not delivered. That is a fault a receiver must
 * bear anyway; the book, the lookup and the feed stay true.
 */
import { createHmac } from 'node:crypto'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https'
import { systemClock } from '#kernel'
import type { Listener } from './bank.ts'
import { dice } from './dice.ts'
import type { Body } from './requests.ts'
import { parseWebhookSettings, type WebhookSettings } from './webhook-settings.ts'

export interface WebhookCounts {
  queued: number
  delivered: number
  failed: number
  /** Thrown away because too many waited. */
  dropped: number
  /** Never sent, on demand. */
  lost: number
}

export interface Webhooks extends Listener {
  change(body: Body): void
  /** All but the secret. */
  state(): { url: string | null; settings: Omit<WebhookSettings, 'url' | 'secret'>; counts: WebhookCounts }
  close(): void
}

/** A receiver that answers in 10 ms gets 800 a second, and the simulator keeps a core for payments. */
const LANES = 8
/** About 20 MB of waiting events; beyond that the oldest is dropped and counted. */
const MAX_QUEUED = 20_000
/** Six attempts over about a minute: what a development server needs to be restarted. */
const RETRY_AFTER_MS = [500, 2_000, 5_000, 15_000, 40_000]
const ATTEMPT_TIMEOUT_MS = 10_000
/** Long against the time between two events of one payment, short for someone watching. */
const DISORDER_MS = 500

interface Delivery {
  body: string
  attempt: number
}

export function makeWebhooks(options: {
  url: string | undefined
  secret: string
  notify: WebhookSettings['notify']
  seed: number
}): Webhooks {
  const settings: WebhookSettings = {
    url: options.url ?? null,
    secret: options.secret,
    notify: options.notify,
    duplicate_rate: 0,
    drop_rate: 0,
    late_ms: 0,
    out_of_order: false,
  }
  const counts = { delivered: 0, failed: 0, dropped: 0, lost: 0 }
  const queue: Delivery[] = []
  const timers = new Set<NodeJS.Timeout>()
  const http = new HttpAgent({ keepAlive: true, maxSockets: LANES })
  const https = new HttpsAgent({ keepAlive: true, maxSockets: LANES })
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
    const { url, secret } = settings
    // Switched off while it waited.
    if (url === null) return done(false)
    const is_https = url.startsWith('https:')
    let is_done = false
    const finish = (is_delivered: boolean) => {
      if (is_done) return
      is_done = true
      done(is_delivered)
    }
    const request = (is_https ? httpsRequest : httpRequest)(url, {
      method: 'POST',
      agent: is_https ? https : http,
      timeout: ATTEMPT_TIMEOUT_MS,
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        'simulator-signature': sign(body, secret, systemClock.now()),
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
    wants: is_told => settings.url !== null && !is_closed && (settings.notify === 'all' || !is_told),
    hear({ body, place }) {
      // Thrown for each event by its place: the same seed loses, repeats and delays the same ones, whatever else runs.
      const random = dice(options.seed + place)
      if (random() < settings.drop_rate) {
        counts.lost += 1
        return
      }
      const copies = random() < settings.duplicate_rate ? 2 : 1
      for (let i = 0; i < copies; i++) {
        const disorder_ms = settings.out_of_order ? random() * DISORDER_MS : 0
        after(settings.late_ms + disorder_ms, () => push({ body, attempt: 0 }))
      }
    },
    change(body) {
      Object.assign(settings, parseWebhookSettings(body))
    },
    state() {
      const { url, secret: _, ...shown } = settings
      return { url, settings: shown, counts: { queued: queue.length, ...counts } }
    },
    close() {
      is_closed = true
      for (const timer of timers) clearTimeout(timer)
      http.destroy()
      https.destroy()
    },
  }
}

/** `t=<unix seconds>,v1=<hex>`: HMAC-SHA256 over `t.body`, so an old body cannot be sent again with a new time. */
export function sign(body: string, secret: string, at: Date): string {
  const seconds = Math.floor(at.getTime() / 1000)
  const digest = createHmac('sha256', secret).update(`${seconds}.${body}`).digest('hex')
  return `t=${seconds},v1=${digest}`
}
