/** What is given to `bursar reconcile` to read and to write to: pipes, and places where nothing can be read or written. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, linkSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sentenceOf } from '../../src/cli/reconcile/trouble.ts'
import { CLI, makeFolder } from './command.fixture.ts'

const TEST_MS = 120_000

const folder = makeFolder()
afterAll(() => folder.remove())

const csv = (...rows: string[]) => `id,amount,currency\n${rows.join('\n')}\n`
const ROWS = csv('a,100,usd', 'b,200,usd')

/** A line of a shell, in which `$bursar` is the command. */
function shell(line: string, env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync('sh', ['-c', line], {
    cwd: folder.path,
    encoding: 'utf8',
    env: {
      ...process.env,
      TMPDIR: folder.path,
      bursar: `${process.execPath} ${CLI}`,
      DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none',
      ...env,
    },
  })
  return { code: status, out: stdout, err: stderr }
}

const runIdIn = (out: string) => /run_[0-9a-f]{24}/.exec(out)?.[0]
const temporary = () => readdirSync(folder.path).filter(name => name.startsWith('bursar-reconcile-'))

let of_files: string | undefined

beforeAll(() => {
  folder.write('a.csv', ROWS)
  folder.write('b.csv', ROWS)
  folder.write('a.csv.gz', gzipSync(ROWS))
  const many = Array.from({ length: 100_000 }, (_, i) => `row_${i},${i},usd`)
  folder.write('many.csv', csv(...many))
  folder.write('many2.csv', csv(...many.toReversed()))
  of_files = runIdIn(shell('$bursar reconcile a.csv b.csv').out)
}, TEST_MS)

describe('what comes through a pipe is reconciled as the file of the same bytes is:', () => {
  test.each([
    ['the standard input', 'cat a.csv | $bursar reconcile - b.csv', 'standard input: 2 rows'],
    ['it by its path', 'cat a.csv | $bursar reconcile b.csv /dev/stdin', 'standard input: 2 rows'],
    ['a file for it', '$bursar reconcile - b.csv < a.csv', 'standard input: 2 rows'],
    ['a named pipe', 'mkfifo p; zcat a.csv.gz > p & $bursar reconcile p b.csv', 'p: 2 rows'],
    ['it kept with the run', 'cat a.csv | $bursar reconcile - b.csv --out piped', 'standard input: 2 rows'],
    ['it asked again', 'cat a.csv | $bursar reconcile - b.csv --out piped', 'standard input: 2 rows'],
  ])(
    '%s',
    (_name, line, read) => {
      const ran = shell(line)
      expect(ran).toMatchObject({ code: 0 })
      expect(ran.out).toContain(read)
      expect(runIdIn(ran.out)).toBe(of_files)
      expect(temporary()).toEqual([])
    },
    TEST_MS,
  )

  test(
    'a large one too, and only the result stays',
    () => {
      const ran = shell('cat many.csv | $bursar reconcile - many2.csv --out large')
      expect(ran).toMatchObject({ code: 0, err: '' })
      const whole = [
        '.bursar-findings.csv',
        'findings.csv',
        'findings.jsonl',
        'items.csv',
        'report.html',
        'run.json',
      ]
      expect(readdirSync(join(folder.path, 'large')).toSorted()).toEqual(whole)
    },
    TEST_MS,
  )

  test.each([
    ['cat a.csv | $bursar reconcile - -', /^bursar: both sides are the standard input/],
    ['cat a.csv | $bursar reconcile - /dev/stdin', /^bursar: both sides are the standard input/],
    ['$bursar reconcile - b.csv < /dev/null', /^bursar: standard input: the file is empty/],
    ['$bursar reconcile /dev/null b.csv', /^bursar: \/dev\/null: the file is empty/],
    ['printf "id,amount,currency\\n\\"a" | $bursar reconcile - b.csv', /^bursar: standard input:2: /],
  ])(
    '%s ends with 2',
    (line, sentence) => {
      const ran = shell(line)
      expect(ran).toMatchObject({ code: 2, out: '' })
      expect(ran.err).toMatch(sentence)
      expect(temporary()).toEqual([])
    },
    TEST_MS,
  )
})

describe('one file on both sides is refused, since it agrees with itself whatever is in it:', () => {
  beforeAll(() => {
    symlinkSync('a.csv', join(folder.path, 'linked-a.csv'))
    linkSync(join(folder.path, 'a.csv'), join(folder.path, 'hard-a.csv'))
  })

  test.each([
    ['a.csv a.csv', 'a.csv'],
    [`a.csv ${join(folder.path, 'a.csv')}`, `a.csv and ${join(folder.path, 'a.csv')}`],
    ['a.csv linked-a.csv', 'a.csv and linked-a.csv'],
    ['hard-a.csv a.csv', 'hard-a.csv and a.csv'],
    ['a.csv - < a.csv', 'a.csv and standard input'],
    ['--keep a.csv ./a.csv', 'a.csv and ./a.csv'],
  ])(
    '%s',
    (args, named) => {
      expect(shell(`$bursar reconcile ${args}`)).toEqual({
        code: 2,
        out: '',
        err: `bursar: both sides are one file, ${named}: one compared with itself says nothing. Name another file for the other side\n`,
      })
    },
    TEST_MS,
  )

  test(
    'but not of which each side reads another column',
    () => {
      folder.write('both.csv', 'Ref,Billed,Paid\na,1.00,1.00\nb,2.00,1.50\n')
      const maps = '--left-map id=Ref,amount=Billed --right-map id=Ref,amount=Paid'
      expect(shell(`$bursar reconcile both.csv both.csv --currency eur ${maps}`)).toMatchObject({ code: 1 })
    },
    TEST_MS,
  )
})

describe('where nothing can be written is told before anything is read:', () => {
  beforeAll(() => {
    mkdirSync(join(folder.path, 'closed'))
    chmodSync(join(folder.path, 'closed'), 0o555)
    folder.write('linked', '')
  })
  // The superuser may write everywhere but where the kernel alone does.
  const closed = process.getuid?.() === 0 ? '/proc/nothing' : 'closed/run'

  test.each([
    ['--out b.csv', /^bursar: --out b\.csv: a file stands where a folder is wanted/],
    ['--out b.csv/run', /^bursar: --out b\.csv\/run: a file stands where a folder is wanted/],
    ['--out /dev/null', /^bursar: --out \/dev\/null: a file stands where a folder is wanted/],
    [`--out ${closed}`, /^bursar: --out \S+: (this account may not write there|no folder can be made there)/],
    [`--out ${'x'.repeat(300)}`, /^bursar: --out x+: the name is too long/],
    ['--carry b.csv', /^bursar: --carry b\.csv: this is a file, and the folder of a run is wanted/],
    ['--carry nowhere', /^bursar: nowhere holds no whole run/],
  ])(
    '%s',
    (options, sentence) => {
      // An unreadable file would be told first, were it looked at.
      const ran = shell(
        `$bursar reconcile a.csv ${options.startsWith('--out') ? 'none' : 'b.csv'} ${options}`,
      )
      expect(ran).toMatchObject({ code: 2, out: '' })
      expect(ran.err).toMatch(sentence)
      expect(folder.read('b.csv')).toBe(ROWS)
    },
    TEST_MS,
  )

  test(
    'a folder for temporary files that is not there',
    () => {
      const ran = shell('$bursar reconcile a.csv b.csv', { TMPDIR: join(folder.path, 'nowhere') })
      expect(ran).toMatchObject({ code: 2, out: '' })
      expect(ran.err).toMatch(/^bursar: the folder for temporary files, .*nowhere \(TMPDIR\): /)
    },
    TEST_MS,
  )

  test(
    'a run that is refused takes the folders back that were made for it',
    () => {
      expect(shell('$bursar reconcile a.csv nowhere.csv --out new/deep').code).toBe(2)
      expect(existsSync(join(folder.path, 'new'))).toBe(false)
      mkdirSync(join(folder.path, 'there'))
      expect(shell('$bursar reconcile a.csv nowhere.csv --out there').code).toBe(2)
      expect(readdirSync(join(folder.path, 'there'))).toEqual([])
    },
    TEST_MS,
  )
})

test(
  'two runs never work in one folder at once, and one that was killed is no hindrance',
  () => {
    // Reads its pipe for as long as nobody writes into it.
    const ran = shell(`mkfifo busy; $bursar reconcile busy b.csv --out shared & first=$!
      until ls shared/.bursar-process-* 2> /dev/null; do sleep 0.1; done
      $bursar reconcile a.csv b.csv --out shared; echo "second: $?"
      kill -9 $first; wait $first
      $bursar reconcile a.csv b.csv --out shared > /dev/null; echo "third: $?"`)
    expect(ran.out).toContain('second: 2\n')
    expect(ran.err).toMatch(/bursar: --out shared: another run works in this folder, process \d+/)
    expect(ran.out).toContain('third: 0\n')
    expect(readdirSync(join(folder.path, 'shared')).filter(name => name.startsWith('.'))).toEqual([
      '.bursar-findings.csv',
    ])
  },
  TEST_MS,
)

describe('a disk that is full ends with 2, a sentence, and nothing that looks like a result:', () => {
  test.each([
    [
      'while the run works',
      '$bursar reconcile many.csv many2.csv --out full',
      /no space is left on the disk of the run/,
    ],
    [
      'while a pipe is kept',
      'cat many.csv | $bursar reconcile - many2.csv --out full',
      /standard input: no space is left to keep it in full/,
    ],
  ])(
    '%s',
    (_name, line, sentence) => {
      // What is larger than this file size is refused as a full disk refuses it.
      const ran = shell(`ulimit -f 1000; ${line}`)
      expect(ran).toMatchObject({ code: 2, out: '' })
      expect(ran.err).toMatch(sentence)
      expect(existsSync(join(folder.path, 'full'))).toBe(false)
    },
    TEST_MS,
  )
})

test('what the system says of a file becomes a sentence that names it', () => {
  const told = (code: string, more: object) =>
    sentenceOf(Object.assign(new Error(`${code}: raw`), { code, syscall: 'open', ...more }))
  expect(told('ENOENT', { path: 'left.csv' })).toBe(
    'left.csv: it was there and is gone: start the run again when nobody moves it',
  )
  expect(told('ENOSPC', { syscall: 'write' })).toBe('no space is left on its disk (ENOSPC, write)')
  expect(told('EXOTIC', {})).toBe('EXOTIC: raw')
  expect(sentenceOf('torn')).toBe('torn')
})
