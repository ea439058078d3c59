/** A newcomer's path, with real processes: start, stop, start again, and every way in which it can be cut off. */
import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { runningEmbedded } from '#db'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { gone, type Installation, install, isAlive, pay, retrieve } from './processes.fixture.ts'

/** Each test starts two or three servers, one after the other, on a machine that does other things too. */
const TEST_MS = 600_000
/** What happens within a second or two on a machine that has nothing else to do. */
const SOON = { timeout: 60_000, interval: 50 }

let bursar: Installation

beforeEach(async () => {
  bursar = await install()
})
afterEach(() => bursar.remove(), TEST_MS)

const simulatorPid = async (url: string): Promise<number> => {
  const response = await fetch(`${url}/healthz`)
  return ((await response.json()) as { pid: number }).pid
}

/** One statement at the installation's own database, beside whatever runs. */
async function ask<Row extends object>(query: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: runningEmbedded(bursar.data_dir) as string })
  await client.connect()
  try {
    return (await client.query<Row>(query)).rows
  } finally {
    await client.end()
  }
}

const paymentsUnderWay = async (): Promise<number> => {
  const [row] = await ask<{ sent: number }>(
    `select count(*)::integer as sent from payment_attempts where state = 'sent'`,
  )
  return row?.sent ?? 0
}

describe('a server', () => {
  test(
    'makes keys at its first start, and at its second finds them and the payments of the first',
    async () => {
      const first = await bursar.start()
      const file = join(bursar.data_dir, 'credentials.json')
      const written = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>
      expect(Object.keys(written).sort()).toEqual([
        'account_id',
        'api_url',
        'dashboard_email',
        'dashboard_password',
        'dashboard_url',
        'publishable_key',
        'secret_key',
        'simulator_url',
      ])
      expect(written).toMatchObject({ api_url: first.url, simulator_url: first.simulator_url })
      for (const name of ['credentials.json', 'secret']) {
        expect(statSync(join(bursar.data_dir, name)).mode & 0o777).toBe(0o600)
      }
      expect((await fetch(`${first.url}/readyz`)).status).toBe(200)
      for (const page of ['/healthz', '/metrics', '/docs', '/openapi.json']) {
        expect((await fetch(`${first.url}${page}`)).status).toBe(200)
      }
      const payment = await pay(first)
      expect(payment).toMatchObject({ http_status: 200, status: 'succeeded' })
      const postgres = bursar.postgresPid() as number
      const simulator = await simulatorPid(first.simulator_url)

      expect(await first.end('SIGINT')).toBe(0)
      expect(isAlive(postgres)).toBe(false)
      expect(isAlive(simulator)).toBe(false)

      const second = await bursar.start()
      expect(JSON.parse(readFileSync(file, 'utf8'))).toEqual(written)
      expect(await retrieve(second, payment.id, written.secret_key)).toMatchObject({ status: 'succeeded' })
      expect(await second.end('SIGTERM')).toBe(0)
    },
    TEST_MS,
  )

  test(
    'finishes what is under way when it is asked to stop, and stops at once when it is asked again',
    async () => {
      const first = await bursar.start()
      await fetch(`${first.simulator_url}/faults`, {
        method: 'POST',
        body: JSON.stringify({ operation: 'authorize', kind: 'delay', rate: 1, ms: 1_500 }),
      })
      const slow = pay(first)
      await expect.poll(paymentsUnderWay, SOON).toBe(1)
      const ended = first.end('SIGTERM')
      expect(await slow).toMatchObject({ http_status: 200, status: 'succeeded' })
      expect(await ended).toBe(0)

      const second = await bursar.start()
      await fetch(`${second.simulator_url}/faults`, {
        method: 'POST',
        body: JSON.stringify({ operation: '*', kind: 'delay', rate: 1, ms: 20_000 }),
      })
      const cut_off = pay(second).catch((error: unknown) => error)
      await expect.poll(paymentsUnderWay, SOON).toBe(1)
      const stopping = second.end('SIGTERM')
      // Two signals of half a second are one, and so are two that come before the first is taken.
      const asking_again = setInterval(() => second.child.kill('SIGTERM'), 200)
      onTestFinished(() => clearInterval(asking_again))
      expect(await stopping).toBe(143)
      expect(await cut_off).toBeInstanceOf(TypeError)
    },
    TEST_MS,
  )

  test(
    'killed with -9 starts again on the same ports and data, also when its database was killed with it',
    async () => {
      const first = await bursar.start()
      const payment = await pay(first)
      const simulator = await simulatorPid(first.simulator_url)
      await first.end('SIGKILL')
      // The database runs on, and the next start takes it over.
      const postgres = bursar.postgresPid() as number
      expect(isAlive(postgres)).toBe(true)

      const second = await bursar.start()
      expect(bursar.postgresPid()).toBe(postgres)
      expect(await simulatorPid(second.simulator_url)).not.toBe(simulator)
      expect(second.url).toBe(first.url)
      expect(await retrieve(second, payment.id)).toMatchObject({ status: 'succeeded' })
      const another = await pay(second)
      process.kill(postgres, 'SIGKILL')
      await second.end('SIGKILL')

      const third = await bursar.start()
      expect(await retrieve(third, another.id)).toMatchObject({ status: 'succeeded' })
      expect(await pay(third)).toMatchObject({ status: 'succeeded' })
      expect(await third.end('SIGINT')).toBe(0)
    },
    TEST_MS,
  )

  test(
    'brings its simulator back, makes new keys when the file with them is lost, and when the database is',
    async () => {
      const first = await bursar.start()
      const simulator = await simulatorPid(first.simulator_url)
      process.kill(simulator, 'SIGKILL')
      await gone(simulator)
      await expect.poll(async () => (await pay(first)).status, SOON).toBe('succeeded')
      await first.end('SIGINT')

      rmSync(join(bursar.data_dir, 'credentials.json'))
      const second = await bursar.start()
      expect(second.credentials.secret_key).not.toBe(first.credentials.secret_key)
      expect(await pay(second)).toMatchObject({ status: 'succeeded' })
      expect(await pay({ ...second, credentials: first.credentials })).toMatchObject({ status: 'succeeded' })
      expect(await second.end('SIGINT')).toBe(0)

      rmSync(join(bursar.data_dir, 'postgres'), { recursive: true })
      const third = await bursar.start()
      expect(await pay(third)).toMatchObject({ status: 'succeeded' })
      expect(existsSync(join(bursar.data_dir, 'credentials.json.old'))).toBe(true)
    },
    TEST_MS,
  )
})

describe('a start that cannot be', () => {
  const refusal = async (env: Record<string, string>) => {
    const { code, stderr } = await bursar.run(['serve'], { BURSAR_LOG_LEVEL: 'silent', ...env })
    return { code, lines: stderr.trim().split('\n') }
  }

  test(
    'says in one sentence what is wrong with a setting or the database, and ends with 1',
    async () => {
      expect(await refusal({ PORT: 'abc' })).toEqual({
        code: 1,
        lines: ['bursar: PORT must be a whole number from 0 to 65535 (0: any free port) and is "abc"'],
      })
      const unreachable = await refusal({ DATABASE_URL: 'postgres://me:hunter2@127.0.0.1:9/bursar' })
      expect(unreachable).toEqual({
        code: 1,
        lines: [
          'bursar: the database at 127.0.0.1:9/bursar cannot be reached (connect ECONNREFUSED 127.0.0.1:9): check DATABASE_URL',
        ],
      })
    },
    TEST_MS,
  )

  test(
    'leaves alone what runs: a taken port, a taken directory, a database of a newer version',
    async () => {
      const stranger = createServer().listen(0, '127.0.0.1')
      await once(stranger, 'listening')
      const { port } = stranger.address() as { port: number }
      expect(await refusal({ PORT: String(port) })).toEqual({
        code: 1,
        lines: [`bursar: port ${port} is in use: stop what listens there, or set PORT to another`],
      })
      stranger.close()
      expect(bursar.postgresPid()).toBe(null)

      const first = await bursar.start()
      const second = await refusal({ PORT: '0', SIMULATOR_PORT: '0' })
      expect(second.code).toBe(1)
      expect(second.lines.join()).toContain(`another Bursar (process ${first.pid}) is running on`)
      expect(await pay(first)).toMatchObject({ status: 'succeeded' })

      await ask(
        `insert into schema_migrations (version, name, checksum) values (9999, '9999_later.sql', 'x')`,
      )
      await first.end('SIGINT')
      const older = await refusal({})
      expect(older.code).toBe(1)
      expect(older.lines.join()).toContain('the database is newer than this version of Bursar')
      expect(bursar.postgresPid()).toBe(null)
    },
    TEST_MS,
  )
})
