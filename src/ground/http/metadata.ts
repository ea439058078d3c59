/** Changing the callers' own notes as Stripe's callers expect it: merged by key. */
import type { z } from 'zod'
import { ApiError } from '#kernel'
import { METADATA_KEYS_MOST, metadata } from './schema.ts'

/** Keys to set; an empty text removes the key; null removes all. */
export const metadataChange = metadata
  .nullable()
  .describe('Keys are merged into those that are there; an empty text removes its key, null removes all.')
export type MetadataChange = z.output<typeof metadataChange>

/** Throws `parameter_invalid` when the merged whole has too many keys. */
export function mergeMetadata(
  known: Record<string, string>,
  change: MetadataChange | undefined,
): Record<string, string> {
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
