/**
 * Ports that are still free when a test comes back to them. One that the system chooses is of the range from which every
 * connection of this machine takes its own end, too: given up for a moment, it may be somebody's when it is wanted again.
 */
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ranges of Linux (32768) and of macOS (49152), above what is often in use. */
const [FIRST, END] = [20_000, 26_000]
/** Beside those: a simulator of a plant is killed and takes its port again, which nobody may have drawn meanwhile. */
export const PLANT_PORTS = { first: 26_000, count: 6_000 }
/** One in use is a rare chance, so that a few tries are enough. */
const TRIES = 20

/** Listens, by `listen`, on a port that nobody is given by chance. */
export async function onQuietPort<Server>(listen: (port: number) => Promise<Server>): Promise<Server> {
  for (let tries = 1; ; tries++) {
    try {
      return await listen(randomInt(FIRST, END))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries === TRIES) throw error
    }
  }
}

/** For a process that must be told its port before it begins; it was free a moment ago, and others are given others. */
export function freePort(): Promise<number> {
  return onQuietPort(async port => {
    const server = createServer().listen(port, '127.0.0.1')
    await once(server, 'listening')
    server.close()
    await once(server, 'close')
    return port
  })
}
