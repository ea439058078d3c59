/** `bursar reconcile` against a server: files uploaded, compared there, shown as files are, listed and shown again. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { rmSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { encodeId } from '#kernel'
import { writeCredentials } from '../support/credentials.ts'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'
import { makeFolder, type Ran } from './command.fixture.ts'
import { workOffRuns } from './worker.fixture.ts'

const TEST_MS = 120_000

const folder = makeFolder()
let world: World
let account: TestAccount
let stopWorking: () => Promise<void>
let is_working = true

beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
  const { port } = await world.server.listen({ port: 0 })
  writeCredentials(join(folder.path, '.bursar'), {
    api_url: `http://127.0.0.1:${port}`,
    account_id: encodeId('acct_', account.account_id),
    secret_key: account.secret_key,
  })
  stopWorking = workOffRuns(world, account, () => is_working)
  const csv = (...rows: string[]) => `id,amount,currency,date\n${rows.join('\n')}\n`
  folder.write('ledger.csv', csv('a,100,usd,2026-11-20', 'b,200,usd,2026-11-20', 'c,300,eur,2026-11-20'))
  folder.write(
    'bank.csv',
    'Ref;Betrag;Währung;Tag\na;1,00;USD;20.11.2026\nb;2,50;USD;20.11.2026\nx;1.000,00;USD;20.11.2026\ny;1O,0;USD;\n',
  )
  folder.write('same.csv', csv('c,300,eur,2026-11-20', 'b,200,usd,2026-11-20', 'a,100,usd,2026-11-20'))
})
afterAll(async () => {
  await stopWorking?.()
  await world.close()
  folder.remove()
})

const reconcile = (...args: string[]): Promise<Ran> => folder.run('reconcile', ...args)
const MAPPED = ['--right-map', 'id=Ref,amount=Betrag,date=Tag', '--right-decimal', 'comma']

test(
  'the server says of both files what the command line says of them alone',
  async () => {
    // It is worked off when it has been seen to wait: a quick worker would leave nothing to be told.
    is_working = false
    onTestFinished(() => void (is_working = true))
    const child = folder.start(['reconcile', '--keep', 'ledger.csv', 'bank.csv', ...MAPPED])
    const kept: Ran = { code: null, out: '', err: '' }
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (kept.out += text))
    child.stderr?.setEncoding('utf8').on('data', (text: string) => (kept.err += text))
    const closed = once(child, 'close') as Promise<[number | null]>
    await expect
      .poll(() => kept.err, { timeout: TEST_MS })
      .toMatch(/^Uploaded ledger\.csv: rst_\w+\nUploaded bank\.csv: rst_\w+\nrec_\w+: waits for a worker\n/)
    is_working = true
    ;[kept.code] = await closed
    expect(kept.code).toBe(1)
    const alone = await reconcile('ledger.csv', 'bank.csv', ...MAPPED)
    const [id] = /rec_\w+/.exec(kept.out) ?? []
    const body = (out: string) =>
      out
        .split('\n')
        .filter(line => !/^(Report|Run) /.test(line))
        .join('\n')
        .trim()
    expect(body(kept.out)).toBe(body(alone.out))
    expect(kept.out).toContain('amount 200 != 250')
    expect(kept.out).toContain('bank.csv:5: not readable: "1O,0" is not an amount')

    const script = await reconcile('--keep', 'ledger.csv', 'bank.csv', ...MAPPED, '--json')
    expect(script).toMatchObject({ code: 1, err: '' })
    const [said, said_alone] = [script, await reconcile('ledger.csv', 'bank.csv', ...MAPPED, '--json')].map(
      ({ out }) => JSON.parse(out),
    )
    // The same question again is the same run.
    expect(said.run_id).toBe(id)
    const counts = [
      'matched',
      'unmatched_left',
      'unmatched_right',
      'discrepant',
      'duplicates',
      'ambiguous',
      'bad_rows',
    ]
    expect(Object.keys(said).slice(0, 8)).toEqual([...counts, 'run_id'])
    expect(said.counts).toEqual(said_alone.counts)
    expect(said.findings).toEqual(said_alone.findings)
    expect((await account.api.get('/v1/reconciliation_statements')).body.data).toHaveLength(2)
  },
  TEST_MS,
)

test(
  'runs are listed and shown again, with their report, under the same exit codes',
  async () => {
    await reconcile('--keep', 'ledger.csv', 'bank.csv', ...MAPPED)
    const clean = await reconcile('--keep', 'ledger.csv', 'same.csv')
    expect(clean.code).toBe(0)
    const [id = ''] = /rec_\w+/.exec(clean.out) ?? []
    const listed = await reconcile('runs')
    expect(listed).toMatchObject({ code: 0, err: '' })
    expect(listed.out.split('\n')[2]).toMatch(
      new RegExp(`^${id}  \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d  ledger\\.csv  same\\.csv  clean$`),
    )
    expect(listed.out).toContain('2 discrepant, 2 unmatched')
    expect(JSON.parse((await reconcile('runs', '--limit', '1', '--json')).out).runs).toMatchObject([{ id }])
    const shown = await reconcile('show', id, '--report', 'report.html')
    expect(shown).toMatchObject({ code: 0, err: '' })
    const said = (out: string) => out.replace(/^Report .*\n/m, '')
    expect(said(shown.out)).toBe(said(clean.out))
    expect(shown.out).toContain('\nReport    report.html\n')
    const [, command = ''] = /^Report {4}(.*)$/m.exec(clean.out) ?? []
    rmSync(join(folder.path, 'report.html'))
    await promisify(execFile)('sh', ['-c', command], { cwd: folder.path })
    expect(folder.read('report.html')).toContain('Clean: every row of both sides is explained.')
    expect(JSON.parse((await reconcile('show', id, '--json')).out)).toMatchObject({ matched: 3, run_id: id })
  },
  TEST_MS,
)

test(
  'candidates, turned signs, pairs without an id and totals are told of a run that is kept as of files',
  async () => {
    const some = (of: string, count: number) =>
      Array.from({ length: count }, (_, i) => `${of}${i},1.00,2026-11-20`)
    const file = (...rows: string[]) => `Ref,Amount,Date\n${rows.map(row => `${row}\n`).join('')}`
    folder.write('ours.csv', file(...some('a', 2), 'o,7.00,2026-11-20', 'Saldo,9.00,', 't,5.00,2026-11-20'))
    folder.write('theirs.csv', file(...some('b', 11), 'p,7.00,2026-11-21', 't,5.01,2026-11-20'))
    folder.write('plus.csv', file(...some('c', 5)))
    folder.write('minus.csv', file(...some('c', 5)).replaceAll(',1', ',-1'))
    for (const files of [
      ['ours.csv', 'theirs.csv'],
      ['theirs.csv', 'ours.csv'],
      ['plus.csv', 'minus.csv'],
      // Turned where nothing was to be turned.
      ['plus.csv', 'plus.csv', '--flip', 'left'],
    ]) {
      const args = [...files, '--currency', 'eur', '--json']
      const [kept, alone] = [await reconcile('--keep', ...args), await reconcile(...args)].map(({ out }) =>
        JSON.parse(out),
      )
      expect(kept.findings).toEqual(alone.findings)
      expect([kept.hint, kept.matched_without_id]).toEqual([alone.hint, alone.matched_without_id])
      expect(kept.hint ?? kept.matched_without_id).toBeDefined()
    }
  },
  TEST_MS,
)

test(
  'a run is carried on by its id',
  async () => {
    folder.write('monday.csv', 'id,amount,currency,date\nm,1,usd,2026-11-23\n')
    folder.write('tuesday.csv', 'id,amount,currency,date\nn,2,usd,2026-11-24\n')
    folder.write('late.csv', 'id,amount,currency,date\nm,1,usd,2026-11-24\nn,2,usd,2026-11-24\n')
    folder.write('none.csv', 'id,amount,currency,date\n')
    const first = await reconcile(
      '--keep',
      'monday.csv',
      'none.csv',
      '--as-of',
      '2026-11-23',
      '--allow-empty',
      '--json',
    )
    const { run_id, timing } = JSON.parse(first.out)
    expect(timing).toBe(1)
    const second = await reconcile(
      '--keep',
      'tuesday.csv',
      'late.csv',
      '--as-of',
      '2026-11-24',
      '--carry',
      run_id,
      '--json',
    )
    expect(JSON.parse(second.out)).toMatchObject({ matched: 2, is_clean: true })
  },
  TEST_MS,
)

test(
  'what was decided since a run is said wherever it is shown, and its findings stay as they were',
  async () => {
    const kept = await reconcile('--keep', 'ledger.csv', 'bank.csv', ...MAPPED)
    const [id = ''] = /rec_\w+/.exec(kept.out) ?? []
    expect(kept.out).toContain('2 discrepant, 2 unmatched, 1 not readable.\n')
    const decided = { kind: 'write_off', right: [3], reason: 'A test of the bank.', author: 'Ada' }
    const path = `/v1/reconciliation_runs/${id}/decisions`
    const { body } = await account.api.post(path, decided)
    const shown = await reconcile('show', id, '--report', 'decided.html')
    expect(shown.out).toContain('2 unmatched, 1 not readable; 1 of them decided since.\n')
    expect(shown.out).toContain(`x 1,000.00 USD: not in ledger.csv\n      decided since, by ${body.id}\n`)
    const page = folder.read('decided.html').replaceAll(/<[^>]+>/g, ' ')
    expect(page).toMatch(/5 rows need somebody, 1 of them decided since\./)
    expect(page).toMatch(/On one side only {2}2 rows, 1 of them decided since/)
    expect(page).toContain(`decided since, by ${body.id}`)
    expect((await reconcile('runs')).out).toMatch(new RegExp(`${id} .*2 unmatched; 1 decision since\n`))
    const script = JSON.parse((await reconcile('show', id, '--json')).out)
    expect(script.decided_since).toEqual({ rows: [{ status: 'unmatched', rows: 1 }], is_all: true })
    expect(script.unmatched_right).toBe(1)
    const withdrawn = { reason: 'It was none.', author: 'Grace' }
    expect(
      (await account.api.post(`/v1/reconciliation_decisions/${body.id}/withdraw`, withdrawn)).status,
    ).toBe(200)
    expect((await reconcile('show', id)).out).toBe(kept.out)
    expect((await reconcile('runs')).out).not.toContain('since')
  },
  TEST_MS,
)

test.each([
  [['--keep', 'ledger.csv', 'nowhere.csv'], /^Uploaded .*\nbursar: nowhere\.csv: there is no such file/],
  [['--keep', 'ledger.csv', '.'], /bursar: .*this is a directory and no file/],
  [
    ['--keep', 'ledger.csv', 'bank.csv', '--out', 'x'],
    /^bursar: --keep has the server keep the run: leave --out away/,
  ],
  [['--keep', 'ledger.csv', 'bank.csv', '--decisions', 'd'], /^bursar: --keep replays the decisions/],
  [['--keep', 'ledger.csv', 'bank.csv', '--carry', 'friday'], /^bursar: --carry names a run of the server/],
  [['--keep', 'ledger.csv', 'none-such', '--format', 'pdf'], /^bursar: --format must be one of/],
  [['show', 'rec_1'], /^bursar: rec_1: There is no such object\. .*\n$/],
  [['runs', '--limit', '0'], /^bursar: --limit is a number from 1 to 100/],
] as const)(
  '%j ends with 2 and a sentence',
  async (args, sentence) => {
    const ran = await reconcile(...args)
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(ran.err).toMatch(sentence)
    expect(ran.err).not.toMatch(/\n\s+at /)
  },
  TEST_MS,
)

test(
  'a file that the server refuses is refused in its words, and without keys nothing is tried',
  async () => {
    folder.write('unclear.csv', 'Ref,Amount\na,100\n')
    const refused = await reconcile('--keep', 'ledger.csv', 'unclear.csv')
    expect(refused.code).toBe(2)
    expect(refused.err).toMatch(/bursar: unclear\.csv:1: no column says the currency.*Send currency=eur/)
    unlinkSync(join(folder.path, '.bursar', 'credentials.json'))
    const keyless = await reconcile('runs')
    expect(keyless).toMatchObject({ code: 2, out: '' })
    expect(keyless.err).toMatch(/^bursar: there is no .*credentials\.json: start the server.*BURSAR_DATA_DIR/)
  },
  TEST_MS,
)
