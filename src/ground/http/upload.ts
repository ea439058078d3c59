/**
 * A body too large for memory: read to disk, measured and hashed on the way, before anybody looks into it. So the file is
 * whole, and its hash known, when the Idempotency-Key is met; no transaction waits for a client's line; and what reads
 * the file may begin again. It has no name on the disk, so it is gone with whoever held it, `kill -9` included.
 */
import { createHash, randomUUID } from 'node:crypto'
import { type FileHandle, open, unlink } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { ApiError } from '#kernel'
import {
  UPLOAD_BYTES_MOST,
  UPLOAD_BYTES_PER_SECOND_LEAST,
  UPLOAD_DEADLINE_MS,
  UPLOAD_GRACE_MS,
} from './limits.ts'

/** What was uploaded, whole. */
export interface Upload {
  /** As they came, packed when they were sent packed. */
  readonly bytes: number
  /** Of these bytes; 64 hexadecimal digits. */
  readonly sha256: string
  /** From the first byte, as often as wanted. */
  stream(): Readable
}

export interface HeldUpload extends Upload {
  /** Gives the disk back. Streams that are open then fail. */
  release(): Promise<void>
}

export interface UploadLimits {
  readonly bytes_most?: number
  readonly deadline_ms?: number
  readonly grace_ms?: number
}

/** Reads a request's body to a file without a name in `directory`. Throws ApiError; then nothing is left. */
export async function receiveUpload(
  request: IncomingMessage,
  directory: string,
  limits: UploadLimits = {},
): Promise<HeldUpload> {
  const { bytes_most = UPLOAD_BYTES_MOST } = limits
  if (Number(request.headers['content-length'] ?? 0) > bytes_most) throw tooLarge(bytes_most)
  const path = join(directory, `upload-${randomUUID()}`)
  const file = await open(path, 'wx+', 0o600).catch((cause: unknown) => {
    throw outOfSpace(cause)
  })
  try {
    await unlink(path)
    const received = await receive(request, file, { ...limits, bytes_most })
    return { ...received, stream: () => Readable.from(read(file)), release: () => file.close() }
  } catch (error) {
    await file.close()
    throw error instanceof ApiError ? error : refusalOf(error)
  }
}

async function receive(
  request: IncomingMessage,
  file: FileHandle,
  {
    bytes_most,
    deadline_ms = UPLOAD_DEADLINE_MS,
    grace_ms = UPLOAD_GRACE_MS,
  }: UploadLimits & { bytes_most: number },
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  // Destroying the request would take the socket with it, and nobody could be told why.
  const chunks = request.iterator({ destroyOnReturn: false })
  let giveUp: (error: ApiError) => void = () => undefined
  const began_ms = performance.now()
  const watch = setInterval(() => {
    const after_ms = performance.now() - began_ms
    const is_trickle = bytes < ((after_ms - grace_ms) / 1_000) * UPLOAD_BYTES_PER_SECOND_LEAST
    if (after_ms > deadline_ms || is_trickle) giveUp(new ApiError('request_timeout'))
  }, PACE_CHECK_MS)
  try {
    for (;;) {
      // A promise for each chunk: one for the whole file, raced with each, would keep every chunk until the end.
      const { done, value } = await new Promise<IteratorResult<Buffer, void>>((resolve, reject) => {
        giveUp = reject
        chunks.next().then(resolve, reject)
      })
      if (done) return { bytes, sha256: hash.digest('hex') }
      hash.update(value)
      // write() may take less than it is given; writeFile goes on until all is there.
      await file.writeFile(value)
      bytes += value.length
      if (bytes > bytes_most) throw tooLarge(bytes_most)
    }
  } finally {
    clearInterval(watch)
  }
}

/** How late a file that takes too long may be noticed. */
const PACE_CHECK_MS = 1_000

/** Fewer and larger reads than the usual 64 kB: a gigabyte is read in four thousand. */
const READ_BYTES = 262_144

async function* read(file: FileHandle): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, position)
    if (bytesRead === 0) return
    position += bytesRead
    yield buffer.subarray(0, bytesRead)
  }
}

const tooLarge = (most: number): ApiError =>
  new ApiError('body_too_large', {
    message: `The file is larger than ${most} bytes. Send it packed (gzip), or in parts.`,
  })

const outOfSpace = (cause: unknown): ApiError =>
  new ApiError('service_unavailable', {
    message: 'There is no room to receive a file just now. Retry later with the same Idempotency-Key.',
    headers: { 'Retry-After': '60' },
    cause,
  })

function refusalOf(error: unknown): ApiError {
  const { code } = error as { code?: string }
  if (code === 'ENOSPC' || code === 'EDQUOT') return outOfSpace(error)
  return new ApiError('malformed_request', {
    message: 'The file did not arrive whole. Send it again with the same Idempotency-Key.',
    cause: error,
  })
}
