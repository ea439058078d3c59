import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type EmbeddedPostgres, startEmbedded } from './embedded.ts'

let directory: string
let running: EmbeddedPostgres[]

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'bursar-embedded-'))
  chmodSync(directory, 0o711)
  running = []
})

afterEach(async () => {
  for (const server of running) await server.stop()
  rmSync(directory, { recursive: true, force: true })
})

const pidFile = () => join(directory, 'postgres', 'data', 'postmaster.pid')
const serverPid = () => Number.parseInt(readFileSync(pidFile(), 'utf8'), 10)

async function start(): Promise<{ server: EmbeddedPostgres; said: string[] }> {
  const said: string[] = []
  const server = await startEmbedded({ data_dir: directory, log: line => said.push(line) })
  running.push(server)
  return { server, said }
}

async function ask(url: string, query: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query(query)).rows
  } finally {
    await client.end()
  }
}

/** Another process that starts the server, and is killed as soon as it stands: what `kill -9` leaves behind. */
function startAndDie(): void {
  const script = `
    import { startEmbedded } from ${JSON.stringify(join(import.meta.dirname, 'embedded.ts'))}
    await startEmbedded({ data_dir: ${JSON.stringify(directory)} })
    process.kill(process.pid, 'SIGKILL')`
  const answer = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' })
  if (answer.signal !== 'SIGKILL') throw new Error(answer.stderr)
}

describe('a first start', () => {
  test('makes a UTF-8 database with a private password and keeps every commit', async () => {
    const { server } = await start()
    const rows = await ask(
      server.url,
      `select current_database() as name, getdatabaseencoding() as encoding, datlocprovider::text as provider,
        current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit
      from pg_database where datname = current_database()`,
    )
    expect(rows).toEqual([
      { name: 'bursar', encoding: 'UTF8', provider: 'b', fsync: 'on', synchronous_commit: 'on' },
    ])
    expect(statSync(join(directory, 'postgres', 'password')).mode & 0o777).toBe(0o600)
    const stranger = new URL(server.url)
    stranger.password = 'guess'
    await expect(ask(stranger.href, 'select 1')).rejects.toThrow('password authentication failed')
  })

  test('that was cut off half-way does not stop the next one', async () => {
    const script = `
      import { startEmbedded } from ${JSON.stringify(join(import.meta.dirname, 'embedded.ts'))}
      await startEmbedded({ data_dir: ${JSON.stringify(directory)} })`
    const first = spawn(process.execPath, ['--input-type=module', '--eval', script], { stdio: 'ignore' })
    const root = join(directory, 'postgres')
    while (!existsSync(join(root, 'password'))) await sleep(5)
    await sleep(100)
    first.kill('SIGKILL')
    await once(first, 'exit')
    expect(existsSync(join(root, 'data'))).toBe(false)
    const { server } = await start()
    expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })
})

describe('a later start', () => {
  test('finds what was written before', async () => {
    const first = await start()
    await ask(first.server.url, 'create table kept as select 7 as seven')
    await first.server.stop()
    expect(existsSync(pidFile())).toBe(false)
    const second = await start()
    expect(await ask(second.server.url, 'select seven from kept')).toEqual([{ seven: 7 }])
  })

  test('takes over the server that a killed process left running', async () => {
    startAndDie()
    const pid = serverPid()
    const { server, said } = await start()
    expect(serverPid()).toBe(pid)
    expect(said.join()).toContain(`took over the PostgreSQL`)
    await server.stop()
    expect(existsSync(pidFile())).toBe(false)
  })

  test('recovers when the server was killed too', async () => {
    startAndDie()
    process.kill(serverPid(), 'SIGKILL')
    const { server } = await start()
    expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('comes back by itself when the server alone was killed, with every commit', async () => {
    const { server, said } = await start()
    await ask(server.url, 'create table kept (n int); insert into kept values (1)')
    const killed = serverPid()
    process.kill(killed, 'SIGKILL')
    await expect
      .poll(() => ask(server.url, 'select n from kept').catch(() => []), { timeout: 30_000 })
      .toEqual([{ n: 1 }])
    expect(serverPid()).not.toBe(killed)
    await expect.poll(() => said).toContain('PostgreSQL runs again')
  })

  test('is not misled by a pid that belongs to another process now', async () => {
    startAndDie()
    process.kill(serverPid(), 'SIGKILL')
    await sleep(500)
    const [, ...rest] = readFileSync(pidFile(), 'utf8').split('\n')
    writeFileSync(pidFile(), [process.pid, ...rest].join('\n'))
    const lock = join(directory, 'postgres', 'socket', '.s.PGSQL.5432.lock')
    if (existsSync(lock)) writeFileSync(lock, readFileSync(lock, 'utf8').replace(/^\d+/, String(process.pid)))
    const { server } = await start()
    expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })

  test('replaces a running server that does not let it in', async () => {
    startAndDie()
    const pid = serverPid()
    const socket = join(directory, 'postgres', 'socket', '.s.PGSQL.5432')
    rmSync(socket)
    const { server, said } = await start()
    expect(serverPid()).not.toBe(pid)
    expect(said.join()).toContain('stopping the PostgreSQL')
    expect(await ask(server.url, 'select 1 as one')).toEqual([{ one: 1 }])
  })
})

describe('two at once', () => {
  test('on one directory: the second is told who is there', async () => {
    await start()
    await expect(startEmbedded({ data_dir: directory })).rejects.toThrow(
      `another Bursar (process ${process.pid}) is running on`,
    )
  })

  test('the directory is free again after a stop and after a failure', async () => {
    await expect(startEmbedded({ data_dir: directory, bin_dir: '/nowhere' })).rejects.toThrow(
      'the PostgreSQL in /nowhere does not run here',
    )
    const { server } = await start()
    await server.stop()
    await server.stop()
    await start()
  })
})

describe.runIf(process.platform === 'linux' && process.getuid?.() === 0)(
  'as root below a private home',
  () => {
    test('the server works in a directory to which its account cannot walk', async () => {
      chmodSync(directory, 0o700)
      const { server } = await start()
      expect(await ask(server.url, `select current_setting('data_directory') as place`)).toEqual([
        { place: '/proc/self/cwd' },
      ])
      const socket_directory = new URL(server.url).searchParams.get('host') ?? ''
      expect(statSync(socket_directory).mode & 0o777).toBe(0o700)
      await server.stop()
      const again = await start()
      expect(await ask(again.server.url, 'select 1 as one')).toEqual([{ one: 1 }])
      await again.server.stop()
      rmSync(socket_directory, { recursive: true })
    })
  },
)
