/** A few rows, decided in memory by the specification and written as DuckDB writes them. */
import { writeFile } from 'node:fs/promises'
import type { Decision } from '../decision.ts'
import type { Home, Suggestion } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { placeAll, suggest } from '../matching/index.ts'
import { CLEAN_STATUSES, type Rules, STATUSES } from '../rules.ts'
import type { Rest } from './decided.ts'
import type { StatusSum } from './face.ts'
import { SIDES } from './match.ts'
import { addSums, ITEM_COLUMNS } from './write.ts'

interface Placed {
  line: Line
  home: Home
}

export class Few implements Rest {
  readonly is_large = false
  readonly #placed: Record<Side, Placed[]>
  readonly #rules: Rules

  /** Rows in their order. */
  constructor(left: readonly Line[], right: readonly Line[], rules: Rules, decisions: readonly Decision[]) {
    const homes = placeAll(left, right, rules, decisions)
    const both = (side: Side, lines: readonly Line[]) =>
      lines.flatMap((line, at) => {
        const home = homes[side][at]
        return home === undefined ? [] : { line, home }
      })
    this.#placed = { left: both('left', left), right: both('right', right) }
    this.#rules = rules
  }

  async writeOthers(rows: number, [first, second]: readonly [string, string]): Promise<void> {
    const { left, right } = this.#placed
    const by_group = new Map(right.filter(isMatchedById).map(placed => [placed.home.group, placed]))
    const shared = new Set<Placed>()
    const lines = left.map(placed => {
      const twin = isMatchedById(placed) ? by_group.get(placed.home.group) : undefined
      if (twin === undefined || !saysTheSame(placed.line, twin.line)) return itemOf(placed, null)
      shared.add(twin)
      return itemOf(placed, twin)
    })
    const middle = left.findLastIndex(({ line }) => line.row <= rows) + 1
    const alone = right.filter(placed => !shared.has(placed)).map(placed => itemOf(null, placed))
    await writeFile(first, lines.slice(0, middle).join(''))
    await writeFile(second, [...lines.slice(middle), ...alone].join(''))
  }

  async writeFindings(path: string): Promise<void> {
    const findings = [...this.#placed.left, ...this.#placed.right]
      .filter(({ home }) => !CLEAN_STATUSES.includes(home.status))
      .map(rankOf)
      .sort(compareRanks)
    await writeFile(path, [`${ITEM_COLUMNS},text\n`, ...findings.map(findingOf)].join(''))
  }

  sums(): Promise<StatusSum[]> {
    const each = (side: Side) =>
      this.#placed[side].map(({ line, home }) => ({
        side,
        status: home.status,
        currency: line.currency,
        count: 1,
        sum: line.amount,
      }))
    return Promise.resolve(addSums(...SIDES.map(each)))
  }

  suggestions(): Promise<Suggestion[]> {
    const of = (side: Side) =>
      this.#placed[side].filter(({ home }) => home.status === 'unmatched').map(({ line }) => line)
    return Promise.resolve(suggest(of('left'), of('right'), this.#rules))
  }

  async close(): Promise<void> {
    // Nothing is open.
  }
}

const isMatchedById = ({ home }: Placed) => home.status === 'matched' && home.pass === 'id'
const saysTheSame = (left: Line, right: Line) => left.date === right.date && left.batch === right.batch

function itemOf(left: Placed | null, right: Placed | null): string {
  const placed = left ?? right
  if (placed === null) return ''
  const { id, amount, currency, date, batch } = placed.line
  const { status, pass, group, reason, decision_id } = placed.home
  const said = [id, amount, currency, date, batch, status, pass, group, quoted(reason), quoted(decision_id)]
  return row([left?.line.row, left?.line.line, right?.line.row, right?.line.line, ...said])
}

function findingOf({ placed: { line, home } }: Ranked): string {
  const { id, amount, currency, date, batch, text } = line
  const { side, status, pass, group, reason, decision_id } = home
  const place = side === 'left' ? [line.row, line.line, null, null] : [null, null, line.row, line.line]
  const said = [id, amount, currency, date, batch, status, pass, group, quoted(reason), quoted(decision_id)]
  return row([...place, ...said, text])
}

/** A finding with what its place in the list depends on. */
interface Ranked {
  placed: Placed
  status: number
  group_side: number
  group: number
}

const rankOf = (placed: Placed): Ranked => ({
  placed,
  status: STATUSES.indexOf(placed.home.status),
  group_side: placed.home.group.charCodeAt(0),
  group: Number(placed.home.group.slice(1)),
})

/** Rows of one side come in their order, the left ones first, and a sort leaves equals as they came. */
const compareRanks = (a: Ranked, b: Ranked): number =>
  a.status - b.status || a.group_side - b.group_side || a.group - b.group

type Cell = string | number | bigint | null | undefined

/** What is absent is an empty cell. */
const row = (cells: readonly Cell[]) => `${cells.join(',')}\n`

/** Cells of plain rows need no quotes; what was said of them may. */
function quoted(text: string | null): string | null {
  return text !== null && /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
