/**
 * One tagged template for all SQL. Values become parameters, never text; a nested fragment is spliced in. Nothing
 * else in the house builds SQL text, so injection has no way in.
 */

/** A piece of SQL with its values, to be nested in another: column lists, optional filters. */
export class Fragment {
  readonly strings: readonly string[]
  readonly values: readonly unknown[]

  constructor(strings: readonly string[], values: readonly unknown[]) {
    this.strings = strings
    this.values = values
  }
}

/** Builds a fragment: sql`and status = ${status}`. */
export function sql(strings: TemplateStringsArray, ...values: unknown[]): Fragment {
  return new Fragment(strings, values)
}

/** Splices trusted text that is not a value (a column list from the code). Never given anything from outside. */
export function raw(text: string): Fragment {
  return new Fragment([text], [])
}

/** Joins fragments: joinSql(filters, ' and '). */
export function joinSql(fragments: readonly Fragment[], separator: string): Fragment {
  const values: unknown[] = []
  const strings = ['']
  fragments.forEach((fragment, i) => {
    strings[strings.length - 1] += i === 0 ? '' : separator
    append(strings, values, fragment)
  })
  return new Fragment(strings, values)
}

function append(strings: string[], values: unknown[], fragment: Fragment): void {
  fragment.strings.forEach((text, i) => {
    strings[strings.length - 1] += text
    if (i === fragment.strings.length - 1) return
    const value = fragment.values[i]
    if (value instanceof Fragment) append(strings, values, value)
    else {
      values.push(value)
      strings.push('')
    }
  })
}

export interface Statement {
  /** The statement's name on the server; the same text has the same name, so each connection prepares it once. */
  name: string
  text: string
  values: unknown[]
}

const namesByText = new Map<string, string>()

/**
 * A text with optional filters has few variants; thousands would mean that values leak into texts, and each costs
 * memory on every connection. So there is a limit, far above what the code can produce.
 */
const STATEMENTS_MOST = 2_000

/** The text with $1, $2, … and a stable name for its preparation. */
export function compile(strings: readonly string[], values: readonly unknown[]): Statement {
  const parts = ['']
  const flat: unknown[] = []
  append(parts, flat, new Fragment(strings, values))
  let text = parts[0] as string
  for (let i = 1; i < parts.length; i++) text += `$${i}${parts[i]}`
  let name = namesByText.get(text)
  if (name === undefined) {
    if (namesByText.size >= STATEMENTS_MOST) throw new Error('more distinct SQL texts than the code can have')
    name = `s${namesByText.size}`
    namesByText.set(text, name)
  }
  return { name, text, values: flat }
}

/** A PostgreSQL array literal of values without quotes, commas or braces (uuids, integers): no escaping needed. */
export const plainArray = (values: readonly (string | bigint | number | boolean)[]): string =>
  `{${values.join(',')}}`
