/** The candidates that are named of an ambiguous row are those that the passes counted. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Line, Side } from '../line.ts'
import { DEFAULT_RULES } from '../rules.ts'
import { runs } from './arbitraries.ts'
import { CANDIDATES_NAMED_MOST, candidatesAmong, placeAll } from './index.ts'

/** What the reason says of how many there are. */
const countIn = (reason: string | null): number => Number(/any of (\d+) rows/.exec(reason ?? '')?.[1] ?? 1)

test('as many candidates are named as the reason counts, whatever the rows and the rules', () => {
  let met = 0
  fc.assert(
    fc.property(runs, ({ left, right, rules, decisions }) => {
      const homes = placeAll(left, right, rules, decisions)
      const lines: Record<Side, readonly Line[]> = { left, right }
      const ambiguous = [...homes.left, ...homes.right]
        .filter(({ status }) => status === 'ambiguous')
        .map(home => ({ ...(lines[home.side][home.row - 1] as Line), ...home }))
      const candidatesOf = candidatesAmong(ambiguous, rules)
      for (const row of ambiguous) {
        met += 1
        const found = candidatesOf(row)
        expect([row.reason, found.length]).toEqual([
          row.reason,
          Math.min(CANDIDATES_NAMED_MOST, countIn(row.reason)),
        ])
        expect(found.every(({ side, pass }) => side !== row.side && pass === row.pass)).toBe(true)
      }
    }),
    { numRuns: 4_000 },
  )
  expect(met).toBeGreaterThan(200)
})

test('of many the first ten are named, by amount, date and row', () => {
  const line = (row: number, date: string) => ({
    row,
    amount: 5n,
    currency: 'usd',
    date,
    pass: 'window' as const,
  })
  const right = Array.from({ length: 30 }, (_, at) => ({
    ...line(at + 1, at % 2 === 0 ? '2026-11-05' : '2026-11-04'),
    side: 'right' as const,
  }))
  const left = { ...line(1, '2026-11-02'), side: 'left' as const }
  const named = candidatesAmong([left, ...right], DEFAULT_RULES)(left).map(({ row }) => row)
  expect(named).toEqual([2, 4, 6, 8, 10, 12, 14, 16, 18, 20])
})
