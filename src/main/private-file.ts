/** Files that hold secrets: readable by their owner alone, whole or absent, and on the disk before anyone relies on them. */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'

/** What the file says, or null when there is none. */
export const readPrivate = (file: string): string | null =>
  existsSync(file) ? readFileSync(file, 'utf8') : null

/** Replaces the file in one step: a kill half-way leaves the old one. */
export function writePrivate(file: string, text: string): void {
  const unfinished = `${file}.new`
  rmSync(unfinished, { force: true })
  const descriptor = openSync(unfinished, 'wx', 0o600)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  renameSync(unfinished, file)
  // The new name is in the directory; without this a power cut could take it back.
  const directory = openSync(dirname(file), 'r')
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
