/**
 * The headers that prove where a delivery comes from. Pure: the same question has the same answer, so a delivery that is
 * sent again is signed anew, with the time of that try and with every secret that is valid then.
 *
 * - `bursar`: `Bursar-Signature: t=<unix seconds>,v1=<hex>[,v1=<hex>…]`, HMAC-SHA256 over `t.body`, keyed with the secret
 *   as text. It is Stripe's form (docs.stripe.com/webhooks/signature), so Stripe's libraries accept the header's value.
 * - `standard`, `standard_ed25519`: Standard Webhooks. `webhook-signature` is a list, parted by spaces, of `v1,<base64>`
 *   (HMAC-SHA256) and `v1a,<base64>` (ed25519), over `id.t.body`.
 *
 * While a secret is rotated there are several: one signature each, newest first, and a receiver accepts any.
 */
import { createHmac, sign } from 'node:crypto'
import { assert } from '#kernel'
import type { SignatureScheme } from '../types.ts'
import type { SigningSecret } from './secret.ts'

export interface Signed {
  readonly scheme: SignatureScheme
  /** Those that are valid now, newest first; of the kinds that the scheme has. At least one. */
  readonly secrets: readonly SigningSecret[]
  /** The event's: `evt_…`. The same for each try, so that a receiver knows what it has had. */
  readonly id: string
  /** When it is sent. */
  readonly at: Date
  /** The very text that is sent. */
  readonly body: string
}

/** Names in lower case. */
export function signatureHeaders(signed: Signed): Record<string, string> {
  assert(signed.secrets.length > 0, 'a delivery is signed with something')
  const timestamp = String(Math.floor(signed.at.getTime() / 1_000))
  if (signed.scheme === 'bursar') return { 'bursar-signature': stripeForm(signed, timestamp) }
  return {
    'webhook-id': signed.id,
    'webhook-timestamp': timestamp,
    'webhook-signature': signed.secrets.map(secret => standardForm(signed, secret, timestamp)).join(' '),
  }
}

function stripeForm({ secrets, body }: Signed, timestamp: string): string {
  const signatures = secrets.map(secret => {
    assert(secret.kind === 'hmac', "Stripe's form has no ed25519")
    return `,v1=${createHmac('sha256', secret.text).update(`${timestamp}.`).update(body).digest('hex')}`
  })
  return `t=${timestamp}${signatures.join('')}`
}

function standardForm({ id, body }: Signed, secret: SigningSecret, timestamp: string): string {
  const head = `${id}.${timestamp}.`
  return secret.kind === 'hmac'
    ? `v1,${createHmac('sha256', secret.key).update(head).update(body).digest('base64')}`
    : `v1a,${sign(null, Buffer.from(head + body), secret.key).toString('base64')}`
}
