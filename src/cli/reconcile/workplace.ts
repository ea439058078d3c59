/**
 * Where a run works: the directory that was asked for, or one that is removed when the command ends, also by a signal.
 * What a `kill -9` left behind, the next command removes.
 */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Workplace {
  directory: string
  /** Removes it when nobody asked for it. */
  leave(): void
}

const PREFIX = 'bursar-reconcile-'

/** How the description of a whole run begins. */
const RUN = /^\{\s*"key": "[0-9a-f]{64}"/

/** Throws when `out` holds files that are no run's. */
export function openWorkplace(out: string | undefined): Workplace {
  // It is made by the run, once both files could be opened.
  if (out !== undefined) {
    demandOwn(out)
    return { directory: out, leave: () => undefined }
  }
  removeLeftBehind()
  const directory = mkdtempSync(join(tmpdir(), `${PREFIX}${process.pid}-`))
  const remove = () => rmSync(directory, { recursive: true, force: true, maxRetries: 3 })
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
  return { directory, leave }
}

/** A run replaces its files by name and throws its working files away: somebody else's must not be among them. */
function demandOwn(out: string): void {
  const entries = namesIn(out)
  if (entries.length === 0 || isRun(join(out, 'run.json'))) return
  // What a killed run leaves: its working files, in which it spills, or these not yet begun.
  const working = entries.includes('work') ? namesIn(join(out, 'work')) : ['nothing of ours']
  if (working.length === 0 || working.includes('spill')) return
  throw new Error(`${out} holds other files: --out wants a folder of its own, a new one or that of a run`)
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    // Not there yet; or no directory, which the run refuses in its words.
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw error
  }
}

function isRun(file: string): boolean {
  try {
    return RUN.test(readFileSync(file, 'utf8'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Our own account's, of processes that are no more. */
function removeLeftBehind(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = Number(new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1] ?? 0)
    if (pid === 0 || isAlive(pid)) continue
    const directory = join(tmpdir(), name)
    const found = lstatSync(directory, { throwIfNoEntry: false })
    if (found?.isDirectory() && found.uid === process.getuid?.()) {
      rmSync(directory, { recursive: true, force: true })
    }
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
