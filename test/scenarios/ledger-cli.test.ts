/** The books from the command line, beside a server: reading, adjusting once, exporting whole files. */
import { execFile } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeId } from '#kernel'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts')

let world: World
let account: TestAccount
let directory: string
beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
  directory = mkdtempSync(join(tmpdir(), 'bursar-export-'))
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
  rmSync(directory, { recursive: true, force: true })
})

interface Ran {
  code: number
  out: string
  err: string
}

/** Runs `bursar ledger …` for the one account there is. */
const ledger = (...args: string[]): Promise<Ran> => ledgerOf(world.url, ...args)

const ledgerOf = (url: string, ...args: string[]): Promise<Ran> =>
  new Promise(resolve => {
    const env = { ...process.env, DATABASE_URL: url, BURSAR_DATA_DIR: directory }
    execFile(process.execPath, [CLI, 'ledger', ...args], { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1, out, err }),
    )
  })

const ADJUST = (
  'adjust --debit bank --credit adjustments --amount 500 --currency usd ' +
  '--reason Cash_found_in_the_drawer --author Ada_Lovelace'
).split(' ')

test('an adjustment is posted once, however often it is tried under its id', async () => {
  const first = await ledger(...ADJUST, '--json')
  expect(first.code, first.err).toBe(0)
  const transfer = JSON.parse(first.out) as Json
  expect(transfer).toMatchObject({
    amount: 500,
    author: 'Ada_Lovelace (command line)',
    source_type: 'ledger_transfer',
  })
  expect(first.err).toContain(`--id ${transfer.id}`)
  const again = await ledger(...ADJUST, '--json', '--id', transfer.id)
  expect(JSON.parse(again.out)).toEqual(transfer)
  const other = await ledger(...ADJUST.with(6, '501'), '--id', transfer.id)
  expect(other).toMatchObject({ code: 1, out: '' })
  const wrong = await ledger(...ADJUST.with(2, 'petty_cash'))
  expect(wrong.code).toBe(1)
  expect(wrong.err).toContain('bursar: --debit must be one of')
  expect((await ledger(...ADJUST.with(6, '1.5'))).err).toContain('bursar: --amount must be a whole number')
})

test('the trial balance and a statement say what the API says', async () => {
  const trial = JSON.parse((await ledger('trial-balance', '--json')).out) as Json
  const { sums, lines } = (await account.api.get('/v1/ledger/trial_balance')).body
  expect(trial).toMatchObject({ sums, lines, is_balanced: true, closed_before: null })
  expect((await ledger('trial-balance')).out).toContain('balanced')
  const statement = JSON.parse((await ledger('statement', 'bank:usd', '--json')).out) as Json
  const { id } = lines.length > 0 ? (await account.api.get('/v1/ledger/accounts?code=bank')).body.data[0] : {}
  const entries = (await account.api.get(`/v1/ledger/accounts/${id}/entries?limit=100`)).body
  expect(statement.entries).toEqual(entries.data.toReversed())
  expect(statement).toMatchObject({
    opening_balance: 0,
    closing_balance: entries.closing_balance,
    left_out: 0,
  })
  expect((await ledger('statement', id)).out).toContain(`Closing balance ${entries.closing_balance}`)
  expect((await ledger('statement', 'bank:eur')).err).toContain('nothing was ever posted to bank:eur')
  expect((await ledger('statement', 'cash:usd')).err).toContain('is not in the chart')
  expect((await ledger('statement', 'bank')).err).toContain('name a code and a currency')
  expect((await ledger('trial-balance', '--live')).out).toContain('Nothing was ever posted.')
})

test('an export is a whole file, or none', async () => {
  const file = join(directory, 'books.csv')
  const done = await ledger('export', '--out', file, '--json')
  expect(done.code, done.err).toBe(0)
  const lines = readFileSync(file, 'utf8').trimEnd().split('\r\n')
  expect(JSON.parse(done.out)).toMatchObject({ file, what: 'entries', rows: lines.length - 1 })
  expect(lines[0]).toMatch(/^transfer_id,ledger_account_id,code,sequence,side,amount,balance,currency,/)
  const { out } = await ledger('export', '--format', 'jsonl', '--what', 'transfers')
  const rows = out
    .trimEnd()
    .split('\n')
    .map(line => JSON.parse(line) as Json)
  expect(rows[0]).toMatchObject({ kind: 'post', debit_code: 'bank', amount: 500 })
  const nothing = join(directory, 'nothing.csv')
  const unknown = encodeId('la_', account.account_id)
  const refused = await ledger('export', '--ledger-account', unknown, '--out', nothing)
  expect(refused.code).toBe(1)
  expect(existsSync(nothing)).toBe(false)
  expect(readdirSync(directory).filter(name => name.includes('unfinished'))).toEqual([])
  expect((await ledger('export', '--from', '2026-02-30')).code).toBe(1)
  const reversed = await ledger('export', '--from', '2026-12-01', '--to', '2026-11-01')
  expect(reversed).toMatchObject({ code: 1, out: '', err: 'bursar: --to must not be before --from\n' })
  expect((await ledger('export', '--format', 'xlsx')).err).toContain('--format must be one of csv, jsonl')
})

test('a proof is a whole file, or leaves the one that was there', async () => {
  const file = join(directory, 'books.jsonl')
  const made = await ledger('proof', '--out', file)
  expect(made.code, made.err).toBe(0)
  expect((await ledger('verify', '--file', file)).out).toContain('The file holds')
  const before = readFileSync(file, 'utf8')
  const nowhere = new URL(world.url)
  nowhere.pathname = '/no_such_database'
  expect((await ledgerOf(nowhere.href, 'proof', '--out', file)).code).toBe(1)
  expect(readFileSync(file, 'utf8')).toBe(before)
  expect(readdirSync(directory).filter(name => name.includes('unfinished'))).toEqual([])
})

test.each(['adjust', 'export', 'statement', 'suspense', 'trial-balance'])(
  'bursar ledger %s has help with an example',
  async verb => {
    const { out, code } = await ledger(verb, '--help')
    expect(code).toBe(0)
    expect(out).toMatch(/^Examples?:$/m)
  },
)
