/** The first findings of each status, taken from a stream that may be as long as both sides. */
import type { Side } from '../line.ts'
import type { Status } from '../rules.ts'
import type { NamedItem } from './candidates.ts'
import type { ReportedGroup } from './report.ts'

/** Of each status and side: as many as somebody reads on a page before wanting them in a spreadsheet. */
export const GROUPS_MOST = 50
/** A batch can have a million rows; the first show what it is. */
export const ROWS_OF_GROUP_MOST = 10

export interface Sampler {
  /** Rows that were decided together may come apart. */
  add(item: NamedItem): void
  samples(): Map<Status, ReportedGroup[]>
}

interface Gathered {
  items: NamedItem[]
  more: number
}

export function createSampler(groups_most = GROUPS_MOST): Sampler {
  const by_status = new Map<Status, Record<Side, Map<string, Gathered>>>()
  return {
    add(item) {
      const sides = by_status.get(item.status) ?? { left: new Map(), right: new Map() }
      by_status.set(item.status, sides)
      // Groups are named after their first row, left before right: a side with thousands leaves room for the other.
      const groups = sides[item.group.startsWith('l') ? 'left' : 'right']
      const group = groups.get(item.group)
      if (group === undefined) {
        if (groups.size < groups_most) groups.set(item.group, { items: [item], more: 0 })
      } else if (group.items.length < ROWS_OF_GROUP_MOST) group.items.push(item)
      else group.more += 1
    },
    samples: () =>
      new Map(
        [...by_status].map(([status, { left, right }]) => [
          status,
          [...left.values(), ...right.values()].map(({ items, more }) => ({
            items: items.toSorted(leftFirst),
            more,
          })),
        ]),
      ),
  }
}

const leftFirst = (a: NamedItem, b: NamedItem): number =>
  a.side === b.side ? a.row - b.row : a.side === 'left' ? -1 : 1
