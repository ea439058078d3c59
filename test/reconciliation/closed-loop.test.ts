/**
 * The loop is closed: a day is played, and what our books say of it is compared with what the processor says, by two
 * programs that share no code but money. Nothing differs that was not made to differ; what was, is found and named.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { decodeId } from '#kernel'
import {
  CLEAN_STATUSES,
  DEFAULT_RULES,
  type Item,
  runFiles,
  STATUSES,
  type Status,
} from '#reconciliation/files'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'
import { type Books, playDay } from './day.fixture.ts'

const DAY_MS = 180_000

let world: World
let account: TestAccount
let books: Books
let directory: string
beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'bursar-loop-'))
  world = await startWorld()
  account = await world.account()
  books = await playDay(world, account)
}, DAY_MS)
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

type Finding = [side: string, id: string, status: Status, reason: string | null]

/** The same by the platform: our side is a cut of the books, taken once; the other is sent as it came. */
let cut: string | undefined
async function findingsKept(right: { name: string; text: string }, ledger: string): Promise<Finding[]> {
  const post = async (path: string, body: object) => {
    const reply = await account.api.post(path, body)
    expect([reply.status, reply.body.error]).toEqual([200, undefined])
    return reply.body
  }
  const upload = async (name: string, text: string): Promise<string> => {
    const { status, body } = await account.api.upload(`/v1/reconciliation_statements?name=${name}`, text)
    expect([status, body.error]).toEqual([200, undefined])
    return body.id
  }
  cut ??= (
    await post('/v1/reconciliation_statements/snapshot', { name: 'books', source: 'balance_transactions' })
  ).id as string
  const { id } = await post('/v1/reconciliation_runs', {
    left_statement_id: ledger === books.ledger ? cut : await upload('ledger.csv', ledger),
    right_statement_id: await upload(right.name, right.text),
  })
  const { account_id, livemode } = account
  await world.runJob('reconciliation.run', { account_id, livemode, run_id: decodeId('rec_', id) })
  const findings: Finding[] = []
  for (const status of STATUSES.filter(each => !CLEAN_STATUSES.includes(each))) {
    const { body } = await account.api.get(`/v1/reconciliation_runs/${id}/items?status=${status}&limit=100`)
    expect([body.error, body.has_more]).toEqual([undefined, false])
    for (const { side, entry, reason } of body.data as Json[]) findings.push([side, entry.id, status, reason])
  }
  return findings
}

/** Of every finding its side, id, status and reason, in which both engines must agree; and what the sides are. */
async function reconcile(right: { name: string; text: string }, left = books.ledger) {
  const file = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return { path: join(directory, name), name }
  }
  const run = await runFiles({
    left: file('ledger.csv', left),
    right: file(right.name, right.text),
    rules: DEFAULT_RULES,
    decisions: [],
    directory: join(directory, 'run'),
  })
  const findings: Item[] = []
  for await (const item of run.findings()) findings.push(item)
  const told = findings.map(({ side, id, status, reason }): Finding => [side, id, status, reason])
  expect(await findingsKept(right, left)).toEqual(told)
  return { run, findings: told }
}

const csvOf = (text: string) => ({ name: 'statement.csv', text })

/** The statement's rows as texts, by what they are: `refund -2300` came back. */
const rowsOf = (csv: string) => csv.trimEnd().split('\n').slice(1)

test('the day has everything in it that moves money', () => {
  const types = new Set(rowsOf(books.csv).map(row => row.split(',')[2]))
  expect(types).toEqual(new Set(['capture', 'dispute', 'payout', 'refund']))
  const taken_back = rowsOf(books.csv).filter(row => /,(refund|dispute|payout),[1-9]/.test(row))
  expect(taken_back.length).toBeGreaterThanOrEqual(3)
  expect(new Set(rowsOf(books.csv).map(row => row.split(',')[6]))).toEqual(
    new Set(['usd', 'eur', 'jpy', 'kwd']),
  )
})

test.each(['csv', 'camt053'] as const)('a clean day is clean, by %s', async format => {
  const name = format === 'csv' ? 'statement.csv' : 'statement.xml'
  const { run, findings } = await reconcile({ name, text: books[format] })
  expect(findings).toEqual([])
  expect(run.is_clean).toBe(true)
  expect(run.counts.left.matched).toBe(rowsOf(books.csv).length)
  expect(run.right.format).toBe(format)
  if (format === 'camt053') expect(run.right.controls.length).toBeGreaterThanOrEqual(4)
})

/** The first statement row of each kind, with the id that both sides know it by. */
const KINDS: Record<string, RegExp> = {
  'a capture': /,capture,\d/,
  'a refund': /,refund,-\d/,
  'a refund that bounced': /,refund,\d/,
  'a dispute': /,dispute,-\d/,
  'a dispute that was won': /,dispute,\d/,
  'a payout': /,payout,-\d/,
  'a payout that came back': /,payout,\d/,
}

function idOf(row: string): string {
  const [id = '', reference = '', type = '', amount = ''] = row.split(',')
  const is_back = type !== 'capture' && !amount.startsWith('-')
  return `${type === 'dispute' ? id : reference}${is_back ? ':reversal' : ''}`
}

const cells = (row: string, change: Record<number, (cell: string) => string>): string =>
  row
    .split(',')
    .map((cell, i) => change[i]?.(cell) ?? cell)
    .join(',')

const NET = 5
const CURRENCY = 6
const DATE = 7

describe.each(Object.entries(KINDS))('of %s', (_name, kind) => {
  const changed = (change: (row: string) => string[]) => {
    const [header = ''] = books.csv.split('\n')
    const rows = rowsOf(books.csv)
    const at = rows.findIndex(row => kind.test(row))
    const row = rows[at] ?? ''
    return { row, text: `${[header, ...rows.toSpliced(at, 1, ...change(row))].join('\n')}\n` }
  }

  test('what the processor leaves out is found, and nothing else', async () => {
    const { row, text } = changed(() => [])
    expect((await reconcile(csvOf(text))).findings).toEqual([['left', idOf(row), 'unmatched', null]])
  })

  test('what our books leave out is found, and nothing else', async () => {
    const { row } = changed(() => [])
    const ledger = books.ledger
      .split('\r\n')
      .filter(line => !line.startsWith(`${idOf(row)},`))
      .join('\r\n')
    expect((await reconcile(csvOf(books.csv), ledger)).findings).toEqual([
      ['right', idOf(row), 'unmatched', null],
    ])
  })

  test('another amount is found and named, and nothing else', async () => {
    const { row, text } = changed(of => [cells(of, { [NET]: net => `${BigInt(net) + 7n}` })])
    const net = BigInt(row.split(',')[NET] ?? 0)
    const reason = `amount ${net} != ${net + 7n}`
    expect((await reconcile(csvOf(text))).findings).toEqual([
      ['left', idOf(row), 'discrepant', reason],
      ['right', idOf(row), 'discrepant', reason],
    ])
  })

  test('another currency is found and named, and nothing else', async () => {
    const { row, text } = changed(of => [cells(of, { [CURRENCY]: () => 'chf' })])
    const reason = `currency ${row.split(',')[CURRENCY]} != chf`
    expect((await reconcile(csvOf(text))).findings).toEqual([
      ['left', idOf(row), 'discrepant', reason],
      ['right', idOf(row), 'discrepant', reason],
    ])
  })

  test('another day, outside of the window, is found and named, and nothing else', async () => {
    const { row, text } = changed(of => [cells(of, { [DATE]: () => '2020-02-29T12:00:00.000Z' })])
    const reason = `date ${row.split(',')[DATE]?.slice(0, 10)} != 2020-02-29`
    expect((await reconcile(csvOf(text))).findings).toEqual([
      ['left', idOf(row), 'discrepant', reason],
      ['right', idOf(row), 'discrepant', reason],
    ])
  })

  test('what stands there twice is found, and nothing else', async () => {
    const { row, text } = changed(of => [of, of])
    expect((await reconcile(csvOf(text))).findings).toEqual([
      ['right', idOf(row), 'duplicate', `id ${idOf(row)} appears 2 times`],
    ])
  })
})

test('a movement that a statement lost on the way fails its control, too', async () => {
  const lost = /<Ntry>.*?<\/Ntry>\n/s.exec(books.camt053)?.[0] ?? ''
  const text = books.camt053.replace(lost, '')
  const { run, findings } = await reconcile({ name: 'statement.xml', text })
  expect(findings.map(([side, , status]) => [side, status])).toEqual([['left', 'unmatched']])
  expect(run.right.controls.filter(({ is_met }) => !is_met)).toHaveLength(1)
})
