/**
 * OpenTelemetry behind `trace.ts`; nothing but `startTracing` may import this file, so that its weight is paid only by
 * who traces. No global is registered apart from the diagnostics: spans are made by hand and the current one travels in
 * an AsyncLocalStorage of our own.
 */
import { AsyncLocalStorage } from 'node:async_hooks'
import {
  type Context,
  type Span as OtelSpan,
  DiagLogLevel,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  diag,
  isSpanContextValid,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor } from '@opentelemetry/sdk-trace-base'
import { redactFields, redactText } from './redact.ts'
import type { Span, SpanAttributes, SpanOptions, Tracing, TracingOptions } from './span.ts'

/** Longer than a healthy collector ever takes, shorter than the patience of who pressed Ctrl-C. */
const STOP_TIMEOUT_MS = 2_000

const KINDS = {
  internal: SpanKind.INTERNAL,
  server: SpanKind.SERVER,
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
} as const

export function openTracing(options: TracingOptions): Tracing {
  tellTrouble(options)
  const exporter =
    options.exporter ?? new OTLPTraceExporter({ url: `${options.endpoint?.replace(/\/+$/, '')}/v1/traces` })
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({
      'service.name': process.env.OTEL_SERVICE_NAME ?? 'bursar',
      'service.version': options.version,
      'bursar.role': options.role,
    }),
    // This package's processor takes the bare exporter, @opentelemetry/sdk-trace's takes { exporter }: the wrong one
    // of the two compiles in plain JavaScript and records nothing. The test with a real receiver guards it.
    spanProcessors: [new BatchSpanProcessor(exporter)],
  })
  const tracer = provider.getTracer('bursar')
  const current = new AsyncLocalStorage<Context>()
  const currentSpan = () => trace.getSpanContext(current.getStore() ?? ROOT_CONTEXT)

  return {
    span<T>(name: string, attributes: SpanAttributes, run: (span: Span) => T, options: SpanOptions): T {
      const parent = contextOf(options.traceparent) ?? current.getStore() ?? ROOT_CONTEXT
      const started = tracer.startSpan(
        name,
        { attributes: safe(attributes), kind: KINDS[options.kind ?? 'internal'] },
        parent,
      )
      const handle: Span = { set: more => void started.setAttributes(safe(more)) }
      let result: T
      try {
        result = current.run(trace.setSpan(parent, started), run, handle)
      } catch (error) {
        fail(started, error)
        throw error
      }
      if (!(result instanceof Promise)) {
        started.end()
        return result
      }
      return result.then(
        value => {
          started.end()
          return value
        },
        (error: unknown) => {
          fail(started, error)
          throw error
        },
      ) as T
    },
    traceId: () => currentSpan()?.traceId,
    traceparent() {
      const at = currentSpan()
      return at && `00-${at.traceId}-${at.spanId}-${(at.traceFlags & TraceFlags.SAMPLED) === 0 ? '00' : '01'}`
    },
    async stop() {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<'late'>(resolve => {
        timer = setTimeout(resolve, STOP_TIMEOUT_MS, 'late')
      })
      try {
        const end = await Promise.race([provider.shutdown(), late])
        if (end === 'late') options.log.warn('tracing.abandoned', { timeout_ms: STOP_TIMEOUT_MS })
      } catch (error) {
        options.log.warn('tracing.abandoned', { error })
      } finally {
        clearTimeout(timer)
        diag.disable()
      }
    },
  }
}

/** Spans leave the machine, so they pass the same wall as log lines. */
function safe(attributes: SpanAttributes): SpanAttributes {
  return redactFields(attributes) as SpanAttributes
}

function fail(span: OtelSpan, error: unknown): void {
  const message = redactText(error instanceof Error ? error.message : String(error))
  span.setStatus({ code: SpanStatusCode.ERROR, message })
  span.recordException({ name: error instanceof Error ? error.name : 'unknown', message })
  span.end()
}

/** https://www.w3.org/TR/trace-context/#traceparent-header: version, trace, parent, flags; later versions may add more. */
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-|$)/

function contextOf(header: string | undefined): Context | undefined {
  const found = header === undefined ? null : TRACEPARENT.exec(header)
  if (found === null) return undefined
  const [, traceId = '', spanId = '', flags = '00'] = found
  const parent = { traceId, spanId, traceFlags: Number.parseInt(flags, 16), isRemote: true }
  return isSpanContextValid(parent) ? trace.setSpanContext(ROOT_CONTEXT, parent) : undefined
}

/** Without this the SDK is silent when the collector is down or spans are dropped. */
function tellTrouble(options: TracingOptions): void {
  const ignore = () => undefined
  diag.setLogger(
    {
      error: (message: string) => options.log.warn('tracing.failed', { message }),
      warn: (message: string) => options.log.warn('tracing.warned', { message }),
      info: ignore,
      debug: ignore,
      verbose: ignore,
    },
    { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true },
  )
}
