/**
 * X.509 certificates for tests, made when they are needed: an authority of the test's own and servers under it, valid
 * or wrong in one way. Node signs but does not write certificates, so the DER is written here (RFC 5280, section 4.1).
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { isIP } from 'node:net'

export interface Certificate {
  /** PEM, as `tls.createServer` takes them. */
  cert: string
  key: string
}

export interface Authority extends Certificate {
  /** A server's certificate; without more, for 127.0.0.1 and localhost, from an hour ago for a day. */
  issue(options?: { hosts?: readonly string[]; from?: Date; to?: Date }): Certificate
}

const HOUR_MS = 3_600_000

const der = (tag: number, ...parts: (Buffer | Uint8Array)[]): Buffer => {
  const content = Buffer.concat(parts)
  const { length } = content
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
const sequence = (...parts: Buffer[]) => der(0x30, ...parts)
const set = (...parts: Buffer[]) => der(0x31, ...parts)
const oid = (hex: string) => der(0x06, Buffer.from(hex, 'hex'))
const utf8 = (text: string) => der(0x0c, Buffer.from(text))
const bits = (bytes: Buffer) => der(0x03, Buffer.from([0]), bytes)
const octets = (bytes: Buffer) => der(0x04, bytes)
const TRUE = der(0x01, Buffer.from([0xff]))
/** UTCTime, YYMMDDHHMMSSZ. */
const time = (at: Date) =>
  der(
    0x17,
    Buffer.from(
      `${at
        .toISOString()
        .replace(/[-:T]|\.\d+/g, '')
        .slice(2)}`,
    ),
  )

const COMMON_NAME = oid('550403')
const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))
const BASIC_CONSTRAINTS = oid('551d13')
const SUBJECT_ALT_NAME = oid('551d11')

const name = (common: string) => sequence(set(sequence(COMMON_NAME, utf8(common))))
const extension = (id: Buffer, value: Buffer, is_critical = false) =>
  sequence(id, ...(is_critical ? [TRUE] : []), octets(value))

interface Contents {
  subject: string
  issuer: string
  from: Date
  to: Date
  hosts?: readonly string[]
  is_authority: boolean
}

function write(of: Contents, subject_key: KeyObject, issuer_key: KeyObject): string {
  const names = (of.hosts ?? []).map(host =>
    isIP(host) === 4
      ? der(0x87, Buffer.from(host.split('.').map(Number)))
      : der(0x82, Buffer.from(host, 'latin1')),
  )
  const extensions = [
    ...(of.is_authority ? [extension(BASIC_CONSTRAINTS, sequence(TRUE), true)] : []),
    ...(names.length > 0 ? [extension(SUBJECT_ALT_NAME, sequence(...names))] : []),
  ]
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    // Positive, so its first bit is not set.
    der(0x02, Buffer.from([1]), randomBytes(15)),
    ECDSA_WITH_SHA256,
    name(of.issuer),
    sequence(time(of.from), time(of.to)),
    name(of.subject),
    subject_key.export({ type: 'spki', format: 'der' }),
    der(0xa3, sequence(...extensions)),
  )
  const signed = sequence(body, ECDSA_WITH_SHA256, bits(sign('sha256', body, issuer_key)))
  const lines = signed.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: KeyObject) => key.export({ type: 'pkcs8', format: 'pem' }).toString()
const around = () => ({ from: new Date(Date.now() - HOUR_MS), to: new Date(Date.now() + 24 * HOUR_MS) })

export function createAuthority(common = 'Authority of a test'): Authority {
  const keys = pair()
  const cert = write(
    { subject: common, issuer: common, ...around(), is_authority: true },
    keys.publicKey,
    keys.privateKey,
  )
  return {
    cert,
    key: pem(keys.privateKey),
    issue({ hosts = ['127.0.0.1', 'localhost'], ...validity } = {}) {
      const server = pair()
      const contents = { subject: 'Server of a test', issuer: common, ...around(), ...validity, hosts }
      return {
        cert: write({ ...contents, is_authority: false }, server.publicKey, keys.privateKey),
        key: pem(server.privateKey),
      }
    },
  }
}

/** A server's certificate that nobody but the server itself has signed. */
export function selfSigned(hosts: readonly string[] = ['127.0.0.1', 'localhost']): Certificate {
  const keys = pair()
  const common = 'Server that trusts itself'
  return {
    cert: write(
      { subject: common, issuer: common, ...around(), hosts, is_authority: false },
      keys.publicKey,
      keys.privateKey,
    ),
    key: pem(keys.privateKey),
  }
}
