/** `bursar reconcile` as scripts and people meet it: what it prints, what it leaves, and how it refuses. */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { makeFolder, type Ran } from './command.fixture.ts'

const TEST_MS = 120_000

const folder = makeFolder()
afterAll(() => folder.remove())

const HEADER = 'id,amount,currency'
const csv = (...rows: string[]) => `${[HEADER, ...rows].join('\n')}\n`
const reconcile = (...args: string[]): Promise<Ran> => folder.run('reconcile', ...args)
const json = ({ out }: Ran) => JSON.parse(out) as Record<string, never> & { error: Record<string, unknown> }

/** Long enough to be interrupted. */
const MANY = 400_000

beforeAll(() => {
  const rows = Array.from({ length: MANY }, (_, i) => `row_${i},${i},usd`)
  folder.write('large.csv', `${HEADER}\n${rows.join('\n')}\n`)
  folder.write('large2.csv', `${HEADER}\n${rows.toReversed().join('\n')}\n`)
  folder.write('ledger.csv', csv('a,100,usd', 'b,200,usd', 'c,300,eur', 'd,400,usd', 'd,400,usd'))
  folder.write('bank.csv', csv('c,300,eur', 'b,250,usd', 'a,100,usd', 'x,999,usd', 'd,400,usd'))
  folder.write('same.csv', csv('x,999,usd', 'c,300,eur', 'b,250,usd', 'd,400,usd', 'a,100,usd'))
})

test(
  'the object for scripts begins with the counts that are promised, whole numbers all',
  async () => {
    const ran = await reconcile('ledger.csv', 'bank.csv', '--json')
    expect(ran).toMatchObject({ code: 1, err: '' })
    const { run_id, ...said } = json(ran)
    expect(said).toMatchObject({
      matched: 3,
      unmatched_left: 0,
      unmatched_right: 1,
      discrepant: 1,
      duplicates: 1,
      ambiguous: 0,
      bad_rows: 0,
    })
    expect(Object.keys(json(ran)).slice(0, 8)).toEqual([
      'matched',
      'unmatched_left',
      'unmatched_right',
      'discrepant',
      'duplicates',
      'ambiguous',
      'bad_rows',
      'run_id',
    ])
    expect(run_id).toMatch(/^run_[0-9a-f]{24}$/)
    expect(said.findings).toMatchObject([
      { status: 'discrepant', reason: 'amount 200 != 250', rows: [{ line: 3 }, { line: 3, amount: 250 }] },
      { status: 'unmatched', rows: [{ side: 'right', id: 'x', amount: 999 }] },
      { status: 'duplicate', rows: [{ side: 'left', line: 6 }] },
    ])
  },
  TEST_MS,
)

test(
  "a folder that holds somebody's files is refused for --out, and nothing in it is touched",
  async () => {
    mkdirSync(join(folder.path, 'mine', 'work'), { recursive: true })
    folder.write('mine/work/thesis.txt', 'years')
    folder.write('mine/items.csv', 'mine')
    const refused = await reconcile('bank.csv', 'same.csv', '--out', 'mine')
    expect(refused).toMatchObject({ code: 2, out: '' })
    expect(refused.err).toContain('mine holds other files: --out wants a folder of its own')
    expect(folder.read('mine/work/thesis.txt')).toBe('years')
    expect(folder.read('mine/items.csv')).toBe('mine')
    expect(readdirSync(join(folder.path, 'mine')).toSorted()).toEqual(['items.csv', 'work'])
    // A run's own folder is taken again, also beside what somebody put there since.
    expect((await reconcile('bank.csv', 'same.csv', '--out', 'own')).code).toBe(0)
    folder.write('own/notes.txt', 'seen by Ada')
    expect((await reconcile('ledger.csv', 'bank.csv', '--out', 'own')).code).toBe(1)
    expect(folder.read('own/notes.txt')).toBe('seen by Ada')
    // So is what a killed run leaves.
    mkdirSync(join(folder.path, 'killed', '.bursar-work', 'spill'), { recursive: true })
    expect((await reconcile('bank.csv', 'same.csv', '--out', 'killed')).code).toBe(0)
    // A script whose variable is not set, and a way with a folder that is not there.
    const unset = await reconcile('bank.csv', 'same.csv', '--out', '')
    expect(unset).toMatchObject({
      code: 2,
      out: '',
      err: expect.stringContaining('--out is empty: name a folder'),
    })
    expect((await reconcile('bank.csv', 'same.csv', '--out', 'a way/not there/../round')).code).toBe(0)
    expect(readdirSync(join(folder.path, 'a way'))).toEqual(['round'])
  },
  TEST_MS,
)

test(
  'two sides that say the same are clean, whatever the order of their rows',
  async () => {
    const ran = await reconcile('bank.csv', 'same.csv')
    expect(ran).toMatchObject({ code: 0, err: '' })
    expect(ran.out).toContain('✓ Clean.')
    expect(json(await reconcile('bank.csv', 'same.csv', '--json'))).toMatchObject({
      matched: 5,
      is_clean: true,
      findings: [],
    })
  },
  TEST_MS,
)

test(
  'a kept run is whole, is the answer to the same question, and leaves nothing else',
  async () => {
    const first = await reconcile('ledger.csv', 'bank.csv', '--out', 'kept', '--json')
    expect(first).toMatchObject({ code: 1, err: '' })
    const files = readdirSync(join(folder.path, 'kept')).toSorted()
    expect(files).toEqual([
      '.bursar-findings.csv',
      'findings.csv',
      'findings.jsonl',
      'items.csv',
      'report.html',
      'run.json',
    ])
    // Who may read one may read all: as the umask has it.
    const mode = 0o666 & ~process.umask()
    const modes = files.map(file => statSync(join(folder.path, 'kept', file)).mode & 0o777)
    expect(modes).toEqual(files.map(() => mode))
    const bytes = () => files.map(file => folder.read(join('kept', file)))
    const written = bytes()
    const again = await reconcile('ledger.csv', 'bank.csv', '--out', 'kept', '--json')
    expect(again.out).toBe(first.out)
    expect(again.err).toBe('This run is kept in kept: nothing had to be done.\n')
    expect(bytes()).toEqual(written)

    const elsewhere = await reconcile('ledger.csv', 'bank.csv', '--out', 'elsewhere', '--json')
    expect(json(elsewhere).run_id).toBe(json(first).run_id)
    expect(files.map(file => folder.read(join('elsewhere', file)))).toEqual(written)

    expect(folder.read('kept/report.html')).toContain('amount 200 != 250')
    expect(folder.read('kept/findings.jsonl').trim().split('\n')).toHaveLength(4)
    expect(JSON.parse(folder.read('kept/findings.jsonl').split('\n', 1)[0] ?? '')).toMatchObject({
      side: 'left',
      id: 'b',
      amount: 200,
      status: 'discrepant',
    })
  },
  TEST_MS,
)

test(
  'another run into the same folder shows nothing of the one before',
  async () => {
    await reconcile('ledger.csv', 'bank.csv', '--out', 'reused')
    const { code, err } = await reconcile('bank.csv', 'same.csv', '--out', 'reused')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(folder.read('reused/report.html')).toContain('Clean: every row')
    expect(folder.read('reused/findings.jsonl')).toBe('')
    expect(folder.read('reused/items.csv')).not.toContain('duplicate')
  },
  TEST_MS,
)

test(
  'a report that a kill took away is written again from the run',
  async () => {
    const { rmSync } = await import('node:fs')
    await reconcile('ledger.csv', 'bank.csv', '--out', 'torn')
    const page = folder.read('torn/report.html')
    rmSync(join(folder.path, 'torn', 'report.html'))
    await reconcile('ledger.csv', 'bank.csv', '--out', 'torn')
    expect(folder.read('torn/report.html')).toBe(page)
    // Of another run, left by a kill between that run's files and its report.
    folder.write('torn/report.html', page.replace(/content="[0-9a-f]{64}"/, 'content="0"'))
    await reconcile('ledger.csv', 'bank.csv', '--out', 'torn')
    expect(folder.read('torn/report.html')).toBe(page)
  },
  TEST_MS,
)

describe('what it cannot run on ends with 2, a sentence with the place, and nothing decided:', () => {
  beforeAll(() => {
    folder.write('empty.csv', '')
    folder.write('headers.csv', `${HEADER}\n`)
    folder.write('other.csv', 'name,colour\nAda,green\n')
    folder.write('quote.csv', csv('a,100,usd', '"b,200,usd'))
    folder.write(
      'torn.csv.gz',
      gzipSync(csv(...Array.from({ length: 999 }, (_, i) => `r${i},1,usd`))).subarray(0, 900),
    )
    folder.write('bad.jsonl', '{"id":"d","kind":"match"}\n')
    mkdirSync(join(folder.path, 'directory'))
  })

  test.each([
    [['ledger.csv', 'nowhere.csv'], /^bursar: nowhere\.csv: /],
    [['ledger.csv', 'directory'], /^bursar: directory: .*directory/],
    [['ledger.csv', 'empty.csv'], /^bursar: empty\.csv: the file is empty/],
    [['ledger.csv', 'headers.csv'], /^bursar: headers\.csv:1: /],
    [['ledger.csv', 'other.csv'], /^bursar: other\.csv:1: /],
    [['ledger.csv', 'quote.csv'], /^bursar: quote\.csv:\d+: .*quote/],
    [['ledger.csv', 'torn.csv.gz'], /^bursar: torn\.csv\.gz:/],
    [['ledger.csv', 'bank.csv', '--decisions', 'bad.jsonl'], /^bursar: bad\.jsonl:1: left: /],
    [['ledger.csv', 'bank.csv', '--decisions', 'nowhere'], /^bursar: nowhere: there is no such file/],
    [
      ['ledger.csv', 'bank.csv', '--as-of', '2026-02-30'],
      /^bursar: --as-of 2026-02-30 is not a day of the calendar/,
    ],
    [['ledger.csv', 'bank.csv', '--timing-days', '3'], /^bursar: --timing-days counts from a day/],
    [['ledger.csv', 'bank.csv', '--tolerance-bps', '5000'], /^bursar: --tolerance-bps is at most 1000/],
    [['ledger.csv', 'bank.csv', '--format', 'xlsx'], /^bursar: --format must be one of csv/],
    [['ledger.csv', 'bank.csv', '--map', 'name=x'], /"name" is none of id, amount/],
    [['ledger.csv', 'bank.csv', '--carry', 'directory'], /directory/],
    [['ledger.csv'], /missing required argument/],
    [['ledger.csv', 'bank.csv', '--colour'], /unknown option/],
  ] as const)(
    '%j',
    async (args, sentence) => {
      const ran = await reconcile(...args, '--out', 'refused')
      expect({ code: ran.code, out: ran.out }).toEqual({ code: 2, out: '' })
      expect(ran.err).toMatch(sentence)
      expect(ran.err).not.toMatch(/\n\s+at /)
      expect(existsSync(join(folder.path, 'refused', 'run.json'))).toBe(false)
      expect(existsSync(join(folder.path, 'refused', 'report.html'))).toBe(false)
    },
    TEST_MS,
  )

  test(
    'with --json a script gets file and line too',
    async () => {
      const ran = await reconcile('ledger.csv', 'quote.csv', '--json')
      expect(ran.code).toBe(2)
      expect(json(ran).error).toMatchObject({ file: 'quote.csv', line: expect.any(Number) })
      expect(ran.err).toContain('quote.csv:')
    },
    TEST_MS,
  )
})

test(
  'a bad row is told with its line, and the run goes on and is not clean',
  async () => {
    folder.write('bad.csv', csv('a,100,usd', 'b,1O0,usd', 'c,99999999999999999999,usd'))
    folder.write('good.csv', csv('a,100,usd'))
    const ran = await reconcile('bad.csv', 'good.csv', '--out', 'bad')
    expect(ran.code).toBe(1)
    expect(ran.out).toContain('✗ 2 rows need somebody: 2 not readable.\n')
    expect(ran.out).toMatch(/bad\.csv:3: not readable: .*bad\.csv:4: not readable: /s)
    expect(folder.read('bad/findings.csv').split('\n').slice(1)).toEqual([
      expect.stringMatching(/^not_readable,bad\.csv,3,/),
      expect.stringMatching(/^not_readable,bad\.csv,4,/),
      '',
    ])
    expect(JSON.parse(folder.read('bad/findings.jsonl').split('\n')[1] ?? '')).toMatchObject({
      side: 'left',
      line: 4,
      status: 'not_readable',
    })
    expect(json(await reconcile('bad.csv', 'good.csv', '--json'))).toMatchObject({
      matched: 1,
      bad_rows: 2,
      left: { bad: [{ line: 3 }, { line: 4 }] },
    })
  },
  TEST_MS,
)

test(
  'columns are said of both files or of one, and what is said of one counts',
  async () => {
    folder.write('a.txt', 'Ref|Part|Sum\nx|1|10.50\nx|2|0.99\n')
    folder.write('b.txt', 'Ref|Part|In|Out\nx|1|10,50|\nx|2|0,99|\n')
    const said = '--currency eur --delimiter | --decimal comma --left-decimal point'.split(' ')
    said.push('--left-map', 'id=Ref,id=Part,amount=Sum')
    said.push('--right-map', '{"id":["Ref","Part"],"credit":"In","debit":"Out"}')
    const ran = await reconcile('a.txt', 'b.txt', ...said)
    expect(ran).toMatchObject({ code: 0, err: '' })
    expect(ran.out).toContain(
      'a.txt: 2 rows, csv: id from "Ref" and "Part", amount from "Sum"; amounts with a decimal point',
    )
    expect(ran.out).toContain('debit from "Out", credit from "In"; amounts with a decimal comma')
  },
  TEST_MS,
)

test(
  'decisions are replayed whole or not at all',
  async () => {
    const decide = (of: object) =>
      folder.write(
        'decisions.jsonl',
        `${JSON.stringify({ id: 'd-1', kind: 'match', left: [], right: [], author: 'Ada', reason: 'agreed', ...of })}\n`,
      )
    const of = (file: string) => createHash('sha256').update(folder.read(file)).digest('hex').slice(0, 12)
    const b = { id: 'b', currency: 'usd', date: null }
    const left = [{ ...b, amount: 200, statement: of('ledger.csv') }]
    const right = { ...b, statement: of('bank.csv') }
    decide({ left, right: [{ ...right, amount: '250' }] })
    const decided = json(
      await reconcile('ledger.csv', 'bank.csv', '--decisions', 'decisions.jsonl', '--json'),
    )
    expect(decided).toMatchObject({ discrepant: 0, manual: 2, matched: 3 })
    decide({ left, right: [{ ...right, amount: 251 }] })
    const stale = json(await reconcile('ledger.csv', 'bank.csv', '--decisions', 'decisions.jsonl', '--json'))
    expect(stale).toMatchObject({ discrepant: 1, manual: 0 })
    expect(stale.run_id).not.toBe(decided.run_id)
  },
  TEST_MS,
)

test(
  'what may still come is carried to the next run, meets there, and is missed when it does not',
  async () => {
    const day = (...rows: string[]) => `id,amount,currency,date\n${rows.join('\n')}\n`
    folder.write('l1.csv', day('a,1,usd,2026-11-20', 'b,2,usd,2026-11-20'))
    folder.write('r1.csv', day('a,1,usd,2026-11-20'))
    folder.write('l2.csv', day('c,3,usd,2026-11-21'))
    folder.write('r2.csv', day('c,3,usd,2026-11-21', 'b,2,usd,2026-11-21'))
    folder.write('r2-late.csv', day('c,3,usd,2026-11-21'))
    const first = await reconcile('l1.csv', 'r1.csv', '--as-of', '2026-11-20', '--out', 'friday', '--json')
    expect(json(first)).toMatchObject({ matched: 1, timing: 1, is_clean: true })
    const carried = ['--as-of', '2026-11-24', '--carry', 'friday', '--json']
    expect(json(await reconcile('l2.csv', 'r2.csv', ...carried))).toMatchObject({
      matched: 2,
      is_clean: true,
    })
    // The same rows again would meet themselves, and what waits goes on to no day before.
    for (const [args, sentence] of [
      [
        ['l1.csv', 'r2.csv', ...carried],
        'friday must be a run of other files: the rows of l1.csv were in it already, and would meet themselves',
      ],
      [
        ['l2.csv', 'r2.csv', '--as-of', '2026-11-19', '--carry', 'friday', '--json'],
        'friday looks from 2026-11-20, and this run from 2026-11-19: what waits is carried to the same day or a later one',
      ],
    ] as const) {
      expect(await reconcile(...args)).toMatchObject({ code: 2, err: `bursar: ${sentence}\n` })
    }
    const missed = json(await reconcile('l2.csv', 'r2-late.csv', ...carried))
    expect(missed).toMatchObject({ matched: 1, unmatched_left: 1, timing: 0 })
    expect(missed.findings).toMatchObject([{ status: 'unmatched', rows: [{ id: 'b' }] }])
  },
  TEST_MS,
)

test(
  'what strangers wrote reaches no terminal, spreadsheet or page as anything but text',
  async () => {
    folder.write(
      'hostile.csv',
      csv(
        '"=HYPERLINK(""http://x"")",1,usd',
        '<script>alert(1)</script>,2,usd',
        '＝1+1,4,usd',
        'a\u001b]0;gone\u0007,3,usd',
      ),
    )
    folder.write('other-side.csv', csv('z,9,usd'))
    const ran = await reconcile('hostile.csv', 'other-side.csv', '--out', 'hostile')
    expect(ran.code).toBe(1)
    // oxlint-disable-next-line no-control-regex
    expect(ran.out).not.toMatch(/[\u0000-\u0009\u000b-\u001f]/)
    expect(folder.read('hostile/report.html')).not.toContain('<script')
    expect(folder.read('hostile/findings.csv')).not.toMatch(/(^|,)"?[=＝]/m)
    expect(folder.read('hostile/findings.csv')).toContain("'＝1+1,")
  },
  TEST_MS,
)

test(
  'a signal ends it as one, and nothing of it stays behind',
  async () => {
    const left = () => readdirSync(folder.path).filter(name => name.startsWith('bursar-reconcile-'))
    const child = folder.start(['reconcile', 'large.csv', 'large2.csv'])
    const ended = new Promise(resolve => child.on('close', (_code, signal) => resolve(signal)))
    await expect.poll(left, { timeout: 60_000, interval: 5 }).toHaveLength(1)
    child.kill('SIGTERM')
    expect(await ended).toBe('SIGTERM')
    expect(left()).toEqual([])
  },
  TEST_MS,
)

test(
  'what a kill -9 left behind is removed by the next run, and a kept run is whole or absent',
  async () => {
    const left = () => readdirSync(folder.path).filter(name => name.startsWith('bursar-reconcile-'))
    const killed = folder.start(['reconcile', 'large.csv', 'large2.csv'])
    await expect.poll(left, { timeout: 60_000, interval: 5 }).toHaveLength(1)
    killed.kill('SIGKILL')
    await new Promise(resolve => killed.on('close', resolve))
    const child = folder.start(['reconcile', 'large.csv', 'large2.csv', '--out', 'large'])
    await expect
      .poll(() => existsSync(join(folder.path, 'large')), { timeout: 60_000, interval: 5 })
      .toBe(true)
    child.kill('SIGKILL')
    await new Promise(resolve => child.on('close', resolve))
    expect(existsSync(join(folder.path, 'large', 'run.json'))).toBe(false)
    expect(existsSync(join(folder.path, 'large', 'report.html'))).toBe(false)
    expect(await reconcile('bank.csv', 'same.csv')).toMatchObject({ code: 0 })
    expect(left()).toEqual([])
    const ran = await reconcile('large.csv', 'large2.csv', '--out', 'large', '--json')
    expect(json(ran)).toMatchObject({ matched: MANY, is_clean: true })
    expect(readdirSync(join(folder.path, 'large')).toSorted()).toEqual([
      '.bursar-findings.csv',
      'findings.csv',
      'findings.jsonl',
      'items.csv',
      'report.html',
      'run.json',
    ])
  },
  TEST_MS,
)
