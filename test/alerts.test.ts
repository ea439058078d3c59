/**
 * The alerting rules that we ship: they speak of metrics that the process has, lead to pages that exist, and mean what
 * they say, as Prometheus itself judges them where its tools are installed (Debian's package `prometheus`).
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { openDatabase } from '#db'
import { createFetcher } from '#fetch'
import { systemClock } from '#kernel'
import { createLog, metricsText } from '#metrics'
import { createPayments, simulatorConnector } from '#payments'
import { createWebhooks } from '#webhooks'
import { endpoints, jobs } from '../src/catalog.ts'
import { listenToProcessors } from '../src/reactions.ts'
import { readSettings } from '../src/settings.ts'

const PROJECT = join(import.meta.dirname, '..')
const RULES = join('ops', 'alerts', 'bursar.rules.yml')

interface Rule {
  alert: string
  expr: string
  labels: { severity: string }
  annotations: { summary: string; runbook: string }
}

const { groups } = parse(readFileSync(join(PROJECT, RULES), 'utf8')) as { groups: { rules: Rule[] }[] }
const rules = groups.flatMap(group => group.rules)

// Neither is connected to: what the rooms count is known without asking anybody.
const db = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
const processor = simulatorConnector({ url: 'http://127.0.0.1:1' })
const fetcher = createFetcher({ allowed_networks: [] })
/** Name and labels, as far as a series or a declaration shows them. */
let exported: string

beforeAll(async () => {
  const log = createLog({ level: 'silent' })
  const payments = createPayments({
    db,
    clock: systemClock,
    log,
    connectors: { test: processor, live: null },
  })
  const inbound = listenToProcessors(payments, [processor], log)
  const webhooks = createWebhooks({
    db,
    clock: systemClock,
    log,
    fetcher,
    installation_secret: 'nobody signs with it',
  })
  await Promise.all([endpoints(payments, inbound, webhooks), jobs(payments, inbound, readSettings({}))])
  exported = await metricsText()
})
afterAll(async () => {
  await fetcher.close()
  await processor.close()
  await db.close()
})

test('there are rules, each with a name of its own', () => {
  expect(rules.length).toBeGreaterThan(4)
  expect(new Set(rules.map(rule => rule.alert)).size).toBe(rules.length)
})

describe.each(rules.map(rule => ({ ...rule, name: rule.alert })))(
  '$name',
  ({ expr, labels, annotations }) => {
    test('speaks of metrics that the process has', () => {
      const names = [...expr.matchAll(/\bbursar_\w+/g)].map(([name]) =>
        name.replace(/_(?:bucket|sum|count)$/, ''),
      )
      expect(names.length).toBeGreaterThan(0)
      for (const name of names) expect(exported, name).toContain(`# TYPE ${name} `)
    })

    test('says what is the matter, how urgent it is, and which page helps', () => {
      expect(annotations.summary).toMatch(/\.$/)
      expect(['page', 'ticket']).toContain(labels.severity)
      expect(annotations.runbook).toMatch(/^docs\/runbooks\/[\w-]+\.md$/)
      expect(existsSync(join(PROJECT, annotations.runbook)), annotations.runbook).toBe(true)
    })
  },
)

test('orphan captures are counted from 0, or the first of a process would be no increase', () => {
  for (const reason of ['attempt_declined', 'attempt_voided', 'reference_unknown']) {
    expect(exported).toContain(`bursar_orphan_captures_total{processor="simulator",reason="${reason}"} 0\n`)
  }
})

test('every runbook is in their table of contents', () => {
  const index = readFileSync(join(PROJECT, 'docs', 'runbooks', 'README.md'), 'utf8')
  for (const { annotations } of rules) {
    const page = annotations.runbook.replace('docs/runbooks/', '')
    if (page !== 'README.md') expect(index).toContain(`](${page})`)
  }
})

/** Prometheus' own judge, in the PATH or where PROMTOOL says. */
const promtool =
  process.env.PROMTOOL ??
  (process.env.PATH ?? '')
    .split(delimiter)
    .map(folder => join(folder, 'promtool'))
    .find(file => existsSync(file))

test.skipIf(promtool === undefined)(
  'Prometheus takes the rules, and finds the cases of their tests right',
  () => {
    const run = (...args: string[]) => execFileSync(promtool ?? '', args, { cwd: PROJECT, encoding: 'utf8' })
    expect(run('check', 'rules', RULES)).toContain('SUCCESS')
    expect(run('test', 'rules', RULES.replace('.rules.', '.rules.test.'))).toContain('SUCCESS')
  },
)
