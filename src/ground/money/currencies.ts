/**
 * The currencies people pay with: every circulating currency of ISO 4217, its decimals, and the smallest
 * and largest charge in it.
 *
 * The table is our own because none can be borrowed: `Intl` answers how a currency is usually displayed,
 * which is wrong for the amounts of many (it gives the forint no decimals, and the law gives it two), and
 * published lists mix in gold, test codes and units of account. A test compares ours with two of them.
 *
 * Exponents are ISO's. A processor may count differently (Stripe takes ISK and UGX with two decimals, MGA
 * with none); its connector translates, so that one amount has one meaning in here.
 */

import { MoneyError } from './money-error.ts'

const noDecimals = ['bif clp djf gnf isk jpy kmf krw', 'pyg rwf ugx vnd vuv xaf xof xpf'] as const

const twoDecimals = [
  'aed afn all amd aoa ars aud awg azn',
  'bam bbd bdt bmd bnd bob brl bsd btn bwp byn bzd',
  'cad cdf chf cny cop crc cup cve czk',
  'dkk dop dzd egp ern etb eur fjd fkp',
  'gbp gel ghs gip gmd gtq gyd hkd hnl htg huf',
  'idr ils inr irr jmd kes kgs khr kpw kyd kzt',
  'lak lbp lkr lrd lsl mad mdl mga mkd mmk mnt mop mru mur mvr mwk mxn myr mzn',
  'nad ngn nio nok npr nzd pab pen pgk php pkr pln',
  'qar ron rsd rub sar sbd scr sdg sek sgd shp sle sos srd ssp stn svc syp szl',
  'thb tjs tmt top try ttd twd tzs uah usd uyu uzs',
  'ves wst xcd xcg yer zar zmw zwg',
] as const

const threeDecimals = ['bhd iqd jod kwd lyd omr tnd'] as const

type CodesIn<Row extends string> = Row extends `${infer Code} ${infer Rest}` ? Code | CodesIn<Rest> : Row

/** A lower-case ISO 4217 code, such as `usd`. */
export type Currency = CodesIn<
  (typeof noDecimals)[number] | (typeof twoDecimals)[number] | (typeof threeDecimals)[number]
>

export interface CurrencyRules {
  readonly code: Currency
  /** Digits after the decimal point: 10 ** exponent minor units make one major unit. */
  readonly exponent: number
  /** The smallest amount that may be charged, in minor units. */
  readonly minimum_charge: bigint
  /** The largest amount that may be charged, in minor units. */
  readonly maximum_charge: bigint
}

/**
 * Stripe's published minimums (docs.stripe.com/currencies), so that a charge accepted here is not refused by
 * the first real processor. Unlisted is half a major unit, or fifty where nothing is smaller: what Stripe
 * publishes for every other currency it names (0.50 USD, 0.50 EUR, 50 JPY).
 */
const minimums: Partial<Record<Currency, bigint>> = {
  aed: 2_00n,
  czk: 15_00n,
  dkk: 2_50n,
  gbp: 30n,
  hkd: 4_00n,
  huf: 175_00n,
  mxn: 10_00n,
  myr: 2_00n,
  nok: 3_00n,
  pln: 2_00n,
  ron: 2_00n,
  sek: 3_00n,
  thb: 10_00n,
}

/** From the same page: at most eight digits, but for three currencies in which eight do not reach far. */
const maximums: Partial<Record<Currency, bigint>> = {
  cop: 99_999_999_99n,
  idr: 9_999_999_999_99n,
  inr: 9_999_999_99n,
}
const EIGHT_DIGITS = 99_999_999n

const table: ReadonlyMap<string, CurrencyRules> = new Map([
  ...rows(noDecimals, 0, 50n),
  ...rows(twoDecimals, 2, 50n),
  ...rows(threeDecimals, 3, 500n),
])

function rows(codes: readonly string[], exponent: number, minimum: bigint): [Currency, CurrencyRules][] {
  return codes
    .flatMap(row => row.split(' ') as Currency[])
    .map(code => {
      const minimum_charge = minimums[code] ?? minimum
      const maximum_charge = maximums[code] ?? EIGHT_DIGITS
      return [code, Object.freeze({ code, exponent, minimum_charge, maximum_charge })]
    })
}

/** Every currency, by code. */
export const currencies: readonly CurrencyRules[] = [...table.values()].sort((a, b) =>
  a.code < b.code ? -1 : 1,
)

/** Whether text from outside is a currency of ours. `USD` is not: codes are lower-case everywhere. */
export function isCurrency(code: unknown): code is Currency {
  return typeof code === 'string' && table.has(code)
}

/** The rules of a currency. Throws `currency_unknown`. */
export function currency(code: string): CurrencyRules {
  const rules = table.get(code)
  if (!rules) throw new MoneyError('currency_unknown', 'this is not a lower-case ISO 4217 code')
  return rules
}
