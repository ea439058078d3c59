/**
 * The audit of the day: what the API says was paid, what the simulator's book says moved, and what the ledger holds,
 * each asked for on its own and compared to the last cent.
 */
import type { Credentials } from '../../main/first-start.ts'
import type { Balance, BalanceTransaction, Charge, Client } from './client.ts'
import { reach } from './client.ts'
import { type Check, type Day, money } from './day.ts'

/** By currency, in minor units. */
export type Sums = Record<string, { captured: bigint; refunded: bigint; released: bigint }>

interface Movement {
  seq: number
  type: string
  amount: number
  currency: string
}

/** The simulator's own account of what moved, one movement a line; a year of it is larger than memory. */
export async function* readBook({ simulator_url }: Credentials): AsyncGenerator<Movement> {
  const response = await reach(simulator_url, '/book')
  if (!response.ok || response.body === null)
    throw new Error(`the simulator at ${simulator_url} does not show its book`)
  let rest = ''
  for await (const piece of response.body.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + piece).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) yield JSON.parse(line) as Movement
  }
}

/** The number of the newest movement; 0 in an empty book. */
export async function lastMovement(credentials: Credentials): Promise<number> {
  let last = 0
  for await (const movement of readBook(credentials)) last = movement.seq
  return last
}

/** The movements after one. */
export async function movementsAfter(credentials: Credentials, last: number): Promise<Movement[]> {
  const movements: Movement[] = []
  for await (const movement of readBook(credentials)) if (movement.seq > last) movements.push(movement)
  return movements
}

export interface Audit {
  api: Sums
  book: Sums
  /** Net of fees and refunds, by currency: what the balance must have grown by. */
  net: Record<string, bigint>
  fees: Record<string, bigint>
  checks: Check[]
}

export async function audit(
  client: Client,
  day: Day,
  seen: { before: Balance; after: Balance; movements: readonly Movement[] },
): Promise<Audit> {
  const checks: Check[] = []
  const { api, net, fees, is_booked } = await sumsOfApi(client, day)
  const book = sumsOfBook(seen.movements)
  checks.push({
    name: 'Every charge and refund has its balance transaction',
    is_true: is_booked,
    detail: `${day.payments.length} payments, ${day.refunds.length} refunds`,
  })
  const currencies = [...new Set([...Object.keys(api), ...Object.keys(book)])].sort()
  for (const currency of currencies) {
    const ours = api[currency] ?? nothing()
    const theirs = book[currency] ?? nothing()
    const is_same = (['captured', 'refunded', 'released'] as const).every(name => ours[name] === theirs[name])
    checks.push({
      name: `The processor's book agrees in ${currency}`,
      is_true: is_same,
      detail: is_same
        ? `${money(ours.captured, currency)} captured, ${money(ours.refunded, currency)} refunded`
        : `the API says ${shown(ours, currency)}; the book says ${shown(theirs, currency)}`,
    })
    const grown = total(seen.after, currency) - total(seen.before, currency)
    checks.push({
      name: `The ledger's balance grew by it in ${currency}`,
      is_true: grown === (net[currency] ?? 0n),
      detail: `${money(grown, currency)} after ${money(fees[currency] ?? 0n, currency)} of fees`,
    })
  }
  return { api, book, net, fees, checks }
}

const nothing = () => ({ captured: 0n, refunded: 0n, released: 0n })

const shown = ({ captured, refunded, released }: Sums[string], currency: string): string =>
  `${money(captured, currency)} captured, ${money(refunded, currency)} refunded, ${money(released, currency)} released`

const total = (balance: Balance, currency: string): bigint =>
  [...balance.pending, ...balance.available]
    .filter(funds => funds.currency === currency)
    .reduce((sum, funds) => sum + BigInt(funds.amount), 0n)

async function sumsOfApi(client: Client, day: Day) {
  const api: Sums = {}
  const net: Record<string, bigint> = {}
  const fees: Record<string, bigint> = {}
  let is_booked = true
  const book = async (source_id: string, currency: string, amount: bigint) => {
    const { data } = await client.get<{ data: BalanceTransaction[] }>(
      `/v1/balance_transactions?source_id=${source_id}`,
    )
    is_booked &&= data.reduce((sum, transaction) => sum + BigInt(transaction.amount), 0n) === amount
    for (const transaction of data) {
      net[currency] = (net[currency] ?? 0n) + BigInt(transaction.net)
      fees[currency] = (fees[currency] ?? 0n) + BigInt(transaction.fee)
    }
  }
  for (const { intent } of day.payments) {
    const sums = (api[intent.currency] ??= nothing())
    if (intent.latest_charge_id === null) continue
    const charge = await client.get<Charge>(`/v1/charges/${intent.latest_charge_id}`)
    sums.captured += BigInt(charge.amount_captured)
    if (intent.status === 'canceled') sums.released += BigInt(intent.amount)
    if (charge.amount_captured > 0) await book(charge.id, charge.currency, BigInt(charge.amount_captured))
  }
  for (const refund of day.refunds) {
    const sums = (api[refund.currency] ??= nothing())
    if (refund.status === 'succeeded') sums.refunded += BigInt(refund.amount)
    await book(refund.id, refund.currency, -BigInt(refund.amount))
  }
  return { api, net, fees, is_booked }
}

function sumsOfBook(movements: readonly Movement[]): Sums {
  const sums: Sums = {}
  for (const { type, currency, amount } of movements) {
    const of_currency = (sums[currency] ??= nothing())
    if (type === 'capture') of_currency.captured += BigInt(amount)
    if (type === 'refund') of_currency.refunded += BigInt(amount)
    if (type === 'void') of_currency.released += BigInt(amount)
  }
  return sums
}
