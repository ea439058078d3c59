/** What a statement says of itself, as people read it: sums of money with their currency, counts as they are. */
import type { Control, StatusSum } from '../engine/face.ts'
import type { Side } from '../line.ts'
import { shownAmount } from './amounts.ts'

/** The names of readers for what they add up; records, accounts, batches and statement numbers are counted. */
const IS_MONEY = /balance|sum|amount|funds|total/

/** Of one currency; of several nothing says which one a control is of, and its amounts stay in minor units. */
export function shownControl(control: Control, side: Side, sums: readonly StatusSum[]): Control {
  const currencies = new Set(sums.filter(sum => sum.side === side).map(({ currency }) => currency))
  const [currency] = currencies
  if (!IS_MONEY.test(control.name)) return control
  const shown = (text: string): string => {
    if (!/^-?\d+$/.test(text)) return text
    return currency === undefined || currencies.size > 1
      ? `${text} in minor units`
      : `${shownAmount(BigInt(text), currency)} ${currency.toUpperCase()}`
  }
  return { ...control, expected: shown(control.expected), found: shown(control.found) }
}
