/** The rows of a run that matching is about to place: who still has no home, and who shares one. */
import type { Home } from '../home.ts'
import { compareLines, type Line, type Side } from '../line.ts'
import type { Pass, Status } from '../rules.ts'

/** What is said of rows that are decided together. */
export interface Placing {
  status: Status
  pass: Pass
  reason?: string | null
  decision_id?: string
}

export class Table {
  readonly #lines: Record<Side, readonly Line[]>
  /** By row. */
  readonly #homes: Record<Side, Home[]> = { left: [], right: [] }
  /** Of a duplicate: the row of its id that went on, whose group it shares wherever that ends. */
  readonly #twins: Record<Side, Map<number, Line>> = { left: new Map(), right: new Map() }

  constructor(left: readonly Line[], right: readonly Line[]) {
    this.#lines = { left, right }
  }

  /** The rows of a side that no pass has decided. */
  free(side: Side): Line[] {
    return this.#lines[side].filter(line => this.isFree(side, line))
  }

  isFree(side: Side, line: Line): boolean {
    return this.#homes[side][line.row] === undefined
  }

  place(left: readonly Line[], right: readonly Line[], { status, pass, reason, decision_id }: Placing): void {
    const group = left.length > 0 ? `l${smallestRow(left)}` : `r${smallestRow(right)}`
    const said = { status, pass, group, reason: reason ?? null, decision_id: decision_id ?? null }
    for (const { row } of left) this.#homes.left[row] = { side: 'left', row, ...said }
    for (const { row } of right) this.#homes.right[row] = { side: 'right', row, ...said }
  }

  placeTwin(side: Side, line: Line, twin: Line, reason: string): void {
    this.place(side === 'left' ? [line] : [], side === 'left' ? [] : [line], {
      status: 'duplicate',
      pass: 'duplicates',
      reason,
    })
    this.#twins[side].set(line.row, twin)
  }

  /** Of the rows that have one so far. */
  placed(): Home[] {
    return [...Object.values(this.#homes.left), ...Object.values(this.#homes.right)]
  }

  /** Of every row, in the order of both sides. */
  homes(): Record<Side, Home[]> {
    const homeIn =
      (side: Side) =>
      ({ row }: Line): Home => {
        const found = this.#homes[side][row]
        if (found === undefined) throw new Error(`row ${row} has no home`)
        const twin = this.#twins[side].get(row)
        return twin === undefined ? found : { ...found, group: homeIn(side)(twin).group }
      }
    return { left: this.#lines.left.map(homeIn('left')), right: this.#lines.right.map(homeIn('right')) }
  }
}

const smallestRow = (lines: readonly Line[]) => lines.reduce((row, line) => Math.min(row, line.row), Infinity)

/** Rows by what they have in common, each list in the order of coming. */
export function groupBy(lines: readonly Line[], key: (line: Line) => string | null): Map<string, Line[]> {
  const groups = new Map<string, Line[]>()
  for (const line of lines) {
    const name = key(line)
    if (name === null) continue
    const group = groups.get(name)
    if (group === undefined) groups.set(name, [line])
    else group.push(line)
  }
  return groups
}

/** The first of rows that are not none, in the order that breaks ties. */
export function firstLine(lines: readonly Line[]): Line | undefined {
  return lines.reduce<Line | undefined>(
    (first, line) => (first === undefined || compareLines(line, first) < 0 ? line : first),
    undefined,
  )
}
