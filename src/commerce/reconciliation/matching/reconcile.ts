/**
 * `reconcile(ledger, bank)`: what became of every row of both sides, over rows in memory. It is the specification in
 * its shortest form, and reads both sides once; only what shares no id with the other side is ever sorted. For more
 * rows than memory holds there are the engines, which answer the same.
 */
import { INT64_MAX, INT64_MIN, isCurrency } from '#money'
import type { Decision } from '../decision.ts'
import type { Home, Suggestion } from '../home.ts'
import { ID_BYTES_MOST, type Line, type Side } from '../line.ts'
import { DEFAULT_RULES, type Rules, STATUSES, type Status } from '../rules.ts'
import { placeAll } from './passes.ts'
import { suggest } from './suggest.ts'

/** A row as callers have it. Amounts are minor units: a bigint, or a number that is a safe integer. */
export interface Row {
  id: string
  amount: bigint | number
  /** ISO 4217, in either case. */
  currency: string
  /** `YYYY-MM-DD`. */
  date?: string | null
  batch?: string | null
  text?: string | null
}

export type RowSide = 'ledger' | 'bank'

/** Rows decided together, one of each side; a batch has one entry for each of its rows, each with the row of its sum. */
export interface Pair<L, B> {
  id: string
  ledger: L
  bank: B
}

export type OneSided<L, B> = ({ side: 'ledger' } & L) | ({ side: 'bank' } & B)

/** Every row is in one of these lists alone; the row of a batch's sum is in the entries of all its rows. */
export interface Reconciliation<L, B> {
  matched: Pair<L, B>[]
  matched_with_tolerance: (Pair<L, B> & { reason: string })[]
  /** What people had decided. */
  manual: { decision_id: string; ledger: L[]; bank: B[] }[]
  timing: OneSided<L, B>[]
  discrepant: (Pair<L, B> & { reason: string })[]
  unmatched: OneSided<L, B>[]
  duplicates: (OneSided<L, B> & { reason: string })[]
  ambiguous: (OneSided<L, B> & { reason: string })[]
  /** Of unmatched rows, for a person to confirm. */
  suggestions: { kind: Suggestion['kind']; ledger: L[]; bank: B[]; reason: string }[]
  /** Rows of each side by status; they add up to the side. */
  counts: Record<RowSide, Record<Status, number>>
}

type Rows<R> = Iterable<R> | AsyncIterable<R>

/** Throws a RangeError or TypeError that names the row when a row is not one. Order of rows makes no difference. */
export function reconcile<L extends Row, B extends Row>(
  ledger: Iterable<L>,
  bank: Iterable<B>,
  rules?: Partial<Rules>,
  decisions?: readonly Decision[],
): Reconciliation<L, B>
export function reconcile<L extends Row, B extends Row>(
  ledger: Rows<L>,
  bank: Rows<B>,
  rules?: Partial<Rules>,
  decisions?: readonly Decision[],
): Promise<Reconciliation<L, B>>
export function reconcile<L extends Row, B extends Row>(
  ledger: Rows<L>,
  bank: Rows<B>,
  rules: Partial<Rules> = {},
  decisions: readonly Decision[] = [],
): Reconciliation<L, B> | Promise<Reconciliation<L, B>> {
  const all = { ...DEFAULT_RULES, ...rules }
  if (Symbol.iterator in ledger && Symbol.iterator in bank) {
    return reconcileArrays([...ledger], [...bank], all, decisions)
  }
  return gather(ledger).then(async rows => reconcileArrays(rows, await gather(bank), all, decisions))
}

async function gather<R>(rows: Rows<R>): Promise<R[]> {
  const all = []
  for await (const row of rows) all.push(row)
  return all
}

function reconcileArrays<L extends Row, B extends Row>(
  ledger: readonly L[],
  bank: readonly B[],
  rules: Rules,
  decisions: readonly Decision[],
): Reconciliation<L, B> {
  const left = ledger.map((row, index) => lineOf('ledger', row, index))
  const right = bank.map((row, index) => lineOf('bank', row, index))
  const homes = placeAll(left, right, rules, decisions)
  const answer = sortOut(ledger, bank, homes)
  const isUnmatched = (side: Side) => (line: Line) => homes[side][line.row - 1]?.status === 'unmatched'
  const suggestions = suggest(left.filter(isUnmatched('left')), right.filter(isUnmatched('right')), rules)
  answer.suggestions = suggestions.map(({ kind, reason, ...rows }) => ({
    kind,
    ledger: rows.left.flatMap(row => ledger[row - 1] ?? []),
    bank: rows.right.flatMap(row => bank[row - 1] ?? []),
    reason,
  }))
  return answer
}

function sortOut<L extends Row, B extends Row>(
  ledger: readonly L[],
  bank: readonly B[],
  homes: Record<Side, Home[]>,
): Reconciliation<L, B> {
  const answer: Reconciliation<L, B> = {
    matched: [],
    matched_with_tolerance: [],
    manual: [],
    timing: [],
    discrepant: [],
    unmatched: [],
    duplicates: [],
    ambiguous: [],
    suggestions: [],
    counts: { ledger: noneOf(), bank: noneOf() },
  }
  const groups = new Map<string, { home: Home; ledger: L[]; bank: B[] }>()
  const alone = (home: Home, row: OneSided<L, B>) => {
    const reason = home.reason ?? ''
    if (home.status === 'duplicate') answer.duplicates.push({ ...row, reason })
    else if (home.status === 'ambiguous') answer.ambiguous.push({ ...row, reason })
    else if (home.status === 'timing') answer.timing.push(row)
    else if (home.status === 'unmatched') answer.unmatched.push(row)
    else return false
    return true
  }
  const groupOf = (home: Home) => {
    let group = groups.get(home.group)
    if (group === undefined) groups.set(home.group, (group = { home, ledger: [], bank: [] }))
    return group
  }
  ledger.forEach((row, index) => {
    const home = homes.left[index]
    if (home === undefined) return
    answer.counts.ledger[home.status]++
    if (!alone(home, { side: 'ledger', ...row })) groupOf(home).ledger.push(row)
  })
  bank.forEach((row, index) => {
    const home = homes.right[index]
    if (home === undefined) return
    answer.counts.bank[home.status]++
    if (!alone(home, { side: 'bank', ...row })) groupOf(home).bank.push(row)
  })
  for (const { home, ledger: lefts, bank: rights } of groups.values()) {
    if (home.status === 'manual') {
      answer.manual.push({ decision_id: home.decision_id ?? '', ledger: lefts, bank: rights })
      continue
    }
    // One side has one row, that of the sum, whose id names a batch.
    const id = (rights.length < lefts.length ? rights : lefts)[0]?.id ?? ''
    for (const left of lefts) {
      for (const right of rights) {
        const pair = { id, ledger: left, bank: right }
        if (home.status === 'matched') answer.matched.push(pair)
        else if (home.status === 'discrepant') answer.discrepant.push({ ...pair, reason: home.reason ?? '' })
        else answer.matched_with_tolerance.push({ ...pair, reason: home.reason ?? '' })
      }
    }
  }
  return answer
}

const noneOf = () => Object.fromEntries(STATUSES.map(status => [status, 0])) as Record<Status, number>

const DATE = /^\d{4}-\d{2}-\d{2}$/

function lineOf(side: RowSide, row: Row, index: number): Line {
  const where = `${side} row ${index + 1}`
  if (typeof row.id !== 'string') throw new TypeError(`${where}: id is not a string`)
  const id = row.id.trim()
  if (id === '' || Buffer.byteLength(id) > ID_BYTES_MOST) {
    throw new RangeError(`${where}: id has not 1 to ${ID_BYTES_MOST} bytes`)
  }
  const currency = typeof row.currency === 'string' ? row.currency.trim().toLowerCase() : ''
  if (!isCurrency(currency)) throw new RangeError(`${where}: currency is not one of ISO 4217`)
  const date = row.date ?? null
  if (date !== null && !isDate(date)) throw new RangeError(`${where}: date is not a day as YYYY-MM-DD`)
  const { batch = null, text = null } = row
  return {
    row: index + 1,
    line: index + 1,
    id,
    amount: amountOf(where, row.amount),
    currency,
    date,
    batch,
    text,
  }
}

function amountOf(where: string, amount: unknown): bigint {
  if (typeof amount === 'number' && !Number.isSafeInteger(amount)) {
    throw new RangeError(`${where}: amount ${amount} is not a whole number that is exact; use a bigint`)
  }
  if (typeof amount !== 'bigint' && typeof amount !== 'number') {
    throw new TypeError(`${where}: amount is neither a bigint nor a number`)
  }
  const exact = BigInt(amount)
  if (exact > INT64_MAX || exact < INT64_MIN) throw new RangeError(`${where}: amount is beyond 64 bits`)
  return exact
}

function isDate(date: string): boolean {
  if (typeof date !== 'string' || !DATE.test(date)) return false
  const time = new Date(`${date}T00:00:00Z`)
  return !Number.isNaN(time.getTime()) && time.toISOString().startsWith(date)
}
