/** A mail server for tests: takes mail by SMTP and keeps it, whole and as a mail program would read it. */
import PostalMime, { type Email } from 'postal-mime'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'

export interface ReceivedMail {
  from: string
  to: string[]
  is_secure: boolean
  raw: string
  mail: Email
}

export interface MailServer {
  port: number
  /** What it got, in order. */
  received: ReceivedMail[]
  /** Connections it had, those that ended included. */
  connections(): number
  close(): Promise<void>
}

/** Listens at loopback and keeps what it gets. */
export async function startMailServer(options: SMTPServerOptions = {}): Promise<MailServer> {
  const received: ReceivedMail[] = []
  let connections = 0
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: options.key === undefined ? ['STARTTLS'] : [],
    disableReverseLookup: true,
    onConnect(_session, done) {
      connections += 1
      done()
    },
    onData(stream, session, done) {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const raw = Buffer.concat(chunks)
        const { mailFrom, rcptTo } = session.envelope
        void PostalMime.parse(raw).then(mail => {
          received.push({
            from: mailFrom === false ? '' : mailFrom.address,
            to: rcptTo.map(({ address }) => address),
            is_secure: session.secure,
            raw: raw.toString('latin1'),
            mail,
          })
          done()
        }, done)
      })
    },
    ...options,
  })
  // Clients that give up reset the connection; that is no trouble of the server's.
  server.on('error', () => undefined)
  const { promise: listening, resolve } = Promise.withResolvers<void>()
  const listener = server.listen(0, '127.0.0.1', resolve)
  await listening
  const address = listener.address()
  if (address === null || typeof address === 'string') throw new Error('it listens at a port')
  return {
    port: address.port,
    received,
    connections: () => connections,
    close: () =>
      new Promise<void>(closed => {
        server.close(() => closed())
      }),
  }
}
