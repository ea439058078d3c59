/**
 * From what a caller sent to what an endpoint is given: one strict parse, and for what does not fit one ApiError
 * whose code, path and sentence say what to change. No message holds a value that was sent: it may be a card number.
 */
import { z } from 'zod'
import { ApiError, type ErrorCode } from '#kernel'
import { facts } from './encoder.ts'

export { parseQuery } from './query.ts'

export type ParamSource = 'body' | 'query'

const compiled = new WeakMap<z.ZodType, z.ZodType>()

/**
 * Parses the body of a POST or DELETE or, with `query`, what parseQuery made of a query string, whose texts become
 * the numbers and booleans that the schema asks for. No body at all is an empty one. Throws ApiError.
 */
export function parseParams<Schema extends z.ZodType>(
  schema: Schema,
  raw: unknown,
  source: ParamSource = 'body',
): z.output<Schema> {
  const given = raw === undefined ? {} : source === 'query' ? fromText(schema, raw) : raw
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new ApiError('body_must_be_object')
  }
  let parser = compiled.get(schema)
  if (!parser) {
    parser = z.core.compile(schema)
    compiled.set(schema, parser)
  }
  const result = parser.safeParse(given)
  if (result.success) return result.data as z.output<Schema>
  throw errorOf(result.error.issues, given, source)
}

/**
 * Of many issues the caller gets one: an unknown name first, because a misspelt parameter is also a missing one, and
 * the name is what explains it.
 */
function errorOf(issues: readonly z.core.$ZodIssue[], given: object, source: ParamSource): ApiError {
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0]
  if (!issue) return new ApiError('parameter_invalid')
  const { code, path, message } = explain(issue, given, [])
  const param = pathText(path, source)
  return new ApiError(code, {
    message: param ? `${param} ${message}` : upperFirst(message),
    ...(param && { param }),
  })
}

interface Explanation {
  code: ErrorCode
  path: PropertyKey[]
  /** Goes on after the parameter's path: "must be …". */
  message: string
}

const kindNames: Record<string, string> = {
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object',
  record: 'an object',
  null: 'null',
}

function explain(issue: z.core.$ZodIssue, given: unknown, above: readonly PropertyKey[]): Explanation {
  const path = [...above, ...issue.path]
  const invalid = (message: string): Explanation => ({ code: 'parameter_invalid', path, message })
  switch (issue.code) {
    case 'unrecognized_keys':
      return {
        code: 'parameter_unknown',
        path: [...path, issue.keys[0] ?? ''],
        message: 'is not known here. Remove it, or check its spelling against /docs.',
      }
    case 'invalid_type':
      if (valueAt(given, path) === undefined) {
        return { code: 'parameter_missing', path, message: 'is required.' }
      }
      if (['int', 'number', 'bigint', 'nan'].includes(issue.expected)) {
        return {
          code: 'parameter_invalid_integer',
          path,
          message: `must be a whole number, sent as a JSON number without quotes or decimals${
            /amount/.test(String(path.at(-1))) ? ': 1000 for 10.00 USD' : ''
          }.`,
        }
      }
      return invalid(`must be ${kindNames[issue.expected] ?? 'another type of value'}.`)
    case 'too_small':
      return limited(issue.origin, path, `at least ${issue.minimum}`)
    case 'too_big':
      return limited(issue.origin, path, `at most ${issue.maximum}`)
    case 'invalid_value':
      if (valueAt(given, path) === undefined) {
        return { code: 'parameter_missing', path, message: 'is required.' }
      }
      return invalid(`must be ${oneOf(issue.values)}.`)
    case 'invalid_format':
      return invalid(`must be a valid ${issue.format}.`)
    case 'not_multiple_of':
      return { code: 'parameter_invalid_integer', path, message: `must be a multiple of ${issue.divisor}.` }
    case 'invalid_key':
    case 'invalid_element': {
      const inner = issue.issues[0]
      return inner ? explain(inner, given, path) : invalid('has an invalid value.')
    }
    case 'invalid_union': {
      // The branch that got furthest is the one the caller meant.
      const branches = issue.errors.flatMap(errors => errors[0] ?? [])
      const inner = branches.sort((a, b) => b.path.length - a.path.length)[0]
      if (inner) return explain(inner, given, path)
      const options = 'options' in issue ? issue.options : undefined
      return invalid(options ? `must be ${oneOf(options)}.` : 'has an invalid value.')
    }
    case 'custom':
      return {
        code: (issue.params?.['code'] as ErrorCode | undefined) ?? 'parameter_invalid',
        path,
        message: issue.message === 'Invalid input' ? 'has an invalid value.' : issue.message,
      }
  }
}

function limited(origin: string, path: PropertyKey[], limit: string): Explanation {
  switch (origin) {
    case 'string':
      return {
        code: 'parameter_invalid',
        path,
        message: `must be ${limit} ${isOne(limit) ? 'character' : 'characters'} long.`,
      }
    case 'array':
    case 'set':
      return {
        code: 'parameter_invalid',
        path,
        message: `must have ${limit} ${isOne(limit) ? 'element' : 'elements'}.`,
      }
    case 'number':
    case 'int':
    case 'bigint':
      return { code: 'parameter_invalid_integer', path, message: `must be ${limit}.` }
    default:
      return { code: 'parameter_invalid', path, message: `must be ${limit}.` }
  }
}

/** `at least 1`, and not `at least 11`. */
const isOne = (limit: string): boolean => limit.split(' ').at(-1) === '1'

function oneOf(values: readonly unknown[]): string {
  const texts = values.map(value => JSON.stringify(value))
  return texts.length === 1 ? String(texts[0]) : `one of ${texts.join(', ')}`
}

function valueAt(given: unknown, path: readonly PropertyKey[]): unknown {
  let value = given
  for (const step of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, step)) return undefined
    value = (value as Record<PropertyKey, unknown>)[step]
  }
  return value
}

/** Longest name that is repeated to the caller; ours are far shorter, and a message is no mirror. */
export const NAME = /^[A-Za-z_][\w-]{0,63}$/

/**
 * `items[0].price_id`, and in a query as the caller wrote it, `created_at[gte]`. A name that is not like a name ends
 * the path: what stands there may be a value that went astray.
 */
function pathText(path: readonly PropertyKey[], source: ParamSource): string {
  let text = ''
  for (const step of path) {
    if (typeof step === 'number') text += `[${step}]`
    else if (!NAME.test(String(step))) break
    else if (text === '') text = String(step)
    else text += source === 'query' ? `[${String(step)}]` : `.${String(step)}`
  }
  return text
}

const upperFirst = (message: string): string =>
  message.startsWith('is ') ? `A parameter ${message}` : `The request ${message}`

/** A whole number as a query may hold it: no sign but minus, no zeros in front, no more digits than 2^53 has. */
const INTEGER = /^(0|-?[1-9]\d{0,15})$/

/** The texts of a query become what the schema asks for where they can; what they cannot, the parse refuses. */
function fromText(schema: z.core.$ZodType, raw: unknown): unknown {
  const def = (schema as z.core.$ZodTypes)._zod.def
  switch (def.type) {
    case 'number':
      return typeof raw === 'string' && INTEGER.test(raw) ? Number(raw) : raw
    case 'boolean':
      return raw === 'true' ? true : raw === 'false' ? false : raw
    case 'pipe':
      return fromText(def.in, raw)
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
      return fromText(def.innerType, raw)
    case 'array':
      return Array.isArray(raw) ? raw.map(value => fromText(def.element, value)) : raw
    case 'union': {
      // `created_at=…` or `created_at[gte]=…`: the first branch that takes the value.
      for (const option of def.options) {
        const value = fromText(option, raw)
        if (z.safeParse(option, value).success) return value
      }
      return raw
    }
    case 'object': {
      if (typeof raw !== 'object' || raw === null || Array.isArray(raw)) return raw
      const shape = def.shape
      return Object.fromEntries(
        Object.entries(raw).map(([name, value]) => [
          name,
          Object.hasOwn(shape, name) ? fromText(shape[name] as z.core.$ZodType, value) : value,
        ]),
      )
    }
    default:
      return raw
  }
}

/**
 * A copy of parameters in which every value of a `secret()` field went through `mask`: for logs, and for what is kept
 * beside an idempotency key. Works on what the caller sent, before or after it was parsed.
 */
export function maskSecrets(
  schema: z.core.$ZodType,
  value: unknown,
  mask: (value: unknown) => unknown,
): unknown {
  if (value === undefined || value === null) return value
  if (facts.get(schema)?.is_secret) return mask(value)
  const def = (schema as z.core.$ZodTypes)._zod.def
  switch (def.type) {
    case 'pipe':
      return maskSecrets(def.in, value, mask)
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
      return maskSecrets(def.innerType, value, mask)
    case 'array':
      return Array.isArray(value) ? value.map(element => maskSecrets(def.element, element, mask)) : value
    case 'union':
      return def.options.reduce<unknown>((masked, option) => maskSecrets(option, masked, mask), value)
    case 'object': {
      if (typeof value !== 'object' || Array.isArray(value)) return value
      const shape = def.shape
      return Object.fromEntries(
        Object.entries(value).map(([name, member]) => [
          name,
          Object.hasOwn(shape, name) ? maskSecrets(shape[name] as z.core.$ZodType, member, mask) : member,
        ]),
      )
    }
    default:
      return value
  }
}
