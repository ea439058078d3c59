/** References as banks give them, of which the first that is one becomes a row's id. */
import { type Fail, ID_SOURCES, type IdSource, type ReadOptions } from './statement.ts'

export type References = Partial<Record<IdSource, string | undefined>>

/** What stands where there is no reference. */
const NO_REFERENCE = /^(?:not ?provided|nonref|no ?ref|none|n\/a|0+)?$/i

/**
 * What ISO 20022 and SWIFT demand where a reference must stand and there is none. In a column that people name, `0` or
 * `none` may be somebody's id; these are nobody's.
 */
const PLACEHOLDER = /^(?:not ?provided|nonref)$/i

/** Most texts are told by their length alone: each row is asked. */
export const isPlaceholder = (text: string): boolean =>
  text.length >= 6 && text.length <= 12 && PLACEHOLDER.test(text)

export const isReference = (text: string | undefined): text is string =>
  text !== undefined && !NO_REFERENCE.test(text.trim())

/** Empty when there is none. */
export function chooseId(references: References, order: readonly IdSource[]): string {
  for (const source of order) {
    const text = references[source]
    if (isReference(text)) return text.trim()
  }
  return ''
}

export function idOrder({ id_from }: ReadOptions, usual: readonly IdSource[], fail: Fail) {
  if (id_from === undefined || id_from.length === 0) return usual
  if (id_from.some(source => !ID_SOURCES.includes(source)))
    fail(null, `a reference is one of ${ID_SOURCES.join(', ')}`, 'id_from')
  return id_from
}

/** A reversal or return names what it takes back, so it needs an id of its own. */
export const reversalOf = (id: string, is_reversal: boolean) =>
  is_reversal && id !== '' ? `${id}:reversal` : id
