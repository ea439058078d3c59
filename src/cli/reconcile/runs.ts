/** `bursar reconcile runs` and `show`: what the server keeps. */
import { writeFile } from 'node:fs/promises'
import { counted } from '#reconciliation/files'
import { print, table } from '../output.ts'
import { ownCommand } from '../own-command.ts'
import { type KeptRun, openServer, type Server, WITH_SIDES } from './api.ts'
import { showKept } from './keep.ts'

/** What the API gives at once. */
const RUNS_MOST = 100

export interface RunsOptions {
  limit: string
  json?: boolean
}

/** Newest first. */
export async function listRuns({ limit, json }: RunsOptions): Promise<void> {
  const wanted = Number(limit)
  if (!Number.isInteger(wanted) || wanted < 1 || wanted > RUNS_MOST) {
    throw new TypeError(`--limit is a number from 1 to ${RUNS_MOST}`)
  }
  const server = await openServer()
  const runs = await server.list<KeptRun>(`/v1/reconciliation_runs?${WITH_SIDES}`, wanted, 1)
  if (json) return print(json, { runs }, () => '')
  const decisions = new Map<string, string>()
  // One after the other: a hundred answers of a millisecond or two.
  for (const { id } of runs.filter(({ is_clean }) => is_clean === false)) {
    decisions.set(id, await decisionsSince(server, id))
  }
  print(json, { runs }, () =>
    runs.length === 0
      ? `No run is kept: start one with "${ownCommand()} reconcile --keep LEFT RIGHT".`
      : table(
          ['run', 'asked for', 'left', 'right', 'result'],
          runs.map(run => rowOf(run, decisions.get(run.id) ?? '')),
        ),
  )
}

/** `; 2 decisions since`: what was decided about a run after it, unless that was withdrawn. */
async function decisionsSince(server: Server, id: string): Promise<string> {
  const path = `/v1/reconciliation_runs/${id}/decisions`
  const decisions = await server.list<{ withdrawal: object | null }>(path, RUNS_MOST, 1)
  const standing = decisions.filter(({ withdrawal }) => withdrawal === null).length
  if (standing === 0) return ''
  return `; ${counted(standing, 'decision')}${decisions.length === RUNS_MOST ? ' or more' : ''} since`
}

const rowOf = (run: KeptRun, since: string): string[] => [
  run.id,
  run.created_at.slice(0, 16).replace('T', ' '),
  run.left_statement.name,
  run.right_statement.name,
  run.is_clean === null ? run.status : run.is_clean ? 'clean' : `${findingsOf(run)}${since}`,
]

function findingsOf({ counts }: KeptRun): string {
  const kinds = ['discrepant', 'unmatched', 'duplicate', 'ambiguous'] as const
  const found = kinds.flatMap(kind => {
    const rows = (counts?.left[kind] ?? 0) + (counts?.right[kind] ?? 0)
    return rows === 0 ? [] : [`${rows} ${kind}`]
  })
  return found.length === 0 ? 'not clean' : found.join(', ')
}

export interface ShowOptions {
  report?: string
  json?: boolean
}

/** Answers whether it is clean. */
export async function showRun(id: string, { report, json = false }: ShowOptions): Promise<boolean> {
  const server = await openServer()
  const path = `/v1/reconciliation_runs/${encodeURIComponent(id)}`
  const run = await server.get<KeptRun>(`${path}?${WITH_SIDES}`).catch((error: unknown) => {
    throw new Error(`${id}: ${(error as Error).message}`, { cause: error })
  })
  if (run.status !== 'succeeded') {
    throw new Error(`${id} is ${run.status}${run.failure === null ? '' : `: ${run.failure}`}`)
  }
  if (report !== undefined) await writeFile(report, await server.page(`${path}/report`))
  return showKept(server, run, json, report)
}
