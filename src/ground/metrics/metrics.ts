/**
 * Counters, gauges and histograms in Prometheus' text format. A metric is declared once, at the top of the file that
 * moves it, and lives for the process. Names follow prometheus.io/docs/practices/naming: `bursar_`, base units
 * (seconds, bytes), `_total` on counters.
 *
 * Label values are bounded here, not by discipline: an `account_id` label is useful with ten accounts and kills the
 * scraper with a million.
 */
import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client'

/**
 * Series one metric may have. Each costs about 200 bytes here, and up to 14 lines at every scrape if it is a histogram:
 * 1,000 keeps a scrape in single megabytes and milliseconds, and is more than anyone reads on a graph.
 */
const SERIES_MAX = 1_000
/** What stands for every value that came after the limit. */
export const OTHER = 'other'

export type Labels<Name extends string> = Readonly<Record<Name, string | number | boolean>>

export const registry = new Registry()

const folded = new Counter({
  name: 'bursar_metric_values_folded_total',
  help: `Observations whose label value became "${OTHER}" because the metric had ${SERIES_MAX} series`,
  labelNames: ['metric'],
  registers: [registry],
})
const collectFailed = new Counter({
  name: 'bursar_metric_collect_failed_total',
  help: 'Gauges that could not be read for a scrape',
  labelNames: ['metric'],
  registers: [registry],
})

interface Declaration<Name extends string> {
  /** Starts with `bursar_`. */
  name: `bursar_${string}`
  help: string
  labels?: readonly Name[]
}

/** Gives each label set its series, and folds what comes after the limit. */
class Series<Name extends string, Bound> {
  private readonly bound = new Map<string, Bound>()
  private readonly values: Set<string>[]
  private readonly metric: string
  private readonly names: readonly Name[]
  private readonly bind: (labels: Record<string, string>) => Bound

  constructor(metric: string, names: readonly Name[], bind: (labels: Record<string, string>) => Bound) {
    this.metric = metric
    this.names = names
    this.bind = bind
    this.values = names.map(() => new Set())
  }

  of(labels: Labels<Name> | undefined): Bound {
    const key = this.keyOf(labels)
    return this.bound.get(key) ?? this.admit(labels, key)
  }

  private keyOf(labels: Labels<Name> | undefined): string {
    if (labels === undefined) return ''
    let key = ''
    for (const name of this.names) key += `${labels[name]}\u0000`
    return key
  }

  private admit(labels: Labels<Name> | undefined, key: string): Bound {
    const wanted = this.names.map(name => String(labels?.[name] ?? ''))
    if (this.bound.size < SERIES_MAX) return this.add(wanted, key)
    folded.inc({ metric: this.metric })
    // The label with the most values is the one that ran away; the others (a status, a reason) still say something.
    const widest = this.values.reduce(
      (best, set, i) => (set.size > (this.values[best]?.size ?? 0) ? i : best),
      0,
    )
    wanted[widest] = OTHER
    // Past twice the limit even that grows, and everything becomes one series.
    const all = this.bound.size < 2 * SERIES_MAX ? wanted : wanted.map(() => OTHER)
    const foldedKey = all.map(value => `${value}\u0000`).join('')
    return this.bound.get(foldedKey) ?? this.add(all, foldedKey)
  }

  private add(values: string[], key: string): Bound {
    const labels: Record<string, string> = {}
    this.names.forEach((name, i) => {
      const value = values[i] ?? ''
      labels[name] = value
      this.values[i]?.add(value)
    })
    const bound = this.bind(labels)
    this.bound.set(key, bound)
    return bound
  }
}

/** A metric without labels takes no label argument, one with labels demands all of them. */
type LabelArgument<Name extends string> = [Name] extends [never] ? undefined : Labels<Name>

export interface CounterMetric<Name extends string> {
  inc(labels: LabelArgument<Name>, by?: number): void
}

/** Only ever grows: requests, refusals, bytes. `counter.inc({ reason: 'lease_lapsed' })`. */
export function counter<const Name extends string = never>(of: Declaration<Name>): CounterMetric<Name> {
  const metric = new Counter({
    name: of.name,
    help: of.help,
    labelNames: [...(of.labels ?? [])] as string[],
    registers: [registry],
  })
  const series = new Series<Name, Counter.Internal>(of.name, of.labels ?? [], labels => metric.labels(labels))
  return { inc: (labels, by = 1) => series.of(labels).inc(by) }
}

export interface GaugeMetric<Name extends string> {
  set(labels: LabelArgument<Name>, value: number): void
  add(labels: LabelArgument<Name>, by: number): void
}

/**
 * Goes up and down: connections, queue depth. With `collect` it is read at each scrape, from nothing but what `collect`
 * sets then; a `collect` that throws or takes over 2 s leaves the gauge out of that scrape and is counted.
 */
export function gauge<const Name extends string = never>(
  of: Declaration<Name> & { collect?: (set: GaugeMetric<Name>['set']) => void | Promise<void> },
): GaugeMetric<Name> {
  const { collect } = of
  const labelNames: string[] = [...(of.labels ?? [])]
  const metric = new Gauge({
    name: of.name,
    help: of.help,
    labelNames,
    registers: [registry],
    ...(collect && { collect: () => read(collect) }),
  })
  let series = makeSeries()
  function makeSeries() {
    return new Series<Name, Gauge.Internal<string>>(of.name, of.labels ?? [], labels => metric.labels(labels))
  }
  const face: GaugeMetric<Name> = {
    set: (labels, value) => series.of(labels).set(value),
    add: (labels, by) => series.of(labels).inc(by),
  }
  async function read(collect: (set: GaugeMetric<Name>['set']) => void | Promise<void>): Promise<void> {
    const readings: [LabelArgument<Name>, number][] = []
    try {
      await within(
        COLLECT_TIMEOUT_MS,
        collect((labels, value) => void readings.push([labels, value])),
      )
    } catch {
      collectFailed.inc({ metric: of.name })
      readings.length = 0
    }
    metric.reset()
    // A gauge without labels restarts at 0, which would be read as a reading.
    if (readings.length === 0 && labelNames.length === 0) metric.remove()
    series = makeSeries()
    for (const [labels, value] of readings) face.set(labels, value)
  }
  return face
}

/** Prometheus gives up on a scrape after 10 s; one slow gauge must leave time for the rest. */
const COLLECT_TIMEOUT_MS = 2_000

async function within(timeout_ms: number, work: void | Promise<void>): Promise<void> {
  if (work === undefined) return
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took over ${timeout_ms} ms`)), timeout_ms)
  })
  try {
    await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

export interface HistogramMetric<Name extends string> {
  observe(labels: LabelArgument<Name>, value: number): void
}

/** Seconds, from a millisecond (a cached read) to the request timeout; p99 of a payment falls in the middle. */
export const LATENCY_BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** A distribution, of seconds unless `buckets` says otherwise: `histogram.observe({ route }, duration_ms / 1000)`. */
export function histogram<const Name extends string = never>(
  of: Declaration<Name> & { buckets?: readonly number[] },
): HistogramMetric<Name> {
  const metric = new Histogram({
    name: of.name,
    help: of.help,
    labelNames: [...(of.labels ?? [])] as string[],
    buckets: [...(of.buckets ?? LATENCY_BUCKETS_S)],
    registers: [registry],
  })
  const series = new Series<Name, Histogram.Internal<string>>(of.name, of.labels ?? [], labels =>
    metric.labels(labels),
  )
  return { observe: (labels, value) => series.of(labels).observe(value) }
}

/** Everything, in Prometheus' text format 0.0.4. */
export function metricsText(): Promise<string> {
  return registry.metrics()
}

export const METRICS_CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE
