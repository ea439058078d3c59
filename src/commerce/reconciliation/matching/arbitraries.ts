/** Small sides that collide in everything: ids, amounts, days, batches. For property tests of matching and engines. */
import fc from 'fast-check'
import type { Decision } from '../decision.ts'
import type { Line } from '../line.ts'
import type { Rules } from '../rules.ts'

const IDS = ['a', 'B', 'b', 'b1', 'ä', 'b 1', '=1', '🂡', '\ue000', 'b2', 'b3']
const BATCHES = [null, null, null, 'b1', 'b2', 'b3']

const date = fc.oneof(
  { weight: 1, arbitrary: fc.constant(null) },
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 9 }).map(day => `2026-11-0${day}`) },
)
/** Amounts of few kinds, of which three may add up to another. */
const amount = fc.constantFrom(100n, 100n, 101n, 102n, 110n, 200n, 300n, -100n, -101n, 0n, 5n)

const line = fc.record({
  id: fc.oneof({ weight: 2, arbitrary: fc.constantFrom(...IDS) }, { weight: 3, arbitrary: fc.uuid() }),
  amount,
  currency: fc.constantFrom('usd', 'usd', 'usd', 'eur'),
  date,
  batch: fc.constantFrom(...BATCHES),
  text: fc.constantFrom(null, 'pays b 1', 'x'),
})

export const sides = fc
  .tuple(fc.array(line, { maxLength: 14 }), fc.array(line, { maxLength: 14 }))
  .map(([left, right]) => ({ left: numbered(left), right: numbered(right) }))

export const numbered = (lines: readonly Omit<Line, 'row' | 'line'>[]): Line[] =>
  lines.map((each, index) => ({ ...each, row: index + 1, line: index + 2 }))

export const rules: fc.Arbitrary<Rules> = fc.record({
  date_window_days: fc.integer({ min: 0, max: 3 }),
  tolerance: fc.record({
    amount: fc.constantFrom(0n, 0n, 1n, 2n),
    basis_points: fc.constantFrom(0, 0, 100, 1_000),
  }),
  as_of: fc.constantFrom(null, '2026-11-05', '2026-11-09'),
  timing_days: fc.integer({ min: 0, max: 4 }),
})

/** Decisions on rows that are there, and sometimes on one that is not. */
export const runs = fc.tuple(sides, rules).chain(([given, chosen]) =>
  fc
    .array(
      fc.record({
        left: fc.array(fc.nat({ max: 14 }), { maxLength: 2 }),
        right: fc.array(fc.nat({ max: 14 }), { minLength: 1, maxLength: 2 }),
      }),
      { maxLength: 2 },
    )
    .map(picks => ({
      ...given,
      rules: chosen,
      decisions: picks.map(
        (pick, index): Decision => ({
          id: `rdc_${index}`,
          kind: 'match',
          left: pick.left.map(at => nameOf(given.left[at])),
          right: pick.right.map(at => nameOf(given.right[at])),
          author: 'ada',
          reason: 'seen',
        }),
      ),
    })),
)

const nameOf = (found: Line | undefined) =>
  found === undefined
    ? { id: 'nowhere', amount: 1n, currency: 'usd', date: null }
    : { id: found.id, amount: found.amount, currency: found.currency, date: found.date }
