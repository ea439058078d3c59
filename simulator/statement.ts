/** Statements: what the processor and its bank say they moved, as CSV or CAMT.053, from the book and nothing else. */
import { camt053 } from './camt053.ts'
import type { Movement } from './entry.ts'
import { Refused } from './refused.ts'
import { settle } from './settlement.ts'

const FORMATS = ['csv', 'camt053'] as const

export interface StatementQuery {
  /** Inclusive. */
  from: string
  /** Exclusive. */
  to: string
  format: (typeof FORMATS)[number]
}

/** Reads the book from its start; a statement with opening balances needs it more than once. */
export type ReadBook = () => AsyncIterable<Movement>

export function parseStatementQuery(query: URLSearchParams): StatementQuery {
  const wanted = query.get('format') ?? 'csv'
  const format = FORMATS.find(name => name === wanted)
  if (format === undefined) {
    throw new Refused(400, 'format_not_supported', `format is one of ${FORMATS.join(', ')}.`, 'format')
  }
  return {
    from: instant(query, 'from', '0001-01-01T00:00:00.000Z'),
    to: instant(query, 'to', '9999-12-31T23:59:59.999Z'),
    format,
  }
}

export function statement(
  readBook: ReadBook,
  { from, to, format }: StatementQuery,
): { type: string; lines: AsyncIterable<string> } {
  switch (format) {
    case 'csv':
      return { type: 'text/csv', lines: csv(readBook, from, to) }
    case 'camt053':
      return { type: 'application/xml', lines: camt053(readBook, from, to) }
  }
}

async function* csv(readBook: ReadBook, from: string, to: string) {
  yield 'id,reference,type,amount,fee,net,currency,date\n'
  for await (const movement of readBook()) {
    if (movement.at < from || movement.at >= to) continue
    const settled = settle(movement)
    if (settled === undefined) continue
    yield `${movement.processor_id},${quote(movement.reference)},${movement.type},${settled.amount},` +
      `${settled.fee},${settled.net},${movement.currency},${movement.at}\n`
  }
}

/** RFC 4180. */
const quote = (text: string) => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Instants compare as text with those of the book: all are UTC to the millisecond. */
function instant(query: URLSearchParams, param: string, absent: string): string {
  const value = query.get(param)
  if (value === null || value === '') return absent
  const time_ms = Date.parse(value)
  if (!/^\d{4}-\d{2}-\d{2}/.test(value) || Number.isNaN(time_ms)) {
    throw new Refused(400, 'parameter_invalid', `${param} is a date or an instant (ISO 8601).`, param)
  }
  return new Date(time_ms).toISOString()
}
