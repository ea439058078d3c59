/**
 * A run over files: read, match, write, each whole before the next. A run that was killed begins again, because all
 * it has done is seconds old and in memory or in its working files; the same command ends with the same bytes.
 */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { type Rules, RULES_VERSION } from '../rules.ts'
import { Directory } from './directory.ts'
import { Duck } from './duck.ts'
import type { FileRun, FileSide, Item, Progress, RunFiles, RunFilesOptions } from './face.ts'
import { findPlain, loadLeftover, type Loaded, loadSide } from './load.ts'
import { match, SIDES } from './match.ts'
import { peel } from './peel.ts'
import { fileRun, parseRun, runText, type StoredRun, summarize } from './stored.ts'
import { failure, RunFailed } from './trouble.ts'
import { weave } from './weave.ts'
import { addSums, checkSums, readSums, suggestions, sumUp, writeFindings, writeItems } from './write.ts'

/** Raised whenever the same input would be written as other bytes. Part of every run's key. */
const ENGINE_VERSION = 1

/**
 * Throws `StatementError` when a file cannot be read as a whole and `RunFailed` when its result cannot be kept. The
 * key is known once both files were read, so a stored run is found by their digests before anything else is done.
 */
export const runFiles: RunFiles = async options => {
  const directory = new Directory(options.directory)
  const found = await findStored(directory, options)
  if (found !== null) return found
  let duck: Duck | null = null
  try {
    await directory.clear()
    duck = await Duck.open(directory.work('spill'))
    const run = await work(duck, directory, options)
    duck.close()
    duck = null
    await directory.commit(runText(run))
    tell(options, { stage: 'done', done: run.left.rows + run.right.rows, total: null })
    return fileRun(run, directory, false)
  } catch (error) {
    duck?.close()
    await directory.tidy()
    throw failure(error)
  }
}

async function work(duck: Duck, directory: Directory, options: RunFilesOptions): Promise<StoredRun> {
  const total = (await sizeOf(options.left)) + (await sizeOf(options.right))
  const onBytes = (bytes: number) => tell(options, { stage: 'read', done: bytes, total })
  const peeled = options.carried === undefined ? await peelPlain(duck, directory, options, onBytes) : null
  const sides = peeled?.sides ?? (await readBoth(duck, options, onBytes))
  const rows = sides.left.summary.rows + sides.right.summary.rows
  tell(options, { stage: 'match', done: 0, total: rows })
  const { rules } = options
  await match(duck, { left: sides.left.columns, right: sides.right.columns }, rules, options.decisions)
  tell(options, { stage: 'write', done: 0, total: rows })
  const matched = await sumUp(duck)
  const items = directory.work('items.csv')
  let sums = addSums(matched)
  if (peeled === null) {
    for (const side of SIDES) checkSums(side, await readSums(duck, side), sums)
    await writeItems(duck, items, true)
  } else {
    await writeItems(duck, directory.work('others.csv'), false)
    const same = await weave(peeled.file, peeled.partners, directory.work('others.csv'), items)
    const of = (side: Item['side']) => same.map(sum => ({ side, status: 'matched' as const, ...sum }))
    sums = addSums(matched, of('left'), of('right'))
    for (const side of SIDES) checkSums(side, peeled.sums[side], sums)
  }
  await writeFindings(duck, directory.work('findings.csv'))
  const found = await suggestions(duck, rules)
  const { left, right } = sides
  const key = await keyOf(options, left.summary.sha256, right.summary.sha256)
  return summarize(key, rules, left.summary, right.summary, sums, found)
}

async function readBoth(duck: Duck, options: RunFilesOptions, onBytes: (bytes: number) => void) {
  const left = await loadSide(duck, 'left', options.left, carriedOf(options, 'left'), onBytes)
  const before = await sizeOf(options.left)
  const right = await loadSide(duck, 'right', options.right, carriedOf(options, 'right'), bytes =>
    onBytes(before + bytes),
  )
  return { left, right }
}

/** Null where one of the files is not plain. */
async function peelPlain(
  duck: Duck,
  directory: Directory,
  { left, right, decisions }: RunFilesOptions,
  onBytes: (bytes: number) => void,
) {
  const [l, r] = [await findPlain(left), await findPlain(right)]
  if (l === null || r === null) return null
  const named = new Set(
    decisions.flatMap(decision => [...decision.left, ...decision.right].map(({ id }) => id)),
  )
  const work = (name: string) => directory.work(name)
  const peeled = await peel({ left: l.file, right: r.file }, named, work, onBytes)
  if (peeled === null) return null
  const sideOf = async (side: Item['side'], file: FileSide, plain: typeof l): Promise<Loaded> => {
    const { sha256, rows } = peeled[side]
    return {
      columns: await loadLeftover(duck, side, work(`${side}.csv`), plain.file.layout),
      summary: {
        name: file.name,
        format: 'csv',
        mapping: plain.mapping,
        sha256,
        rows,
        carried_rows: 0,
        bad_rows: 0,
        bad: [],
        controls: [],
      },
    }
  }
  return {
    sides: { left: await sideOf('left', left, l), right: await sideOf('right', right, r) },
    file: l.file,
    partners: peeled.partners,
    sums: { left: peeled.left.sums, right: peeled.right.sums },
  }
}

const tell = ({ on_progress }: RunFilesOptions, progress: Progress) => on_progress?.(progress)

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
