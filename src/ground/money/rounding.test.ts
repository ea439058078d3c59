import * as dinero from 'dinero.js/bigint'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { divide, fee, INT64_MAX, MAX_AMOUNT, percent } from '#money'
import type { Rounding } from '#money'

const amounts = fc.bigInt({ min: -MAX_AMOUNT, max: MAX_AMOUNT })
const roundings = ['half_up', 'half_even', 'down', 'up', 'floor', 'ceiling'] as const

describe('divide', () => {
  // In tenths: what becomes of 2.5, 3.5, 2.4, 2.6, their negatives, and 2.0.
  test.each<[Rounding, ...bigint[]]>([
    ['half_up', 3n, 4n, 2n, 3n, -3n, -4n, -2n, -3n, 2n],
    ['half_even', 2n, 4n, 2n, 3n, -2n, -4n, -2n, -3n, 2n],
    ['down', 2n, 3n, 2n, 2n, -2n, -3n, -2n, -2n, 2n],
    ['up', 3n, 4n, 3n, 3n, -3n, -4n, -3n, -3n, 2n],
    ['floor', 2n, 3n, 2n, 2n, -3n, -4n, -3n, -3n, 2n],
    ['ceiling', 3n, 4n, 3n, 3n, -2n, -3n, -2n, -2n, 2n],
  ])('%s rounds each side of zero as its name says', (rounding, ...expected) => {
    const tenths = [25n, 35n, 24n, 26n, -25n, -35n, -24n, -26n, 20n]
    expect(tenths.map(numerator => divide(numerator, 10n, rounding))).toEqual(expected)
    expect(tenths.map(numerator => divide(-numerator, -10n, rounding))).toEqual(expected)
  })

  test('a half is only a half when it is exact', () => {
    expect(divide(1n, 3n, 'half_up')).toBe(0n)
    expect(divide(2n, 3n, 'half_even')).toBe(1n)
    expect(divide(1n, 2n, 'half_even')).toBe(0n)
    expect(divide(1n, 2n, 'half_up')).toBe(1n)
  })

  test('the quotient is never a whole unit away, and exact when it can be', () => {
    fc.assert(
      fc.property(
        amounts,
        amounts.filter(denominator => denominator !== 0n),
        fc.constantFrom(...roundings),
        (numerator, denominator, rounding) => {
          const error = divide(numerator, denominator, rounding) * denominator - numerator
          const size = denominator < 0n ? -denominator : denominator
          expect(error < size && error > -size).toBe(true)
          expect(divide(numerator * denominator, denominator, rounding)).toBe(numerator)
        },
      ),
    )
  })

  // dinero's `up` and `down` mean towards the infinities; only half away from zero has our name's meaning.
  test.each([
    ['half_up', dinero.halfAwayFromZero],
    ['half_even', dinero.halfEven],
    ['floor', dinero.down],
    ['ceiling', dinero.up],
  ] as const)('%s agrees with dinero', (rounding, theirs) => {
    fc.assert(
      fc.property(
        fc.oneof(amounts, fc.bigInt({ min: -200n, max: 200n })),
        fc.oneof(fc.bigInt({ min: 1n, max: 20n }), fc.constant(10_000n)),
        (numerator, denominator) => {
          const expected = theirs(numerator, denominator, dinero.calculator)
          expect(divide(numerator, denominator, rounding)).toBe(expected)
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('dividing by zero is refused', () => {
    expect(() => divide(1n, 0n, 'down')).toThrow(RangeError)
  })
})

describe('percent', () => {
  test.each([
    [80_00n, 250, 2_00n],
    [10_00n, 290, 29n],
    [1n, 5_000, 1n],
    [-1n, 5_000, -1n],
    [99n, 10_000, 99n],
    [99n, 0, 0n],
    [10_00n, 12_500n, 12_50n],
  ])('%d at %d basis points is %d', (amount, basis_points, expected) => {
    expect(percent(amount, basis_points)).toBe(expected)
  })

  test('the rounding is the caller’s to choose', () => {
    expect(percent(50n, 100, 'half_even')).toBe(0n)
    expect(percent(50n, 100, 'half_up')).toBe(1n)
    expect(percent(-50n, 100, 'ceiling')).toBe(0n)
  })

  test('a negative amount gives the mirror image', () => {
    fc.assert(
      fc.property(amounts, fc.nat(10_000), (amount, basis_points) => {
        expect(percent(-amount, basis_points)).toBe(-percent(amount, basis_points))
      }),
    )
  })

  test.each([-1, -1n, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])(
    '%s basis points are refused',
    wrong => {
      expect(() => percent(1n, wrong)).toThrow(expect.objectContaining({ code: 'ratio_invalid' }))
    },
  )

  test('a result beyond 64 bits is refused', () => {
    expect(() => percent(INT64_MAX, 10_001)).toThrow(expect.objectContaining({ code: 'amount_out_of_range' }))
  })
})

describe('fee', () => {
  test.each([
    [100_00n, { basis_points: 290, fixed: 30n }, 3_20n],
    [50n, { basis_points: 290, fixed: 30n }, 31n],
    [0n, { basis_points: 290, fixed: 30n }, 30n],
    [100_00n, { basis_points: 0, fixed: 0n }, 0n],
    [99_999_999n, { basis_points: 150n, fixed: 25n }, 1_500_025n],
  ])('the fee on %d at %o is %d', (amount, schedule, expected) => {
    expect(fee(amount, schedule)).toBe(expected)
  })

  test('a larger amount never costs less', () => {
    const positive = fc.bigInt({ min: 0n, max: MAX_AMOUNT / 2n })
    fc.assert(
      fc.property(positive, positive, fc.nat(10_000), (amount, more, basis_points) => {
        const schedule = { basis_points, fixed: 30n }
        expect(fee(amount + more, schedule)).toBeGreaterThanOrEqual(fee(amount, schedule))
      }),
    )
  })

  test('there is no fee on a negative amount, and no negative fee', () => {
    expect(() => fee(-1n, { basis_points: 290, fixed: 30n })).toThrow('negative')
    expect(() => fee(1n, { basis_points: 290, fixed: -1n })).toThrow('the fixed part of a fee')
  })
})
