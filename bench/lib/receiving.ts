/** Starts the receiver's process and talks to it. */
import { fork } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { Received } from './receiver.ts'

export interface Receiver {
  port: number
  /** Nobody listens there: a connection is refused at once. */
  dead_port: number
  pid: number
  reset(): Promise<void>
  report(): Promise<Received>
  close(): void
}

export async function startReceiver(): Promise<Receiver> {
  const child = fork(join(import.meta.dirname, 'receiver.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  // What it prints tells why it ended; then nothing here gets an answer, and the benchmark gives up in time.
  const next = <Message>() =>
    new Promise<Message>(resolve => child.once('message', message => resolve(message as Message)))
  // One question at a time: an answer belongs to the last one.
  let asking: Promise<unknown> = Promise.resolve()
  const ask = <Message>(question: string): Promise<Message> => {
    const asked = asking.then(() => {
      const answer = next<Message>()
      child.send(question)
      return answer
    })
    asking = asked.catch(() => undefined)
    return asked
  }
  const { port } = await next<{ port: number }>()
  const dead_port = await freePort()
  return {
    port,
    dead_port,
    pid: child.pid as number,
    reset: async () => void (await ask('reset')),
    report: () => ask<Received>('report'),
    close: () => child.disconnect(),
  }
}

/** A port that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    })
  })
}
