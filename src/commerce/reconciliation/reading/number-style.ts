/**
 * How a file writes its amounts, told from the amounts themselves. `1.234` alone is a thousand to a German and one to
 * an American: what the rows do not prove is asked for, never guessed.
 */
import { bareNumber, quote } from './amounts.ts'

export interface SampleAmount {
  line: number
  text: string
}

export type NumberStyle =
  | { kind: 'proven'; decimal: 'point' | 'comma' }
  /** Digits and nothing else: minor units, or whole major ones. */
  | { kind: 'whole' }
  /** None of them begins with a digit: another column, or a way of writing that is not known. */
  | { kind: 'no_numbers'; line: number; shown: string }
  | { kind: 'unclear'; line: number; reason: string }

const SAY = 'say how amounts are written'

export function findNumberStyle(amounts: readonly SampleAmount[]): NumberStyle {
  const proofs = new Map<'.' | ',', SampleAmount>()
  let doubtful: SampleAmount | undefined
  let is_any_number = false
  for (const amount of amounts) {
    const digits = bareNumber(amount.text, null)?.digits
    if (digits !== undefined && /^\d/.test(digits)) is_any_number = true
    const proof = digits === undefined ? 'nothing' : proofOf(digits)
    if (proof === 'doubtful') doubtful ??= amount
    else if (proof !== 'nothing' && !proofs.has(proof)) proofs.set(proof, amount)
  }
  const point = proofs.get('.')
  const comma = proofs.get(',')
  if (point !== undefined && comma !== undefined) {
    const later = point.line > comma.line ? point : comma
    return {
      kind: 'unclear',
      line: later.line,
      reason: `amounts are written in two ways, ${quote(point.text)} and ${quote(comma.text)}: ${SAY}`,
    }
  }
  if (point !== undefined) return { kind: 'proven', decimal: 'point' }
  if (comma !== undefined) return { kind: 'proven', decimal: 'comma' }
  const [first] = amounts
  if (first !== undefined && !is_any_number)
    return { kind: 'no_numbers', line: first.line, shown: quote(first.text) }
  if (doubtful === undefined) return { kind: 'whole' }
  return {
    kind: 'unclear',
    line: doubtful.line,
    reason: `${quote(doubtful.text)} may be thousands or decimals, and no other row says which: ${SAY}`,
  }
}

/** Thousands by threes, or above the last three by twos. */
const GROUPS = /^\d{1,3}(?:[.,]\d{3})+$|^\d{1,2}(?:[.,]\d{2})*[.,]\d{3}$/

/** What sign for decimals these digits prove. */
function proofOf(digits: string): '.' | ',' | 'doubtful' | 'nothing' {
  const found = /^\d*(?:[\d.,'’ \u00a0\u202f]*\d)?$/.test(digits) ? [...digits.matchAll(/[.,]/g)] : []
  const last = found.at(-1)
  if (last === undefined) return 'nothing'
  const sign = last[0] as '.' | ','
  const other = sign === '.' ? ',' : '.'
  const same = found.filter(([each]) => each === sign).length
  // Twice the same groups thousands, so the other one is for decimals; both, and the last one is.
  if (same > 1) return found.length === same && GROUPS.test(digits) ? other : 'nothing'
  if (found.length > same) return sign
  const behind = digits.length - last.index - 1
  const before = digits.slice(0, last.index)
  if (behind !== 3) return sign
  // `0,123` and `1234,567` are no thousands; groups of another sign before it leave it the decimals.
  if (/^0\d*$/.test(before) || before === '' || /\d{4}$/.test(before) || /\D/.test(before)) return sign
  return 'doubtful'
}
