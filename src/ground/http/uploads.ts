/**
 * The files of one server that are being received or read: how many at once, on which sockets, since when. What holds for
 * them alone (deadlines, silence on the socket while a file is read, who goes on sending what was refused) stands here.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { ApiError } from '#kernel'
import {
  REFUSED_UPLOAD_LINGER_MS,
  UPLOAD_ANSWER_DEADLINE_MS,
  UPLOADS_MOST,
  UPLOADS_OF_ACCOUNT_MOST,
} from './limits.ts'
import { type HeldUpload, receiveUpload, type UploadLimits } from './upload.ts'

export type { UploadLimits } from './upload.ts'

export interface Uploads {
  /** Requests with a file, in the order in which their files had arrived; since when they are worked on. */
  readonly running: Map<ServerResponse, number>
  /** Whether a file is on its way over this socket. */
  isReceiving(socket: Duplex): boolean
  receive(request: IncomingMessage, response: ServerResponse, account_id: string): Promise<HeldUpload>
  /** After the answer: whoever still sends is heard for a moment, so that he can read it, and then cut off. */
  finish(request: IncomingMessage): void
}

export function createUploads(directory: string, limits?: UploadLimits): Uploads {
  const running = new Map<ServerResponse, number>()
  const receiving = new Set<Duplex>()
  /** Of each account. */
  const held = new Map<string, number>()
  function letGo(account_id: string): void {
    const left = (held.get(account_id) ?? 0) - 1
    if (left > 0) held.set(account_id, left)
    else held.delete(account_id)
  }
  return {
    running,
    isReceiving: socket => receiving.has(socket),
    async receive(request, response, account_id) {
      const own = held.get(account_id) ?? 0
      let all = 0
      for (const count of held.values()) all += count
      if (all >= UPLOADS_MOST) throw busy(`${UPLOADS_MOST} files`)
      if (own >= UPLOADS_OF_ACCOUNT_MOST) throw busy(`${UPLOADS_OF_ACCOUNT_MOST} files of this account`)
      held.set(account_id, own + 1)
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
            letGo(account_id)
            await upload.release()
          },
        }
      } catch (error) {
        letGo(account_id)
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

const busy = (files: string): ApiError =>
  new ApiError('service_unavailable', {
    message: `${files} are being received already. Retry in a moment with the same Idempotency-Key.`,
    headers: { 'Retry-After': '10' },
  })
