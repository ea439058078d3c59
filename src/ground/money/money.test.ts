import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { add, compare, INT64_MAX, INT64_MIN, jsonAmount, ledgerAmount, MAX_AMOUNT, subtract } from '#money'
import type { Money } from '#money'

const usd = (amount: bigint): Money => ({ amount, currency: 'usd' })
const jpy = (amount: bigint): Money => ({ amount, currency: 'jpy' })
const amounts = fc.bigInt({ min: -MAX_AMOUNT, max: MAX_AMOUNT })

describe('sums', () => {
  test('what is added can be taken away again', () => {
    fc.assert(
      fc.property(amounts, amounts, (a, b) => {
        expect(subtract(add(usd(a), usd(b)), usd(b))).toEqual(usd(a))
      }),
    )
  })

  test('two currencies never mix', () => {
    for (const operation of [add, subtract, compare]) {
      expect(() => operation(usd(1n), jpy(1n))).toThrow(
        expect.objectContaining({ code: 'currency_mismatch' }),
      )
    }
  })

  test('a sum beyond 64 bits is refused instead of wrapping round', () => {
    const outOfRange = expect.objectContaining({ code: 'amount_out_of_range' })
    expect(add(usd(INT64_MAX), usd(0n)).amount).toBe(INT64_MAX)
    expect(() => add(usd(INT64_MAX), usd(1n))).toThrow(outOfRange)
    expect(() => subtract(usd(INT64_MIN), usd(1n))).toThrow(outOfRange)
  })

  test('comparing sorts by amount', () => {
    const sorted = [usd(5n), usd(-5n), usd(0n), usd(5n)].sort(compare)
    expect(sorted.map(({ amount }) => amount)).toEqual([-5n, 0n, 5n, 5n])
  })
})

describe('bounds', () => {
  test('the ledger holds exactly 64 bits', () => {
    expect([INT64_MIN, INT64_MAX]).toEqual([-9223372036854775808n, 9223372036854775807n])
    expect(ledgerAmount(INT64_MIN)).toBe(INT64_MIN)
    expect(() => ledgerAmount(INT64_MIN - 1n)).toThrow('does not fit in 64 bits')
    expect(() => ledgerAmount(INT64_MAX + 1n)).toThrow('does not fit in 64 bits')
  })

  test('an amount that JSON would not keep exactly is refused', () => {
    expect(jsonAmount(MAX_AMOUNT)).toBe(Number.MAX_SAFE_INTEGER)
    expect(jsonAmount(-MAX_AMOUNT)).toBe(Number.MIN_SAFE_INTEGER)
    expect(() => jsonAmount(MAX_AMOUNT + 1n)).toThrow('would lose cents in JSON')
    expect(() => jsonAmount(-MAX_AMOUNT - 1n)).toThrow('would lose cents in JSON')
  })

  test('an amount survives the way to JSON and back', () => {
    fc.assert(
      fc.property(amounts, amount => BigInt(JSON.parse(JSON.stringify(jsonAmount(amount)))) === amount),
    )
  })
})
