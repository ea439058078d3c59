/**
 * Proves what Stripe sends: `Stripe-Signature: t=<seconds>,v1=<hex HMAC-SHA256 of "t.body">`, with several v1 while a
 * secret is rolled, and other schemes beside them (docs.stripe.com/webhooks#verify-manually). The key is the whole
 * `whsec_…` text. A retry is signed anew, so the time is when it was sent.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { WebhookReader } from '../connector.ts'
import { readEvent } from './events.ts'

/** Stripe's own tolerance, both ways: clocks differ by less. */
const TOLERANCE_S = 300
/** A rolled secret makes two; a header with more than these is not Stripe's. */
const SIGNATURES_MOST = 16
const SECONDS = /^\d{1,12}$/
const DIGEST = /^[0-9a-f]{64}$/

/** Without a secret nothing is proven, so everything is refused. */
export function stripeWebhooks(secrets: readonly string[], livemode: boolean): WebhookReader {
  return {
    refusal(raw, headers, received_at) {
      if (secrets.length === 0) return 'no_secret'
      const header = headers['stripe-signature']
      if (header === undefined || header === '') return 'unsigned'
      const signature = parse(header)
      if (signature === undefined) return 'malformed_signature'
      // Every pair is compared whole: which secret it was, and how far it matched, shows in no time.
      let is_proven = false
      for (const secret of secrets) {
        const expected = createHmac('sha256', secret).update(`${signature.seconds}.`).update(raw).digest()
        for (const digest of signature.digests) {
          if (timingSafeEqual(Buffer.from(digest, 'hex'), expected)) is_proven = true
        }
      }
      if (!is_proven) return 'wrong_signature'
      // After the signature: whoever does not know the secret learns nothing about our clock.
      const age_s = Math.abs(received_at.getTime() / 1_000 - Number(signature.seconds))
      return age_s > TOLERANCE_S ? 'stale' : null
    },
    read: body => readEvent(body, livemode),
  }
}

function parse(header: string): { seconds: string; digests: string[] } | undefined {
  const times: string[] = []
  const digests: string[] = []
  for (const part of header.split(',')) {
    const at = part.indexOf('=')
    const [name, value] = [part.slice(0, at).trim(), part.slice(at + 1)]
    if (name === 't') times.push(value)
    if (name === 'v1') digests.push(value)
  }
  const [seconds] = times
  const is_whole = times.length === 1 && seconds !== undefined && SECONDS.test(seconds)
  if (!is_whole || digests.length === 0 || digests.length > SIGNATURES_MOST) return undefined
  return digests.every(digest => DIGEST.test(digest)) ? { seconds, digests } : undefined
}
