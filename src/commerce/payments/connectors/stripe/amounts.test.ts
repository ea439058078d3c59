import { describe, expect, test } from 'vitest'
import { currencies } from '#money'
import { fromStripe, stepOf, toStripe } from './amounts.ts'

/** Decimals as Stripe counts them, from its page of currencies; every other currency has two. */
const NO_DECIMALS = 'bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf'.split(' ')
const THREE_DECIMALS = 'bhd iqd jod kwd lyd omr tnd'.split(' ')
const stripeDecimals = (code: string) =>
  NO_DECIMALS.includes(code) ? 0 : THREE_DECIMALS.includes(code) ? 3 : 2

describe('amounts at Stripe', () => {
  test.each(currencies.map(({ code, exponent }) => [code, exponent] as const))(
    'one unit of %s is one unit there, and comes back the same',
    (code, exponent) => {
      const unit = 10n ** BigInt(exponent)
      const counted = toStripe(7n * unit, code)
      expect(counted).toEqual({ kind: 'amount', amount: 7 * 10 ** stripeDecimals(code) })
      expect(fromStripe(7 * 10 ** stripeDecimals(code), code)).toBe(7n * unit)
    },
  )

  test.each([
    ['isk', 500n, 50_000],
    ['ugx', 5n, 500],
    ['mga', 1_200n, 12],
    ['huf', 17_545n, 17_545],
    ['kwd', 5_120n, 5_120],
    ['jpy', 500n, 500],
  ] as const)('%s of %d is %d there', (code, ours, theirs) => {
    expect(toStripe(ours, code)).toEqual({ kind: 'amount', amount: theirs })
    expect(fromStripe(theirs, code)).toBe(ours)
  })

  test.each([
    ['kwd', 5_124n, 'payment'],
    ['mga', 1_250n, 'payment'],
    ['huf', 1_045n, 'payout'],
    ['twd', 1_001n, 'payout'],
    ['usd', 0n, 'payment'],
    ['usd', -5n, 'payment'],
    ['usd', 2n ** 53n, 'payment'],
    ['xyz', 100n, 'payment'],
  ] as const)('%s of %d as a %s is refused, never rounded', (code, amount, use) => {
    expect(toStripe(amount, code, use).kind).toBe('refused')
  })

  test('what is charged in halves of a unit can be, where only payouts are whole', () => {
    expect(toStripe(1_045n, 'huf')).toEqual({ kind: 'amount', amount: 1_045 })
    expect([stepOf('huf', 'payment'), stepOf('huf', 'payout'), stepOf('kwd', 'payout')]).toEqual([
      1n,
      100n,
      10n,
    ])
  })

  test('what our units cannot express is no amount', () => {
    for (const [value, code] of [
      [50_050, 'isk'],
      [1.5, 'usd'],
      [Number.NaN, 'usd'],
      ['5', 'usd'],
      [2 ** 53, 'usd'],
      [5, 'xyz'],
    ] as const) {
      expect(fromStripe(value, code)).toBeUndefined()
    }
    expect(fromStripe(-1_500, 'usd')).toBe(-1_500n)
  })
})
