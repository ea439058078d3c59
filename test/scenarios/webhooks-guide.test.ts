/**
 * The receiver's guide, tried: its code is taken from docs/webhooks.md as it stands there, and given real deliveries of a
 * real endpoint. What the page promises of them is asked of them.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createConsumers, type Consumers } from '#events'
import { systemClock } from '#kernel'
import { createLog } from '#metrics'
import { engineOf, failures } from '#webhooks'
import { consumersOf } from '../../src/reactions.ts'
import { freePort } from '../support/ports.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const page = readFileSync(join(PROJECT, 'docs', 'webhooks.md'), 'utf8')

/** A block of code whose first line names this file. */
function block(language: string, file: string): string {
  const blocks = [...page.matchAll(new RegExp(`^\`\`\`${language}\\n([\\s\\S]*?)^\`\`\`$`, 'gm'))]
  const found = blocks.map(([, code = '']) => code).filter(code => code.split('\n', 1)[0]?.endsWith(file))
  expect(found, file).toHaveLength(1)
  return found[0] ?? ''
}

interface Caught {
  headers: Record<string, string>
  body: Buffer
}

let world: World
let account: TestAccount
let consumers: Consumers
/** Within the project, so that the code finds what is installed. */
let directory: string
let catcher: Server
const caught: Caught[] = []
const children: ChildProcess[] = []

beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
  const log = createLog({ level: 'silent' })
  consumers = createConsumers({
    db: world.db,
    clock: systemClock,
    log,
    consumers: consumersOf(world.webhooks),
  })
  await consumers.runOnce()
  engineOf(world.webhooks).start()
  const cache = join(PROJECT, 'node_modules', '.cache')
  mkdirSync(cache, { recursive: true })
  directory = mkdtempSync(join(cache, 'guide-'))
  catcher = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      caught.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(chunks) })
      response.writeHead(204).end()
    })
  })
  catcher.listen(0, '127.0.0.1')
  await once(catcher, 'listening')
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await engineOf(world.webhooks).stop()
  await consumers.stop()
  catcher.closeAllConnections()
  catcher.close()
  rmSync(directory, { recursive: true, force: true })
  await world.close()
})

const endpoint = async (url: string, more: object = {}): Promise<Json> => {
  const { status, body } = await account.api.post('/v1/webhook_endpoints', {
    url,
    event_types: ['customer.created'],
    ...more,
  })
  expect(status).toBe(200)
  return body
}
const caughtAt = () => `http://127.0.0.1:${(catcher.address() as AddressInfo).port}/`

/** A customer is made, and everybody who wants to hear of it is told. */
async function happen(name: string): Promise<void> {
  await account.api.post('/v1/customers', { name })
  while ((await consumers.runOnce()) > 0);
}

/** A delivery to an endpoint that signs like this, and its secret. */
async function delivery(more: object): Promise<Caught & { secret: string }> {
  const { id, secret } = await endpoint(caughtAt(), more)
  caught.length = 0
  await happen('Ada Lovelace, née Byron 🚀')
  await eventually(async () => expect(caught).toHaveLength(1))
  await account.api.delete(`/v1/webhook_endpoints/${id}`)
  return { ...(caught[0] as Caught), secret }
}

interface Receiver {
  url: string
  /** What it printed so far, as lines. */
  lines(): string[]
}

/** The receiver of the page, as a process of its own. */
async function startReceiver(port: number, secret: string): Promise<Receiver> {
  const file = join(directory, 'receiver.mjs')
  writeFileSync(file, block('js', 'receiver.mjs'))
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, PORT: String(port), WEBHOOK_SECRET: secret },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const url = `http://127.0.0.1:${port}/`
  await eventually(async () => expect((await fetch(url, { method: 'POST' })).status).toBe(400))
  return { url, lines: () => output.split('\n').filter(line => line !== '') }
}

test('the receiver of the page takes what is ours once, and nothing else', async () => {
  const port = await freePort()
  const { id, secret } = await endpoint(`http://127.0.0.1:${port}/`)
  const receiver = await startReceiver(port, secret)
  await happen('Ada')
  await eventually(async () => expect(receiver.lines()).toHaveLength(1))
  expect(receiver.lines()[0]).toMatch(/^customer\.created cus_/)

  // Again, as after an answer that was lost.
  const { body: deliveries } = await account.api.get(`/v1/webhook_deliveries?endpoint_id=${id}`)
  const [{ id: delivery_id }] = deliveries.data
  await eventually(async () => {
    expect((await account.api.get(`/v1/webhook_deliveries/${delivery_id}`)).body.status).toBe('succeeded')
  })
  await account.api.post(`/v1/webhook_deliveries/${delivery_id}/retry`)
  await eventually(async () => {
    const { body } = await account.api.get(`/v1/webhook_deliveries/${delivery_id}/attempts`)
    expect(body.data.map((attempt: Json) => attempt.status_code)).toEqual([204, 204])
  })
  expect(receiver.lines()).toHaveLength(1)

  // With both secrets while one is rotated.
  await account.api.post(`/v1/webhook_endpoints/${id}/rotate_secret`, { overlap_hours: 1 })
  await happen('Grace')
  await eventually(async () => expect(receiver.lines()).toHaveLength(2))

  await account.api.delete(`/v1/webhook_endpoints/${id}`)
  const forged = await fetch(receiver.url, {
    method: 'POST',
    headers: {
      'bursar-signature': `t=${Math.floor(systemClock.now().getTime() / 1_000)},v1=${'0'.repeat(64)}`,
    },
    body: '{"id":"evt_forged","type":"payment_intent.succeeded"}',
  })
  expect(forged.status).toBe(400)
  expect(receiver.lines()).toHaveLength(2)
})

interface Verifying {
  eventFrom: (body: Buffer, headers: Record<string, string>) => unknown
}

/** The module of the page, with the secret in the environment that it reads. */
async function moduleOf(file: string, secret: string): Promise<Verifying> {
  const path = join(directory, `${Math.random().toString(36).slice(2)}-${file}`)
  writeFileSync(path, block('js', file))
  process.env.WEBHOOK_SECRET = secret
  return (await import(pathToFileURL(path).href)) as Verifying
}

test.each([
  ['standard.mjs', { signature: 'standard' }],
  ['stripe.mjs', {}],
])('%s, by a public library, believes a delivery and no forgery of it', async (file, more) => {
  const { headers, body, secret } = await delivery(more)
  const { eventFrom } = await moduleOf(file, secret)
  expect(eventFrom(body, headers)).toMatchObject({
    type: 'customer.created',
    data: { object: { name: 'Ada Lovelace, née Byron 🚀' } },
  })
  const forged = Buffer.from(body.toString().replace('Ada', 'Eve'))
  expect(() => eventFrom(forged, headers)).toThrow()
})

const python = await promisify(execFile)('python3', ['--version']).then(
  () => true,
  () => false,
)

test.skipIf(!python)('the function in Python believes a delivery and no forgery of it', async () => {
  const { headers, body, secret } = await delivery({})
  const ask = `
import sys
header, secret, body = sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3])
print(is_from_bursar(header, body, secret), is_from_bursar(header, body + b" ", secret), is_from_bursar("", body, secret))
`
  const code = `${block('python', 'bursar_webhooks.py')}\n${ask}`
  const header = headers['bursar-signature'] ?? ''
  const { stdout } = await promisify(execFile)('python3', ['-c', code, header, secret, body.toString('hex')])
  expect(stdout.trim()).toBe('True False False')
})

test('the example on the page has the headers and the fields of a delivery', async () => {
  const { headers, body } = await delivery({})
  const example = /^```http\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? ''
  for (const name of ['content-type', 'user-agent']) expect(example).toContain(`${name}: ${headers[name]}\n`)
  expect(headers['bursar-signature']).toMatch(/^t=\d{10},v1=[0-9a-f]{64}$/)
  expect(example).toMatch(/^bursar-signature: t=\d{10},v1=[0-9a-f]{64}$/m)
  const event = JSON.parse(body.toString()) as Record<string, unknown>
  for (const field of Object.keys(event)) expect(example).toContain(`"${field}":`)
})

test('the page explains every class of failure', () => {
  const explained = [...page.matchAll(/^\| `(\w+)` \|/gm)].map(([, name]) => name)
  for (const failure of failures) expect(explained).toContain(failure)
})
