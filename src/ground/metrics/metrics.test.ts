import { expect, test } from 'vitest'
import { counter, gauge, histogram, metricsText } from './metrics.ts'
import { startProcessMetrics } from './process.ts'

async function linesOf(name: string): Promise<string[]> {
  return (await metricsText()).split('\n').filter(line => line.startsWith(name))
}

test('counters, gauges and histograms are served as Prometheus text', async () => {
  const refused = counter({ name: 'bursar_a_total', help: 'a', labels: ['reason'] })
  refused.inc({ reason: 'busy' })
  refused.inc({ reason: 'busy' }, 2)
  refused.inc({ reason: 'quote " and \n' })
  expect(await linesOf('bursar_a_total')).toEqual([
    'bursar_a_total{reason="busy"} 3',
    'bursar_a_total{reason="quote \\" and \\n"} 1',
  ])
  const plain = counter({ name: 'bursar_b_total', help: 'b' })
  plain.inc(undefined)
  expect(await linesOf('bursar_b_total')).toEqual(['bursar_b_total 1'])
  const open = gauge({ name: 'bursar_c', help: 'c' })
  open.set(undefined, 4)
  open.add(undefined, -1)
  expect(await linesOf('bursar_c')).toEqual(['bursar_c 3'])
  const took = histogram({ name: 'bursar_d_seconds', help: 'd', labels: ['route'], buckets: [0.1, 1] })
  took.observe({ route: 'x' }, 0.5)
  expect(await linesOf('bursar_d_seconds')).toEqual([
    'bursar_d_seconds_bucket{le="0.1",route="x"} 0',
    'bursar_d_seconds_bucket{le="1",route="x"} 1',
    'bursar_d_seconds_bucket{le="+Inf",route="x"} 1',
    'bursar_d_seconds_sum{route="x"} 0.5',
    'bursar_d_seconds_count{route="x"} 1',
  ])
})

test('past 1,000 series the runaway label becomes "other", the others keep their meaning, and nothing is lost', async () => {
  const seen = counter({ name: 'bursar_e_total', help: 'e', labels: ['account_id', 'outcome'] })
  for (let i = 0; i < 5_000; i++) seen.inc({ account_id: `acct_${i}`, outcome: i % 2 ? 'ok' : 'failed' })
  const lines = await linesOf('bursar_e_total')
  expect(lines.length).toBe(1_002)
  expect(lines).toContain('bursar_e_total{account_id="other",outcome="ok"} 2000')
  expect(lines).toContain('bursar_e_total{account_id="other",outcome="failed"} 2000')
  expect(await linesOf('bursar_metric_values_folded_total')).toEqual([
    'bursar_metric_values_folded_total{metric="bursar_e_total"} 4000',
  ])
  seen.inc({ account_id: 'acct_7', outcome: 'ok' })
  expect(await linesOf('bursar_e_total{account_id="acct_7"')).toEqual([
    'bursar_e_total{account_id="acct_7",outcome="ok"} 2',
  ])
})

test('two labels that both run away end as one series', async () => {
  const seen = counter({ name: 'bursar_f_total', help: 'f', labels: ['a', 'b'] })
  for (let i = 0; i < 10_000; i++) seen.inc({ a: `a${i}`, b: `b${i}` })
  const lines = await linesOf('bursar_f_total')
  expect(lines.length).toBeLessThanOrEqual(2_001)
  const sum = lines.reduce((total, line) => total + Number(line.split(' ').at(-1)), 0)
  expect(sum).toBe(10_000)
})

test('a collected gauge shows what is now, not what was', async () => {
  let depths: Record<string, number> = { a: 1, b: 2 }
  gauge({
    name: 'bursar_g',
    help: 'g',
    labels: ['queue'],
    collect: async set => Object.entries(depths).forEach(([queue, depth]) => set({ queue }, depth)),
  })
  expect(await linesOf('bursar_g{')).toEqual(['bursar_g{queue="a"} 1', 'bursar_g{queue="b"} 2'])
  depths = { b: 0 }
  expect(await linesOf('bursar_g{')).toEqual(['bursar_g{queue="b"} 0'])
})

test('the build and the process are described', async () => {
  startProcessMetrics({ version: '0.1.0', revision: 'abc', role: 'api' })
  expect(await linesOf('bursar_build_info')).toEqual([
    `bursar_build_info{version="0.1.0",revision="abc",role="api",node="${process.versions.node}"} 1`,
  ])
  expect(await linesOf('process_resident_memory_bytes')).toHaveLength(1)
  expect((await linesOf('nodejs_eventloop_lag_p99_seconds')).length).toBe(1)
})

test('a gauge that cannot be read is left out and counted, and the scrape still answers', async () => {
  gauge({ name: 'bursar_h', help: 'h', collect: () => Promise.reject(new Error('database down')) })
  gauge({ name: 'bursar_i', help: 'i', labels: ['x'], collect: () => new Promise(() => undefined) })
  const text = await metricsText()
  expect(text).not.toMatch(/^bursar_[hi][ {]/m)
  expect(text).toContain('bursar_b_total 1')
  // The scrape that failed may have served the counter already; the next one shows both.
  expect(await linesOf('bursar_metric_collect_failed_total')).toHaveLength(2)
})
