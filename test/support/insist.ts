/** What a client is told to do when a row was held for longer than a request waits (429 `lock_timeout`): ask again. */
import { randomUUID } from 'node:crypto'
import { sleep } from '#kernel'
import type { Client, Reply } from './testing.ts'

const PAUSE_MS = 100

/** One of many requests that want the same row, where a busy machine may need more than five seconds for all of them. */
export async function insist(client: Client, path: string, body: object): Promise<Reply> {
  const key = { 'idempotency-key': randomUUID() }
  for (;;) {
    const reply = await client.post(path, body, key)
    if (reply.body.error?.code !== 'lock_timeout') return reply
    await sleep(PAUSE_MS)
  }
}
