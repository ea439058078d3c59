/** What can be seen of a running process: metrics, the wide log line, spans. */
export { createLog, type EventName, type Log, type LogFields, type LogLevel, type LogOptions } from './log.ts'
export {
  counter,
  type CounterMetric,
  gauge,
  type GaugeMetric,
  histogram,
  type HistogramMetric,
  LATENCY_BUCKETS_S,
  METRICS_CONTENT_TYPE,
  metricsText,
} from './metrics.ts'
export { type Build, startProcessMetrics } from './process.ts'
export { mayNeedRedaction, reasonOf, REDACTED, redactFields, redactText } from './redact.ts'
export type { Span, SpanAttributes, SpanOptions, TracingOptions } from './span.ts'
export { span, startTracing, traceId, traceparent } from './trace.ts'
