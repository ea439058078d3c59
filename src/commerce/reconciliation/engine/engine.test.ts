import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Decision } from '../decision.ts'
import type { Home } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { runs } from '../matching/arbitraries.ts'
import { placeAll } from '../matching/index.ts'
import { DEFAULT_RULES, type Rules } from '../rules.ts'
import type { Item } from './face.ts'
import { runFiles } from './run-files.ts'

let home: string
let count = 0
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'reconcile-'))
})
afterAll(() => rmSync(home, { recursive: true, force: true }))

const HEADER = 'id,amount,currency,date,batch,text'

/** As a file that DuckDB may read, or, with quotes, the careful reader alone. */
function csvOf(lines: readonly Line[], quote = ''): string {
  const rows = lines.map(({ id, amount, currency, date, batch, text }) =>
    [`${quote}${id}${quote}`, amount, currency, date, batch, text].join(','),
  )
  return [HEADER, ...rows, ''].join('\n')
}

function writeFile(content: string | Buffer): string {
  const path = join(home, `${++count}.csv`)
  writeFileSync(path, content)
  return path
}

interface Given {
  left: string | Buffer
  right: string | Buffer
  rules?: Rules
  decisions?: readonly Decision[]
  directory?: string
  carried?: string
  few_rows_most?: number
}

function run({
  left,
  right,
  rules = DEFAULT_RULES,
  decisions = [],
  directory,
  carried,
  few_rows_most,
}: Given) {
  const side = (content: string | Buffer) => ({
    path: writeFile(content),
    name: 'side.csv',
    is_empty_allowed: true,
  })
  return runFiles({
    left: side(left),
    right: side(right),
    rules,
    decisions,
    directory: directory ?? join(home, `run-${++count}`),
    ...(carried !== undefined && { carried }),
    ...(few_rows_most !== undefined && { few_rows_most }),
  })
}

async function all(items: AsyncIterable<Item>): Promise<Item[]> {
  const found = []
  for await (const item of items) found.push(item)
  return found
}

const homeOf = ({ side, row, status, pass, group, reason, decision_id }: Home): Home => ({
  side,
  row,
  status,
  pass,
  group,
  reason,
  decision_id,
})
const bySideAndRow = (a: Home, b: Home) => (a.side === b.side ? a.row - b.row : a.side === 'left' ? -1 : 1)

describe('the file engine', () => {
  test('agrees with the specification row for row, whoever read the files and decided the rest', async () => {
    await fc.assert(
      fc.asyncProperty(runs, fc.boolean(), async ({ left, right, rules, decisions }, is_plain) => {
        const quote = is_plain ? '' : '"'
        const given = { left: csvOf(left, quote), right: csvOf(right, quote), rules, decisions }
        const found = await run({ ...given, few_rows_most: 0 })
        const items = await all(found.items())
        const expected = placeAll(left, right, rules, decisions)
        expect(items.map(homeOf).sort(bySideAndRow)).toEqual([...expected.left, ...expected.right])
        const lines: Record<Side, readonly Line[]> = { left, right }
        for (const item of items) {
          const { id, amount, currency, date, batch, line } = lines[item.side][item.row - 1] as Line
          expect(item).toMatchObject({ id, amount, currency, date, batch, line })
        }
        if (is_plain) expect(bytesOf(await run(given))).toEqual(bytesOf(found))
      }),
      { numRuns: 20 },
    )
  }, 300_000)

  test('writes the same bytes whether DuckDB or the specification decides what is left of large files', async () => {
    const given = { left: large('l'), right: large('r') }
    const found = await run(given)
    expect(found.counts.left).toMatchObject({ matched: 158_400, unmatched: 1_600 })
    expect(bytesOf(await run({ ...given, few_rows_most: 0 }))).toEqual(bytesOf(found))
  }, 120_000)

  test('decides in DuckDB as the specification does what is near in time, however much it is', async () => {
    const rowsOf = (side: string, day: string) =>
      Array.from({ length: 120_000 }, (_, at) => `${side}${at},${at + 1},usd,2026-11-${day}\n`).join('')
    const header = 'id,amount,currency,date\n'
    const given = { left: header + rowsOf('l', '10'), right: header + rowsOf('r', '11') }
    const found = await run({ ...given, few_rows_most: 0 })
    expect(found.counts.left).toMatchObject({ matched: 120_000 })
    expect(bytesOf(await run({ ...given, few_rows_most: 300_000 }))).toEqual(bytesOf(found))
  }, 120_000)

  test('writes the same bytes again, and does nothing when it finds the run', async () => {
    const [left, right] = [sample('l'), sample('r')]
    const first = await run({ left, right })
    const second = await run({ left, right })
    for (const name of ['run.json', 'items.csv', '.bursar-findings.csv']) {
      expect(readFileSync(join(second.directory, name))).toEqual(readFileSync(join(first.directory, name)))
    }
    const third = await run({ left, right, directory: first.directory })
    expect(third).toMatchObject({ is_stored: true, key: first.key, counts: first.counts, sums: first.sums })
    const other = await run({ left, right: sample('x'), directory: first.directory })
    expect(other.is_stored).toBe(false)
    expect(other.key).not.toBe(first.key)
  })

  test('carries what was in time into the next run', async () => {
    const rules = { ...DEFAULT_RULES, as_of: '2026-11-10' }
    const monday = await run({
      left: `id,amount,currency,date\na,5,usd,2026-11-09\nb,6,usd,2026-11-01\n`,
      right: 'id,amount,currency,date\n',
      rules,
    })
    expect(monday.counts.left).toMatchObject({ timing: 1, unmatched: 1 })
    const tuesday = await run({
      left: 'id,amount,currency,date\n',
      right: 'id,amount,currency,date\na,5,usd,2026-11-11\n',
      rules: { ...rules, as_of: '2026-11-11' },
      carried: monday.directory,
    })
    expect(tuesday.left).toMatchObject({ rows: 0, carried_rows: 1 })
    expect(tuesday.counts.left).toMatchObject({ matched: 1 })
    expect(tuesday.is_clean).toBe(true)
  })

  test('keeps findings as they were, however a spreadsheet would take them', async () => {
    const found = await run({
      left: 'id,amount,currency,text\n=1+1,-5,usd,@x\n\'=1,6,usd,"a ""b"",\nc"\n',
      right: 'id,amount,currency\n',
    })
    expect(await all(found.findings())).toMatchObject([
      { id: '=1+1', amount: -5n, text: '@x' },
      { id: "'=1", amount: 6n, text: 'a "b",\nc' },
    ])
  })

  test.each([
    ['a plus', 'a,+5,usd'],
    ['a zero in front', 'a,05,usd'],
    ['an exponent', 'a,1e2,usd'],
    ['a fraction', 'a,1.5,usd'],
    ['spaces', ' a , 5 , usd '],
    ['a no-break space', '\u00a0a,5,usd'],
    ['capitals', 'a,5,USD'],
    ['no currency of the world', 'a,5,xxz'],
    ['an amount beyond 64 bits', 'a,9223372036854775808,usd'],
    ['the smallest amount', 'a,-9223372036854775808,usd'],
    ['too few cells', 'a,5'],
    ['too many cells', 'a,5,usd,x'],
    ['a blank line', '\na,5,usd\n\n'],
    ['a blank line of CR LF', 'a,5,usd\r\n\r\nb,6,usd\r'],
    ['a lone CR', 'a,5,usd\rb,6,usd'],
    ['no id', ',5,usd'],
    ['a placeholder for an id', 'NotProvided,5,usd'],
    ['an id that is too long', `${'x'.repeat(513)},5,usd`],
    ['a NUL', 'a\0,5,usd'],
    ['a hash in front', '#a,5,usd'],
    ['an underscore in an amount', 'a,1_0,usd'],
  ])('reads a row with %s as the careful reader alone would', async (_, row) => {
    const plain = `id,amount,currency\nok,1,usd\n${row}\nlast,2,usd\n`
    // A quoted cell at the end sends the same rows to the careful reader.
    const careful = `id,amount,currency\nok,1,usd\n${row}\n"last",2,usd\n`
    const right = 'id,amount,currency\nok,1,usd\n'
    const outcome = async (left: string) => {
      try {
        const found = await run({ left, right })
        const { rows, bad_rows, bad } = found.left
        return { rows, bad_rows, bad, items: await all(found.items()) }
      } catch (error) {
        return (error as Error).message.replace(/^.*side\.csv/, '')
      }
    }
    expect(await outcome(plain)).toEqual(await outcome(careful))
  })

  test('numbers the rows of a large file in its order', async () => {
    const rows = Array.from({ length: 300_000 }, (_, at) => `id${at + 1},${at + 1},usd`)
    const left = `id,amount,currency\n${rows.join('\n')}\n`
    const right = `id,amount,currency\n${rows.toReversed().join('\n')}\n`
    const found = await run({ left, right })
    expect(found.counts.left.matched).toBe(300_000)
    let row = 0
    for await (const item of found.items()) {
      if (item.side === 'left') row++
      const expected = item.side === 'left' ? row : 300_001 - row
      if (item.row !== expected || item.id !== `id${row}`) throw new Error(`row ${item.row} is ${item.id}`)
    }
    expect(row).toBe(300_000)
  }, 120_000)

  test('refuses a file that changes between its two readings, in one letter or by half', async () => {
    const whole = sample('l')
    for (const changed of [whole.replace('id1,', 'id0,'), whole.slice(0, whole.length / 2)]) {
      const path = writeFile(whole)
      const directory = join(home, `run-${++count}`)
      const refused = runFiles({
        left: { path, name: 'left.csv' },
        right: { path: writeFile(sample('r')), name: 'right.csv' },
        rules: DEFAULT_RULES,
        decisions: [],
        directory,
        on_progress: ({ stage }) => {
          if (stage === 'write') writeFileSync(path, changed)
        },
      })
      await expect(refused).rejects.toThrow('left.csv has changed while it was read')
      expect(readdirSync(directory)).toEqual([])
    }
  })

  test('refuses what is no file of rows, and leaves no result', async () => {
    const directory = join(home, 'refused')
    await expect(run({ left: sample('l'), right: '', directory })).rejects.toThrow('the file is empty')
    await expect(run({ left: sample('l'), right: 'a,b\n1,2\n', directory })).rejects.toThrow('side.csv:1')
    expect(execFileSync('ls', [directory], { encoding: 'utf8' })).toBe('')
  })
})

const bytesOf = ({ directory }: { directory: string }) =>
  ['run.json', 'items.csv', '.bursar-findings.csv'].map(name => readFileSync(join(directory, name), 'utf8'))

/** Large enough for two threads; one of a hundred rows is the side's own, and each side has its own order. */
function large(side: string): string {
  const rows = Array.from(
    { length: 160_000 },
    (_, at) => `${at % 100 === 7 ? side : 'a_row_'}${at},${at},usd\n`,
  )
  return `id,amount,currency\n${(side === 'l' ? rows : rows.toReversed()).join('')}`
}

/** A hundred rows with some of everything, of which the other side has most. */
function sample(side: string): string {
  const rows = Array.from({ length: 100 }, (_, at) => {
    const id = at % 10 === 0 ? `${side}${at}` : `id${at}`
    const amount = at % 7 === 0 && side === 'r' ? at + 1 : at
    return `${id},${amount},usd,2026-11-${10 + (at % 9)}`
  })
  return `id,amount,currency,date\n${rows.join('\n')}\n${side === 'l' ? 'id1,1,usd,2026-11-11\n' : ''}`
}
