/**
 * A receiver of webhooks for a benchmark, in a process of its own, so that its CPU time is not the sender's. It reads
 * just enough of HTTP/1.1 to answer at once: `/ok` with 200, `/fail` with 500, `/hang` never. Every address of 127/8
 * leads here, so each endpoint can be an origin of its own, as real ones are.
 *
 * Its parent asks by messages: `reset` forgets, `report` answers what came since.
 */
import { createServer, type Socket } from 'node:net'

export interface Received {
  /** Answered with 200, each event once. */
  deliveries: number
  /** The same event again, after it had been answered with 200. */
  duplicates: number
  /** Answered with 500, or not. */
  refused: number
  hanging: number
  connections: number
  /** First and last delivery, milliseconds of the machine's clock. */
  first_ms: number
  last_ms: number
  /** From the event's commit to its arrival. */
  latency_ms: { p50: number; p95: number; p99: number; most: number }
}

const OK = Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
const FAILED = Buffer.from('HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n')
const HEAD_END = Buffer.from('\r\n\r\n')
const nowMs = () => performance.timeOrigin + performance.now()

let seen = new Set<number>()
let latencies: number[] = []
let counts = { duplicates: 0, refused: 0, hanging: 0, connections: 0, first_ms: 0, last_ms: 0 }

function reset(): void {
  seen = new Set()
  latencies = []
  counts = { duplicates: 0, refused: 0, hanging: 0, connections: 0, first_ms: 0, last_ms: 0 }
}

function report(): Received {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0
  return {
    deliveries: seen.size,
    ...counts,
    latency_ms: { p50: at(0.5), p95: at(0.95), p99: at(0.99), most: sorted.at(-1) ?? 0 },
  }
}

/** The number behind `"name":` in the body; what the generator wrote there. */
function numberAfter(text: string, name: string): number {
  const at = text.indexOf(`"${name}":`)
  return at === -1 ? Number.NaN : Number.parseFloat(text.slice(at + name.length + 3, at + name.length + 24))
}

function answer(socket: Socket, path: string, body: string): void {
  if (path.startsWith('/hang')) {
    counts.hanging += 1
    return
  }
  if (path.startsWith('/fail')) {
    counts.refused += 1
    socket.write(FAILED)
    return
  }
  const at_ms = nowMs()
  const number = numberAfter(body, 'n')
  if (seen.has(number)) counts.duplicates += 1
  else {
    seen.add(number)
    if (counts.first_ms === 0) counts.first_ms = at_ms
    counts.last_ms = at_ms
    latencies.push(at_ms - numberAfter(body, 'sent_at_ms'))
  }
  socket.write(OK)
}

const server = createServer({ noDelay: true }, socket => {
  counts.connections += 1
  let buffered: Buffer = Buffer.alloc(0)
  socket.on('error', () => undefined)
  socket.on('data', chunk => {
    buffered = buffered.length === 0 ? chunk : Buffer.concat([buffered, chunk])
    for (;;) {
      const end = buffered.indexOf(HEAD_END)
      if (end === -1) return
      const head = buffered.toString('latin1', 0, end)
      const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0)
      if (buffered.length < end + 4 + length) return
      const body = buffered.toString('utf8', end + 4, end + 4 + length)
      buffered = buffered.subarray(end + 4 + length)
      answer(socket, head.split(' ', 2)[1] ?? '', body)
    }
  })
})
server.listen(0, '0.0.0.0', () => process.send?.({ port: (server.address() as { port: number }).port }))
process.on('message', message => {
  if (message === 'reset') {
    reset()
    process.send?.({ done: true })
  } else process.send?.(report())
})
process.on('disconnect', () => process.exit(0))
