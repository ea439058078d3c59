/** How many orphan captures were met, by processor and reason. */
import { counter } from '#metrics'
import type { OrphanCaptureRow } from '../rows.ts'
import { orphanReasons } from './object.ts'

const met = counter({
  name: 'bursar_orphan_captures_total',
  help: 'Captures that a processor made against what we hold for true, by why; each is given back',
  labels: ['processor', 'reason'],
})

export const countMet = ({ processor, reason }: Pick<OrphanCaptureRow, 'processor' | 'reason'>): void =>
  met.inc({ processor, reason })

/** From 0 on: a series that begins with its first orphan has not risen, and no alert would tell of it. */
export function countMetFrom(processor: string): void {
  for (const reason of orphanReasons) met.inc({ processor, reason }, 0)
}
