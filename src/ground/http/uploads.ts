/**
 * The files of one server that are being received or read: how many at once, on which sockets, since when. What holds for
 * them alone (deadlines, silence on the socket while a file is read, who goes on sending what was refused) stands here.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ApiError } from '#kernel'
import { REFUSED_UPLOAD_LINGER_MS, UPLOAD_ANSWER_DEADLINE_MS, UPLOADS_MOST } from './limits.ts'
import { type HeldUpload, receiveUpload, type UploadLimits } from './upload.ts'

export type { UploadLimits } from './upload.ts'

export interface Uploads {
  /** Requests with a file, in the order in which their files had arrived; since when they are worked on. */
  readonly running: Map<ServerResponse, number>
  /** Whether a file is on its way over this socket. */
  isReceiving(socket: Duplex): boolean
  receive(request: IncomingMessage, response: ServerResponse): Promise<HeldUpload>
  /** After the answer: whoever still sends is heard for a moment, so that he can read it, and then cut off. */
  finish(request: IncomingMessage): void
}

export function createUploads(directory: string, limits?: UploadLimits): Uploads {
  const running = new Map<ServerResponse, number>()
  const receiving = new Set<Duplex>()
  let held = 0
  return {
    running,
    isReceiving: socket => receiving.has(socket),
    async receive(request, response) {
      if (held >= UPLOADS_MOST) throw busy()
      held += 1
      const { socket } = request
      receiving.add(socket)
      // Its deadline for an answer begins with its last byte.
      running.delete(response)
      try {
        const upload = await receiveUpload(request, directory, limits)
        // Reading it takes longer than a socket may be silent. A request of the process's own has no real one.
        if (socket instanceof Socket) socket.setTimeout(UPLOAD_ANSWER_DEADLINE_MS)
        return {
          ...upload,
          async release() {
            held -= 1
            await upload.release()
          },
        }
      } catch (error) {
        held -= 1
        throw error
      } finally {
        receiving.delete(socket)
        running.set(response, performance.now())
      }
    },
    finish(request) {
      const { socket } = request
      // A request of the process's own has no real socket: nothing lingers there.
      if (request.complete || request.destroyed || !(socket instanceof Socket)) return
      request.resume()
      setTimeout(() => {
        if (!request.complete) socket.destroy()
      }, REFUSED_UPLOAD_LINGER_MS).unref()
    },
  }
}

const busy = (): ApiError =>
  new ApiError('service_unavailable', {
    message: `${UPLOADS_MOST} files are being received already. Retry in a moment with the same Idempotency-Key.`,
    headers: { 'Retry-After': '10' },
  })
