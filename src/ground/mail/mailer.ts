/**
 * Sends mail over SMTP. Connections are kept and shared; each message has one absolute deadline; what became of it is
 * returned, because a refusal is for the caller to live with and a failure for its next try.
 *
 * Nothing of a message can become a header or a command: addresses are checked, other text is cleared of line breaks
 * and encoded. A line of the log names the recipient's domain and nothing else of the mail; what the server answered is
 * reduced to its code, because servers quote addresses.
 */
import type { Transporter } from 'nodemailer'
import type { NodemailerError } from 'nodemailer/lib/errors.js'
import { assert } from '#kernel'
import { counter, type Log } from '#metrics'
import { domainOf, isAddress } from './address.ts'

export interface MailerOptions {
  /** `smtps://user:password@host:465`, or `smtp://…:587`, where TLS begins after the greeting (STARTTLS). */
  url: string
  /** The address that mails come from. */
  from: string
  log: Log
  /** For tests of what takes long. */
  timing?: Partial<Timing>
}

interface Timing {
  /** From the call to the outcome: waiting for a connection, greeting, TLS, password and message together. */
  deadline_ms: number
}

/**
 * RFC 5321, 4.5.3.2, gives a server minutes for each command; one that takes half a minute for a page of text is ill,
 * and the job that sends has its next try.
 */
const TIMING: Timing = { deadline_ms: 30_000 }
/** Mails are rare; two connections send some twenty a second. */
const CONNECTIONS_MOST = 2
/** Servers count messages of a connection and close it at some number; most allow this many. */
const MESSAGES_A_CONNECTION = 100
/** A server may close after five minutes (RFC 5321, 4.5.3.2.7) and many do sooner; a new connection costs little. */
const IDLE_MS = 15_000
/** Waiting together with those under way: more than the jobs of one process ever send at once. */
const PENDING_MOST = 100
/** Mail programs show some seventy characters of it. */
const SUBJECT_LENGTH_MAX = 200
/** A page of text is a few thousand characters; what is longer was put together wrongly. */
const BODY_LENGTH_MAX = 200_000
const SENDER_NAME = 'Bursar'

export interface Mail {
  /** One address. */
  to: string
  subject: string
  text: string
  html?: string
  /** Before the @ of the Message-ID: the same for each try, so that a mail that comes twice is seen to be one. */
  message_id: string
}

/**
 * `refused`: the server will never take it, as for a mailbox that does not exist; `failed`: it may another time, and
 * nobody knows whether it was taken. Reasons name nobody.
 */
export type MailOutcome = { kind: 'sent' } | { kind: 'refused' | 'failed'; reason: string }

export interface Mailer {
  /** Never throws for what a server or a network does. */
  send(mail: Mail): Promise<MailOutcome>
  /** Ends every connection; what is under way has failed. */
  close(): Promise<void>
}

const mails = counter({
  name: 'bursar_mails_total',
  help: 'Mails by outcome: "refused" is not tried again, "failed" is',
  labels: ['outcome'],
})

/** Connects when there is something to send. `url` and `from` are as the settings have checked them. */
export function createMailer({ url, from, log, ...options }: MailerOptions): Mailer {
  assert(isAddress(from), 'mails come from an address')
  const { deadline_ms } = { ...TIMING, ...options.timing }
  const at = new URL(url)
  let transport: Promise<Transporter> | undefined
  let pending = 0

  /** Loaded with the first mail: most processes never send one. */
  async function connect(): Promise<Transporter> {
    const { createTransport } = await import('nodemailer')
    const made = createTransport({
      pool: true,
      maxConnections: CONNECTIONS_MOST,
      maxMessages: MESSAGES_A_CONNECTION,
      idleTimeout: IDLE_MS,
      // Once, for a connection that was closed while it was idle; other tries are the caller's.
      maxRequeues: 1,
      ...server(at),
      connectionTimeout: deadline_ms,
      greetingTimeout: deadline_ms,
      socketTimeout: deadline_ms,
      dnsTimeout: deadline_ms,
      tls: { minVersion: 'TLSv1.2' },
      disableFileAccess: true,
      disableUrlAccess: true,
    })
    // It belongs to no message: an idle connection that broke. The next message opens another.
    made.on('error', error => log.warn('mail_connection.lost', { reason: reasonOf(error) }))
    return made
  }

  async function attempt(mail: Mail): Promise<MailOutcome> {
    if (!isAddress(mail.to)) return { kind: 'refused', reason: 'the address is none' }
    if (pending >= PENDING_MOST) return { kind: 'failed', reason: 'too many mails wait' }
    pending += 1
    try {
      transport ??= connect()
      await (await transport).sendMail({
        ...messageOf(mail, from),
        signal: AbortSignal.timeout(deadline_ms),
      })
      return { kind: 'sent' }
    } catch (error) {
      const is_final = (error as NodemailerError).permanent === true && isAboutMail(error as NodemailerError)
      return { kind: is_final ? 'refused' : 'failed', reason: reasonOf(error) }
    } finally {
      pending -= 1
    }
  }

  return {
    async send(mail) {
      const started_ms = performance.now()
      const outcome = await attempt(mail)
      mails.inc({ outcome: outcome.kind })
      const write = outcome.kind === 'sent' ? log.event : log.warn
      write(`mail.${outcome.kind}`, {
        message_id: mail.message_id,
        to_domain: isAddress(mail.to) ? domainOf(mail.to) : null,
        duration_ms: performance.now() - started_ms,
        ...(outcome.kind !== 'sent' && { reason: outcome.reason }),
      })
      return outcome
    },
    async close() {
      const opened = await transport
      opened?.close({ force: true })
    },
  }
}

/** `smtps` speaks TLS from the first byte. `smtp` turns to it when it is offered; a password waits until it has. */
function server(at: URL) {
  const is_secure = at.protocol === 'smtps:'
  const has_password = at.username !== '' || at.password !== ''
  const host = at.hostname.replace(/^\[(.*)\]$/, '$1')
  return {
    host,
    port: at.port === '' ? (is_secure ? 465 : 587) : Number(at.port),
    secure: is_secure,
    // Whoever sits on the line could leave the offer out. On this machine nobody does.
    requireTLS: !is_secure && has_password && !isThisMachine(host),
    ...(has_password && {
      auth: { user: decodeURIComponent(at.username), pass: decodeURIComponent(at.password) },
    }),
  }
}

const isThisMachine = (host: string) => host === 'localhost' || host === '::1' || /^127(\.\d+){3}$/.test(host)

function messageOf({ to, subject, text, html, message_id }: Mail, from: string) {
  assert(/^[\w.-]{1,100}$/.test(message_id), 'a Message-ID is a word')
  const longest = Math.max(text.length, html?.length ?? 0)
  assert(longest <= BODY_LENGTH_MAX, 'a mail is a page of text')
  return {
    from: { name: SENDER_NAME, address: from },
    // As an object it is one address, whatever is in it; as a string it would be parsed as a list.
    to: { name: '', address: to },
    envelope: { from, to: [to] },
    subject: oneLine(subject).slice(0, SUBJECT_LENGTH_MAX),
    text,
    ...(html !== undefined && { html }),
    messageId: `<${message_id}@${domainOf(from)}>`,
    // RFC 3834, 5: no holiday notes in answer to a program.
    headers: { 'Auto-Submitted': 'auto-generated' },
  }
}

/** Control characters and all that may end a line become spaces. */
const oneLine = (text: string) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ').trim()

/** A refused password, greeting or sender is ours to mend: the mail can go out afterwards. */
const isAboutMail = ({ code, command }: NodemailerError) =>
  (code === 'EENVELOPE' && command === 'RCPT TO') || code === 'EMESSAGE'

/** Without what the server said, which names people. */
function reasonOf(error: unknown): string {
  const { code, command, responseCode, originalCode, name } = error as NodemailerError
  if (name === 'AbortError' || code === 'ETIMEDOUT') return 'the server took too long'
  const about = [command, originalCode ?? code].filter(word => word !== undefined).join(' ')
  return responseCode === undefined
    ? `the server could not be reached or broke off (${about || 'no code'})`
    : `the server answered ${responseCode} (${about})`
}
