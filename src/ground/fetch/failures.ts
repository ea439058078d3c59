/**
 * Why a call has no answer: a class to decide by, and a sentence for the receiver's people. The sentence is written
 * here and never taken from an error: an error may quote the URL with its query, or bytes of what was sent.
 */
import { errors } from 'undici'

export type Failure = 'dns' | 'connect' | 'tls' | 'timeout' | 'protocol' | 'blocked'

export class FetchError extends Error {
  override name = 'FetchError'
  readonly failure: Failure
  /** The other side closed before it said anything: it may be asked again at once, on a new connection. */
  readonly is_unanswered_close: boolean

  constructor(failure: Failure, message: string, is_unanswered_close = false) {
    super(message)
    this.failure = failure
    this.is_unanswered_close = is_unanswered_close
  }
}

/** The code of any error, as Node, OpenSSL, c-ares and undici set it. */
export function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^\w{1,64}$/.test(code) ? code : 'unknown'
}

const CONNECT_SENTENCES: Record<string, string> = {
  ECONNREFUSED: 'The connection was refused: nothing listens there.',
  ECONNRESET: 'The connection was closed while it was made.',
  EHOSTUNREACH: 'The host cannot be reached.',
  ENETUNREACH: 'The network of the host cannot be reached.',
  ETIMEDOUT: 'The host did not answer to a connection.',
}

export function connectFailure(error: unknown): FetchError {
  const code = codeOf(error)
  return new FetchError('connect', CONNECT_SENTENCES[code] ?? `The connection could not be made (${code}).`)
}

const UNTRUSTED = 'The certificate is not signed by an authority that is trusted here.'
const CHAIN =
  'The certificate does not lead to a trusted authority: the server must send the intermediate certificates, too.'
const SELF_SIGNED = 'The certificate is signed by itself, and by no authority that is trusted here.'
const OLD = 'The server does not speak TLS 1.2 or later.'
const NOT_TLS = 'The server does not speak TLS at this port.'
const CLIENT_CERTIFICATE = 'The server demands a client certificate, which is never sent.'

/** Codes of OpenSSL's verification (`X509_V_ERR_…`) and of its alerts, as Node names them. */
const TLS_SENTENCES: Record<string, string> = {
  CERT_HAS_EXPIRED: 'The certificate has expired.',
  CERT_NOT_YET_VALID: 'The certificate is not valid yet.',
  CERT_REVOKED: 'The certificate was revoked.',
  ERR_TLS_CERT_ALTNAME_INVALID: 'The certificate is for another host than the one of the URL.',
  HOSTNAME_MISMATCH: 'The certificate is for another host than the one of the URL.',
  DEPTH_ZERO_SELF_SIGNED_CERT: SELF_SIGNED,
  SELF_SIGNED_CERT_IN_CHAIN: UNTRUSTED,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: CHAIN,
  UNABLE_TO_GET_ISSUER_CERT: CHAIN,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: CHAIN,
  CERT_UNTRUSTED: UNTRUSTED,
  CERT_REJECTED: UNTRUSTED,
  ERR_SSL_UNSUPPORTED_PROTOCOL: OLD,
  ERR_SSL_VERSION_TOO_LOW: OLD,
  ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: OLD,
  ERR_SSL_WRONG_VERSION_NUMBER: NOT_TLS,
  ERR_SSL_HTTP_REQUEST: NOT_TLS,
  ERR_SSL_PACKET_LENGTH_TOO_LONG: NOT_TLS,
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: CLIENT_CERTIFICATE,
  ERR_SSL_SSLV3_ALERT_HANDSHAKE_FAILURE:
    'The server refused the TLS handshake: no cipher in common, or it demands a client certificate.',
  ERR_SSL_TLSV1_UNRECOGNIZED_NAME: 'The server does not know the host of the URL.',
  ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR: 'The server broke the TLS handshake off by an error of its own.',
  ECONNRESET: 'The server closed the connection during the TLS handshake.',
  EPIPE: 'The server closed the connection during the TLS handshake.',
}

export function tlsFailure(error: unknown): FetchError {
  const code = codeOf(error)
  return new FetchError('tls', TLS_SENTENCES[code] ?? `The TLS handshake failed (${code}).`)
}

/** Of c-ares. Our own name servers failing look the same as the receiver's, so the sentence accuses nobody. */
const DNS_SENTENCES: Record<string, string> = {
  ENOTFOUND: 'The name of the host does not exist.',
  ENODATA: 'The name of the host has no address.',
  ESERVFAIL: 'The name servers of the host failed (SERVFAIL).',
  EREFUSED: 'The name servers of the host refused to answer.',
  ETIMEOUT: 'The name servers of the host did not answer in time.',
  ECANCELLED: 'The name servers of the host did not answer in time.',
}

export function dnsFailure(error: unknown): FetchError {
  const code = codeOf(error)
  return new FetchError('dns', DNS_SENTENCES[code] ?? `The name of the host could not be resolved (${code}).`)
}

/** Codes of undici that say what was wrong with the bytes of the answer. */
const PROTOCOL_SENTENCES: Record<string, string> = {
  UND_ERR_HEADERS_OVERFLOW: 'The headers of the answer are too large.',
  UND_ERR_INVALID_ARG: 'The request has a header that cannot be sent.',
}

/**
 * An exchange that ended before a status was known. `is_silent`: not a byte of an answer had come, so a close says
 * nothing of the answer; with some bytes it broke off in its headers.
 */
export function exchangeFailure(error: unknown, is_silent: boolean): FetchError {
  const code = codeOf(error)
  if (error instanceof errors.HTTPParserError || error instanceof errors.ResponseContentLengthMismatchError) {
    return new FetchError(
      'protocol',
      'The answer is not HTTP/1.1: its first line or its headers cannot be read.',
    )
  }
  const sentence = PROTOCOL_SENTENCES[code]
  if (sentence !== undefined) return new FetchError('protocol', sentence)
  // TLS 1.3 tells of a client certificate that it misses, and of other refusals, only when the request is written.
  if (code.startsWith('ERR_SSL_')) return tlsFailure(error)
  // Undici's words for a 100 or a 101 that nobody asked for.
  if (error instanceof Error && /^bad (response|upgrade)$/.test(error.message)) {
    return new FetchError('protocol', 'The answer is an interim one (100 or 101) that was not asked for.')
  }
  if (is_silent) return new FetchError('connect', 'The connection was closed before an answer came.', true)
  return new FetchError('protocol', 'The connection was closed in the middle of the headers of the answer.')
}
