/**
 * Files that can be read only once, a pipe or the standard input, are kept on disk first: a run reads each of its files
 * more than once, and its digest is that of the bytes that came.
 */
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Side, StatementError } from '#reconciliation/files'

export type Paths = Readonly<Record<Side, string>>

/** `-`, and what systems call the same. A socket cannot be opened by such a name, so it is read as it stands open. */
const STANDARD_INPUT: readonly string[] = ['-', '/dev/stdin', '/dev/fd/0', '/proc/self/fd/0']

/** People give where a file lies on the web: it is named whole, and fetching it is for whoever knows the way in. */
const isUrl = (path: string): boolean => /^[a-z][a-z0-9+.-]*:\/\//i.test(path)

const isStandardInput = (path: string): boolean => STANDARD_INPUT.includes(path)

/** As people tell the files apart: by their names, and where these are one, by where they lie. */
export function namesOfFiles({ left, right }: Paths): Record<Side, string> {
  const nameOf = (path: string) =>
    isStandardInput(path) ? 'standard input' : path.startsWith('/dev/') || isUrl(path) ? path : basename(path)
  const names = { left: nameOf(left), right: nameOf(right) }
  return names.left === names.right ? { left, right } : names
}

/** What comes once for both sides would be empty for the second of them; what is on the web is fetched by others. */
export function demandTwoInputs({ left, right }: Paths): void {
  for (const path of [left, right]) {
    if (isUrl(path)) {
      throw new StatementError(
        path,
        null,
        `this is an address and no file: fetch it first, or give it as <(curl -fsS …)`,
      )
    }
  }
  const is_one = left === right && left.startsWith('/dev/fd/')
  if (is_one || (isStandardInput(left) && isStandardInput(right))) {
    throw new TypeError(
      'both sides are the standard input, which comes only once: give one of them as a file, or by <(…)',
    )
  }
}

/**
 * One file on both sides, by whatever paths, agrees with itself whatever is in it. Read in two ways it is two sides: what was
 * billed and what was paid may be two columns of one table. Another file of the same bytes is another party's word.
 */
export async function demandTwoFiles(paths: Paths, sides: Record<Side, object>): Promise<void> {
  const meaning = (side: Side) => JSON.stringify({ ...sides[side], name: null })
  if (meaning('left') !== meaning('right')) return
  const [left, right] = [await identityOf(paths.left), await identityOf(paths.right)]
  if (left === undefined || left !== right) return
  const { left: name, right: other } = namesOfFiles(paths)
  const named = name === other ? name : `${name} and ${other}`
  throw new TypeError(
    `both sides are one file, ${named}: one compared with itself says nothing. Name another file for the other side`,
  )
}

/** Undefined of what is no file: a pipe is another one each time, and what cannot be looked at is for its reader to refuse. */
async function identityOf(path: string): Promise<string | undefined> {
  const opened = isStandardInput(path) ? '/dev/stdin' : path
  const found = await stat(opened, { bigint: true }).catch(() => undefined)
  return found?.isFile() ? `${found.dev} ${found.ino}` : undefined
}

/**
 * Where each side can be read as often as wanted: its own path, or that of what was kept of it in `directory`. `onBytes`
 * hears how many bytes have been kept. Throws `StatementError`.
 */
export async function keepInputs(
  paths: Paths,
  directory: string,
  onBytes: (bytes: number) => void,
): Promise<Paths> {
  const names = namesOfFiles(paths)
  let bytes = 0
  const kept = { ...paths }
  // One after the other, as they would be read: who writes the second waits for as long as its pipe is full.
  for (const side of ['left', 'right'] as const) {
    const path = paths[side]
    if (!isStandardInput(path) && !(await comesOnce(path))) continue
    if (isStandardInput(path) && process.stdin.isTTY) {
      process.stderr.write(`bursar: reading the ${side} side from this terminal; Ctrl-D ends it\n`)
    }
    const count = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        onBytes((bytes += chunk.length))
        done(null, chunk)
      },
    })
    await makeFolder(directory)
    kept[side] = join(directory, side)
    const input = isStandardInput(path) ? process.stdin : createReadStream(path)
    try {
      await pipeline(input, count, createWriteStream(kept[side], { mode: 0o600 }))
    } catch (error) {
      throw notKept(names[side], directory, error)
    }
  }
  return kept
}

async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    // Of the other side, or of a run that was killed.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

/** A pipe, a socket or a device. What is wrong with any other path is for whoever reads it to say. */
async function comesOnce(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined)
  return found !== undefined && !found.isFile() && !found.isDirectory()
}

const FULL: readonly string[] = ['ENOSPC', 'EDQUOT', 'EFBIG']

function notKept(name: string, directory: string, error: unknown): unknown {
  const { code } = error as NodeJS.ErrnoException
  if (code === undefined) return error
  if (FULL.includes(code)) {
    return new StatementError(
      name,
      null,
      `no space is left to keep it in ${directory}, and what comes through a pipe must be kept to be read again`,
    )
  }
  if (code === 'EISDIR') return new StatementError(name, null, 'this is a directory and no file')
  return new StatementError(name, null, `it cannot be read (${code})`)
}
