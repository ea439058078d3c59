/**
 * A run over files: read, match, write, each whole before the next. A run that was killed begins again, because all
 * it has done is seconds old and in memory or in its working files; the same command ends with the same bytes.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { decisionsFor } from '../decision.ts'
import { type Rules, RULES_VERSION } from '../rules.ts'
import { demandLater, demandOtherFiles } from './carry.ts'
import { Crew } from './crew.ts'
import type { Rest } from './decided.ts'
import { Directory, FINDINGS } from './directory.ts'
import { Duck } from './duck.ts'
import type { FileRun, FileSide, Item, Progress, RunFiles, RunFilesOptions, SideSummary } from './face.ts'
import { decideLeftovers } from './leftovers.ts'
import { findPlain, loadSide } from './load.ts'
import { match, SIDES } from './match.ts'
import { append } from './out.ts'
import { type Peeled, peel } from './peel.ts'
import type { PlainFile } from './rows.ts'
import { fileRun, parseRun, runText, type StoredRun, summarize } from './stored.ts'
import { addUp, type CurrencySum } from './tally.ts'
import { failure, RunFailed } from './trouble.ts'
import {
  addSums,
  checkSums,
  ITEM_COLUMNS,
  readSums,
  suggestions,
  sumUp,
  writeFindings,
  writeItems,
} from './write.ts'

/** Raised whenever the same input would be written as other bytes. Part of every run's key. */
const ENGINE_VERSION = 6

/**
 * Throws `StatementError` when a file cannot be read as a whole and `RunFailed` when its result cannot be kept. The
 * key is known once both files were read, so a stored run is found by their digests before anything else is done.
 */
export const runFiles: RunFiles = async options => {
  const directory = new Directory(options.directory)
  const found = await findStored(directory, options)
  if (found !== null) return found
  if (options.carried !== undefined) demandLater(options, await openRun(options.carried))
  try {
    await directory.clear()
    const run = (await runPlain(directory, options)) ?? (await runCarefully(directory, options))
    await directory.commit(runText(run))
    tell(options, { stage: 'done', done: run.left.rows + run.right.rows, total: null })
    return fileRun(run, directory, false)
  } catch (error) {
    await directory.tidy()
    throw failure(error)
  }
}

/** Null where one of the files is not plain, or an earlier run's rows join it. */
async function runPlain(directory: Directory, options: RunFilesOptions): Promise<StoredRun | null> {
  if (options.carried !== undefined) return null
  const bytes = (await sizeOf(options.left)) + (await sizeOf(options.right))
  // Its threads start while the files are looked at.
  const crew = new Crew(bytes)
  let rest: Rest | null = null
  try {
    const [left, right] = [await findPlain(options.left), await findPlain(options.right)]
    if (left === null || right === null) return null
    let done = 0
    const onBytes = (more: number) => tell(options, { stage: 'read', done: (done += more), total: bytes })
    const files = { left: left.file, right: right.file }
    const stamp = await stampOf(options.left)
    const work = (name: string) => directory.work(name)
    const peeled = await peel(crew, files, bytes, idsIn(options.decisions), work, onBytes)
    if (peeled === null) return null
    const rows = peeled.left.rows + peeled.right.rows
    tell(options, { stage: 'match', done: 0, total: rows })
    const statements = { left: peeled.left.sha256, right: peeled.right.sha256 }
    const decisions = decisionsFor(statements, options.decisions)
    rest = await decideLeftovers(peeled.leftovers, files, { ...options, decisions }, crew, work)
    tell(options, { stage: 'write', done: 0, total: rows })
    const others: [string, string] = [work('others-0'), work('others-1')]
    // First, because the threads wait for it, and what goes on beside them takes all of this one.
    await rest.writeOthers(peeled.left.middle.rows, others)
    const weaving = async () => weaveAll(crew, left.file, peeled, others, work)
    // The threads write the rows beside the findings, unless those need the memory.
    const beside = rest.is_large ? null : weaving()
    const findings = rest.writeFindings(work(FINDINGS)).then(async () => rest?.suggestions())
    const written = beside ?? findings.then(weaving)
    // Whatever goes wrong with one, the other is not left at work.
    await Promise.allSettled([written, findings])
    // The left file was read a second time, and nothing compares its rows with those of the first.
    await checkStamp(options.left, stamp)
    const [same, suggestions] = await Promise.all([written, findings])
    const of = (side: Item['side']) => same.map(sum => ({ side, status: 'matched' as const, ...sum }))
    const sums = addSums(await rest.sums(), of('left'), of('right'))
    for (const side of SIDES) checkSums(side, peeled[side].sums, sums)
    const summaryOf = (side: Item['side'], mapping: SideSummary['mapping']): SideSummary => ({
      name: options[side].name,
      format: 'csv',
      mapping,
      sha256: peeled[side].sha256,
      rows: peeled[side].rows,
      carried_rows: 0,
      bad_rows: 0,
      bad: [],
      left_out: [],
      controls: [],
    })
    const sides = { left: summaryOf('left', left.mapping), right: summaryOf('right', right.mapping) }
    const key = await keyOf(options, sides.left.sha256, sides.right.sha256)
    return summarize(key, options.rules, sides.left, sides.right, sums, suggestions ?? [])
  } finally {
    await crew.close()
    await rest?.close()
  }
}

const idsIn = (decisions: RunFilesOptions['decisions']) =>
  new Set(decisions.flatMap(({ left, right }) => [...left, ...right].map(({ id }) => id)))

/** `items.csv` in two halves, of which the second is put behind the first. */
async function weaveAll(
  crew: Crew,
  file: PlainFile,
  { left, partners }: Peeled,
  others: readonly [string, string],
  work: (name: string) => string,
): Promise<CurrencySum[]> {
  const task = { name: 'weave', file, partners } as const
  const first = { ...task, from: { at: 0, rows: 0 }, to: left.middle }
  const [a, b] = await crew.both([
    { ...first, others: others[0], header: `${ITEM_COLUMNS}\n`, out: work('items.csv') },
    { ...task, from: left.middle, to: null, others: others[1], header: '', out: work('items-1') },
  ])
  await append(work('items.csv'), work('items-1'))
  return addUp([...a.sums, ...b.sums])
}

/** By the readers of `reading/`, and DuckDB. */
async function runCarefully(directory: Directory, options: RunFilesOptions): Promise<StoredRun> {
  const left_size = await sizeOf(options.left)
  const total = left_size + (await sizeOf(options.right))
  const crew = new Crew(total, 1)
  const duck = await Duck.open(directory.work('spill'))
  try {
    const { rules } = options
    const load = async (side: Item['side'], before: number) =>
      loadSide(duck, side, options[side], carriedOf(options, side), bytes =>
        tell(options, { stage: 'read', done: before + bytes, total }),
      )
    const [left, right] = [await load('left', 0), await load('right', left_size)]
    if (options.carried !== undefined) {
      const sides = { left: left.summary, right: right.summary }
      demandOtherFiles(options, await openRun(options.carried), sides)
    }
    const rows = left.summary.rows + right.summary.rows
    tell(options, { stage: 'match', done: 0, total: rows })
    const statements = { left: left.summary.sha256, right: right.summary.sha256 }
    const decisions = decisionsFor(statements, options.decisions)
    const columns = { left: left.columns, right: right.columns }
    await match(duck, columns, rules, decisions, crew, name => directory.work(name))
    tell(options, { stage: 'write', done: 0, total: rows })
    const sums = addSums(await sumUp(duck))
    for (const side of SIDES) checkSums(side, await readSums(duck, side), sums)
    await writeItems(duck, 'left', directory.work('items.csv'), true)
    await writeItems(duck, 'right', directory.work('items-1'), false)
    await append(directory.work('items.csv'), directory.work('items-1'))
    await writeFindings(duck, directory.work(FINDINGS))
    const found = await suggestions(duck, rules)
    const key = await keyOf(options, left.summary.sha256, right.summary.sha256)
    return summarize(key, rules, left.summary, right.summary, sums, found)
  } finally {
    await crew.close()
    await duck.close()
  }
}

const tell = ({ on_progress }: RunFilesOptions, progress: Progress) => on_progress?.(progress)

/** Of a file as it is: every write gives it another, whatever its size and whoever sets its time back. */
async function stampOf({ path }: FileSide): Promise<string> {
  const { ino, size, ctimeNs } = await stat(path, { bigint: true })
  return `${ino} ${size} ${ctimeNs}`
}

async function checkStamp(file: FileSide, stamp: string): Promise<void> {
  if ((await stampOf(file)) === stamp) return
  throw new RunFailed(`${file.name} has changed while it was read: nothing of a result was kept`)
}

const sizeOf = async (file: FileSide): Promise<number> => {
  try {
    return (await stat(file.path)).size
  } catch (error) {
    // The reader says what is wrong with it, and where.
    if (error instanceof Error) return 0
    throw error
  }
}

/** What the earlier run left for this one. */
function carriedOf({ carried }: RunFilesOptions, side: Item['side']): AsyncIterable<Item> | null {
  return carried === undefined ? null : timingOf(carried, side)
}

async function* timingOf(path: string, side: Item['side']): AsyncIterable<Item> {
  for await (const item of (await openRun(path)).items()) {
    if (item.side === side && item.status === 'timing') yield item
  }
}

/** A run that a directory holds. Throws when it holds none. */
export async function openRun(path: string): Promise<FileRun> {
  const directory = new Directory(path)
  const text = await directory.stored()
  if (text === null) throw new RunFailed(`${path} holds no whole run`)
  return fileRun(parseRun(text), directory, true)
}

async function findStored(directory: Directory, options: RunFilesOptions): Promise<FileRun | null> {
  const text = await directory.stored()
  if (text === null) return null
  const run = parseRun(text)
  try {
    const left = await digestOf(options.left.path)
    const right = await digestOf(options.right.path)
    return run.key === (await keyOf(options, left, right)) ? fileRun(run, directory, true) : null
  } catch (error) {
    // A file that cannot be read is for the reader to refuse.
    if (error instanceof Error && 'code' in error) return null
    throw error
  }
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** Of content and meaning: what a file is called makes no difference. */
async function keyOf(options: RunFilesOptions, left: string, right: string): Promise<string> {
  const { rules, decisions, carried } = options
  const meaning = ({ format, mapping, currency, id_from, is_empty_allowed }: FileSide) => [
    format ?? null,
    mapping ?? null,
    currency ?? null,
    id_from ?? null,
    is_empty_allowed ?? false,
  ]
  const parts = {
    versions: [RULES_VERSION, ENGINE_VERSION],
    sides: [left, meaning(options.left), right, meaning(options.right)],
    carried: carried === undefined ? null : (await openRun(carried)).key,
    rules: rulesText(rules),
    decisions: decisions.map(({ id, kind, left: l, right: r }) => ({ id, kind, left: l, right: r })),
  }
  const text = JSON.stringify(parts, (_, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
  return createHash('sha256').update(text).digest('hex')
}

const rulesText = ({ date_window_days, tolerance, as_of, timing_days }: Rules) => [
  date_window_days,
  `${tolerance.amount}`,
  tolerance.basis_points,
  as_of,
  timing_days,
]
