/**
 * Settlement statements: what the processor says it moved, with its fees. Only what changed our balance is there:
 * captures, refunds, disputes and what took them back; holds are not money yet.
 *
 * Fees, in the minor unit of the currency: a capture costs 2.9 % rounded half up plus 30 (300 where the unit has three
 * decimals), never more than the capture itself; a refund costs nothing, and the capture's fee stays paid; a dispute
 * costs 1500, given back when it is won. 1000 usd pays 59 and leaves 941, as Stripe's test mode does.
 */
import { type Currency, currency, fee } from '#money'
import type { Movement } from './entry.ts'
import { Refused } from './refused.ts'

const BASIS_POINTS = 290n
const DISPUTE_FEE = 1500n

export interface StatementQuery {
  /** Inclusive. */
  from: string
  /** Exclusive. */
  to: string
  format: 'csv'
}

export function parseStatementQuery(query: URLSearchParams): StatementQuery {
  const format = query.get('format') ?? 'csv'
  if (format !== 'csv') {
    throw new Refused(400, 'format_not_supported', 'format is csv.', 'format')
  }
  return { from: instant(query, 'from', '0000'), to: instant(query, 'to', '9999'), format }
}

export function statement(movements: AsyncIterable<Movement>, { from, to }: StatementQuery) {
  return { type: 'text/csv', lines: csv(movements, from, to) }
}

async function* csv(movements: AsyncIterable<Movement>, from: string, to: string) {
  yield 'id,reference,type,amount,fee,net,currency,date\n'
  for await (const movement of movements) {
    if (movement.at < from || movement.at >= to) continue
    const line = settle(movement)
    if (line === undefined) continue
    const { amount, fee } = line
    yield `${movement.processor_id},${quote(movement.reference)},${movement.type},${amount},${fee},${amount - fee},` +
      `${movement.currency},${movement.at}\n`
  }
}

/** The movement as our balance feels it: what comes in is positive. */
export function settle(movement: Movement): { amount: bigint; fee: bigint } | undefined {
  switch (movement.type) {
    case 'capture':
      return { amount: movement.amount, fee: captureFee(movement) }
    case 'refund':
      return { amount: -movement.amount, fee: 0n }
    case 'dispute':
      return { amount: -movement.amount, fee: movement.amount > 0n ? DISPUTE_FEE : -DISPUTE_FEE }
    case 'authorize':
    case 'void':
    case 'payout':
      return undefined
  }
}

function captureFee(movement: Movement): bigint {
  const fixed = currency(movement.currency as Currency).exponent === 3 ? 300n : 30n
  const charged = fee(movement.amount, { basis_points: BASIS_POINTS, fixed })
  return charged < movement.amount ? charged : movement.amount
}

/** RFC 4180. */
const quote = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Dates and instants both compare as text with the instants of the book, which are all UTC to the millisecond. */
function instant(query: URLSearchParams, param: string, absent: string): string {
  const value = query.get(param)
  if (value === null || value === '') return absent
  const time_ms = Date.parse(value)
  if (!/^\d{4}-\d{2}-\d{2}/.test(value) || Number.isNaN(time_ms)) {
    throw new Refused(400, 'parameter_invalid', `${param} is a date or an instant (ISO 8601).`, param)
  }
  return new Date(time_ms).toISOString()
}
