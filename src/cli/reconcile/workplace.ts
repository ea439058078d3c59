/**
 * Where a run works: the directory that was asked for, or one that is removed when the command ends, also by a signal.
 * What a `kill -9` left behind, the next command removes.
 */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, normalize, resolve } from 'node:path'
import { WORKING_FOLDER } from '#reconciliation/files'

export interface Workplace {
  directory: string
  /** For what can be read only once. Made by whoever needs it. */
  inputs: string
  /** Removes whatever nobody asked for. */
  leave(): void
}

const PREFIX = 'bursar-reconcile-'

/** Beside the run's own working files, which the run throws away when it begins. */
const INPUTS_FOLDER = '.bursar-inputs'

/** Says, with the number of the process behind it, who works in a folder: two there would take each other's files away. */
const MARK = '.bursar-process-'

/** How the description of a whole run begins. */
const RUN = /^\{\s*"key": "[0-9a-f]{64}"/

/** Throws a sentence when nothing can be written to `out`, or when it holds files that are no run's. */
export function openWorkplace(out: string | undefined): Workplace {
  if (out === '') throw new Error('--out is empty: name a folder')
  // A folder on the way that `..` leaves again need not be there.
  if (out !== undefined) return openOut(normalize(out))
  removeLeftBehind()
  let own: string | undefined
  // Before there is anything to remove: a signal that comes in between would end us with it.
  const leave = atLast(() => {
    if (own !== undefined) rmSync(own, { recursive: true, force: true, maxRetries: 3 })
  })
  try {
    own = makeTemporary()
  } catch (error) {
    leave()
    throw error
  }
  return {
    // Below what is removed, so that a run which a signal interrupts cannot make it anew.
    directory: join(own, 'run'),
    inputs: join(own, 'inputs'),
    leave,
  }
}

/** That nothing can be written there is known before a gigabyte was read for it. */
function openOut(out: string): Workplace {
  demandOwn(out)
  const working = join(out, WORKING_FOLDER)
  const inputs = join(out, INPUTS_FOLDER)
  const mark = join(out, `${MARK}${process.pid}`)
  const made: string[] = []
  const leave = atLast(() => {
    for (const folder of [working, inputs, mark])
      rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
    for (const folder of made.toReversed()) if (readdirSync(folder).length === 0) rmdirSync(folder)
  })
  try {
    for (const folder of missing(working)) {
      mkdirSync(folder)
      if (folder !== resolve(working)) made.push(folder)
    }
    writeFileSync(mark, '')
  } catch (error) {
    leave()
    throw notMade(`--out ${out}`, error)
  }
  return { directory: out, inputs, leave }
}

/** What of a path is not there yet, from its top: made one by one, since some file systems hang otherwise. */
function missing(path: string): string[] {
  const folders: string[] = []
  for (let at = resolve(path); !existsSync(at) && dirname(at) !== at; at = dirname(at)) folders.unshift(at)
  return folders
}

const NOT_MADE: Readonly<Record<string, string>> = {
  EACCES: 'this account may not write there',
  EPERM: 'this account may not write there',
  EROFS: 'this disk can only be read',
  ENOSPC: 'no space is left on this disk',
  EDQUOT: 'no space is left on this disk',
  ENOTDIR: 'a file stands where a folder is wanted',
  EEXIST: 'a file stands where a folder is wanted',
  ENAMETOOLONG: 'the name is too long',
  ELOOP: 'its links lead in a circle',
}

function notMade(what: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === undefined) return error
  return new Error(`${what}: ${NOT_MADE[code] ?? `no folder can be made there (${code})`}`, { cause: error })
}

function makeTemporary(): string {
  try {
    return mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`))
  } catch (error) {
    throw notMade(`the folder for temporary files, ${tmpdir()} (TMPDIR)`, error)
  }
}

/** Once, at the end of the command or by a signal. */
function atLast(remove: () => void): () => void {
  const onSignal = (signal: NodeJS.Signals) => {
    leave()
    // As whoever sent it expects: the shell sees that a signal ended it.
    process.kill(process.pid, signal)
  }
  const leave = () => {
    for (const signal of SIGNALS) process.off(signal, onSignal)
    remove()
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
  return leave
}

/** A run replaces its files by name and throws its working files away: somebody else's must not be among them. */
function demandOwn(out: string): void {
  const entries = namesIn(out).filter(name => !isLeftMark(out, name))
  if (entries.length === 0 || isRun(join(out, 'run.json'))) return
  // What a killed run leaves.
  if (entries.includes(WORKING_FOLDER) || entries.includes(INPUTS_FOLDER)) return
  throw new Error(`${out} holds other files: --out wants a folder of its own, a new one or that of a run`)
}

/** Whether it is the mark of a process that is no more, which goes. Throws when the process is at work. */
function isLeftMark(out: string, name: string): boolean {
  if (!name.startsWith(MARK)) return false
  const pid = Number(name.slice(MARK.length))
  if (pid !== process.pid && isAlive(pid)) {
    throw new Error(`--out ${out}: another run works in this folder, process ${pid}: wait for its end`)
  }
  rmSync(join(out, name), { force: true })
  return true
}

/** That `path` is a folder, or is not there at all. */
export function demandFolder(option: string, path: string): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory() === false) {
    throw new Error(`${option} ${path}: this is a file, and the folder of a run is wanted`)
  }
}

function namesIn(out: string): string[] {
  try {
    return readdirSync(out)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return []
    throw notMade(`--out ${out}`, error)
  }
}

function isRun(file: string): boolean {
  try {
    return RUN.test(readFileSync(file, 'utf8'))
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'EISDIR') return false
    throw error
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Our own account's, of processes that are no more. */
function removeLeftBehind(): void {
  for (const name of namesOfTemporary()) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1] ?? 0)
    if (pid === 0 || isAlive(pid)) continue
    const directory = join(tmpdir(), name)
    const found = lstatSync(directory, { throwIfNoEntry: false })
    if (found?.isDirectory() && found.uid === process.getuid?.()) {
      rmSync(directory, { recursive: true, force: true })
    }
  }
}

/** None where nobody may look: what others left there is not ours to remove. */
function namesOfTemporary(): string[] {
  try {
    return readdirSync(tmpdir())
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== undefined) return []
    throw error
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Somebody else's process is one.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
