/**
 * One Bursar per data directory. The lock is SQLite's own exclusive file lock, because the kernel lets go of it
 * the moment its holder dies: a pid file would have to guess whether a pid still means the same process, and two
 * starters who both find a stale one would race to replace it.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Held here as well as by the caller: a collected handle would open the lock silently. */
const held = new Set<DatabaseSync>()

/** Takes the lock of a directory or throws a sentence that names the holder; returns the function that lets go. */
export function lockDirectory(directory: string): () => void {
  const owner_file = join(directory, 'owner')
  let handle: DatabaseSync
  try {
    handle = new DatabaseSync(join(directory, 'lock'), { timeout: 0 })
  } catch (error) {
    throw new Error(`${directory} cannot be used: this account may not write there`, { cause: error })
  }
  try {
    handle.exec('begin exclusive')
  } catch (error) {
    handle.close()
    const holder = readOwner(owner_file)
    throw new Error(
      `another Bursar${holder} is running on ${directory}: stop it first, or set BURSAR_DATA_DIR to another directory`,
      { cause: error },
    )
  }
  held.add(handle)
  writeFileSync(owner_file, `${process.pid}\n`)
  return () => {
    if (held.delete(handle)) handle.close()
  }
}

function readOwner(file: string): string {
  try {
    return ` (process ${readFileSync(file, 'utf8').trim()})`
  } catch {
    // The holder took the lock a moment ago and has not written its name yet.
    return ''
  }
}
