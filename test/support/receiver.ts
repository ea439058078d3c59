/** A receiver for tests: a real server on loopback that keeps what it got and answers as it is told. */
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach } from 'vitest'

export interface Received {
  headers: IncomingHttpHeaders
  /** As they came: what is signed. */
  bytes: Buffer
  body: string
  /** `evt_…` of the body. */
  event_id: string
}

export interface Receiver {
  url: string
  received: Received[]
  /** How it answers from now on; at first 200. */
  answer: (request: Received, response: ServerResponse) => void
  close(): Promise<void>
}

export const answers =
  (status: number, headers: Record<string, string> = {}, body = '') =>
  (_request: Received, response: ServerResponse): void => {
    response.writeHead(status, headers).end(body)
  }

export async function openReceiver(): Promise<Receiver> {
  const sockets = new Set<Socket>()
  const receiver = { received: [] as Received[], answer: answers(200) } as Receiver
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', chunk => chunks.push(chunk as Buffer))
    request.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const body = bytes.toString('utf8')
      const { id } = JSON.parse(body) as { id: string }
      const received = { headers: request.headers, bytes, body, event_id: id }
      receiver.received.push(received)
      receiver.answer(received, response)
    })
  })
  server.keepAliveTimeout = 60_000
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  receiver.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
  receiver.close = () =>
    new Promise(resolve => {
      server.close(() => resolve())
      for (const socket of sockets) socket.destroy()
    })
  return receiver
}

/** Receivers for one test file; those of a test are closed after it. */
export function useReceivers(): { open(): Promise<Receiver> } {
  const opened: Receiver[] = []
  afterEach(async () => {
    await Promise.all(opened.splice(0).map(receiver => receiver.close()))
  })
  return {
    async open() {
      const receiver = await openReceiver()
      opened.push(receiver)
      return receiver
    },
  }
}
