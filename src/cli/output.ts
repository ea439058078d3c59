/** How commands speak: one JSON object for scripts, aligned text for people. */

/** Amounts are bigint inside and numbers in JSON, as in the API; beyond 2^53 they are text rather than wrong. */
const exact = (_name: string, value: unknown): unknown => {
  if (typeof value !== 'bigint') return value
  const number = Number(value)
  return Number.isSafeInteger(number) ? number : String(value)
}

export function print(is_json: boolean | undefined, value: object, forPeople: () => string): void {
  process.stdout.write(is_json ? `${JSON.stringify(value, exact)}\n` : `${forPeople()}\n`)
}

/** Columns as wide as their widest cell, two spaces apart. Columns named in `right` hold numbers. */
export function table(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  right: number[] = [],
): string {
  const widths = header.map((title, column) =>
    Math.max(title.length, ...rows.map(row => (row[column] ?? '').length)),
  )
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, column) => {
        const width = widths[column] ?? 0
        return right.includes(column) ? cell.padStart(width) : cell.padEnd(width)
      })
      .join('  ')
      .trimEnd()
  return [line(header), line(widths.map(width => '─'.repeat(width))), ...rows.map(line)].join('\n')
}
