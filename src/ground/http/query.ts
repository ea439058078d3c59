/**
 * Query strings as the house writes them: `limit=20&created_at[gte]=2026-01-01T00:00:00Z&expand[]=customer` becomes
 * `{ limit: '20', created_at: { gte: '…' }, expand: ['customer'] }`. Every value is text; parseParams, which knows the
 * schema, makes numbers of those that must be. What is ambiguous is refused, never guessed.
 */
import { ApiError } from '#kernel'

/** What common proxies let through in a request line; a longer one would work here and fail in production. */
const LENGTH_MAX = 8_192
/** Twenty times what the richest list takes; far below what would cost time. */
const PAIRS_MAX = 200
/** `created_at[gte]` needs 2; the rest is for resources to come. */
const DEPTH_MAX = 4

const KEY = /^([^[\]]+)((?:\[[^[\]]*\])*)$/

interface Query {
  [name: string]: string | string[] | Query
}

/** Throws ApiError `parameter_invalid`. Names are own properties of objects without a prototype. */
export function parseQuery(querystring: string): Record<string, unknown> {
  if (querystring.length > LENGTH_MAX) {
    throw new ApiError('parameter_invalid', {
      message: `The query is longer than ${LENGTH_MAX} characters. Send fewer filters.`,
    })
  }
  const pairs = querystring.split('&').filter(pair => pair !== '')
  if (pairs.length > PAIRS_MAX) {
    throw new ApiError('parameter_invalid', {
      message: `The query has more than ${PAIRS_MAX} parameters. Send fewer filters.`,
    })
  }
  const query = Object.create(null) as Query
  for (const pair of pairs) {
    const equals = pair.indexOf('=')
    const name = equals < 0 ? pair : pair.slice(0, equals)
    put(query, stepsOf(decoded(name)), equals < 0 ? '' : decoded(pair.slice(equals + 1)))
  }
  return query
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text.replaceAll('+', ' '))
  } catch (cause) {
    throw new ApiError('parameter_invalid', {
      message: 'The query is not valid percent-encoded UTF-8. Encode names and values.',
      cause,
    })
  }
}

/** `created_at[gte]` → ['created_at', 'gte']. */
function stepsOf(name: string): string[] {
  const match = KEY.exec(name)
  const steps = match ? [match[1] as string, ...(match[2] as string).slice(1, -1).split('][')] : []
  if (match?.[2] === '') steps.pop()
  if (steps.length === 0 || steps.length > DEPTH_MAX) {
    throw new ApiError('parameter_invalid', {
      message: `A query parameter is malformed. Write it like limit=20, created_at[gte]=… or expand[]=….`,
    })
  }
  return steps
}

function put(query: Query, steps: string[], value: string): void {
  const name = steps[0] as string
  const refuse = (message: string) => {
    // Only a name that looks like one is repeated: what stands in its place may be a value that went astray.
    const param = /^\w{1,64}$/.test(name) ? name : undefined
    throw new ApiError('parameter_invalid', {
      message: `${param ?? 'A query parameter'} ${message}`,
      ...(param && { param }),
    })
  }
  let target = query
  for (let i = 0; i < steps.length - 1; i++) {
    const step = steps[i] as string
    const is_list = i === steps.length - 2 && /^\d*$/.test(steps[i + 1] as string)
    const existing = target[step]
    if (is_list) {
      const list = existing ?? []
      if (!Array.isArray(list)) return refuse('is given both as a list and as a single value.')
      // `expand[]` and `expand[0]` both append; an index that skips or repeats one would reorder silently.
      const index = steps[i + 1] as string
      if (index !== '' && index !== String(list.length)) return refuse('must number its elements 0, 1, 2, ….')
      list.push(value)
      target[step] = list
      return
    }
    if (existing !== undefined && (typeof existing === 'string' || Array.isArray(existing))) {
      return refuse('is given both with and without brackets.')
    }
    target[step] = existing ?? (Object.create(null) as Query)
    target = target[step] as Query
  }
  const last = steps.at(-1) as string
  if (last === '') return refuse('has empty brackets where a name belongs.')
  if (target[last] !== undefined) return refuse('is given more than once. Send it once.')
  target[last] = value
}
