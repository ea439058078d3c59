/**
 * A thin body: that something happened, and to what, without what it looked like. For receivers that fetch the object
 * anyway, or must not keep what it holds. Made from the stored text and from nothing else, so each try sends the same.
 */
import { assert } from '#kernel'

/** Where an event's data begins. In JSON no text can hold this: a quote within one has a backslash before it. */
const DATA = ',"data":'

/** The event's text up to its data, which is its last member (#events). */
export function thinBody(stored: string): string {
  const end = stored.indexOf(DATA)
  assert(end > 0, 'an event ends in its data')
  return `${stored.slice(0, end)}}`
}
