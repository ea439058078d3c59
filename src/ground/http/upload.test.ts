import { randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { fileEndpoint } from './declare.ts'
import { object } from './schema.ts'
import { type TestAccount, type TestApi, testApi } from './testing.ts'
import { receiveUpload } from './upload.ts'

const Measured = object('measured_file', null, { name: z.string(), bytes: z.int(), sha256: z.string() })
let runs = 0
const measure = fileEndpoint({
  route: 'POST /v1/measured_files',
  summary: 'Measures a file.',
  resource: 'measured_files',
  takes_what: 'Anything.',
  params: z.strictObject({ name: z.string() }),
  returns: Measured,
  run: (context, { params, file }) =>
    context.finish('measured', async () => {
      runs += 1
      let bytes = 0
      // Twice: whoever reads it may begin again.
      for (let time = 0; time < 2; time++) {
        for await (const chunk of file.stream()) bytes += (chunk as Buffer).length
      }
      return { name: params.name, bytes: bytes / 2, sha256: file.sha256 }
    }),
})

const MOST = 200_000
let api: TestApi
let shop: TestAccount
let port: number
const directory = mkdtempSync(join(tmpdir(), 'bursar-uploads-'))
beforeAll(async () => {
  api = await testApi([measure], { upload_directory: directory, uploads: { bytes_most: MOST } })
  shop = await api.account()
  ;({ port } = await api.server.listen({ port: 0 }))
})
afterAll(() => api.close())

const head = (headers: string[], query = '?name=a', { key }: Pick<TestAccount, 'key'> = shop) =>
  [
    `POST /v1/measured_files${query} HTTP/1.1`,
    'Host: localhost',
    `Authorization: Bearer ${key}`,
    ...headers,
    '',
    '',
  ].join('\r\n')

async function post(
  body: string | Buffer,
  { key = randomUUID() as string, query = '?name=a', headers = {} } = {},
) {
  const response = await fetch(`http://127.0.0.1:${port}/v1/measured_files${query}`, {
    method: 'POST',
    headers: { authorization: `Bearer ${shop.key}`, 'idempotency-key': key, ...headers },
    body: body as string,
  })
  return {
    status: response.status,
    headers: response.headers,
    body: (await response.json()) as never as Body,
  }
}
/** The answer may be there before the file is given back. */
const expectNothingLeft = async () => {
  await expect.poll(() => readdirSync(directory)).toEqual([])
}

interface Body {
  bytes: number
  sha256: string
  error: { code: string; message: string; params: string[] }
}

test('a file is there whole, may be read twice, and leaves nothing on the disk', async () => {
  const { status, body } = await post('x'.repeat(150_000))
  expect([status, body.bytes]).toEqual([200, 150_000])
  await expectNothingLeft()
})

test('the same key with the same file gives the stored answer, with another file a conflict that names it', async () => {
  const key = randomUUID()
  const first = await post('one', { key })
  runs = 0
  const again = await post('one', { key })
  expect(again.body).toEqual(first.body)
  expect(again.headers.get('idempotent-replayed')).toBe('true')
  const other = await post('two', { key })
  expect([other.status, other.body.error.code, other.body.error.params]).toEqual([
    409,
    'idempotency_conflict',
    ['file'],
  ])
  const renamed = await post('one', { key, query: '?name=b' })
  expect([renamed.status, renamed.body.error.params]).toEqual([409, ['name']])
  expect(runs).toBe(0)
})

test('what is refused is refused before the file is read', async () => {
  expect((await post('x', { query: '?name=a&shape=b' })).body.error.code).toBe('parameter_unknown')
  expect((await post('x', { query: '' })).body.error.code).toBe('parameter_missing')
  expect((await post('x', { query: '?name=a&file=b' })).body.error.code).toBe('parameter_unknown')
  expect((await post('x', { headers: { authorization: 'Bearer sk_test_x' } })).status).toBe(401)
  expect((await post('x', { headers: { 'content-encoding': 'br' } })).status).toBe(415)
})

test('a file over the limit is refused, whether it says so before or not', async () => {
  const declared = await post('x'.repeat(MOST + 1))
  expect([declared.status, declared.body.error.code]).toEqual([413, 'body_too_large'])
  const heard = await talk(
    `${head(['Idempotency-Key: a', 'Transfer-Encoding: chunked'])}${MOST.toString(16)}\r\n${'x'.repeat(MOST)}\r\n5\r\nxxxxx\r\n`,
  )
  expect(heard).toContain('HTTP/1.1 413')
  await expectNothingLeft()
})

/** Sends bytes, hears until something is answered or the other side closes. */
function talk(bytes: string, at = port): Promise<string> {
  return new Promise(resolve => {
    const socket = connect(at, '127.0.0.1')
    let heard = ''
    const done = () => {
      socket.destroy()
      resolve(heard)
    }
    socket.on('data', chunk => {
      heard += chunk.toString()
      if (heard.includes('}}')) done()
    })
    socket.on('error', done)
    socket.on('close', done)
    socket.write(bytes)
  })
}

test('a file may take longer than other requests, and one that never ends is given up', async () => {
  const hasty = await testApi([measure], {
    upload_directory: directory,
    uploads: { deadline_ms: 7_000, grace_ms: 6_000 },
    timeouts: { headers_ms: 500, request_ms: 600, answer_ms: 1_500 },
  })
  onTestFinished(() => hasty.close())
  const { key: of_hasty } = await hasty.account()
  const { port: at } = await hasty.server.listen({ port: 0 })
  const part = (key: string) =>
    `${head([`Idempotency-Key: ${key}`, 'Content-Length: 4'], '?name=a', { key: of_hasty })}ab`
  const slow = new Promise<string>(resolve => {
    const socket = connect(at, '127.0.0.1')
    let heard = ''
    socket.on('data', chunk => {
      heard += chunk.toString()
      if (heard.includes('}')) socket.destroy()
    })
    socket.on('close', () => resolve(heard))
    socket.write(part('a'))
    // Longer than any other request may take, and Node has looked at its connections.
    void sleep(2_500).then(() => socket.write('cd'))
  })
  expect(await slow).toContain('"bytes":4')
  expect(await talk(part('b'), at)).toContain('HTTP/1.1 408')
  await expectNothingLeft()
})

test('a file that breaks off has asked nothing: its key is free', async () => {
  const key = randomUUID()
  runs = 0
  const socket = connect(port, '127.0.0.1')
  socket.write(`${head([`Idempotency-Key: ${key}`, 'Content-Length: 4'])}ab`)
  await sleep(100)
  socket.destroy()
  const whole = await post('abcd', { key })
  expect([whole.status, runs]).toEqual([200, 1])
  await expectNothingLeft()
})

test('more files at once than are received are told to come again, those of one account sooner', async () => {
  const others = [await api.account(), await api.account()]
  const heard: string[] = []
  const send = (of: TestAccount, i: number) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.on('data', chunk => void heard.push(String(chunk)))
    socket.write(`${head([`Idempotency-Key: c${i}`, 'Content-Length: 4'], '?name=a', of)}ab`)
    return socket
  }
  const sockets = [send(shop, 0), send(shop, 1), send(shop, 2)]
  await expect.poll(() => heard.length, { timeout: 15_000 }).toBe(1)
  expect(heard[0]).toMatch(/HTTP\/1.1 503[^]*2 files of this account/)
  for (const [i, other] of [others[0], others[1], others[0]].entries()) {
    sockets.push(send(other as TestAccount, 3 + i))
  }
  await expect.poll(() => heard.length, { timeout: 15_000 }).toBe(2)
  expect(heard[1]).toMatch(/HTTP\/1.1 503[^]*: *"4 files are/)
  for (const socket of sockets) socket.destroy()
  await expect.poll(async () => (await post('x')).status, { timeout: 15_000 }).toBe(200)
})

test('a file that trickles is given up, long before its deadline', async () => {
  const request = Object.assign(new Readable({ read: () => undefined }), { headers: {} })
  request.push('a')
  const trickling = setInterval(() => request.push('a'), 100)
  const receiving = receiveUpload(request as never as IncomingMessage, directory, { grace_ms: 200 })
  await expect(receiving).rejects.toMatchObject({ code: 'request_timeout' })
  clearInterval(trickling)
  await expectNothingLeft()
})

test('of a file that is received no more is in memory than is under way', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const sent: WeakRef<Buffer>[] = []
  let left = 0
  async function* file() {
    for (let i = 0; i < 200; i++) {
      const chunk = Buffer.allocUnsafeSlow(65_536)
      sent.push(new WeakRef(chunk))
      yield chunk
    }
    for (let i = 0; i < 5; i++) await turn()
    collect()
    left = sent.filter(chunk => chunk.deref() !== undefined).length
  }
  const request = Object.assign(Readable.from(file(), { highWaterMark: 1 }), { headers: {} })
  const upload = await receiveUpload(request as never as IncomingMessage, directory)
  await upload.release()
  expect([upload.bytes, sent.length]).toEqual([200 * 65_536, 200])
  expect(left).toBeLessThan(10)
})
