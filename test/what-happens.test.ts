/**
 * "What happens when …" promises what the code does: each test that it names as proof is there, by its title, and each
 * time that it names is the constant's in the code. A renamed test or another number turns this red.
 */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { expect, test } from 'vitest'

const PROJECT = join(import.meta.dirname, '..')
const PAGE = 'docs/what-happens-when.md'
const read = (file: string) => readFileSync(join(PROJECT, file), 'utf8')
const page = read(PAGE)
const [story = '', times = ''] = page.split('## The times')

/** Links to tests: the title, and the file that has it. */
const proofs = [...page.matchAll(/\[([^\]]+)\]\(([^()\s]+\.test\.ts)\)/g)].map(
  ([, title = '', target = '']) => ({
    title,
    file: join(dirname(PAGE), target),
  }),
)

const titlesOf = (text: string): string[] =>
  [...text.matchAll(/(?:^|[\s(])(['"])((?:(?!\1)[^\n\\]|\\.){5,}?)\1/g)].map(([, , title = '']) => title)

/** Whether a title is one of the file's. `row 3: killed at attempt.sent` is `row %i: killed at %s` with values of its table. */
function isTitle(text: string, title: string): boolean {
  return titlesOf(text).some(template => {
    if (template === title) return true
    if (!/%[sij]/.test(template)) return false
    const pattern = template.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&').replaceAll(/%[sij]/g, '(.+?)')
    const values = new RegExp(`^${pattern}$`).exec(title)?.slice(1)
    return values?.every(value => text.includes(`'${value}'`) || /^\d+$/.test(value)) ?? false
  })
}

test('every test that is named as proof exists, by its title', () => {
  expect(proofs.length).toBeGreaterThan(50)
  const missing = proofs.filter(
    ({ title, file }) => !existsSync(join(PROJECT, file)) || !isTitle(read(file), title),
  )
  expect(missing).toEqual([])
})

test('a title is recognised with the values of its table, and with no others', () => {
  const text = `test.for([[3, 'attempt.sent']])('row %i: killed at %s', () => {})\ntest('a plain one', () => {})`
  expect(isTitle(text, 'a plain one')).toBe(true)
  expect(isTitle(text, 'row 3: killed at attempt.sent')).toBe(true)
  expect(isTitle(text, 'row 3: killed at attempt.gone')).toBe(false)
  expect(isTitle(text, 'a plain')).toBe(false)
})

test('every moment stands in the table, has a section, and a proof', () => {
  const rows = [...story.matchAll(/^\| \[(\d+)\]\(#([\w-]+)\) \|/gm)].map(([, number]) => Number(number))
  const sections = story.split(/^### /m).slice(1)
  expect(rows).toEqual(rows.map((_, i) => i + 1))
  expect(sections.map(section => Number.parseInt(section, 10))).toEqual(rows)
  expect(sections.filter(section => !section.includes('\nProof: '))).toEqual([])
  // The picture shows each of them.
  const picture = /```mermaid\n([\s\S]*?)```/.exec(story)?.[1] ?? ''
  const shown = [...picture.matchAll(/Note over [\w,]+: (.*)/g)].flatMap(([, note = '']) => {
    const [, from, to] = /^(\d+) to (\d+)/.exec(note) ?? []
    if (from && to) return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => Number(from) + i)
    return [...note.matchAll(/\b\d+\b/g)].map(([number]) => Number(number))
  })
  expect(rows.filter(row => !shown.includes(row) && (row < 29 || row > 32))).toEqual([])
})

const UNITS_MS: Record<string, number> = {
  ms: 1,
  s: 1_000,
  second: 1_000,
  min: 60_000,
  minute: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  day: 86_400_000,
}
const DURATION = /\b(\d+) ?(ms|seconds?|s|min|minutes?|hours?|h|days?)\b/g

const durationsIn = (text: string): number[] =>
  [...text.matchAll(DURATION)].map(
    ([, count, unit = '']) =>
      Number(count) * ((UNITS_MS[unit] ?? UNITS_MS[unit.replace(/s$/, '')]) as number),
  )

/** The times that a constant of a file holds, in ms: a number or a product, an interval of SQL, or a list of such. */
function constant(text: string, name: string): number[] {
  const rest =
    [...text.matchAll(new RegExp(`\\b${name}\\b(?:: \\w+)?\\s*[=:]\\s*(.+)`, 'g'))]
      .map(([, value = '']) => value)
      // What begins with a small letter is a type.
      .find(value => /^[\d'A-Z[(]/.test(value)) ?? ''
  const sql = new RegExp(`function ${name}\\(\\)[\\s\\S]{0,120}?'(\\d+ \\w+)'`).exec(text)?.[1]
  if (sql) return durationsIn(sql)
  if (rest.includes("'")) return durationsIn(rest)
  const most = new RegExp(`${name} = \\([\\s\\S]{0,60}?Math\\.min\\((\\d+),.*\\} seconds\``).exec(text)?.[1]
  if (most) return durationsIn(`${most} s`)
  const unit = name.endsWith('_S') ? 's' : name.endsWith('_HOURS') ? 'h' : 'ms'
  return [valueOf(text, rest) * (UNITS_MS[unit] as number)]
}

/** A sum of products of numbers and of other constants of the file. */
const valueOf = (text: string, expression: string): number =>
  expression
    .replace(/[,;}].*$/, '')
    .split('+')
    .map(term => term.split('*').map(factor => factorOf(text, factor.trim())))
    .reduce((sum, factors) => sum + factors.reduce((product, factor) => product * factor, 1), 0)

function factorOf(text: string, factor: string): number {
  if (/^[\d_]+$/.test(factor)) return Number(factor.replaceAll('_', ''))
  const [, defined] = new RegExp(`const ${factor} = (.+)`).exec(text) ?? []
  if (defined === undefined) throw new Error(`${factor} is no number and no constant of its file`)
  return valueOf(text, defined)
}

const rows = [...times.matchAll(/^\| (.+?) \| (.+?) \| `(\w+)` in `(.+?)` \|$/gm)].map(
  ([, what = '', time = '', name = '', file = '']) => ({ what, time, name, file }),
)

test('every time in the list is that of the code', () => {
  expect(rows.length).toBeGreaterThan(20)
  expect(times.match(/^\| /gm)?.length).toBe(rows.length + 1)
  for (const { what, time, name, file } of rows) {
    const told = durationsIn(time)
    expect(told.length, what).toBeGreaterThan(0)
    expect(constant(read(file), name), `${what}: ${name} in ${file}`).toEqual(told)
  }
})

/** What the crash tests hold a recovery to. */
const RECOVERED_WITHIN = 30_000

test('the page names no other times', () => {
  const known = new Set([RECOVERED_WITHIN, ...rows.flatMap(({ time }) => durationsIn(time))])
  // The titles of tests are the tests' own words.
  const text = story.replaceAll(/\[[^\]]+\]\([^()\s]+\.test\.ts\)/g, '')
  const unknown = [...text.matchAll(DURATION)].filter(([time]) => !known.has(durationsIn(time)[0] as number))
  expect(unknown.map(([time]) => time)).toEqual([])
  // How soon something is due is the database's to say; how soon it is done then, the machine's, when it looks.
  const [, due_s] = /expect\(due_in_s\)\.toBeLessThan\((\d+)\)/.exec(read('test/crash/payouts.test.ts')) ?? []
  const [poll_ms = Number.NaN] = constant(read('src/commerce/payments/follow.ts'), 'POLL_MS')
  expect(Number(due_s) * 1_000 + poll_ms).toBeLessThan(RECOVERED_WITHIN)
})
