import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Home } from '../home.ts'
import { compareLines, type Line, type Side } from '../line.ts'
import { DEFAULT_RULES, type Rules } from '../rules.ts'
import { numbered, runs } from './arbitraries.ts'
import { dayOf, isNear, placeAll, replay } from './index.ts'

/** What became of each row, by what rows say: rows that are alike may change places. */
function contents(left: readonly Line[], right: readonly Line[], homes: Record<Side, Home[]>): string[] {
  const say = ({ id, amount, currency, date, batch, text }: Line) =>
    JSON.stringify([id, `${amount}`, currency, date, batch, text])
  const lines = { left, right }
  const members = new Map<string, string[]>()
  for (const side of ['left', 'right'] as const) {
    homes[side].forEach((home, index) => {
      const line = lines[side][index]
      if (line === undefined) throw new Error('more homes than rows')
      const member = `${side} ${home.status} ${home.pass} ${home.reason} ${home.decision_id} ${say(line)}`
      members.set(home.group, [...(members.get(home.group) ?? []), member])
    })
  }
  return [...members.values()].map(group => group.sort().join('\n')).sort()
}

const RUNS = { numRuns: 300 }

describe('placing', () => {
  test('gives every row one home, in a group that is there', () => {
    fc.assert(
      fc.property(runs, ({ left, right, rules, decisions }) => {
        const homes = placeAll(left, right, rules, decisions)
        expect(homes.left.map(home => home.row)).toEqual(left.map(line => line.row))
        expect(homes.right.map(home => home.row)).toEqual(right.map(line => line.row))
        const all = [...homes.left, ...homes.right]
        for (const home of all) {
          expect(all.some(other => `${other.side[0]}${other.row}` === home.group)).toBe(true)
          const group = all.filter(each => each.group === home.group && each.status !== 'duplicate')
          expect(new Set(group.map(each => each.status)).size).toBe(1)
        }
      }),
      RUNS,
    )
  })

  test('does not depend on the order of rows', () => {
    fc.assert(
      fc.property(runs, fc.infiniteStream(fc.double({ min: 0, max: 1, noNaN: true })), (run, random) => {
        const shuffle = (lines: readonly Line[]) => {
          const keys = lines.map(line => ({ line, at: random.next().value as number }))
          return numbered(keys.sort((a, b) => a.at - b.at).map(({ line }) => line))
        }
        const [left, right] = [shuffle(run.left), shuffle(run.right)]
        const homes = placeAll(run.left, run.right, run.rules, run.decisions)
        expect(contents(left, right, placeAll(left, right, run.rules, run.decisions))).toEqual(
          contents(run.left, run.right, homes),
        )
      }),
      RUNS,
    )
  })

  test('says the same of swapped sides, where neither batches nor shares of the left amount tell them apart', () => {
    fc.assert(
      fc.property(runs, ({ left, right, rules }) => {
        const mirrored = { ...rules, tolerance: { ...rules.tolerance, basis_points: 0 } }
        const unbatched = (lines: readonly Line[]) => lines.map(line => ({ ...line, batch: null }))
        const [a, b] = [unbatched(left), unbatched(right)]
        const there = placeAll(a, b, mirrored, [])
        const back = placeAll(b, a, mirrored, [])
        const brief = (homes: Home[]) => homes.map(({ row, status, pass }) => ({ row, status, pass }))
        expect(brief(back.right)).toEqual(brief(there.left))
        expect(brief(back.left)).toEqual(brief(there.right))
      }),
      RUNS,
    )
  })

  test('decides passes 5 to 7 as looking at every pair would', () => {
    fc.assert(
      fc.property(runs, ({ left, right, rules }) => {
        // Without ids and batches in common nothing is decided before.
        const apart = (side: string, lines: readonly Line[]) =>
          lines.map(line => ({ ...line, id: `${side}${line.row}`, batch: null }))
        const [a, b] = [apart('l', left), apart('r', right)]
        const homes = placeAll(a, b, rules, [])
        const expected = byPairs(a, b, rules)
        const brief = ({ side, row, status, group }: Home) => ({ side, row, status, group })
        expect([...homes.left, ...homes.right].map(brief)).toEqual(expected)
      }),
      { numRuns: 500 },
    )
  })

  test('places a hundred thousand rows of one amount on each side', () => {
    const same = (side: string): Line[] =>
      numbered(
        Array.from({ length: 100_000 }, (_, at) => ({
          id: `${side}${at}`,
          amount: 100n,
          currency: 'usd',
          date: `2026-11-${10 + (at % 10)}`,
          batch: null,
          text: null,
        })),
      )
    const homes = placeAll(same('l'), same('r'), DEFAULT_RULES, [])
    expect(new Set([...homes.left, ...homes.right].map(home => home.status))).toEqual(new Set(['ambiguous']))
    expect(homes.left[0]?.reason).toBe('could be any of 40000 rows within 3 days')
  })

  test('replays a hundred thousand decisions about rows that say the same, each of them taking its own', () => {
    const name = { id: 'fee', amount: -350n, currency: 'usd', date: '2026-11-02' }
    const rows = numbered(Array.from({ length: 150_000 }, () => ({ ...name, batch: null, text: null })))
    const decisions = Array.from({ length: 100_000 }, (_, at) => ({
      id: `d-${at}`,
      kind: 'write_off' as const,
      left: [],
      // One in ten names two, of which one is not there, and takes none.
      right: at % 10 === 3 ? [name, { ...name, id: 'gone' }] : [name],
      author: 'Ada',
      reason: 'Small.',
    }))
    const homes = replay([], rows, decisions)
    expect(homes.length).toBe(90_000)
    expect(homes.slice(2, 5).map(({ row, decision_id }) => [row, decision_id])).toEqual([
      [3, 'd-2'],
      [4, 'd-4'],
      [5, 'd-5'],
    ])
  })
})

/** Passes 5 to 7 as the decision record says them, with no thought of cost. */
function byPairs(left: readonly Line[], right: readonly Line[], rules: Rules) {
  const result = new Map<Line, { status: string; group: string }>()
  const daysApart = (a: Line, b: Line) =>
    a.date === null || b.date === null ? Infinity : Math.abs(dayOf(a.date) - dayOf(b.date))
  const rounds = [
    { status: 'matched', isClose: (l: Line, r: Line) => l.amount === r.amount },
    { status: 'matched_with_tolerance', isClose: (l: Line, r: Line) => isNear(l.amount, r.amount, rules) },
  ]
  for (const { status, isClose } of rounds) {
    const [ls, rs] = [left.filter(line => !result.has(line)), right.filter(line => !result.has(line))]
    const meets = (l: Line, r: Line) =>
      l.currency === r.currency && daysApart(l, r) <= rules.date_window_days && isClose(l, r)
    for (const l of ls) {
      const candidates = rs.filter(r => meets(l, r))
      const [only] = candidates
      if (only === undefined) continue
      const is_match = candidates.length === 1 && ls.filter(other => meets(other, only)).length === 1
      result.set(l, { status: is_match ? status : 'ambiguous', group: `l${l.row}` })
      if (is_match) result.set(only, { status, group: `l${l.row}` })
    }
    for (const r of rs) {
      if (!result.has(r) && ls.some(l => meets(l, r))) {
        result.set(r, { status: 'ambiguous', group: `r${r.row}` })
      }
    }
  }
  const rest = (side: Side) => (line: Line) => {
    const found = result.get(line)
    if (found !== undefined) return { side, row: line.row, ...found }
    const age = rules.as_of === null || line.date === null ? Infinity : dayOf(rules.as_of) - dayOf(line.date)
    const status = age >= 0 && age <= rules.timing_days ? 'timing' : 'unmatched'
    return { side, row: line.row, status, group: `${side === 'left' ? 'l' : 'r'}${line.row}` }
  }
  return [...left.map(rest('left')), ...right.map(rest('right'))]
}

describe('the order of lines', () => {
  test('is total: only a row itself is equal to it', () => {
    fc.assert(
      fc.property(runs, ({ left }) => {
        for (const a of left) for (const b of left) expect(compareLines(a, b) === 0).toBe(a === b)
      }),
    )
  })
})
