/** One line of JSON to texts: numbers as they stand there, since a number of JavaScript would lose their last digits. */

/** Keys beyond ours are looked at no further; a row of a hundred is a whole document. */
export type Row = Record<string, unknown>

class NumberText {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

/** The object in this line; null when there is none. */
export function parseRow(line: string): Row | null {
  try {
    const value: unknown = JSON.parse(line, keepNumber)
    return typeof value === 'object' &&
      value !== null &&
      !Array.isArray(value) &&
      !(value instanceof NumberText)
      ? (value as Row)
      : null
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof RangeError) return null
    throw error
  }
}

function keepNumber(_: string, value: unknown, context?: { source?: string }): unknown {
  return typeof value === 'number' ? new NumberText(context?.source ?? `${value}`) : value
}

/** What a key says, as text; null when it is absent or null, undefined when it is no text and no number. */
export function textOf(row: Row, key: string): string | null | undefined {
  const value = Object.hasOwn(row, key) ? row[key] : null
  if (value === null) return null
  if (value instanceof NumberText) return value.text
  return typeof value === 'string' ? value.trim() : undefined
}
