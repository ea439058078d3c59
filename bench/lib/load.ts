/**
 * The load generator: HTTP/1.1 over sockets it drives itself, because it shares the cores with what it measures. It
 * writes a prepared text and looks for the status, the length and one word in the answer; that is all the parsing
 * there is. Closed loop: as many requests under way as there are connections, for the maximum. Open loop: a fixed
 * arrival rate, with every latency counted from the instant the request was meant to be sent, so that a stall of the
 * server is felt by all who would have come meanwhile (no coordinated omission).
 */
import { connect, type Socket } from 'node:net'

export interface Load {
  url: string
  /** Text of a whole request for the connection with that number. */
  request(connection: number): string
  /** Stands in the body of every answer that counts as done. */
  expect: string
}

export interface Tally {
  seconds: number
  /** Answers 2xx with the expected word, within the measured time (closed loop) or in all (open loop). */
  done: number
  per_second: number
  /** Everything sent and answered as expected, warm-up and tail included: what the audit must find. */
  answered: number
  /** Status and beginning of answers that were not as expected: there must be none. */
  failures: string[]
  failed: number
  /** Requests without an answer at their deadline: there must be none. */
  hung: number
  latency_ms: { p50: number; p95: number; p99: number; most: number }
  /** CPU time of this process for each request. */
  generator_us: number
}

/** The server answers everything within 60 s; later is hung. */
const HUNG_MS = 65_000
const SWEEP_MS = 1_000
const FAILURES_SHOWN = 5
/** As many connections as an open loop may open when the server falls behind. */
const CONNECTIONS_MOST = 2_000

class Connection {
  readonly #socket: Socket
  readonly #tally: Run
  readonly #request: () => string
  #text: Buffer = Buffer.alloc(0)
  #intended_ms = 0
  #is_busy = false
  #onFree: (connection: Connection) => void

  constructor(load: Load, number: number, run: Run, onFree: (connection: Connection) => void) {
    const { hostname, port } = new URL(load.url)
    this.#request = () => load.request(number)
    this.#tally = run
    this.#onFree = onFree
    this.#socket = connect({ host: hostname, port: Number(port), noDelay: true })
    this.#socket.on('data', chunk => this.#read(chunk, load.expect))
    this.#socket.on('error', error => this.#broke(error.message))
    this.#socket.on('close', () => this.#broke('the connection was closed'))
  }

  opened(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#socket.once('connect', resolve)
      this.#socket.once('error', reject)
    })
  }

  send(intended_ms: number): void {
    this.#intended_ms = intended_ms
    this.#is_busy = true
    this.#tally.under_way += 1
    this.#socket.write(this.#request(), 'latin1')
  }

  isHung(now_ms: number): boolean {
    return this.#is_busy && now_ms - this.#intended_ms > HUNG_MS
  }

  get is_busy(): boolean {
    return this.#is_busy
  }

  close(): void {
    this.#socket.removeAllListeners('close')
    this.#socket.destroy()
  }

  #read(chunk: Buffer, expected: string): void {
    const bytes = this.#text.length === 0 ? chunk : Buffer.concat([this.#text, chunk])
    const head_end = bytes.indexOf('\r\n\r\n')
    const length = head_end < 0 ? null : /content-length: (\d+)/i.exec(bytes.toString('latin1', 0, head_end))
    if (head_end >= 0 && length === null) return this.#broke('an answer without a length')
    if (length === null || bytes.length < head_end + 4 + Number(length[1])) {
      this.#text = bytes
      return
    }
    this.#text = Buffer.alloc(0)
    this.#is_busy = false
    this.#tally.under_way -= 1
    // "HTTP/1.1 200": the ninth byte is the status' first digit.
    const is_done = bytes[9] === 0x32 && bytes.indexOf(expected, head_end) >= 0
    this.#tally.settle(this.#intended_ms, is_done ? null : bytes.toString('latin1', 0, 700))
    this.#onFree(this)
  }

  #broke(why: string): void {
    if (!this.#is_busy) return
    this.#is_busy = false
    this.#tally.under_way -= 1
    this.#tally.settle(this.#intended_ms, why)
  }
}

/** What one run counts. */
class Run {
  under_way = 0
  answered = 0
  failed = 0
  hung = 0
  failures: string[] = []
  latencies: number[] = []
  from_ms = Number.POSITIVE_INFINITY
  until_ms = Number.POSITIVE_INFINITY

  settle(intended_ms: number, failure: string | null): void {
    const now_ms = performance.now()
    if (failure !== null) {
      this.failed += 1
      if (this.failures.length < FAILURES_SHOWN) this.failures.push(failure)
      return
    }
    this.answered += 1
    if (now_ms >= this.from_ms && now_ms < this.until_ms) this.latencies.push(now_ms - intended_ms)
  }
}

const sleep = (ms: number) =>
  new Promise<void>(resolve => {
    setTimeout(resolve, ms)
  })

async function openConnections(
  load: Load,
  count: number,
  run: Run,
  onFree: (connection: Connection) => void,
): Promise<Connection[]> {
  const connections = Array.from({ length: count }, (_, i) => new Connection(load, i, run, onFree))
  await Promise.all(connections.map(connection => connection.opened()))
  return connections
}

/** Waits until everything is answered; counts what is not. */
async function finish(run: Run, connections: readonly Connection[]): Promise<void> {
  while (run.under_way > 0) {
    const now_ms = performance.now()
    for (const connection of connections) {
      if (!connection.isHung(now_ms)) continue
      run.hung += 1
      connection.close()
      run.under_way -= 1
    }
    await sleep(run.under_way > 100 ? SWEEP_MS / 10 : 10)
  }
  for (const connection of connections) connection.close()
}

function tallyOf(run: Run, seconds: number, cpu: NodeJS.CpuUsage, requests: number): Tally {
  const sorted = Float64Array.from(run.latencies).sort()
  const at = (share: number) =>
    Math.round((sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0) * 100) / 100
  return {
    seconds,
    done: sorted.length,
    per_second: sorted.length / seconds,
    answered: run.answered,
    failures: run.failures,
    failed: run.failed,
    hung: run.hung,
    latency_ms: { p50: at(0.5), p95: at(0.95), p99: at(0.99), most: at(1) },
    generator_us: Math.round((cpu.user + cpu.system) / Math.max(1, requests)),
  }
}

/** The maximum: every connection sends its next request when its last is answered. */
export async function closedLoop(
  load: Load,
  options: { connections: number; warm_up_s: number; seconds: number; onMeasure?: () => () => void },
): Promise<Tally> {
  const run = new Run()
  let is_over = false
  const connections = await openConnections(load, options.connections, run, connection => {
    if (!is_over) connection.send(performance.now())
  })
  for (const connection of connections) connection.send(performance.now())
  await sleep(options.warm_up_s * 1_000)
  const measured = options.onMeasure?.()
  const cpu_before = process.cpuUsage()
  const answered_before = run.answered
  run.from_ms = performance.now()
  await sleep(options.seconds * 1_000)
  run.until_ms = performance.now()
  measured?.()
  const cpu = process.cpuUsage(cpu_before)
  const requests = run.answered - answered_before
  is_over = true
  await finish(run, connections)
  return tallyOf(run, (run.until_ms - run.from_ms) / 1_000, cpu, requests)
}

/** A fixed arrival rate, whatever the server does; latencies count from the intended instant. */
export async function openLoop(
  load: Load,
  options: { per_second: number; warm_up_s: number; seconds: number; onMeasure?: () => () => void },
): Promise<Tally> {
  const run = new Run()
  const free: Connection[] = []
  const late: number[] = []
  const onFree = (connection: Connection) => {
    const intended_ms = late.shift()
    if (intended_ms === undefined) free.push(connection)
    else connection.send(intended_ms)
  }
  const first = Math.min(CONNECTIONS_MOST, Math.max(64, Math.ceil(options.per_second / 10)))
  const connections = await openConnections(load, first, run, onFree)
  free.push(...connections)
  const arrive = (intended_ms: number) => {
    // In turn, so that none is idle for so long that the server closes it.
    const connection = free.shift()
    if (connection !== undefined) return connection.send(intended_ms)
    late.push(intended_ms)
    if (connections.length >= CONNECTIONS_MOST) return
    const more = new Connection(load, connections.length, run, onFree)
    connections.push(more)
    void more.opened().then(
      () => onFree(more),
      () => undefined,
    )
  }

  const gap_ms = 1_000 / options.per_second
  const started_ms = performance.now()
  const from_ms = started_ms + options.warm_up_s * 1_000
  const until_ms = from_ms + options.seconds * 1_000
  let sent = 0
  let measured: (() => void) | undefined
  let cpu_before = process.cpuUsage()
  await new Promise<void>(resolve => {
    const tick = () => {
      const now_ms = performance.now()
      if (run.from_ms === Number.POSITIVE_INFINITY && now_ms >= from_ms) {
        run.from_ms = now_ms
        measured = options.onMeasure?.()
        cpu_before = process.cpuUsage()
      }
      for (let due_ms = started_ms + sent * gap_ms; due_ms <= now_ms && due_ms < until_ms; due_ms += gap_ms) {
        sent += 1
        arrive(due_ms)
      }
      if (now_ms >= until_ms) resolve()
      // A millisecond is the timer's grain: requests of one millisecond leave together, each late by less than one.
      else setTimeout(tick, 1)
    }
    tick()
  })
  measured?.()
  const cpu = process.cpuUsage(cpu_before)
  // Answers that come after the end were intended before it, so they count.
  while (late.length > 0 && run.under_way > 0) await sleep(10)
  run.hung += late.length
  await finish(run, connections)
  return tallyOf(run, options.seconds, cpu, options.seconds * options.per_second)
}
