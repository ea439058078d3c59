/**
 * Whether a delivery of ours is what it says, for receivers: either scheme, any of several secrets, in constant time.
 * Knows nothing of how it was signed but what the headers and the documentation say.
 */
import { createHmac, timingSafeEqual, verify } from 'node:crypto'
import type { VerifyingSecret } from './secret.ts'

/** As Stripe's and the Standard Webhooks libraries: clocks differ, and a replay has this long. */
export const TOLERANCE_S = 300

/** Why a delivery is not believed. */
export type Disbelief =
  /** No header of either scheme, or one that cannot be read. */
  | 'signature_missing'
  /** Signed over five minutes before or after it came. */
  | 'timestamp_stale'
  /** None of its signatures is made with one of the secrets over these bytes. */
  | 'signature_invalid'

export interface Received {
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string | undefined>>
  /** The bytes as they came, before anything reads them as JSON. */
  readonly body: Uint8Array
  readonly secrets: readonly VerifyingSecret[]
  readonly received_at: Date
}

/** A header names a signature for each secret that is valid; more than a few are an attempt to keep us busy. */
const SIGNATURES_MOST = 20

/** Null when it is proven. */
export function disbeliefOf(received: Received): Disbelief | null {
  const claim = claimOf(received.headers)
  if (claim === undefined || !/^\d{1,12}$/.test(claim.timestamp)) return 'signature_missing'
  const age_s = Math.abs(Math.floor(received.received_at.getTime() / 1_000) - Number(claim.timestamp))
  if (age_s > TOLERANCE_S) return 'timestamp_stale'
  const { body, secrets } = received
  const is_proven = claim.signatures
    .slice(0, SIGNATURES_MOST)
    .some(signature => secrets.some(secret => isProven(claim, signature, body, secret)))
  return is_proven ? null : 'signature_invalid'
}

interface Claim {
  readonly timestamp: string
  /** What is signed before the body. */
  readonly head: string
  readonly is_standard: boolean
  readonly signatures: readonly { readonly version: string; readonly bytes: Buffer }[]
}

function claimOf(headers: Received['headers']): Claim | undefined {
  const standard = headers['webhook-signature']
  const id = headers['webhook-id']
  const sent_at = headers['webhook-timestamp']
  if (standard !== undefined && id !== undefined && sent_at !== undefined) {
    const signatures = standard.split(' ').map(part => {
      const [version = '', base64 = ''] = part.split(',')
      return { version, bytes: Buffer.from(base64, 'base64') }
    })
    return { timestamp: sent_at, head: `${id}.${sent_at}.`, is_standard: true, signatures }
  }
  const members = headers['bursar-signature']?.split(',').map(member => member.split('=', 2))
  const timestamp = members?.find(([name]) => name === 't')?.[1]
  if (members === undefined || timestamp === undefined) return undefined
  const signatures = members
    .filter(([name]) => name === 'v1')
    .map(([, hex = '']) => ({ version: 'v1', bytes: Buffer.from(hex, 'hex') }))
  return { timestamp, head: `${timestamp}.`, is_standard: false, signatures }
}

function isProven(
  { head, is_standard }: Claim,
  { version, bytes }: Claim['signatures'][number],
  body: Uint8Array,
  secret: VerifyingSecret,
): boolean {
  if (version === 'v1' && secret.kind === 'hmac') {
    const key = is_standard ? secret.key : secret.text
    const expected = createHmac('sha256', key).update(head).update(body).digest()
    return expected.length === bytes.length && timingSafeEqual(expected, bytes)
  }
  if (version === 'v1a' && secret.kind === 'ed25519') {
    return verify(null, Buffer.concat([Buffer.from(head), body]), secret.key, bytes)
  }
  return false
}
