/** Count and sum by currency, of amounts that come by the million: added as numbers while that is exact. */

/** Below it a sum of one more amount of fifteen digits is still exact as a number. */
const EXACT = 2 ** 52

export interface CurrencySum {
  currency: string
  count: number
  sum: bigint
}

interface Sum {
  count: number
  part: number
  whole: bigint
}

export class Tally {
  readonly #sums = new Map<number, Sum>()
  /** Of the last amount: most have the same. */
  #currency = 0
  #sum: Sum = { count: 0, part: 0, whole: 0n }

  /** `currency` is three bytes of a code in one number. */
  add(currency: number, amount: number | bigint): void {
    if (currency !== this.#currency) this.#sum = this.#sumOf(currency)
    const sum = this.#sum
    sum.count++
    if (typeof amount === 'bigint') sum.whole += amount
    else sum.part += amount
    if (sum.part > EXACT || sum.part < -EXACT) {
      sum.whole += BigInt(sum.part)
      sum.part = 0
    }
  }

  #sumOf(currency: number): Sum {
    this.#currency = currency
    let sum = this.#sums.get(currency)
    if (sum === undefined) this.#sums.set(currency, (sum = { count: 0, part: 0, whole: 0n }))
    return sum
  }

  sums(): CurrencySum[] {
    return [...this.#sums]
      .map(([key, { count, part, whole }]) => ({
        currency: String.fromCharCode(key >> 16, (key >> 8) & 0xff, key & 0xff),
        count,
        sum: whole + BigInt(part),
      }))
      .sort((a, b) => (a.currency < b.currency ? -1 : 1))
  }
}

/** Sums that come from several places: one for each currency. */
export function addUp(sums: readonly CurrencySum[]): CurrencySum[] {
  return Array.from(Map.groupBy(sums, ({ currency }) => currency).values(), of_one =>
    of_one.reduce((a, b) => ({ ...a, count: a.count + b.count, sum: a.sum + b.sum })),
  )
}
