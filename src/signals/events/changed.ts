/** What an update changed, for its event. */

/** What the changed fields were before: `data.previous_attributes`. `object` shows a row. */
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
