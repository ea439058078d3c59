import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { InMemorySpanExporter, type ReadableSpan } from '@opentelemetry/sdk-trace-base'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createLog } from './log.ts'
import { span, startTracing, traceId, traceparent } from './trace.ts'

function logTo() {
  const lines: Record<string, unknown>[] = []
  return {
    lines,
    log: createLog({ level: 'info', destination: { write: line => void lines.push(JSON.parse(line)) } }),
  }
}
const about = { version: '0.1.0', role: 'api' }

/** The SDK forgets spans at shutdown, so they are kept as they come. */
class KeptSpans extends InMemorySpanExporter {
  readonly kept: ReadableSpan[] = []
  override export(...[spans, done]: Parameters<InMemorySpanExporter['export']>): void {
    this.kept.push(...spans)
    super.export(spans, done)
  }
}

test('while tracing is off a span is only its function', async () => {
  const { stop } = await startTracing({ ...about, log: logTo().log })
  expect(span('a', {}, () => 7)).toBe(7)
  expect(await span('a', {}, async () => traceId())).toBeUndefined()
  expect(traceparent()).toBeUndefined()
  await expect(span('a', {}, async () => Promise.reject(new Error('no')))).rejects.toThrow('no')
  await stop()
})

test('spans nest across awaits, carry attributes and failures, and put the trace id into the log line', async () => {
  const exporter = new KeptSpans()
  const { log, lines } = logTo()
  const { stop } = await startTracing({ ...about, log, exporter })
  const id = await span(
    'POST /v1/refunds',
    { 'http.request.method': 'POST', nothing: undefined },
    async outer => {
      await Promise.all([
        span('phase created', {}, () => sleep(2)),
        span('connector', { note: 'card 4242424242424242' }, async () => {
          await sleep(1)
          throw new Error('refused sk_test_abcdef')
        }).catch(() => undefined),
      ])
      outer.set({ 'http.response.status_code': 201 })
      log.event('request.answered')
      return traceId()
    },
  )
  expect(traceId()).toBeUndefined()
  await stop()
  const [created, connector, root] = ['phase created', 'connector', 'POST /v1/refunds'].map(name =>
    exporter.kept.find(kept => kept.name === name),
  )
  expect(root?.spanContext().traceId).toBe(id)
  expect(root?.parentSpanContext).toBeUndefined()
  expect(root?.attributes).toEqual({ 'http.request.method': 'POST', 'http.response.status_code': 201 })
  for (const child of [created, connector])
    expect(child?.parentSpanContext?.spanId).toBe(root?.spanContext().spanId)
  expect(connector?.status).toEqual({ code: 2, message: 'refused sk_test_[redacted]' })
  expect(connector?.attributes).toEqual({ note: 'card [redacted]' })
  expect(lines[0]).toMatchObject({ event: 'request.answered', trace_id: id })
})

test('a caller’s trace is continued, and a malformed header starts a new one', async () => {
  const exporter = new KeptSpans()
  const { stop } = await startTracing({ ...about, log: logTo().log, exporter })
  const theirs = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'
  const [id, onward] = span('a', {}, () => [traceId(), traceparent()], {
    traceparent: theirs,
    kind: 'server',
  })
  expect(id).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
  expect(onward).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-(?!00f067aa0ba902b7)[0-9a-f]{16}-01$/)
  for (const bad of ['', 'x', `ff${theirs.slice(2)}`, theirs.replaceAll(/[a-f1-9]/g, '0'), `${theirs}x`]) {
    expect(span('b', {}, () => traceId(), { traceparent: bad })).toMatch(
      /^(?!4bf92f3577b34da6a3ce929d0e0e4736)[0-9a-f]{32}$/,
    )
  }
  await stop()
})

test('spans really arrive at an OTLP receiver, those of the last moment too', async () => {
  const received: string[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', () => {
      received.push(`${request.method} ${request.url} ${Buffer.concat(chunks).toString('latin1')}`)
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  }).listen(0, '127.0.0.1')
  await new Promise(resolve => server.once('listening', resolve))
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  const { stop } = await startTracing({ ...about, log: logTo().log, endpoint })
  await span('payment_intent.confirm', { outcome: 'approved' }, () => sleep(1))
  await stop()
  server.close()
  expect(received).toHaveLength(1)
  expect(received[0]).toMatch(/^POST \/v1\/traces /)
  for (const word of ['payment_intent.confirm', 'outcome', 'approved', 'bursar'])
    expect(received[0]).toContain(word)
})

test('a dead collector is told in the log and does not hold up the shutdown', async () => {
  const { log, lines } = logTo()
  const { stop } = await startTracing({ ...about, log, endpoint: 'http://127.0.0.1:9' })
  span('lost', {}, () => undefined)
  const before = performance.now()
  await stop()
  expect(performance.now() - before).toBeLessThan(8_000)
  expect(lines.map(line => line.event)).toContainEqual(expect.stringMatching(/^tracing\./))
})
