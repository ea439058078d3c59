/**
 * Passes 1 to 4 over rows in memory: what people decided, duplicates, ids, batches. With the sweep of passes 5 to 7
 * this is the specification; the engines say the same in SQL and are held to it row for row.
 */
import type { Decision, RowName } from '../decision.ts'
import type { Home } from '../home.ts'
import { compareLines, type Line, type Side } from '../line.ts'
import type { Rules } from '../rules.ts'
import { type Bucket, bucketsOf, dayOf } from './bucket.ts'
import { isInWindow, isNear } from './compare.ts'
import { amountDiffers, batchDiffers, differences, duplicateReason, sumOf } from './reason.ts'
import { decideRest } from './rest.ts'
import { firstLine, groupBy, Table } from './table.ts'

/** A home for each row of both sides, in their order. */
export function placeAll(
  left: readonly Line[],
  right: readonly Line[],
  rules: Rules,
  decisions: readonly Decision[],
): Record<Side, Home[]> {
  const table = new Table(left, right)
  if (decisions.length > 0) replayDecisions(table, decisions)
  setDuplicatesAside(table)
  matchIds(table, rules)
  matchBatches(table, 'left')
  matchBatches(table, 'right')
  placeRest(table, rules)
  return table.homes()
}

/** Pass 1 alone: the homes of the rows that decisions take. Rows that no decision names may be absent. */
export function replay(
  left: readonly Line[],
  right: readonly Line[],
  decisions: readonly Decision[],
): Home[] {
  const table = new Table(left, right)
  replayDecisions(table, decisions)
  return table.placed()
}

/** Pass 1. */
function replayDecisions(table: Table, decisions: readonly Decision[]): void {
  const named = {
    left: groupBy(table.free('left'), nameOf),
    right: groupBy(table.free('right'), nameOf),
  }
  for (const lines of [...named.left.values(), ...named.right.values()]) lines.sort(compareLines)
  // Of rows that say the same the first ones are taken: so many, and no row is looked at twice.
  const taken = { left: new Map<string, number>(), right: new Map<string, number>() }
  for (const { id, left, right } of decisions) {
    const [lefts, rights] = [next('left', left), next('right', right)]
    if (lefts.lines.every(isFound) && rights.lines.every(isFound)) {
      table.place(lefts.lines, rights.lines, { status: 'manual', pass: 'decisions', decision_id: id })
      for (const [name, count] of lefts.counts) taken.left.set(name, count)
      for (const [name, count] of rights.counts) taken.right.set(name, count)
    }
  }

  /** The rows that a decision would take, and how many of each name are taken then. */
  function next(side: Side, names: readonly RowName[]) {
    const counts = new Map<string, number>()
    const lines = names.map(row_name => {
      const name = nameOf(row_name)
      const place = counts.get(name) ?? taken[side].get(name) ?? 0
      counts.set(name, place + 1)
      return named[side].get(name)?.[place]
    })
    return { lines, counts }
  }
}

const isFound = (line: Line | undefined): line is Line => line !== undefined

const nameOf = ({ id, amount, currency, date }: RowName) => JSON.stringify([id, `${amount}`, currency, date])

/** Pass 2. */
function setDuplicatesAside(table: Table): void {
  const lefts = groupBy(table.free('left'), line => line.id)
  const rights = groupBy(table.free('right'), line => line.id)
  const setAside = (side: Side, lines: readonly Line[], others: readonly Line[]) => {
    if (lines.length === 1) return
    const has = new Set(others.map(moneyOf))
    const first = firstLine(lines.filter(line => has.has(moneyOf(line)))) ?? firstLine(lines)
    for (const line of lines) {
      if (first !== undefined && line !== first) {
        table.placeTwin(side, line, first, duplicateReason(line.id, lines.length))
      }
    }
  }
  for (const [id, lines] of lefts) setAside('left', lines, rights.get(id) ?? [])
  for (const [id, lines] of rights) setAside('right', lines, lefts.get(id) ?? [])
}

const moneyOf = ({ amount, currency }: Line) => `${amount} ${currency}`

/** Pass 3. */
function matchIds(table: Table, rules: Rules): void {
  const rights = new Map(table.free('right').map(line => [line.id, line]))
  for (const left of table.free('left')) {
    const right = rights.get(left.id)
    if (right === undefined) continue
    const is_one_thing = left.currency === right.currency && isInWindow(left.date, right.date, rules)
    if (is_one_thing && left.amount === right.amount) {
      table.place([left], [right], { status: 'matched', pass: 'id' })
    } else if (is_one_thing && isNear(left.amount, right.amount, rules)) {
      const reason = amountDiffers(left.amount, right.amount)
      table.place([left], [right], { status: 'matched_with_tolerance', pass: 'id', reason })
    } else {
      const reason = differences(left, right, rules)
      table.place([left], [right], { status: 'discrepant', pass: 'id', reason })
    }
  }
}

/** Pass 4, one way: batches of one side against a row of the other. */
function matchBatches(table: Table, many_side: Side): void {
  const one_side = many_side === 'left' ? 'right' : 'left'
  const ones = new Map(table.free(one_side).map(line => [line.id, line]))
  for (const [batch, many] of groupBy(table.free(many_side), line => line.batch)) {
    const one = ones.get(batch)
    if (one === undefined) continue
    const is_equal = many.every(line => line.currency === one.currency) && sumOf(many) === one.amount
    const [left, right] = many_side === 'left' ? [many, [one]] : [[one], many]
    table.place(
      left,
      right,
      is_equal
        ? { status: 'matched', pass: 'batch' }
        : { status: 'discrepant', pass: 'batch', reason: batchDiffers(many, one) },
    )
  }
}

/** Passes 5 to 7. */
function placeRest(table: Table, rules: Rules): void {
  const free = { left: table.free('left'), right: table.free('right') }
  const lines = { left: groupBy(free.left, bucketNameOfLine), right: groupBy(free.right, bucketNameOfLine) }
  const inBucket = (bucket: Bucket) => lines[bucket.side].get(bucketName(bucket)) ?? []
  const rest = decideRest(rules, ({ bucket, partner, status, pass, reason }) => {
    const placing = { status, pass, reason }
    const is_left = bucket.side === 'left'
    if (partner === null) {
      for (const line of inBucket(bucket)) table.place(is_left ? [line] : [], is_left ? [] : [line], placing)
    } else if (is_left) {
      // Its partner hears of it too, and has nothing to add.
      table.place(inBucket(bucket), inBucket(partner), placing)
    }
  })
  for (const bucket of bucketsOf(free.left, free.right)) rest.take(bucket)
  rest.finish()
}

const bucketName = ({ currency, amount, day }: Pick<Bucket, 'currency' | 'amount' | 'day'>) =>
  `${currency} ${amount} ${day}`

const bucketNameOfLine = ({ currency, amount, date }: Line) =>
  bucketName({ currency, amount, day: date === null ? null : dayOf(date) })
