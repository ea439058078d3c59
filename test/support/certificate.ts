/**
 * Certificates for servers of tests: made in the process, signed by themselves, valid today. Node reads X.509 and does
 * not write it, so the few structures of RFC 5280 that are needed are written here.
 */
import { createSign, generateKeyPairSync } from 'node:crypto'

export interface Certificate {
  /** PEM, PKCS #8. */
  key: string
  /** PEM. */
  cert: string
}

/** Tag, length, content (X.690, 8.1). */
function der(tag: number, ...parts: (Buffer | string)[]): Buffer {
  const content = Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : part)))
  const bytes = content.length.toString(16)
  const length = Buffer.from(bytes.length % 2 === 0 ? bytes : `0${bytes}`, 'hex')
  const head = content.length < 0x80 ? [tag, content.length] : [tag, 0x80 | length.length, ...length]
  return Buffer.concat([Buffer.from(head), content])
}
const sequence = (...parts: Buffer[]) => der(0x30, ...parts)
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
const utcTime = (at: Date) => der(0x17, `${at.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`)

const COMMON_NAME = '550403'
const SUBJECT_ALT_NAME = '551d11'
const ECDSA_WITH_SHA256 = '2a8648ce3d040302'
const DAY_MS = 86_400_000

/** For these names and IPv4 addresses; from yesterday until `days` from `now`, which may lie in the past. */
export function makeCertificate(hosts: readonly string[], now: Date, days = 2): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm = sequence(oid(ECDSA_WITH_SHA256))
  const name = sequence(der(0x31, sequence(oid(COMMON_NAME), der(0x0c, hosts[0] ?? 'nobody'))))
  const names = hosts.map(host =>
    /^[\d.]+$/.test(host) ? der(0x87, Buffer.from(host.split('.').map(Number))) : der(0x82, host),
  )
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, Buffer.from([1])),
    algorithm,
    name,
    sequence(utcTime(new Date(now.getTime() - DAY_MS)), utcTime(new Date(now.getTime() + days * DAY_MS))),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(sequence(oid(SUBJECT_ALT_NAME), der(0x04, sequence(...names))))),
  )
  const signature = createSign('sha256').update(body).sign(privateKey)
  const whole = sequence(body, algorithm, der(0x03, Buffer.from([0]), signature))
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? []
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    cert: `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`,
  }
}
