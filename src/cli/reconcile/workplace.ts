/**
 * Where a run works: the directory that was asked for, or one that is removed when the command ends, also by a signal.
 * What a `kill -9` left behind, the next command removes.
 */
import { mkdtempSync, readdirSync, rmSync, lstatSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface Workplace {
  directory: string
  /** Removes it when nobody asked for it. */
  leave(): void
}

const PREFIX = 'bursar-reconcile-'

export function openWorkplace(out: string | undefined): Workplace {
  // It is made by the run, once both files could be opened.
  if (out !== undefined) return { directory: out, leave: () => undefined }
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
