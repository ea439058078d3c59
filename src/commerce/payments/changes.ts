/** Changing objects as Stripe's callers expect it: metadata is merged by key, and an update says what was before. */
import type { z } from 'zod'
import { metadata } from '#http'
import { ApiError } from '#kernel'
import type { Metadata } from './rows.ts'

/** Keys to set; an empty text removes the key; null removes all. */
export const metadataChange = metadata
  .nullable()
  .describe('Keys are merged into those that are there; an empty text removes its key, null removes all.')
export type MetadataChange = z.output<typeof metadataChange>

/** Of the merged whole, as of one request (#http). */
const METADATA_KEYS_MOST = 50

export function mergeMetadata(known: Metadata, change: MetadataChange | undefined): Metadata {
  if (change === undefined) return known
  if (change === null) return {}
  const merged = Object.entries({ ...known, ...change }).filter(([, value]) => value !== '')
  if (merged.length > METADATA_KEYS_MOST) {
    throw new ApiError('parameter_invalid', {
      param: 'metadata',
      message: `An object has at most ${METADATA_KEYS_MOST} metadata keys. Remove some with empty texts.`,
    })
  }
  return Object.fromEntries(merged)
}

/** What the changed fields were before: `data.previous_attributes` of an update's event. */
export function changedFrom<Row extends object>(
  object: { encode(row: never): string },
  before: Row,
  after: Row,
): Record<string, unknown> {
  const shown = (row: Row) => JSON.parse(object.encode(row as never)) as Record<string, unknown>
  const now = shown(after)
  return Object.fromEntries(
    Object.entries(shown(before)).filter(
      ([key, value]) => JSON.stringify(value) !== JSON.stringify(now[key]),
    ),
  )
}
