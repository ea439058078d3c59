/**
 * `bursar reconcile --keep`: both files are uploaded, the server compares them, and what it says is shown as that of files
 * is. The same files again are the same statements, and the same question the same run.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { sleep } from '#kernel'
import { type FileSide, type Side, StatementError } from '#reconciliation/files'
import { print } from '../output.ts'
import { ownCommand } from '../own-command.ts'
import { type KeptRun, openServer, type Server, WITH_SIDES } from './api.ts'
import { demandTwoFiles, demandTwoInputs, keepInputs, namesOfFiles } from './inputs.ts'
import { readKept } from './kept-run.ts'
import { type ReconcileOptions, rulesOf, sideOf } from './options.ts'
import type { Heard, Watching } from './progress.ts'
import { runJson, runText } from './show.ts'
import { openWorkplace } from './workplace.ts'

/** Short beside what a run takes, and few questions for one that takes minutes. */
const ASK_EVERY_MS = 500
/** Half a day of questions: ten million rows take minutes, and what takes longer is looked at by its id. */
const QUESTIONS_MOST = 86_400
/** After ten seconds somebody who waits is told why. */
const QUEUED_QUESTIONS = 20

/** Answers whether it is clean. */
export async function keep(left: string, right: string, options: ReconcileOptions): Promise<boolean> {
  demandKeepable(options)
  demandTwoInputs({ left, right })
  const rules = rulesOf(options)
  const names = namesOfFiles({ left, right })
  const sides = { left: sideOf(options, 'left', names.left), right: sideOf(options, 'right', names.right) }
  await demandTwoFiles({ left, right }, sides)
  const server = await openServer()
  const workplace = openWorkplace(undefined)
  const watching = process.stderr.isTTY && !options.json ? await watch() : undefined
  const say = (line: string) => {
    // A bar goes before a line comes.
    watching?.end()
    if (!options.json) process.stderr.write(`${line}\n`)
  }
  const hear = (progress: Heard) => watching?.hear(progress)
  try {
    const paths = await keepInputs({ left, right }, workplace.inputs, done =>
      hear({ stage: 'receive', done, total: null }),
    )
    const ids: Partial<Record<Side, string>> = {}
    for (const side of ['left', 'right'] as const) {
      const statement = await upload(server, { ...sides[side], path: paths[side] }, hear)
      ids[side] = statement.id
      say(`Uploaded ${statement.name}: ${statement.id}`)
    }
    const { id } = await server.post<{ id: string }>('/v1/reconciliation_runs', {
      left_statement_id: ids.left,
      right_statement_id: ids.right,
      rules: { ...rules, tolerance: { ...rules.tolerance, amount: Number(rules.tolerance.amount) } },
      ...(options.carry !== undefined && { carry_from: options.carry }),
    })
    const ended_run = await ended(server, id, say, watching)
    watching?.end()
    return await showKept(server, ended_run, options.json ?? false)
  } finally {
    watching?.end()
    workplace.leave()
  }
}

/** What is of files alone is said before anything is uploaded. */
function demandKeepable({ out, decisions, carry }: ReconcileOptions): void {
  if (out !== undefined) {
    throw new TypeError(
      `--keep has the server keep the run: leave --out away, and see "${ownCommand()} reconcile show --help"`,
    )
  }
  if (decisions !== undefined) {
    throw new TypeError('--keep replays the decisions that the server has: leave --decisions away')
  }
  if (carry !== undefined && !carry.startsWith('rec_')) {
    throw new TypeError(`--carry names a run of the server with --keep, as rec_…: "${carry}" is none`)
  }
}

/** The key is the digest of what is sent: the same file again is answered with the statement that is there. */
async function upload(
  server: Server,
  side: FileSide,
  hear: (progress: Heard) => void,
): Promise<{ id: string; name: string }> {
  const { path, name, format, mapping, currency, id_from, is_empty_allowed } = side
  if (id_from !== undefined && id_from.length > 1) {
    throw new TypeError('--id-from names one reference with --keep')
  }
  const query = new URLSearchParams({
    name,
    ...(format && { format }),
    ...(mapping && { mapping: JSON.stringify(mapping) }),
    ...(currency && { currency }),
    ...(id_from?.[0] && { id_from: id_from[0] }),
    ...(is_empty_allowed && { is_empty_allowed: 'true' }),
  })
  const hash = createHash('sha256').update(`${query.toString()}\0`)
  let done = 0
  try {
    const { size: total } = await stat(path)
    for await (const chunk of createReadStream(path)) {
      hash.update(chunk as Buffer)
      hear({ stage: 'digest', done: (done += (chunk as Buffer).length), total })
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new StatementError(name, null, NOT_READ[code ?? ''] ?? `it cannot be read (${code})`)
  }
  return server.upload(query, path, `reconcile-${hash.digest('hex')}`, (sent, total) =>
    hear(sent < total ? { stage: 'send', done: sent, total } : { stage: 'keep', done: 0, total: null }),
  )
}

const NOT_READ: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'this is a directory and no file',
  EACCES: 'the file may not be read',
}

const watch = async () => (await import('./progress.ts')).watchRun()

/** The run once it has ended well. */
async function ended(
  server: Server,
  id: string,
  say: (line: string) => void,
  watching: Watching | undefined,
): Promise<KeptRun> {
  let told = ''
  for (let asked = 0; asked < QUESTIONS_MOST; asked++) {
    const run = await server.get<KeptRun>(`/v1/reconciliation_runs/${id}?${WITH_SIDES}`)
    if (run.status === 'succeeded') return run
    if (run.status === 'failed') throw new Error(`${id} failed: ${run.failure ?? 'no reason was given'}`)
    const waiting =
      asked < QUEUED_QUESTIONS
        ? 'waits for a worker'
        : 'still waits for a worker: does one run? (BURSAR_ROLE)'
    const line = run.status === 'queued' ? waiting : run.stage
    const { rows_done, rows_total } = run.progress
    if (run.status === 'running' && watching !== undefined) {
      watching.hear({ stage: 'compare', done: rows_done, total: Math.max(1, rows_total) })
    } else if (line !== told) say(`${id}: ${line}`)
    told = line
    await sleep(ASK_EVERY_MS)
  }
  throw new Error(`${id} has not ended yet: see it later with "${ownCommand()} reconcile show ${id}"`)
}

/** Answers whether it is clean. `written` is where its report was written, if it was. */
export async function showKept(
  server: Server,
  kept: KeptRun,
  is_json: boolean,
  written: string | null = null,
): Promise<boolean> {
  const { run, report } = await readKept(server, kept)
  const shown = written ?? `${ownCommand()} reconcile show ${kept.id} --report report.html`
  print(is_json, runJson(run, report, null), () => runText(run, report, ['', `Report    ${shown}`]))
  return run.is_clean
}
