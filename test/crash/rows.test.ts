/** The crash matrix is whole: every cell that means something has its test, and every point in the code its use. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { failpoints } from '#kernel'
import { type CrashRole, roles, rows } from './rows.ts'

/** Whose crash a group of tests is about, by its name. */
const GROUPS: Record<string, readonly CrashRole[]> = {
  'a handler': ['handler'],
  'a handler, once more': ['handler'],
  'a completer': ['completer'],
  'a relay': ['relay'],
  'a relay of news': ['relay'],
  'a relay of webhooks': ['relay'],
  'a relay of events': ['relay'],
  'the database, under a handler': ['handler'],
  'the database, under all': ['handler', 'relay'],
}

const texts = ['matrix', 'relay', 'news', 'events', 'webhooks', 'lost'].map(name =>
  readFileSync(join(import.meta.dirname, `${name}.test.ts`), 'utf8'),
)

/** `3 handler` for each row that a group names, in a title or in the table of a title with `row %i`. */
function cellsIn(text: string): string[] {
  const [, ...groups] = text.split(/^describe\('/m)
  return groups.flatMap(group => {
    const [name = ''] = group.split("'", 1)
    const numbers = [...group.matchAll(/'row (\d+):|^ +\[(\d+), '[a-z]+\.[a-z_]+'\],$/gm)].map(
      ([, title, listed]) => title ?? listed,
    )
    const of_group = GROUPS[name]
    if (of_group === undefined) throw new Error(`whose crash is "${name}"?`)
    return of_group.flatMap(role => numbers.map(number => `${number} ${role}`))
  })
}

test('every cell of the matrix that means something has a test, and no other', () => {
  const tested = new Set(texts.flatMap(cellsIn))
  const wanted = rows.flatMap(({ row, tested: cells }) =>
    roles.filter(role => cells[role] === true).map(role => `${row} ${role}`),
  )
  expect([...tested].sort()).toEqual(wanted.sort())
})

test('the matrix has its fifteen rows, and every failpoint stands in one of them and is armed by a test', () => {
  expect(rows.map(({ row }) => row)).toEqual(Array.from({ length: 15 }, (_, i) => i + 1))
  const all = texts.join('\n')
  const unarmed = Object.entries(failpoints).filter(
    ([name, { row }]) => !all.includes(`'${name}'`) || row < 1 || row > 15,
  )
  expect(unarmed).toEqual([])
})
