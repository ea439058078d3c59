/** #money: whole amounts in minor units, their currencies, and arithmetic that never loses a cent. Pure. */

export { currencies, currency, isCurrency, type Currency, type CurrencyRules } from './currencies.ts'
export { MoneyError, type MoneyRefusal } from './money-error.ts'
export {
  add,
  compare,
  INT64_MAX,
  INT64_MIN,
  jsonAmount,
  ledgerAmount,
  MAX_AMOUNT,
  subtract,
  type Money,
} from './money.ts'
export { divide, fee, percent, type FeeSchedule, type Rounding } from './rounding.ts'
export { split } from './split.ts'
export { decimalAmount, formatAmount, parseAmount } from './text.ts'
