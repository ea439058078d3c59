/** Who is at the simulator's port: ours, another program, somebody too busy to say, or nobody. */
import { once } from 'node:events'
import { mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { createServer as createHttpServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { createLog } from '#metrics'
import { runSimulator, simulatorAnswers } from './simulator-process.ts'

const data_dir = realpathSync(mkdtempSync(join(tmpdir(), 'bursar-port-')))
afterAll(() => rmSync(data_dir, { recursive: true, force: true }))

const log = createLog({ level: 'error', destination: { write: () => undefined } })

async function at(server: Server): Promise<{ port: number } & AsyncDisposable> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', socket => sockets.add(socket))
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise(closed => server.close(closed))
    },
  }
}

const answering = (listener: RequestListener) => at(createHttpServer(listener))

test('one that answers late, as on a machine at its limit, is asked again and used', async () => {
  let asked = 0
  await using slow = await answering((_request, response) => {
    asked += 1
    if (asked > 1) response.end(JSON.stringify({ pid: process.pid, data_dir, owner_pid: process.pid }))
  })
  const simulator = await runSimulator({ port: slow.port, data_dir, log })
  expect(simulator.url).toBe(`http://127.0.0.1:${slow.port}`)
  expect(asked).toBeGreaterThan(1)
  await simulator.stop()
})

test('whoever listens and never answers is not called another program', async () => {
  await using silent = await at(createServer())
  await expect(runSimulator({ port: silent.port, data_dir, log })).rejects.toThrow(
    `whoever listens at port ${silent.port} did not answer within 10 s: try again when this machine is less busy`,
  )
  expect(await simulatorAnswers(`http://127.0.0.1:${silent.port}`)).toBe(false)
})

test('another program, and the simulator of another directory, are named', async () => {
  await using stranger = await answering((_request, response) => response.end('<h1>It works</h1>'))
  await expect(runSimulator({ port: stranger.port, data_dir, log })).rejects.toThrow(
    'taken by another program',
  )
  await using other = await answering((_request, response) =>
    response.end(JSON.stringify({ pid: 1, data_dir: '/elsewhere', owner_pid: null })),
  )
  await expect(runSimulator({ port: other.port, data_dir, log })).rejects.toThrow(
    'taken by the simulator of /elsewhere',
  )
})
