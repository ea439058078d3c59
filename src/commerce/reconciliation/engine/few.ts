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
import { addSums, ITEM_COLUMNS, safe } from './write.ts'

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
      .sort(compareFindings)
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
  const said = [id, amount, currency, date, batch, status, pass, group, reason, decision_id]
  return row([left?.line.row, left?.line.line, right?.line.row, right?.line.line, ...said])
}

function findingOf({ line, home }: Placed): string {
  const { id, amount, currency, date, batch, text } = line
  const { side, status, pass, group, reason, decision_id } = home
  const place = side === 'left' ? [line.row, line.line, null, null] : [null, null, line.row, line.line]
  const said = [safe(id), amount, currency, date, safe(batch), status, pass, group, safe(reason), decision_id]
  return row([...place, ...said, safe(text)])
}

function compareFindings(a: Placed, b: Placed): number {
  return (
    STATUSES.indexOf(a.home.status) - STATUSES.indexOf(b.home.status) ||
    a.home.group.charCodeAt(0) - b.home.group.charCodeAt(0) ||
    Number(a.home.group.slice(1)) - Number(b.home.group.slice(1)) ||
    (a.home.side === b.home.side ? a.line.row - b.line.row : a.home.side === 'left' ? -1 : 1)
  )
}

type Cell = string | number | bigint | null | undefined

const row = (cells: readonly Cell[]) => `${cells.map(cell).join(',')}\n`

function cell(value: Cell): string {
  const text = `${value ?? ''}`
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
