/** `bursar webhooks`: endpoints and deliveries seen and sent again across accounts, and a receiver for development. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createConsumers, type Consumers } from '#events'
import { decodeId, encodeId, newId, systemClock } from '#kernel'
import { createLog } from '#metrics'
import { engineOf } from '#webhooks'
import { consumersOf } from '../../src/reactions.ts'
import { writeCredentials } from '../support/credentials.ts'
import { eventually, type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const PROJECT = join(import.meta.dirname, '..', '..')
const CLI = join(PROJECT, 'src', 'cli.ts')
/** Processes in a row, on a machine that has other things to do. */
const SPAWNING_MS = 600_000

let world: World
let account: TestAccount
let consumers: Consumers
/** What our receiver answers to the type of an event; 204 unless said. */
const answers = new Map<string, number>()
const received: { type: string; id: string; signature: string }[] = []
let receiver: Server
let receiver_url: string
let data_dir: string
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
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { type, id } = JSON.parse(Buffer.concat(chunks).toString()) as { type: string; id: string }
      received.push({ type, id, signature: String(request.headers['bursar-signature']) })
      response.writeHead(answers.get(type) ?? 204).end(`about ${type}\r\n\u001b[31mred`)
    })
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  receiver_url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`
  const { port } = await world.server.listen({ port: 0 })
  data_dir = mkdtempSync(join(tmpdir(), 'bursar-webhooks-cli-'))
  writeCredentials(data_dir, {
    api_url: `http://127.0.0.1:${port}`,
    account_id: encodeId('acct_', account.account_id),
    secret_key: account.secret_key,
  })
})
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await engineOf(world.webhooks).stop()
  await consumers.stop()
  receiver.closeAllConnections()
  receiver.close()
  rmSync(data_dir, { recursive: true, force: true })
  await world.close()
})

const env = () => ({ ...process.env, DATABASE_URL: world.url, BURSAR_DATA_DIR: data_dir })

async function bursar(...args: string[]): Promise<{ out: string; json: Json }> {
  const { stdout } = await promisify(execFile)(process.execPath, [CLI, 'webhooks', ...args], {
    cwd: PROJECT,
    env: env(),
  })
  return { out: stdout, json: args.includes('--json') ? JSON.parse(stdout) : undefined }
}

const endpoint = async (more: object = {}): Promise<Json> => {
  const { status, body } = await account.api.post('/v1/webhook_endpoints', {
    url: receiver_url,
    event_types: ['customer.*'],
    ...more,
  })
  expect(status).toBe(200)
  return body
}

/** A customer is made and told of. */
async function happen(name: string): Promise<void> {
  await account.api.post('/v1/customers', { name })
  while ((await consumers.runOnce()) > 0);
}

const deliveriesOf = async (endpoint_id: string): Promise<Json[]> =>
  (await account.api.get(`/v1/webhook_deliveries?endpoint_id=${endpoint_id}`)).body.data

const done = (endpoint_id: string, statuses: string[]) =>
  eventually(async () => {
    expect((await deliveriesOf(endpoint_id)).map(({ status }) => status)).toEqual(statuses)
  })

describe('whoever runs Bursar', () => {
  test('lists deliveries of any account, shows one with its tries, and has it sent again', {
    timeout: SPAWNING_MS,
  }, async () => {
    const { id } = await endpoint({ retry_schedule: [0] })
    answers.set('customer.created', 500)
    await happen('Ada')
    await done(id, ['dead'])
    const { json: dead } = await bursar('deliveries', '--endpoint', id, '--dead', '--json')
    expect(dead.data).toMatchObject([
      { endpoint_id: id, event_type: 'customer.created', status: 'dead', tries: 1, status_code: 500 },
    ])
    const [{ id: delivery_id, event_id }] = dead.data
    const acct = encodeId('acct_', account.account_id)
    const filters = ['--account', acct, '--since', '1h', '--type', 'customer.created', '--event', event_id]
    expect((await bursar('deliveries', ...filters)).out).toContain(delivery_id)
    expect((await bursar('deliveries', '--account', acct, '--live')).out).toContain('no such deliveries')
    expect((await bursar('deliveries', '--endpoint', id, '--status', 'pending')).out).toContain('no such')
    expect((await bursar('deliveries', '--endpoint', id, '--before', delivery_id)).out).toContain('no such')

    const { out } = await bursar('show', delivery_id)
    expect(out).toMatch(/^status +dead$/m)
    expect(out).toContain('127.0.0.1')
    // What a stranger answered does not steer the terminal.
    expect(out).toContain('1: The endpoint answered 500. about customer.created [31mred')
    expect(out).not.toContain('\u001b')

    answers.clear()
    expect((await bursar('retry', delivery_id, '--json')).json).toEqual({ retried: [delivery_id] })
    await done(id, ['succeeded'])
    const { json: shown } = await bursar('show', delivery_id, '--json')
    expect(shown).toMatchObject({ status: 'succeeded', account_id: acct, livemode: false })
    expect(shown.attempts.map((attempt: Json) => [attempt.status_code, attempt.failure])).toEqual([
      [500, 'failed'],
      [204, null],
    ])
    await account.api.delete(`/v1/webhook_endpoints/${id}`)
  })

  test('sees at a glance which endpoints fail', { timeout: SPAWNING_MS }, async () => {
    const [well, ill, off] = [await endpoint(), await endpoint(), await endpoint()]
    await account.api.post(`/v1/webhook_endpoints/${off.id}/disable`)
    await happen('Ada')
    await done(well.id, ['succeeded'])
    await done(ill.id, ['succeeded'])
    const uuid = decodeId('we_', ill.id) as string
    const since = systemClock.now().getTime() - 90 * 60_000
    await world.db.run`
      update webhook_lanes
      set state = ${{ failing_since: since, breaker: 'open', slots: 1 }}, blocked_until = now() + interval '5 minutes'
      where account_id = ${account.account_id} and livemode = false and endpoint_id = ${uuid}`
    await world.db.run`
      insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, tries, due_at)
      select ${account.account_id}, false, ${newId(systemClock.now())}, ${uuid}, ${newId(systemClock.now())}, 'x', 0, 2, 'infinity'`
    const { json } = await bursar('list', '--account', encodeId('acct_', account.account_id), '--json')
    expect(json.data[0]).toMatchObject({
      id: ill.id,
      status: 'enabled',
      success_rate: 0.5,
      waiting: 1,
      breaker: 'open',
      slots: 1,
      failing_since: new Date(since).toISOString(),
    })
    const of = (id: string) => json.data.find((shown: Json) => shown.id === id)
    expect(of(well.id)).toMatchObject({ success_rate: 1, waiting: 0, breaker: 'closed', failing_since: null })
    expect(of(off.id)).toMatchObject({ status: 'disabled', disabled_reason: 'requested', success_rate: null })
    const { out } = await bursar('list', '--failing')
    expect(out).toMatch(new RegExp(`${ill.id}.*50\\.0 %.*a probe at \\d\\d:\\d\\d:\\d\\d.*1 h 30 min`))
    expect(out).not.toContain(well.id)
    for (const { id } of [well, ill, off]) await account.api.delete(`/v1/webhook_endpoints/${id}`)
  })

  test('sees of what waits how its last try ended, and that its endpoint is paused until then', {
    timeout: SPAWNING_MS,
  }, async () => {
    const { id } = await endpoint({ retry_schedule: [0, 3_600] })
    answers.set('customer.created', 503)
    await happen('Ada')
    await eventually(async () => expect((await deliveriesOf(id))[0]).toMatchObject({ status_code: 503 }))
    answers.clear()
    const paused_until = new Date(systemClock.now().getTime() + 7_200_000).toISOString()
    await world.db.run`
      update webhook_lanes set blocked_until = ${paused_until} where endpoint_id = ${decodeId('we_', id)}`
    const { json } = await bursar('deliveries', '--endpoint', id, '--json')
    expect(json.data).toMatchObject([
      { status: 'pending', status_code: 503, failure: 'failed', due_at: paused_until, paused_until },
    ])
    expect((await bursar('deliveries', '--endpoint', id)).out).toMatch(`${paused_until} (paused)`)
    expect((await deliveriesOf(id))[0]).toMatchObject({ due_at: paused_until, failure: 'failed' })
    await account.api.delete(`/v1/webhook_endpoints/${id}`)
  })

  test('switches an endpoint off and on for its account, which is told, and tests it', {
    timeout: SPAWNING_MS,
  }, async () => {
    const { id } = await endpoint()
    await bursar('disable', id)
    const state = async () => (await account.api.get(`/v1/webhook_endpoints/${id}`)).body
    expect(await state()).toMatchObject({ status: 'disabled', disabled_reason: 'requested' })
    await expect(bursar('test', id)).rejects.toThrow('is disabled')
    expect((await bursar('enable', id, '--json')).json).toEqual({ id, status: 'enabled' })
    expect(await state()).toMatchObject({ status: 'enabled', disabled_reason: null })
    const { json } = await bursar('test', id, '--json')
    await done(id, ['succeeded'])
    expect((await deliveriesOf(id))[0]).toMatchObject({
      id: json.delivery_id,
      event_type: 'webhook_endpoint.test',
    })
    const { body } = await account.api.get(`/v1/events?object_id=${id}`)
    expect(body.data.map(({ type }: Json) => type)).toEqual([
      'webhook_endpoint.test',
      'webhook_endpoint.enabled',
      'webhook_endpoint.disabled',
      'webhook_endpoint.created',
    ])
    await account.api.delete(`/v1/webhook_endpoints/${id}`)
  })

  test('has a range sent again, and watches', { timeout: SPAWNING_MS }, async () => {
    // Longer ago than this file can have begun.
    const from = new Date(systemClock.now().getTime() - 3_600_000).toISOString()
    const { id } = await endpoint()
    const before = (await account.api.get('/v1/events?type=customer.created')).body.data.length
    const watching = bursar('replay', id, '--from', from, '--types', 'customer.created', '--watch', '--json')
    const replays = async () =>
      world.db.maybe<{ id: string }>`select id from webhook_replays where status = 'running'`
    await eventually(async () => expect(await replays()).toBeDefined())
    await world.runJob('webhooks.replay', { ...tenant(), replay_id: (await replays())?.id })
    const { json } = await watching
    expect(json).toMatchObject({ id: expect.stringMatching(/^wrp_/), status: 'succeeded', queued: before })
    await done(
      id,
      Array.from({ length: before }, () => 'succeeded'),
    )

    const begun = await bursar(
      'replay',
      id,
      '--from',
      from,
      '--to',
      systemClock.now().toISOString(),
      '--status',
      'any',
    )
    expect(begun.out).toContain('has begun')
    await account.api.delete(`/v1/webhook_endpoints/${id}`)
  })

  test('is told in one sentence what is wrong', { timeout: SPAWNING_MS }, async () => {
    const unknown = {
      we: encodeId('we_', newId(systemClock.now())),
      del: encodeId('del_', newId(systemClock.now())),
    }
    const { id } = await endpoint()
    const wrong: [args: string[], sentence: string][] = [
      [['show', unknown.del], 'there is no delivery'],
      [['retry', unknown.del], 'there is no delivery'],
      [['show', id], 'is no id that begins with del_'],
      [['deliveries', '--endpoint', id, '--status', 'lost'], '--status must be one of'],
      [['deliveries', '--endpoint', id, '--dead', '--status', 'pending'], 'name one of them'],
      [['list', '--limit', '0'], '--limit must be'],
      [['replay', unknown.we, '--from', '2026-11-21'], 'there is no webhook endpoint'],
      [['deliveries', '--endpoint', unknown.we], 'there is no webhook endpoint'],
      [['enable', unknown.we], 'there is no webhook endpoint'],
      [['enable', id], 'is enabled already'],
      [['replay', id, '--from', 'yesterday'], '--from: a time is written like'],
      [['replay', id, '--from', '2090-01-01'], '--from lies in the future'],
      [['replay', id, '--from', '2026-11-20', '--to', '2026-11-19'], '--to must be later than --from'],
      [['replay', id, '--from', '2026-11-21', '--types', 'nothing.happened'], '--types must be'],
      [['replay', id, '--from', '2026-11-21', '--status', 'lost'], '--status must be one of'],
      [['listen', '--port', '70000'], '--port must be'],
      [['listen', '--forward-to', 'shop'], '--forward-to must be'],
    ]
    for (const [args, sentence] of wrong) await expect(bursar(...args)).rejects.toThrow(sentence)
    await account.api.delete(`/v1/webhook_endpoints/${id}`)
  })
})

/** A tenant as jobs are told of it. */
const tenant = () => ({ account_id: account.account_id, livemode: false })

interface Listening {
  endpoint_id: string
  url: string
  secret: string
  /** What it printed after that, as JSON. */
  lines(): Json[]
  /** Ctrl-C; answers the exit code. */
  end(): Promise<number | null>
}

async function listen(...args: string[]): Promise<Listening> {
  const child = spawn(process.execPath, [CLI, 'webhooks', 'listen', '--json', ...args], {
    cwd: PROJECT,
    env: env(),
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  let output = ''
  child.stdout?.on('data', (chunk: Buffer) => {
    output += chunk.toString()
  })
  const lines = (): Json[] =>
    output
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as Json)
  await eventually(async () => expect(lines()).toHaveLength(1))
  return {
    ...lines()[0].listening,
    lines: () => lines().slice(1),
    async end() {
      child.kill('SIGINT')
      const [code] = (await once(child, 'exit')) as [number | null]
      return code
    },
  }
}

describe('listening', () => {
  test('prints what arrives, proven, hands it on as it came, and leaves nothing behind', {
    timeout: SPAWNING_MS,
  }, async () => {
    const listening = await listen('--forward-to', receiver_url, '--types', 'customer.*')
    received.length = 0
    answers.set('customer.created', 503)
    await happen('Ada')
    await eventually(async () => expect(listening.lines()).toHaveLength(1))
    const [first] = listening.lines()
    expect(first).toMatchObject({
      verified: true,
      type: 'customer.created',
      object_id: expect.stringMatching(/^cus_/),
      object_version: 1,
      attempt: 1,
      forwarded: { status: 503 },
    })
    // Its receiver can prove it with the secret that was printed.
    expect(received[0]).toMatchObject({ id: first.id, signature: expect.stringMatching(/^t=\d+,v1=/) })
    // What the receiver answered is what we answered: so it is tried again.
    answers.clear()
    const uuid = decodeId('we_', listening.endpoint_id)
    await eventually(async () => {
      await world.db.run`update webhook_queue set due_at = now() where endpoint_id = ${uuid}`
      await world.db.run`update webhook_lanes set due_at = now() where endpoint_id = ${uuid}`
      expect(listening.lines()).toHaveLength(2)
    })
    expect(listening.lines()[1]).toMatchObject({ id: first.id, attempt: 2, forwarded: { status: 204 } })

    expect(await listening.end()).toBe(0)
    const { body } = await account.api.get('/v1/webhook_endpoints')
    expect(body.data.map(({ id }: Json) => id)).not.toContain(listening.endpoint_id)
  })

  test('believes nobody who cannot sign', { timeout: SPAWNING_MS }, async () => {
    const listening = await listen('--standard')
    const send = (headers: Record<string, string>, body: string) =>
      fetch(listening.url, { method: 'POST', headers, body }).then(({ status }) => status)
    const body = '{"id":"evt_x","type":"customer.created"}'
    expect(await send({}, body)).toBe(400)
    const signed = (at_s: number) => {
      const key = Buffer.from(listening.secret.slice('whsec_'.length), 'base64')
      const digest = createHmac('sha256', key).update(`evt_x.${at_s}.${body}`).digest('base64')
      return { 'webhook-id': 'evt_x', 'webhook-timestamp': String(at_s), 'webhook-signature': `v1,${digest}` }
    }
    const now_s = Math.floor(systemClock.now().getTime() / 1_000)
    expect(await send(signed(now_s), body)).toBe(200)
    expect(await send(signed(now_s), `${body} `)).toBe(400)
    expect(await send(signed(now_s - 600), body)).toBe(400)
    expect(await send(signed(now_s), 'x'.repeat(2_000_000))).toBe(413)
    // What it prints comes another way than its answers do.
    await eventually(async () =>
      expect(listening.lines().map(line => line.reason ?? line.id)).toEqual([
        'signature_missing',
        'evt_x',
        'signature_invalid',
        'timestamp_stale',
      ]),
    )
    expect(await listening.end()).toBe(0)
  })

  test('says when a server is missing, and when its port is taken', { timeout: SPAWNING_MS }, async () => {
    const port = new URL(receiver_url).port
    await expect(bursar('listen', '--port', port)).rejects.toThrow('choose another with --port')
    const empty = mkdtempSync(join(tmpdir(), 'bursar-none-'))
    const alone = promisify(execFile)(process.execPath, [CLI, 'webhooks', 'listen'], {
      cwd: PROJECT,
      env: { ...env(), BURSAR_DATA_DIR: empty },
    })
    await expect(alone).rejects.toThrow('credentials.json')
    rmSync(empty, { recursive: true })
  })
})
