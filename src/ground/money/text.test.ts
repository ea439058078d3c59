import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { currencies, decimalAmount, formatAmount, INT64_MAX, INT64_MIN, parseAmount } from '#money'
import type { Currency } from '#money'

const amounts = fc.bigInt({ min: INT64_MIN, max: INT64_MAX })
const codes = fc.constantFrom(...currencies.map(({ code }) => code))

describe('parseAmount', () => {
  test.each<[string, Currency, bigint]>([
    ['12.34', 'usd', 12_34n],
    ['12.3', 'usd', 12_30n],
    ['12', 'usd', 12_00n],
    ['0.07', 'usd', 7n],
    ['-0.50', 'usd', -50n],
    ['-0', 'usd', 0n],
    ['007', 'usd', 7_00n],
    ['1234', 'jpy', 1234n],
    ['1.234', 'kwd', 1234n],
    ['90071992547409.93', 'usd', 2n ** 53n + 1n],
    ['92233720368547758.07', 'usd', INT64_MAX],
    ['-9223372036854775.808', 'kwd', INT64_MIN],
  ])('%s in %s is %d', (text, code, expected) => {
    expect(parseAmount(text, code)).toBe(expected)
  })

  test.each(['', ' ', '1 ', ' 1', '+1', '--1', '.5', '5.', '1,5', '1,000.00', '1e3', '0x10', '1_0', '1.234'])(
    '%j is not an amount in usd',
    text => {
      expect(() => parseAmount(text, 'usd')).toThrow(expect.objectContaining({ code: 'amount_malformed' }))
    },
  )

  test.each(['NaN', 'Infinity', '٣', '１', '1\n', '1\u0000', '1.2.3', '$1', '1.000', '9'.repeat(20)])(
    '%.20j is not an amount in usd either',
    text => {
      expect(() => parseAmount(text, 'usd')).toThrow(expect.objectContaining({ code: 'amount_malformed' }))
    },
  )

  test('a currency without decimals takes none, not even zeros', () => {
    expect(() => parseAmount('100.0', 'jpy')).toThrow('no decimals')
  })

  test('an amount beyond 64 bits is refused', () => {
    expect(() => parseAmount('92233720368547758.08', 'usd')).toThrow(
      expect.objectContaining({ code: 'amount_out_of_range' }),
    )
  })

  test('it reads back every amount that was written, in every currency', () => {
    fc.assert(
      fc.property(
        amounts,
        codes,
        (amount, code) => parseAmount(decimalAmount(amount, code), code) === amount,
      ),
    )
  })
})

test.each<[bigint, Currency, string]>([
  [12_34n, 'usd', '12.34'],
  [7n, 'usd', '0.07'],
  [-7n, 'usd', '-0.07'],
  [0n, 'usd', '0.00'],
  [1234n, 'jpy', '1234'],
  [-5n, 'kwd', '-0.005'],
])('%d in %s is written %s', (amount, code, expected) => {
  expect(decimalAmount(amount, code)).toBe(expected)
})

describe('formatAmount', () => {
  const written = (amount: bigint, code: Currency, locale?: string) =>
    formatAmount(amount, code, locale).replaceAll(/[\u00a0\u202f]/g, ' ')

  test.each<[bigint, Currency, string | undefined, string]>([
    [1_234_56n, 'usd', undefined, '$1,234.56'],
    [-50n, 'usd', 'en-US', '-$0.50'],
    [12_34n, 'eur', 'de-DE', '12,34 €'],
    [175_50n, 'huf', 'hu-HU', '175,50 Ft'],
    [1234n, 'jpy', 'en-US', '¥1,234'],
    [1_234n, 'kwd', 'en-US', 'KWD 1.234'],
    [12_34_567_00n, 'inr', 'en-IN', '₹12,34,567.00'],
  ])('%d %s in %s reads %s', (amount, code, locale, expected) => {
    expect(written(amount, code, locale)).toBe(expected)
  })

  test('every digit is shown in every currency, however large the amount', () => {
    fc.assert(
      fc.property(amounts, codes, (amount, code) => {
        const digits = formatAmount(amount, code, 'en-US')
          .replaceAll(/[^0-9.-]/g, '')
          .replace(/^\.+/, '')
        expect(digits.endsWith(decimalAmount(amount, code).replace('-', ''))).toBe(true)
      }),
    )
  })
})
