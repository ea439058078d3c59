/** The server that keeps runs, reached with the keys of credentials.json; and what it says of a run, as a report shows it. */
import { openAsBlob } from 'node:fs'
import {
  CLEAN_STATUSES,
  type FileRun,
  type Mapping,
  mappingInWords,
  type Pass,
  type ReportedGroup,
  type ReportedRun,
  type Side,
  type Status,
  STATUSES_SHOWN,
} from '#reconciliation/files'
import type { Client } from '../demo/client.ts'
import type { ShownRun } from './show.ts'

/** Findings of each status and side that are fetched: more than are shown. */
const FINDINGS_FETCHED = 50

/** A gigabyte at a few megabytes a second, and then it is read and kept. */
const UPLOAD_MS = 1_800_000

/** JSON has no bigint: beyond 2^53 an amount is a text. */
type Amount = number | string

export interface KeptStatement {
  id: string
  name: string
  source: string
  format: string | null
  mapping: Mapping | null
  sha256: string
  rows: number
  bad_rows: number
  bad: { line: number; reason: string }[]
  left_out: { entries: number }[]
  controls: FileRun['left']['controls']
}

export interface KeptRun {
  id: string
  key: string
  status: 'queued' | 'running' | 'succeeded' | 'failed'
  stage: string
  rules: Omit<FileRun['rules'], 'tolerance'> & { tolerance: { amount: Amount; basis_points: number } }
  left_statement: KeptStatement
  right_statement: KeptStatement
  counts: FileRun['counts'] | null
  sums: { side: Side; status: Status; currency: string; rows: number; amount: Amount }[] | null
  is_clean: boolean | null
  failure: string | null
  created_at: string
}

interface KeptItem {
  side: Side
  row: number
  status: Status
  pass: Pass
  group: string
  reason: string | null
  entry: {
    line: number
    id: string
    amount: Amount
    currency: string
    date: string | null
    batch: string | null
    text: string | null
  }
}

export interface Server extends Client {
  upload(query: URLSearchParams, path: string, key: string): Promise<KeptStatement>
  /** A page as it comes. */
  page(path: string): Promise<string>
}

/** A run with its statements beside it. */
export const WITH_SIDES = 'expand[]=left_statement&expand[]=right_statement'

/** Throws one sentence when there are no keys or nobody answers. */
export async function openServer(): Promise<Server> {
  const [{ readSettings }, { credentialsFile, readCredentials }, { createClient, reach }] = await Promise.all(
    [import('../../settings.ts'), import('../../main/first-start.ts'), import('../demo/client.ts')],
  )
  const { data_dir } = readSettings(process.env)
  const credentials = readCredentials(data_dir)
  if (credentials === null) {
    throw new Error(
      `there is no ${credentialsFile(data_dir)}: start the server with "npm start", or set BURSAR_DATA_DIR to its directory`,
    )
  }
  const { api_url, secret_key } = credentials
  await reach(api_url, '/healthz')
  const authorization = `Bearer ${secret_key}`
  const textOf = async (response: Response): Promise<string> => {
    const text = await response.text()
    if (response.status < 400) return text
    throw new Error((JSON.parse(text) as { error: { message: string } }).error.message)
  }
  return {
    ...createClient(credentials),
    async upload(query, path, key) {
      const response = await fetch(`${api_url}/v1/reconciliation_statements?${query.toString()}`, {
        method: 'POST',
        headers: { authorization, 'idempotency-key': key, 'content-type': 'application/octet-stream' },
        body: await openAsBlob(path),
        signal: AbortSignal.timeout(UPLOAD_MS),
      })
      return JSON.parse(await textOf(response)) as KeptStatement
    },
    page: async path => textOf(await reach(api_url, path, { headers: { authorization } })),
  }
}

/** What of a run that succeeded is shown, with the first findings of each kind. */
export async function readKept(
  server: Server,
  kept: KeptRun,
): Promise<{ run: ShownRun; report: ReportedRun }> {
  const { id, counts, is_clean, key, left_statement: left, right_statement: right, rules } = kept
  if (counts === null || kept.sums === null || is_clean === null) throw new Error(`${id} has no result yet`)
  const sums = kept.sums.map(({ rows, amount, ...sum }) => ({ ...sum, count: rows, sum: BigInt(amount) }))
  const samples = new Map<Status, ReportedGroup[]>()
  const open = STATUSES_SHOWN.filter(status => !CLEAN_STATUSES.includes(status))
  for (const status of open.filter(each => counts.left[each] + counts.right[each] > 0)) {
    samples.set(status, await groupsOf(server, id, status))
  }
  const sideOf = (side: Side, statement: KeptStatement) => {
    const { name, format, source, mapping, sha256, rows, bad_rows, bad, left_out, controls } = statement
    const homes = Object.values(counts[side]).reduce((all, count) => all + count, 0)
    return {
      name,
      format: format ?? source,
      mapping: mappingInWords(mapping),
      sha256,
      rows,
      carried_rows: homes - rows,
      bad_rows,
      bad,
      left_out: left_out.reduce((all, { entries }) => all + entries, 0),
      controls,
    }
  }
  const tolerance = { ...rules.tolerance, amount: BigInt(rules.tolerance.amount) }
  return {
    run: { counts, sums, is_clean, key, left, right },
    report: {
      id,
      key,
      rules: { ...rules, tolerance },
      left: sideOf('left', left),
      right: sideOf('right', right),
      sums,
      samples,
      suggestions: [],
      turned: null,
    },
  }
}

/** Of each side the first rows, those of one group together. */
async function groupsOf(server: Server, id: string, status: Status): Promise<ReportedGroup[]> {
  const items: KeptItem[] = []
  for (const side of ['left', 'right'] as const) {
    const path = `/v1/reconciliation_runs/${id}/items?status=${status}&side=${side}`
    items.push(...(await server.list<KeptItem>(path, FINDINGS_FETCHED, 1)))
  }
  return [...Map.groupBy(items, ({ group }) => group).values()].map(of => ({
    items: of.map(({ side, row, pass, group, reason, entry: { amount, ...entry } }) => ({
      ...entry,
      side,
      row,
      status,
      pass,
      group,
      reason,
      amount: BigInt(amount),
      decision_id: null,
    })),
    more: 0,
  }))
}
