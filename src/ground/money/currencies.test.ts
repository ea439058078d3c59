import currencyCodes from 'currency-codes'
import * as dinero from 'dinero.js/currencies'
import { describe, expect, test } from 'vitest'
import { currencies, currency, isCurrency, MoneyError } from '#money'

const NOT_MONEY = 'a unit of account, a metal or a test code: nobody pays with it'
const FUND = 'a fund or index unit, not circulating money'
const REPLACED = 'replaced, and no longer legal tender'
const NEWER = 'newer than the list'

/** Where the published lists differ from ours, and why. A difference that is not here fails the test. */
const differences = {
  'currency-codes': {
    ang: `${REPLACED}: xcg since 2025-03-31`,
    bgn: `${REPLACED}: eur since 2026-01-01`,
    bov: FUND,
    che: FUND,
    chw: FUND,
    clf: FUND,
    cou: FUND,
    cuc: `${REPLACED}: cup since 2021`,
    mxv: FUND,
    usn: FUND,
    uyi: FUND,
    uyw: FUND,
    ved: 'a second code for the bolívar, for use inside Venezuela; ves is the one others use',
    xag: NOT_MONEY,
    xau: NOT_MONEY,
    xba: NOT_MONEY,
    xbb: NOT_MONEY,
    xbc: NOT_MONEY,
    xbd: NOT_MONEY,
    xcg: `${NEWER}, which is of 2024-06-25`,
    xdr: NOT_MONEY,
    xpd: NOT_MONEY,
    xpt: NOT_MONEY,
    xsu: NOT_MONEY,
    xts: NOT_MONEY,
    xua: NOT_MONEY,
    xxx: NOT_MONEY,
  },
  'dinero.js': {
    bgn: `${REPLACED}: eur since 2026-01-01`,
    bov: FUND,
    che: FUND,
    chw: FUND,
    clf: FUND,
    cou: FUND,
    mga: 'dinero counts fifths (base 5, exponent 1); ISO gives two decimals',
    mru: 'dinero counts fifths (base 5, exponent 1); ISO gives two decimals',
    mxv: FUND,
    usn: FUND,
    uyi: FUND,
    uyw: FUND,
    ved: 'a second code for the bolívar, for use inside Venezuela; ves is the one others use',
    xad: NOT_MONEY,
  },
}

const published = {
  'currency-codes': currencyCodes.data.map(({ code, digits }) => ({ code, exponent: digits })),
  'dinero.js': Object.values(dinero).map(({ code, exponent }) => ({ code, exponent })),
}

describe.each(['currency-codes', 'dinero.js'] as const)('against %s', list => {
  test('every currency and exponent agrees, except where a reason is given', () => {
    const theirs = new Map(published[list].map(({ code, exponent }) => [code.toLowerCase(), exponent]))
    const ours = new Map<string, number>(currencies.map(({ code, exponent }) => [code, exponent]))
    const differing = [...new Set([...theirs.keys(), ...ours.keys()])].filter(
      code => theirs.get(code) !== ours.get(code),
    )
    expect(differing.sort()).toEqual(Object.keys(differences[list]))
  })
})

test('a currency is found by its lower-case code and by nothing else', () => {
  expect(currency('usd')).toEqual({
    code: 'usd',
    exponent: 2,
    minimum_charge: 50n,
    maximum_charge: 99_999_999n,
  })
  for (const wrong of ['USD', ' usd', 'us', '', 'xxx', 'bgn', 'toString', '__proto__', null, 840, {}]) {
    expect(isCurrency(wrong)).toBe(false)
  }
  expect(() => currency('USD')).toThrow(MoneyError)
})

test('the table has no code twice, and each is three lower-case letters', () => {
  const codes = currencies.map(({ code }) => code)
  expect(new Set(codes).size).toBe(codes.length)
  expect(codes.filter(code => !/^[a-z]{3}$/.test(code))).toEqual([])
  expect(codes).toEqual(codes.toSorted())
})

test('charges have room between their smallest and largest amount in every currency', () => {
  for (const { minimum_charge, maximum_charge } of currencies) {
    expect(minimum_charge).toBeGreaterThanOrEqual(30n)
    expect(maximum_charge).toBeGreaterThanOrEqual(99_999_999n)
    expect(maximum_charge.toString()).toMatch(/^9+$/)
  }
})

test.each([
  ['usd', 50n, 99_999_999n],
  ['gbp', 30n, 99_999_999n],
  ['jpy', 50n, 99_999_999n],
  ['huf', 17_500n, 99_999_999n],
  ['kwd', 500n, 99_999_999n],
  ['inr', 50n, 999_999_999n],
  ['cop', 50n, 9_999_999_999n],
  ['idr', 50n, 999_999_999_999n],
])('a charge in %s is at least %d and at most %d minor units', (code, minimum_charge, maximum_charge) => {
  expect(currency(code)).toMatchObject({ minimum_charge, maximum_charge })
})

test('the rules of a currency cannot be changed by who reads them', () => {
  expect(Object.isFrozen(currency('eur'))).toBe(true)
})
