/** How a file goes to the server: with its length said before, and counted as it leaves. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openServer } from '../../src/cli/reconcile/api.ts'
import { writeCredentials } from '../support/credentials.ts'
import { makeFolder } from './command.fixture.ts'

const folder = makeFolder()
const BYTES = 3_000_000
const heard: { length: string | undefined; coding: string | undefined; bytes: number }[] = []
const server = createServer((request, response) => {
  let bytes = 0
  if (request.url?.includes('name=torn')) request.socket.destroy()
  request.on('data', (chunk: Buffer) => (bytes += chunk.length))
  request.on('end', () => {
    const { 'content-length': length, 'transfer-encoding': coding } = request.headers
    if (request.method === 'POST') heard.push({ length, coding, bytes })
    response.setHeader('content-type', 'application/json').end('{"id":"rst_1","name":"large.csv"}')
  })
})
beforeAll(async () => {
  await new Promise<void>(resolve => {
    server.listen(0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  writeCredentials(join(folder.path, '.bursar'), { api_url: `http://127.0.0.1:${port}` })
  folder.write('large.csv', Buffer.alloc(BYTES, 'x'))
  process.env.BURSAR_DATA_DIR = join(folder.path, '.bursar')
})
afterAll(async () => {
  await new Promise(resolve => {
    server.close(resolve)
    server.closeAllConnections()
  })
  delete process.env.BURSAR_DATA_DIR
  folder.remove()
})

test('a file is sent whole, its length is said before, and whoever waits hears how much has left', async () => {
  const told: [number, number][] = []
  const opened = await openServer()
  const query = new URLSearchParams({ name: 'large.csv' })
  const statement = await opened.upload(query, join(folder.path, 'large.csv'), 'key', (...of) =>
    told.push(of),
  )
  expect(statement).toEqual({ id: 'rst_1', name: 'large.csv' })
  expect(heard).toEqual([{ length: `${BYTES}`, coding: undefined, bytes: BYTES }])
  expect(told.length).toBeGreaterThan(10)
  expect(told.at(-1)).toEqual([BYTES, BYTES])
  expect(told.map(([done]) => done)).toEqual(told.map(([done]) => done).toSorted((a, b) => a - b))
})

test('a connection that breaks off is told with its reason', async () => {
  const opened = await openServer()
  const sent = opened.upload(
    new URLSearchParams({ name: 'torn' }),
    join(folder.path, 'large.csv'),
    'key',
    () => undefined,
  )
  await expect(sent).rejects.toThrow(/^sending to http:\/\/127\.0\.0\.1:\d+ broke off: (?!fetch failed)\w/)
})
