import * as dinero from 'dinero.js/bigint'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { INT64_MAX, INT64_MIN, split } from '#money'

const amounts = fc.bigInt({ min: INT64_MIN, max: INT64_MAX })
const ratios = fc
  .array(fc.oneof(fc.nat(100), fc.bigInt({ min: 0n, max: INT64_MAX })), { minLength: 1, maxLength: 30 })
  .filter(list => list.some(ratio => ratio > 0))

const sum = (shares: readonly bigint[]) => shares.reduce((total, share) => total + share, 0n)

test.each([
  [10_00n, [1, 1, 1], [334n, 333n, 333n]],
  [-10_00n, [1, 1, 1], [-334n, -333n, -333n]],
  [11n, [1, 1, 1], [4n, 4n, 3n]],
  [100n, [50, 30, 20], [50n, 30n, 20n]],
  [5n, [3, 7], [2n, 3n]],
  [5n, [7, 3], [4n, 1n]],
  [1n, [1, 99], [1n, 0n]],
  [4n, [2, 3, 3], [2n, 1n, 1n]],
  [1n, [0, 1, 1], [0n, 1n, 0n]],
  [10n, [0, 1, 0], [0n, 10n, 0n]],
  [0n, [1, 2], [0n, 0n]],
  [7n, [5n], [7n]],
  [100n, [1n, 2], [34n, 66n]],
])('%d split %o is %o', (amount, parts, expected) => {
  expect(split(amount, parts)).toEqual(expected)
})

describe('for every amount and every ratios', () => {
  test('nothing is lost', () => {
    fc.assert(fc.property(amounts, ratios, (amount, parts) => sum(split(amount, parts)) === amount))
  })

  test('nobody is more than one unit from the exact share, and a ratio of zero gets nothing', () => {
    fc.assert(
      fc.property(amounts, ratios, (amount, parts) => {
        const total = parts.reduce<bigint>((sumOfRatios, ratio) => sumOfRatios + BigInt(ratio), 0n)
        for (const [index, share] of split(amount, parts).entries()) {
          const ratio = BigInt(parts[index] ?? 0)
          const error = share * total - amount * ratio
          expect(error >= -total && error <= total).toBe(true)
          if (ratio === 0n) expect(share).toBe(0n)
        }
      }),
    )
  })

  test('a negative amount is split as the mirror image of its positive', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: INT64_MAX }), ratios, (amount, parts) => {
        expect(split(-amount, parts)).toEqual(split(amount, parts).map(share => -share))
      }),
    )
  })

  test('among equals, those in front get the units left over', () => {
    fc.assert(
      fc.property(
        fc.bigInt({ min: 0n, max: INT64_MAX }),
        fc.integer({ min: 1, max: 50 }),
        (amount, count) => {
          const shares = split(
            amount,
            Array.from({ length: count }, () => 1),
          )
          expect(shares).toEqual(shares.toSorted((a, b) => (a < b ? 1 : a > b ? -1 : 0)))
        },
      ),
    )
  })

  // dinero hands what is left over to the largest ratios first; with the largest in front, that is our order.
  test('it agrees with dinero when the largest ratio comes first', () => {
    fc.assert(
      fc.property(amounts, ratios, (amount, parts) => {
        const largestFirst = [...new Set(parts.map(BigInt))].sort((a, b) => (a > b ? -1 : 1))
        const theirs = dinero
          .allocate(dinero.dinero({ amount, currency: dinero.USD }), largestFirst)
          .map(share => dinero.toSnapshot(share).amount)
        expect(split(amount, largestFirst)).toEqual(theirs)
      }),
    )
  })
})

test.each([
  ['no ratio at all', []],
  ['only zeros', [0, 0n]],
  ['a negative ratio', [2, -1]],
  ['a fraction', [0.5, 0.5]],
  ['a number too large to be exact', [2 ** 53]],
  ['not a number', [Number.NaN]],
])('%s is refused', (_, parts) => {
  expect(() => split(1_00n, parts)).toThrow(expect.objectContaining({ code: 'ratio_invalid' }))
})

test('an amount the ledger cannot hold is not split', () => {
  expect(() => split(INT64_MAX + 1n, [1])).toThrow('64 bits')
})
