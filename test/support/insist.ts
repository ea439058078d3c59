/** What a client is told to do when a row was held for longer than a request waits (429 `lock_timeout`): ask again. */
import { randomUUID } from 'node:crypto'
import { sleep } from '#kernel'
import type { Client, Reply } from './testing.ts'

const PAUSE_MS = 100
/** Each waits for the lock for five seconds: two and a half minutes, and then nobody will let go of the row. */
const TRIES = 30

/** One of many requests that want the same row, where a busy machine may need more than five seconds for all of them. */
export async function insist(client: Client, path: string, body: object = {}): Promise<Reply> {
  const key = { 'idempotency-key': randomUUID() }
  for (let tries = 1; ; tries++) {
    const reply = await client.post(path, body, key)
    if (reply.body.error?.code !== 'lock_timeout') return reply
    if (tries === TRIES) throw new Error(`POST ${path} was given up after ${tries} tries: ${reply.text}`)
    await sleep(PAUSE_MS)
  }
}
