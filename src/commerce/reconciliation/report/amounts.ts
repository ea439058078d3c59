/** Amounts as a finance person reads them. The same on every machine, so no locale has a say in it. */
import { decimalAmount, isCurrency } from '#money'

/** `-123456n` in usd is `-1,234.56`; of a currency that is not in the table, minor units as they are. */
export function shownAmount(amount: bigint, currency: string): string {
  const text = decimalText(amount, currency)
  const [whole = '', fraction] = text.split('.')
  const grouped = whole.replaceAll(/\B(?=(\d{3})+$)/g, ',')
  return fraction === undefined ? grouped : `${grouped}.${fraction}`
}

/** Without grouping, for spreadsheets. */
export const decimalText = (amount: bigint, currency: string): string =>
  isCurrency(currency) ? decimalAmount(amount, currency) : String(amount)

export const shownCount = (count: number): string => String(count).replaceAll(/\B(?=(\d{3})+$)/g, ',')

/** `1 row`, `2 rows`. */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${shownCount(count)} ${count === 1 ? one : many}`
