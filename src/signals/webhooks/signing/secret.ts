/**
 * What deliveries are signed with, as texts people copy and as keys. `whsec_` is HMAC's, shared with the receiver;
 * `whsk_` is the private half of an ed25519 pair, which never leaves, and `whpk_` its public half. The prefixes and what
 * follows them are those of Standard Webhooks (github.com/standard-webhooks/standard-webhooks, "Signature scheme").
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto'
import { assert } from '#kernel'

export type SecretKind = 'hmac' | 'ed25519'

/** A secret ready to sign with. */
export type SigningSecret =
  | {
      readonly kind: 'hmac'
      /** `whsec_…` as a whole: what Stripe's form is keyed with. */
      readonly text: string
      /** What the base64 after the prefix stands for: what Standard Webhooks is keyed with. */
      readonly key: Buffer
    }
  | { readonly kind: 'ed25519'; readonly key: KeyObject }

/** What proves a signature: the shared secret, or a public key. */
export type VerifyingSecret =
  | Extract<SigningSecret, { kind: 'hmac' }>
  | { readonly kind: 'ed25519'; readonly key: KeyObject }

/** As long as the digest of SHA-256, beyond which RFC 2104 sees no gain; Standard Webhooks allows 24 to 64. */
const HMAC_BYTES = 32
const SEED_BYTES = 32
const PUBLIC_BYTES = 32

/** A new secret as text, and the text of its public half where it has one. */
export function generateSecret(kind: SecretKind): { text: string; public_key: string | null } {
  if (kind === 'hmac')
    return { text: `whsec_${randomBytes(HMAC_BYTES).toString('base64')}`, public_key: null }
  const { d = '', x = '' } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' })
  const half = Buffer.from(x, 'base64url')
  const pair = Buffer.concat([Buffer.from(d, 'base64url'), half])
  return { text: `whsk_${pair.toString('base64')}`, public_key: `whpk_${half.toString('base64')}` }
}

/** The key of a text that `generateSecret` made. */
export function signingSecret(text: string): SigningSecret {
  if (text.startsWith('whsec_')) return sharedSecret(text)
  assert(text.startsWith('whsk_'), 'a signing secret begins with whsec_ or whsk_')
  const pair = bytesOf(text)
  assert(pair.length === SEED_BYTES + PUBLIC_BYTES, 'a private key is a seed and its public half')
  const d = pair.subarray(0, SEED_BYTES).toString('base64url')
  const x = pair.subarray(SEED_BYTES).toString('base64url')
  return {
    kind: 'ed25519',
    key: createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x }, format: 'jwk' }),
  }
}

/** The key of a text that a receiver was given: `whsec_…` or `whpk_…`. */
export function verifyingSecret(text: string): VerifyingSecret {
  if (text.startsWith('whsec_')) return sharedSecret(text)
  assert(text.startsWith('whpk_'), 'what verifies begins with whsec_ or whpk_')
  const half = bytesOf(text)
  assert(half.length === PUBLIC_BYTES, 'a public key has 32 bytes')
  const key = createPublicKey({
    key: { kty: 'OKP', crv: 'Ed25519', x: half.toString('base64url') },
    format: 'jwk',
  })
  return { kind: 'ed25519', key }
}

const bytesOf = (text: string): Buffer => Buffer.from(text.slice(text.indexOf('_') + 1), 'base64')

const sharedSecret = (text: string): Extract<SigningSecret, { kind: 'hmac' }> => ({
  kind: 'hmac',
  text,
  key: bytesOf(text),
})
