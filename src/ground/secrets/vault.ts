/**
 * Keeps texts that must be read again (what signs a delivery, an answer that shows it once) so that a copy of the
 * database alone reads none of them: AES-256-GCM under a key that is derived from the installation's secret. The row a
 * text belongs to is authenticated with it, so what is sealed for one row opens nowhere else.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { assert } from '#kernel'

export interface Vault {
  /** `identity` names the row: its table's key. The same text is sealed differently each time. */
  seal(text: string, identity: string): Buffer
  /** Throws when it was sealed for another row, by another installation, or was changed. */
  open(sealed: Uint8Array, identity: string): string
}

/** Says how the rest is laid out: version, nonce, tag, text. */
const VERSION = 1
const KEY_BYTES = 32
/** NIST SP 800-38D, section 5.2.1.1: 96 bits; drawn at random, safe for 2^32 texts under one key. */
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + NONCE_BYTES + TAG_BYTES

/** `purpose` parts the keys of those who seal: what one of them sealed opens for no other. */
export function createVault(installation_secret: string, purpose: string): Vault {
  assert(installation_secret !== '', 'an installation has a secret')
  const key = Buffer.from(hkdfSync('sha256', installation_secret, '', `bursar ${purpose}`, KEY_BYTES))
  return {
    seal(text, identity) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(identity))
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([Buffer.of(VERSION), nonce, cipher.getAuthTag(), sealed])
    },
    open(sealed, identity) {
      const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength)
      if (bytes.length < HEAD_BYTES || bytes[0] !== VERSION) throw unreadable()
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(1, 1 + NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      })
      decipher.setAAD(Buffer.from(identity)).setAuthTag(bytes.subarray(1 + NONCE_BYTES, HEAD_BYTES))
      const text = decipher.update(bytes.subarray(HEAD_BYTES))
      try {
        return Buffer.concat([text, decipher.final()]).toString('utf8')
      } catch (error) {
        throw unreadable(error)
      }
    },
  }
}

const unreadable = (cause?: unknown): Error =>
  new Error('a sealed value does not open: is BURSAR_SECRET the one it was sealed with?', { cause })
