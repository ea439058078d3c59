/** The bytes of a file in even pieces: hashed as they lie there, unpacked when they are gzip. */
import { createHash } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import type { Sayable } from './statement.ts'

/** Large enough that waiting for each costs nothing, small enough that a thousand runs at once fit in memory. */
export const PIECE_BYTES = 64 * 1024

/** What is wrong with the bytes; the driver knows the line. */
export class ByteTrouble extends Error {
  override readonly name = 'ByteTrouble'
  /** Null: no line is at fault. */
  readonly has_line: boolean
  /** What the caller can say about it. */
  readonly unsaid: Sayable | null

  constructor(message: string, has_line = true, unsaid: Sayable | null = null) {
    super(message)
    this.has_line = has_line
    this.unsaid = unsaid
  }
}

export class ByteSource {
  bytes_read = 0
  readonly #hash = createHash('sha256')
  readonly #input: AsyncIterable<Uint8Array>
  readonly #piece_bytes: number

  constructor(input: AsyncIterable<Uint8Array>, piece_bytes: number) {
    this.#input = input
    this.#piece_bytes = piece_bytes
  }

  /** Of everything that was read. */
  sha256(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Throws `ByteTrouble`. */
  async *pieces(): AsyncGenerator<Buffer> {
    const raw = evenPieces(this.#read(), this.#piece_bytes)
    const { head, failure, all } = await peek(raw, 4)
    if (head.length === 0 && failure !== null) throw failure
    if (head.length === 0) throw new ByteTrouble('the file is empty', false)
    refuseOtherFiles(head)
    yield* isGzip(head) ? evenPieces(unzip(all), this.#piece_bytes) : all
  }

  async *#read(): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of this.#input) {
        const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
        this.#hash.update(bytes)
        this.bytes_read += bytes.length
        yield bytes
      }
    } catch (error) {
      throw fileTrouble(error)
    }
  }
}

const isGzip = (head: Buffer) => head[0] === 0x1f && head[1] === 0x8b

/** What people send instead, told by its first bytes. */
function refuseOtherFiles(head: Buffer) {
  const start = head.toString('latin1', 0, 4)
  if (start === 'PK\x03\x04') {
    throw new ByteTrouble(
      'this is a ZIP archive, which a workbook of Excel is too: unpack it, or save the sheet as CSV',
      false,
    )
  }
  if (start === '%PDF') {
    throw new ByteTrouble('this is a PDF: ask for the statement as CSV, CAMT.053, MT940 or BAI2', false)
  }
}

async function* unzip(packed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const gunzip = createGunzip()
  // The reading loop below sees what goes wrong: the pipeline hands every error of its source on to its end.
  pipeline(Readable.from(packed, { objectMode: false }), gunzip, () => {})
  try {
    for await (const chunk of gunzip) yield chunk as Buffer
  } catch (error) {
    throw gzipTrouble(error)
  } finally {
    gunzip.destroy()
  }
}

/** Even pieces, so that a result never depends on how the bytes happened to arrive. */
async function* evenPieces(chunks: AsyncIterable<Buffer>, size: number): AsyncGenerator<Buffer> {
  let kept: Buffer[] = []
  let kept_bytes = 0
  for await (const chunk of chunks) {
    let rest = chunk
    while (kept_bytes + rest.length >= size) {
      const cut = size - kept_bytes
      yield kept.length === 0 ? rest.subarray(0, cut) : Buffer.concat([...kept, rest.subarray(0, cut)], size)
      rest = rest.subarray(cut)
      kept = []
      kept_bytes = 0
    }
    if (rest.length > 0) {
      // A copy: whoever sends bytes may use the space again.
      kept.push(Buffer.from(rest))
      kept_bytes += rest.length
    }
  }
  if (kept_bytes > 0) yield Buffer.concat(kept, kept_bytes)
}

export interface Peeked {
  head: Buffer
  is_whole: boolean
  /** What went wrong behind the head; `all` throws it in its place. */
  failure: unknown
  all: AsyncGenerator<Buffer>
}

/** The first bytes, and all of them. */
export async function peek(pieces: AsyncIterable<Buffer>, wanted: number): Promise<Peeked> {
  const iterator = pieces[Symbol.asyncIterator]()
  const first: Buffer[] = []
  let length = 0
  let is_whole = false
  let failure: unknown = null
  while (length < wanted && !is_whole && failure === null) {
    try {
      const next = await iterator.next()
      if (next.done === true) is_whole = true
      else {
        first.push(next.value)
        length += next.value.length
      }
    } catch (error) {
      failure = error
    }
  }
  async function* all() {
    try {
      yield* first
      if (failure !== null) throw failure
      if (is_whole) return
      for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) {
        yield next.value
      }
    } finally {
      await iterator.return?.()
    }
  }
  return { head: Buffer.concat(first, length), is_whole, failure, all: all() }
}

function gzipTrouble(error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code
  if (code === 'Z_BUF_ERROR') return new ByteTrouble('the gzip file is cut off: fetch it again')
  if (code?.startsWith('Z_') === true) return new ByteTrouble('the gzip file is damaged: fetch it again')
  return error
}

const FILE_TROUBLES: Record<string, string> = {
  EISDIR: 'this is a directory and no file',
  ENOENT: 'there is no such file',
  EACCES: 'the file may not be read',
  EPERM: 'the file may not be read',
}

function fileTrouble(error: unknown): unknown {
  const trouble = FILE_TROUBLES[(error as NodeJS.ErrnoException).code ?? '']
  return trouble === undefined ? error : new ByteTrouble(trouble, false)
}
