/** The commands beside a running server and alone: the demo's day, and the proof of the books after it. */
import { runningEmbedded } from '#db'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Installation, install, type Running } from './processes.fixture.ts'

const TEST_MS = 600_000

let bursar: Installation
let server: Running

beforeAll(async () => {
  bursar = await install()
}, TEST_MS)
afterAll(() => bursar.remove(), TEST_MS)

const json = (text: string) => JSON.parse(text) as Record<string, unknown>

test(
  'a command without a server says what to do',
  async () => {
    for (const args of [['demo'], ['ledger', 'verify'], ['keys', 'list']]) {
      const { code, stdout, stderr } = await bursar.run(args)
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
      expect(stderr).toMatch(/^bursar: there is no .* start .*"npm start".*\n$/)
    }
    expect((await bursar.run(['config'], { PORT: 'x' })).code).toBe(1)
  },
  TEST_MS,
)

test(
  'the demo plays a day through the API, and book, balance and ledger agree to the cent',
  async () => {
    server = await bursar.start()
    const told = await bursar.run(['demo'])
    expect(told.stdout).toMatch(/All \d+ checks hold\.\n$/)
    expect({ code: told.code, stderr: told.stderr }).toEqual({ code: 0, stderr: '' })

    // On books that are not empty any more.
    const { code, stdout } = await bursar.run(['demo', '--json'])
    const story = json(stdout) as { ok: boolean; payments: unknown[]; sums: { api: object; book: object } }
    expect(code).toBe(0)
    expect(story.ok).toBe(true)
    expect(story.payments.length).toBe(9)
    expect(story.sums.book).toEqual(story.sums.api)
  },
  TEST_MS,
)

test(
  'keys are made, shown once, listed and revoked beside a running server',
  async () => {
    const made = await bursar.run([
      'keys',
      'create',
      '--type',
      'restricted',
      '--scope',
      'customers:read',
      '--json',
    ])
    const { id, key } = json(made.stdout) as { id: string; key: string }
    const customers = () =>
      fetch(`${server.url}/v1/customers`, { headers: { authorization: `Bearer ${key}` } }).then(
        response => response.status,
      )
    const balance = await fetch(`${server.url}/v1/balance`, { headers: { authorization: `Bearer ${key}` } })
    expect(await customers()).toBe(200)
    expect(balance.status).toBe(403)
    const listed = (await bursar.run(['keys', 'list'])).stdout
    expect(listed).toContain(id)
    expect(listed).not.toContain(key)
    expect((await bursar.run(['keys', 'revoke', id])).code).toBe(0)
    await expect.poll(customers, { timeout: 60_000, interval: 200 }).toBe(401)
  },
  TEST_MS,
)

test(
  'the ledger is proven beside the server and alone, and one changed cent is found',
  async () => {
    const beside = await bursar.run(['ledger', 'verify', '--json'])
    expect(beside.code).toBe(0)
    expect(json(beside.stdout)).toMatchObject({ ok: true, broken: null })
    const client = new pg.Client({ connectionString: runningEmbedded(bursar.data_dir) as string })
    await client.connect()
    await client.query(
      `update ledger_accounts set credits_posted = credits_posted + 1 where code = 'processing_fees'`,
    )
    await client.end()
    expect(await server.end('SIGINT')).toBe(0)

    const alone = await bursar.run(['ledger', 'verify', '--json'])
    expect(alone.code).toBe(1)
    expect(json(alone.stdout)).toMatchObject({ ok: false, broken: { table: 'ledger_accounts' } })
    expect((await bursar.run(['ledger', 'verify'])).stdout).toContain('First broken row: ledger_accounts la_')
    expect(bursar.postgresPid()).toBe(null)

    const silent = await bursar.run(['demo'])
    expect(silent.code).toBe(1)
    expect(silent.stderr).toContain('start the server with "npm start"')
  },
  TEST_MS,
)
