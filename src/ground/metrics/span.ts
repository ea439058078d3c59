/** What a span is, and what makes one: known to those who ask for spans (trace.ts) and to the SDK behind it. */
import type { SpanExporter } from '@opentelemetry/sdk-trace-base'

export type SpanAttributes = Record<string, string | number | boolean | undefined>

export interface Span {
  /** Adds what became known on the way (`http.response.status_code`, `outcome`). */
  set(attributes: SpanAttributes): void
}

export interface SpanOptions {
  /** A W3C `traceparent` header: the span continues the caller's trace. A malformed one starts a new trace. */
  traceparent?: string | undefined
  kind?: 'internal' | 'server' | 'client' | 'producer' | 'consumer'
}

/** What `tracing.ts` puts here when it starts. */
export interface Tracing {
  span<T>(name: string, attributes: SpanAttributes, run: (span: Span) => T, options: SpanOptions): T
  traceId(): string | undefined
  traceparent(): string | undefined
  stop(): Promise<void>
}

export interface TracingOptions {
  version: string
  /** `api`, `worker` or `all`. */
  role: string
  /** Where collector trouble is told. */
  log: { warn(name: `${string}.${string}`, fields?: Record<string, unknown>): void }
  /** Base URL of an OTLP/HTTP collector; `/v1/traces` is added. Other `OTEL_*` settings are read by the SDK. */
  endpoint?: string | undefined
  /** Instead of an endpoint. */
  exporter?: SpanExporter
}
