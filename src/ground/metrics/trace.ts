/**
 * Spans by hand, around the few things worth timing: a request, a phase, a call to a processor, a job. Off unless an
 * OTLP endpoint is set, and then a span costs one comparison and a call; the SDK (`tracing.ts`) is loaded only when on,
 * because its 20 MB have no place in a process that never traces.
 */
import type { Span, SpanAttributes, SpanOptions, Tracing, TracingOptions } from './span.ts'

let tracing: Tracing | undefined

const silentSpan: Span = { set: () => undefined }
const NO_OPTIONS: SpanOptions = {}

/**
 * Runs `run` inside a span named for the operation (low cardinality: `POST /v1/refunds`, never an id). The span ends
 * when the returned promise settles, or at once for a plain value; an exception marks it failed and passes through.
 */
export function span<T>(
  name: string,
  attributes: SpanAttributes,
  run: (span: Span) => T,
  options: SpanOptions = NO_OPTIONS,
): T {
  return tracing === undefined ? run(silentSpan) : tracing.span(name, attributes, run, options)
}

/** The trace we are in, 32 hex digits; undefined while tracing is off. For the log line and the response. */
export function traceId(): string | undefined {
  return tracing?.traceId()
}

/** The W3C `traceparent` header for a call we make; undefined while tracing is off. */
export function traceparent(): string | undefined {
  return tracing?.traceparent()
}

/**
 * Turns tracing on when there is somewhere to send spans. `stop` sends what is left and gives up after 2 s: a dead
 * collector must not hold up a shutdown.
 */
export async function startTracing(options: TracingOptions): Promise<{ stop: () => Promise<void> }> {
  if (options.endpoint === undefined && options.exporter === undefined) return { stop: async () => undefined }
  const { openTracing } = await import('./tracing.ts')
  const started = openTracing(options)
  tracing = started
  return {
    async stop() {
      if (tracing === started) tracing = undefined
      await started.stop()
    },
  }
}
