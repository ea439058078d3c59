/**
 * Proves and reads what the simulator sends: `Simulator-Signature: t=<seconds>,v1=<hex HMAC-SHA256 of "t.body">`.
 * The time is under the signature, so an old body cannot be sent again with a new one.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { WebhookReader } from './connector.ts'
import { readEvent } from './simulator-reading.ts'

/** A body older than this, or as far ahead, is refused: clocks differ by less, and a retry signs anew. */
const TOLERANCE_S = 300
const SIGNATURE = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/

/** Without a secret nothing is proven, so everything is refused. */
export function simulatorWebhooks(secret: string): WebhookReader {
  return {
    refusal(raw, headers, received_at) {
      if (secret === '') return 'no_secret'
      const signature = headers['simulator-signature']
      if (signature === undefined) return 'unsigned'
      const [, seconds, digest] = SIGNATURE.exec(signature) ?? []
      if (seconds === undefined || digest === undefined) return 'malformed_signature'
      const expected = createHmac('sha256', secret).update(`${seconds}.`).update(raw).digest()
      if (!timingSafeEqual(Buffer.from(digest, 'hex'), expected)) return 'wrong_signature'
      // After the signature: whoever does not know the secret learns nothing about our clock.
      if (Math.abs(received_at.getTime() / 1_000 - Number(seconds)) > TOLERANCE_S) return 'stale'
      return null
    },
    read: readEvent,
  }
}
