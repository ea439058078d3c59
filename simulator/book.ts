/**
 * The durable book: an append-only file of JSON lines, one line per decision, written and flushed to the disk before
 * its answer goes out. What it says happened, happened; all state is rebuilt from it.
 *
 * Group commit: everything decided while the disk is busy goes out in the next single write and single fdatasync, so
 * the cost of the disk is shared by however many requests are waiting and no timer is needed to gather them.
 */
import {
  closeSync,
  fdatasync,
  fsyncSync,
  fstatSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  write,
} from 'node:fs'
import { dirname } from 'node:path'
import { StringDecoder } from 'node:string_decoder'

/** Large enough that replay is bound by parsing, small enough to be forgotten at once. */
const READ_CHUNK_BYTES = 1024 * 1024
const NEWLINE = 10

export interface Book {
  /** Adds one line (without its newline) to the next write; answers its place, the byte at which it will begin. */
  append(line: string): number
  /** Calls back once everything appended so far is on the disk: at once when it already is. */
  whenDurable(callback: () => void): void
  /** How much of the file is on the disk and may be shown. */
  durableBytes(): number
  /** Resolves when all appended lines are on the disk and the file is closed. */
  close(): Promise<void>
}

/**
 * Opens (or makes) the book and hands every line of it to `replay`. A last line without its newline was never
 * answered (the process died while writing it) and is cut off.
 *
 * A disk that refuses a write ends the process through `onBroken`: what is on the disk is then not known, and only a
 * restart, which reads it back, can know.
 */
export function openBook(
  path: string,
  replay: (line: string) => void,
  onBroken: (error: Error) => void,
): Book {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
  const file = openSync(path, 'a+', 0o600)
  let durable_bytes = readLines(file, replay)
  let next_place = durable_bytes
  if (fstatSync(file).size > durable_bytes) ftruncateSync(file, durable_bytes)
  fsyncSync(file)
  syncFolder(dirname(path))

  let lines: string[] = []
  let waiting: (() => void)[] = []
  let writing: (() => void)[] | undefined
  let is_scheduled = false

  function schedule() {
    if (is_scheduled || writing !== undefined) return
    is_scheduled = true
    // After this turn's sockets were read: requests that arrived together are written together.
    setImmediate(flush)
  }

  function flush() {
    is_scheduled = false
    const batch = Buffer.from(`${lines.join('\n')}\n`)
    lines = []
    writing = waiting
    waiting = []
    writeWhole(file, batch, 0, error => {
      if (error !== null) return onBroken(error)
      fdatasync(file, error => {
        if (error !== null) return onBroken(error)
        durable_bytes += batch.length
        const done = writing ?? []
        writing = undefined
        if (lines.length > 0) schedule()
        for (const callback of done) callback()
      })
    })
  }

  return {
    append(line) {
      const place = next_place
      next_place += Buffer.byteLength(line) + 1
      lines.push(line)
      schedule()
      return place
    },
    whenDurable(callback) {
      if (lines.length > 0) waiting.push(callback)
      else if (writing !== undefined) writing.push(callback)
      else callback()
    },
    durableBytes: () => durable_bytes,
    close() {
      return new Promise(resolve => {
        this.whenDurable(() => {
          closeSync(file)
          resolve()
        })
      })
    },
  }
}

function writeWhole(file: number, bytes: Buffer, from: number, done: (error: Error | null) => void) {
  write(file, bytes, from, bytes.length - from, null, (error, written) => {
    if (error !== null) return done(error)
    if (from + written < bytes.length) return writeWhole(file, bytes, from + written, done)
    done(null)
  })
}

/** Hands every whole line to `onLine` and answers how many bytes they take. */
function readLines(file: number, onLine: (line: string) => void): number {
  const chunk = Buffer.allocUnsafe(READ_CHUNK_BYTES)
  const decoder = new StringDecoder('utf8')
  let whole_bytes = 0
  let position = 0
  let rest = ''
  for (;;) {
    const read = readSync(file, chunk, 0, chunk.length, position)
    if (read === 0) return whole_bytes
    const last = chunk.subarray(0, read).lastIndexOf(NEWLINE)
    if (last >= 0) whole_bytes = position + last + 1
    position += read
    const parts = (rest + decoder.write(chunk.subarray(0, read))).split('\n')
    rest = parts.pop() ?? ''
    for (const line of parts) onLine(line)
  }
}

/** A new file's name is durable only when its folder is. */
function syncFolder(path: string) {
  const folder = openSync(path, 'r')
  fsyncSync(folder)
  closeSync(folder)
}
