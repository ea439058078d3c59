import { createServer, type Socket } from 'node:net'
import { getCACertificates, setDefaultCACertificates } from 'node:tls'
import type { SMTPServerOptions } from 'smtp-server'
import { afterEach, describe, expect, test } from 'vitest'
import { systemClock } from '#kernel'
import { createLog, metricsText } from '#metrics'
import { makeCertificate } from '../../../test/support/certificate.ts'
import { startMailServer } from '../../../test/support/mail-server.ts'
import { createMailer, isAddress, type Mail, type Mailer } from './index.ts'

const stops: (() => Promise<void> | void)[] = []
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop()
})

async function mailServer(options: SMTPServerOptions = {}) {
  const server = await startMailServer(options)
  stops.push(() => server.close())
  return server
}

/** A server that speaks no SMTP: `talk` is handed each connection. */
async function rawServer(talk: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server = createServer(socket => {
    sockets.add(socket)
    socket.on('error', () => undefined)
    talk(socket)
  })
  await new Promise<void>(listening => server.listen(0, '127.0.0.1', listening))
  stops.push(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise(closed => server.close(closed))
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it listens at a port')
  return address.port
}

function mailerTo(url: string, deadline_ms = 15_000): { mailer: Mailer; lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = []
  const log = createLog({ level: 'info', destination: { write: line => void lines.push(JSON.parse(line)) } })
  const mailer = createMailer({ url, from: 'bursar@shop.example', log, timing: { deadline_ms } })
  stops.push(() => mailer.close())
  return { mailer, lines }
}

const mail = (more: Partial<Mail> = {}): Mail => ({
  to: 'ada@example.com',
  subject: 'Hello',
  text: 'A line.\n',
  message_id: 'notice.1',
  ...more,
})

describe('a mail', () => {
  test('arrives as it was written, in any script, in both of its forms', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    const subject =
      'Zahlungen für Ærøskøbing 不達 🚚 – und so weiter, länger als eine Zeile im Kopf es sein darf'
    const text = 'Guten Tag,\n\nnichts kam an. Καλημέρα. 你好.\n.\nA dot alone ends nothing.\n'
    const html = '<!doctype html><p>Καλημέρα <b>你好</b></p>'
    expect(await mailer.send(mail({ subject, text, html }))).toEqual({ kind: 'sent' })
    const [got] = server.received
    expect(got?.mail).toMatchObject({
      subject,
      // The protocol ends every body with a line break.
      text: `${text}\n`,
      html: expect.stringContaining(html),
      messageId: '<notice.1@shop.example>',
      from: { name: 'Bursar', address: 'bursar@shop.example' },
      to: [{ name: '', address: 'ada@example.com' }],
    })
    expect(got?.mail.headers).toContainEqual(
      expect.objectContaining({ key: 'auto-submitted', value: 'auto-generated' }),
    )
    expect(got).toMatchObject({ from: 'bursar@shop.example', to: ['ada@example.com'] })
  })

  test('has no line longer than the protocol allows, and loses nothing by it', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    const text = `${'long '.repeat(3_000)}\n${'x'.repeat(5_000)}\n`
    await mailer.send(mail({ text, html: `<p>${'y'.repeat(5_000)}</p>`, subject: 'z'.repeat(500) }))
    const [got] = server.received
    expect(got?.mail.text?.trimEnd() === text.trimEnd()).toBe(true)
    expect(got?.mail.html).toContain('y'.repeat(5_000))
    expect(got?.mail.subject).toBe('z'.repeat(200))
    // RFC 5322, 2.1.1, without its CRLF.
    expect(Math.max(...(got?.raw.split('\r\n') ?? []).map(line => line.length))).toBeLessThanOrEqual(998)
  })

  test('has the headers that we gave it and no others, whatever its subject says', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    const endings = ['\r\n', '\n', '\r', '\u2028', '\u0085', '\v', '\0']
    for (const [n, ending] of endings.entries()) {
      const subject = `Hello${ending}Bcc: eve@example.com${ending}${ending}<b>`
      expect(await mailer.send(mail({ subject, message_id: `notice.${n}` }))).toEqual({ kind: 'sent' })
    }
    expect(server.received).toHaveLength(endings.length)
    for (const { to, mail: got } of server.received) {
      expect(to).toEqual(['ada@example.com'])
      expect(got.bcc).toBeUndefined()
      expect(got.subject).toBe('Hello Bcc: eve@example.com <b>')
      expect(got.text).toBe('A line.\n')
    }
  })

  test('is sent again under the id that it had', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    await mailer.send(mail())
    await mailer.send(mail())
    expect(server.received.map(got => got.mail.messageId)).toEqual([
      '<notice.1@shop.example>',
      '<notice.1@shop.example>',
    ])
    expect(server.connections()).toBe(1)
  })

  test('shares two connections with all others', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`, 50_000)
    const outcomes = await Promise.all(
      Array.from({ length: 120 }, (_, n) => mailer.send(mail({ message_id: `notice.${n}` }))),
    )
    // A hundred may wait; the next are told so at once, and tried another time.
    expect(outcomes.filter(({ kind }) => kind === 'sent')).toHaveLength(100)
    expect(outcomes.filter(({ kind }) => kind === 'failed')).toHaveLength(20)
    expect(server.connections()).toBeLessThanOrEqual(2)
  })
})

describe('a server', () => {
  test('that knows no such mailbox has refused it for good', async () => {
    const server = await mailServer({
      onRcptTo({ address }, _session, done) {
        done(Object.assign(new Error(`<${address}> does not live here`), { responseCode: 550 }))
      },
    })
    const { mailer, lines } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    const outcome = await mailer.send(mail())
    expect(outcome).toEqual({ kind: 'refused', reason: 'the server answered 550 (RCPT TO EENVELOPE)' })
    expect(lines).toMatchObject([{ level: 'warn', event: 'mail.refused', to_domain: 'example.com' }])
    expect(JSON.stringify(lines)).not.toContain('ada')
  })

  test.each([
    ['the mailbox for now (greylisting)', 'onRcptTo', 451],
    ['the sender', 'onMailFrom', 550],
  ] as const)('that refuses %s may take it another time', async (_what, at, responseCode) => {
    const refuse = (_address: unknown, _session: unknown, done: (error: Error) => void) =>
      done(Object.assign(new Error('no, ada'), { responseCode }))
    const server = await mailServer({ [at]: refuse })
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    expect(await mailer.send(mail())).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining(String(responseCode)),
    })
  })

  test('that refuses our password may take it another time, and no log has the password', async () => {
    const server = await mailServer({
      authOptional: false,
      allowInsecureAuth: true,
      onAuth: (_auth, _session, done) => done(new Error('not hunter2')),
    })
    const { mailer, lines } = mailerTo(`smtp://bursar:hunter2@127.0.0.1:${server.port}`)
    expect(await mailer.send(mail())).toMatchObject({
      kind: 'failed',
      reason: expect.stringContaining('535'),
    })
    expect(JSON.stringify(lines)).not.toContain('hunter2')
  })

  test('that is away is heard of at once', async () => {
    // Reserved, and listened at by nobody.
    const { mailer, lines } = mailerTo('smtp://127.0.0.1:1')
    expect(await mailer.send(mail())).toEqual({
      kind: 'failed',
      reason: 'the server could not be reached or broke off (CONN ECONNREFUSED)',
    })
    expect(lines).toMatchObject([{ event: 'mail.failed' }])
  })

  test('that never greets, or drips its answer, is given up at the deadline', async () => {
    const silent = await rawServer(() => undefined)
    const dripping = await rawServer(socket => {
      socket.write('220')
      const drip = setInterval(() => socket.write('-'), 50)
      socket.on('close', () => clearInterval(drip))
    })
    for (const port of [silent, dripping]) {
      const { mailer } = mailerTo(`smtp://127.0.0.1:${port}`, 400)
      expect(await mailer.send(mail())).toEqual({ kind: 'failed', reason: 'the server took too long' })
    }
  })

  test('that breaks off has perhaps taken it, so it is sent another time', async () => {
    const port = await rawServer(socket => {
      socket.write('220 here\r\n')
      socket.on('data', () => socket.destroy())
    })
    const { mailer } = mailerTo(`smtp://127.0.0.1:${port}`)
    expect(await mailer.send(mail())).toMatchObject({ kind: 'failed' })
  })

  test('that closed an idle connection gets the next mail over a new one', async () => {
    const { promise: closed, resolve } = Promise.withResolvers<void>()
    const server = await mailServer({ socketTimeout: 3_000, onClose: () => resolve() })
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' })
    await closed
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' })
    expect(server.received).toHaveLength(2)
  })
})

describe('TLS', () => {
  const ours = makeCertificate(['localhost', '127.0.0.1'], systemClock.now())
  const trust = () => {
    const before = getCACertificates('default')
    setDefaultCACertificates([...before, ours.cert])
    stops.push(() => setDefaultCACertificates(before))
  }

  test('is spoken from the first byte with smtps', async () => {
    trust()
    const server = await mailServer({ secure: true, ...ours })
    const { mailer } = mailerTo(`smtps://127.0.0.1:${server.port}`)
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' })
    expect(server.received[0]?.is_secure).toBe(true)
  })

  test('is begun when it is offered', async () => {
    trust()
    const server = await mailServer({ ...ours })
    const { mailer } = mailerTo(`smtp://localhost:${server.port}`)
    expect(await mailer.send(mail())).toEqual({ kind: 'sent' })
    expect(server.received[0]?.is_secure).toBe(true)
  })

  test('with a certificate that nobody vouches for, that is of another or has expired carries no mail', async () => {
    trust()
    const now = systemClock.now()
    const old = makeCertificate(['127.0.0.1'], new Date(now.getTime() - 9 * 86_400_000))
    const other = makeCertificate(['mail.example.com'], now)
    setDefaultCACertificates([ours.cert, old.cert, other.cert])
    for (const certificate of [makeCertificate(['127.0.0.1'], now), old, other]) {
      for (const is_secure of [true, false]) {
        const server = await mailServer({ secure: is_secure, ...certificate })
        const { mailer } = mailerTo(`${is_secure ? 'smtps' : 'smtp'}://127.0.0.1:${server.port}`)
        expect(await mailer.send(mail())).toMatchObject({ kind: 'failed' })
        expect(server.received).toEqual([])
      }
    }
  })

  test('that was promised is not given up for a server without it', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtps://127.0.0.1:${server.port}`, 2_000)
    expect(await mailer.send(mail())).toMatchObject({ kind: 'failed' })
    expect(server.received).toEqual([])
  })

  test('is waited for before a password is said, to every machine but this one', async () => {
    const passwords: (string | null | undefined)[] = []
    const server = await mailServer({
      authOptional: false,
      allowInsecureAuth: true,
      onAuth({ password }, _session, done) {
        passwords.push(password)
        done(null, { user: 'bursar' })
      },
    })
    // 0.0.0.0 is this machine for the system, and another one for all that the name says.
    const { mailer } = mailerTo(`smtp://bursar:hunter2@0.0.0.0:${server.port}`)
    expect(await mailer.send(mail())).toMatchObject({ kind: 'failed' })
    expect(passwords).toEqual([])
    const { mailer: beside } = mailerTo(`smtp://bursar:p%40ss@127.0.0.1:${server.port}`)
    expect(await beside.send(mail())).toEqual({ kind: 'sent' })
    expect(passwords).toEqual(['p@ss'])
  })
})

describe('an address', () => {
  test.each([
    'ada@example.com',
    'ada+bursar@mail.example.co.uk',
    "o'neill.j@example.com",
    'ada@bücher.example',
    `${'a'.repeat(64)}@example.com`,
  ])('%s is one', text => expect(isAddress(text)).toBe(true))

  test.each([
    '',
    'ada',
    '@example.com',
    'ada@localhost',
    'ada@example',
    'ada@@example.com',
    'ada@example.com, eve@example.com',
    'ada@example.com\r\nRCPT TO:<eve@example.com>',
    'ada@example.com>',
    '<ada@example.com>',
    'Ada <ada@example.com>',
    '"ada lovelace"@example.com',
    'ada@[127.0.0.1]',
    'ada@-example.com',
    'ada@exam\u00adple.com',
    'ada..l@example.com',
    '.ada@example.com',
    'ada@example.com\0',
    'adä@example.com',
    `${'a'.repeat(65)}@example.com`,
    `ada@${'a'.repeat(64)}.com`,
    `ada@${'a.'.repeat(126)}com`,
  ])('%j is none', text => expect(isAddress(text)).toBe(false))

  test('that is none is refused without a word to the server', async () => {
    const server = await mailServer()
    const { mailer } = mailerTo(`smtp://127.0.0.1:${server.port}`)
    for (const to of ['ada@example.com,eve@example.com', 'ada@example.com>\r\nDATA', 'nobody']) {
      expect(await mailer.send(mail({ to }))).toEqual({ kind: 'refused', reason: 'the address is none' })
    }
    expect(server.connections()).toBe(0)
  })
})

test('mails are counted by outcome', async () => {
  const { mailer } = mailerTo('smtp://127.0.0.1:1')
  await mailer.send(mail({ to: 'nobody' }))
  await mailer.send(mail())
  const text = await metricsText()
  expect(text).toContain('bursar_mails_total{outcome="refused"}')
  expect(text).toContain('bursar_mails_total{outcome="failed"}')
})
