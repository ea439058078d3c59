/**
 * A name server for tests, over UDP at loopback, that answers what it is told to (RFC 1035, section 4). It reads one
 * question and writes one answer with its addresses; that is all of DNS that a resolver needs to be lied to.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv4 } from 'node:net'
import ipaddr from 'ipaddr.js'

export type Said =
  /** No addresses is NODATA. A v4 address answers A, a v6 one AAAA. */
  { addresses: readonly string[]; ttl?: number } | 'nxdomain' | 'servfail' | 'refused' | 'silent'

export interface NameServer {
  /** As `setServers` takes it. */
  readonly server: string
  /** What is said of a name from now on; several are said one after the other, a question for A each, the last stays. */
  say(name: string, ...said: Said[]): void
  /** Questions that came, as `A name`. */
  readonly asked: string[]
  close(): Promise<void>
}

const CODES = { nxdomain: 3, servfail: 2, refused: 5 } as const
const TYPE_A = 1
const TYPE_AAAA = 28

export async function startNameServer(): Promise<NameServer> {
  const socket = createSocket('udp4')
  const names = new Map<string, Said[]>()
  const asked: string[] = []
  socket.on('message', (message, from) => {
    const { name, type, end } = readQuestion(message)
    asked.push(`${type === TYPE_A ? 'A' : 'AAAA'} ${name}`)
    const lines = names.get(name) ?? ['nxdomain']
    const said = lines[0] ?? 'nxdomain'
    // Resolvers ask for A and AAAA together; one answer is used up by the pair.
    if (type === TYPE_AAAA && lines.length > 1) lines.shift()
    if (said === 'silent') return
    socket.send(writeAnswer(message, end, type, said), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return {
    server: `127.0.0.1:${socket.address().port}`,
    say: (name, ...said) => void names.set(name, said),
    asked,
    async close() {
      socket.close()
      await once(socket, 'close')
    },
  }
}

function readQuestion(message: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: message.readUInt16BE(at + 1), end: at + 5 }
}

function writeAnswer(question: Buffer, end: number, type: number, said: Exclude<Said, 'silent'>): Buffer {
  const is_failure = typeof said === 'string'
  const records = is_failure
    ? []
    : said.addresses
        .filter(address => isIPv4(address) === (type === TYPE_A))
        .map(address => {
          const bytes = Buffer.from(ipaddr.parse(address).toByteArray())
          const record = Buffer.alloc(12)
          // The name, as a pointer to the question's.
          record.writeUInt16BE(0xc00c, 0)
          record.writeUInt16BE(type, 2)
          record.writeUInt16BE(1, 4)
          record.writeUInt32BE(said.ttl ?? 0, 6)
          record.writeUInt16BE(bytes.length, 10)
          return Buffer.concat([record, bytes])
        })
  const head = Buffer.from(question.subarray(0, 12))
  // An answer, recursion desired and available, with its code; the one question is repeated.
  head.writeUInt16BE(0x8180 | (is_failure ? CODES[said] : 0), 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(records.length, 6)
  head.writeUInt32BE(0, 8)
  return Buffer.concat([head, question.subarray(12, end), ...records])
}
