/** The simulator as a process: what it answered must be in its book, however it dies. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, expect, test } from 'vitest'

interface Running {
  url: string
  process: ChildProcess
}
interface Movement {
  seq: number
  type: string
  processor_id: string
  reference: string
  amount: number
}

let folder: string
let running: ChildProcess[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'bursar-simulator-'))
})
afterEach(async () => {
  for (const child of running) await kill(child)
  running = []
  rmSync(folder, { recursive: true })
})

async function start(): Promise<Running> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: { ...process.env, SIMULATOR_PORT: '0', BURSAR_DATA_DIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  running.push(child)
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { url: line.replace('simulator ready at ', ''), process: child }
}

async function kill(child: ChildProcess, signal: NodeJS.Signals = 'SIGKILL') {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill(signal)
  await once(child, 'exit')
}

const pay = (url: string, reference: string) =>
  fetch(`${url}/v1/authorizations`, {
    method: 'POST',
    body: JSON.stringify({ reference, amount: 1000, currency: 'usd', payment_token: 'pm_card_visa' }),
  }).then(response => response.json() as Promise<{ id: string; status: string }>)

async function readBook(url: string): Promise<Movement[]> {
  const text = await (await fetch(`${url}/book`)).text()
  return text
    .split('\n')
    .filter(line => line !== '')
    .map(line => JSON.parse(line) as Movement)
}

const bookPath = () => join(folder, 'simulator', 'book.jsonl')

test('every answer given before a kill -9 under load is in the book afterwards, once', async () => {
  const first = await start()
  const answered = new Map<string, string>()
  let is_alive = true
  const callers = Array.from({ length: 16 }, async (_, caller) => {
    for (let i = 0; is_alive; i++) {
      const reference = `load-${caller}-${i}`
      try {
        const { id, status } = await pay(first.url, reference)
        if (status === 'approved') answered.set(reference, id)
      } catch (error) {
        // The kill: the connection is gone, and so is this caller.
        if (error instanceof TypeError) return
        throw error
      }
    }
  })
  while (answered.size < 500) await new Promise(resolve => setTimeout(resolve, 10))
  await kill(first.process)
  is_alive = false
  await Promise.all(callers)

  const second = await start()
  const book = await readBook(second.url)
  expect(book.map(movement => movement.seq)).toEqual(book.map((_, index) => index + 1))
  const captures = book.filter(movement => movement.type === 'capture')
  const ids = new Map(captures.map(movement => [movement.reference, movement.processor_id]))
  expect(ids.size).toBe(captures.length)
  for (const [reference, id] of answered) expect(ids.get(reference)).toBe(id)

  for (const [reference, id] of [...answered].slice(0, 20)) {
    expect((await pay(second.url, reference)).id).toBe(id)
  }
  expect(await readBook(second.url)).toHaveLength(book.length)
})

test('a torn last line is cut off and its reference is fresh', async () => {
  const first = await start()
  await pay(first.url, 'whole')
  await pay(first.url, 'torn')
  await kill(first.process)
  truncateSync(bookPath(), statSync(bookPath()).size - 7)

  const second = await start()
  expect((await readBook(second.url)).map(movement => movement.reference)).toEqual(['whole', 'whole'])
  expect((await pay(second.url, 'torn')).status).toBe('approved')
  await kill(second.process, 'SIGTERM')
  expect(readFileSync(bookPath(), 'utf8').endsWith('}\n')).toBe(true)
  const third = await start()
  expect(await readBook(third.url)).toHaveLength(4)
})

test('a book damaged in the middle stops the start instead of being repaired by guessing', async () => {
  const first = await start()
  await pay(first.url, 'one')
  await kill(first.process)
  appendFileSync(bookPath(), 'damage\n')
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: { ...process.env, SIMULATOR_PORT: '0', BURSAR_DATA_DIR: folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  running.push(child)
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  // Its last words may be read after its end.
  const [code] = (await once(child, 'close')) as [number]
  expect(code).toBe(1)
  expect(said).toContain('is damaged after movement 2')
})

test('a port in use stops the start and leaves the book alone', async () => {
  const first = await start()
  await pay(first.url, 'one')
  const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts')], {
    env: { ...process.env, SIMULATOR_PORT: new URL(first.url).port, BURSAR_DATA_DIR: folder },
    stdio: 'ignore',
  })
  running.push(child)
  const [code] = (await once(child, 'exit')) as [number]
  expect(code).toBe(1)
  expect((await pay(first.url, 'two')).status).toBe('approved')
})

test('SIGTERM ends it cleanly, also with an answer held back', async () => {
  const { url, process } = await start()
  await fetch(`${url}/faults`, { method: 'POST', body: '{"operation":"*","kind":"drop_response","count":1}' })
  const dropped = pay(url, 'dropped').catch(() => 'cut off')
  while ((await readBook(url)).length === 0) await new Promise(resolve => setTimeout(resolve, 10))
  process.kill('SIGTERM')
  const [code] = (await once(process, 'exit')) as [number]
  expect(code).toBe(0)
  expect(await dropped).toBe('cut off')
})
