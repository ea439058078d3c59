/**
 * What of a request and its answer may be kept. Three walls: values of `secret()` parameters are replaced, whatever they
 * are; what stands where the endpoint has no parameter (a security code sent under a wrong name) is replaced, and so is
 * a name that may be a card number; and all of it goes through the log's redaction, by the names of fields and the
 * shapes of values. A false mask costs a value in a log that people read; a miss costs a card number.
 */
import type { z } from 'zod'
import { mayNeedRedaction, REDACTED, redactFields, redactText } from '#metrics'
import { maskSecrets, NAME } from '../validate.ts'

/**
 * JSON characters kept of parameters, and of an answer: an object with its metadata, the first few of a list. A row then
 * stays below three of PostgreSQL's pages, and ten million requests below 100 GB even if all were as long.
 */
export const KEPT_LENGTH_MOST = 8_192
/** Longer texts are not even looked at: walking a megabyte would hold up the requests that wait. */
const LOOKED_AT_LENGTH_MOST = 131_072

/** Digits enough for a card number, check digit or none: no name has so many. */
const MANY_DIGITS = /\d(?:[ -]?\d){12}/
const ALL_MANY_DIGITS = /\d(?:[ -]?\d){12,}/g

/** What is asked of an endpoint: its schema, and whether the parameters were found to fit it. */
export interface Asked {
  readonly schema: z.ZodType
  /** Whether any of them is secret. */
  readonly has_secrets: boolean
  readonly are_accepted: boolean
  /** Of the body or query they came in. */
  readonly length: number
}

/** The parameters as JSON text, masked and cut. */
export function maskedParams(asked: Asked, raw: Record<string, unknown>): string {
  if (asked.length > LOOKED_AT_LENGTH_MOST) return tooLong(asked.length)
  if (asked.are_accepted && !asked.has_secrets) {
    const json = JSON.stringify(raw)
    if (!mayNeedRedaction(json)) return cut(json)
  }
  const without_secrets = maskSecrets(asked.schema, raw, () => REDACTED)
  return cut(JSON.stringify(redactFields(known(asked.schema, without_secrets) as object)))
}

/** A member of every intent's answer. */
const CLIENT_SECRET = /"client_secret":"[^"]*"/g

/** An answer as JSON text, masked and cut. It is taken apart only when something in it may have to go. */
export function maskedAnswer(body: string): string {
  if (body.length > LOOKED_AT_LENGTH_MOST) return tooLong(body.length)
  if (mayNeedRedaction(body.replace(CLIENT_SECRET, '""'))) {
    return cut(JSON.stringify(redactFields(JSON.parse(body) as object)))
  }
  return cut(body.replace(CLIENT_SECRET, `"client_secret":"${REDACTED}"`))
}

/** The path of a parameter (`metadata.order_id`); the name of a stranger's making may be a card number. */
export const maskedParamPath = (path: string): string => redactText(path.replace(ALL_MANY_DIGITS, REDACTED))

/** A path as it was called. What is percent-encoded hides its shape: then the path that it means is kept, masked. */
export function maskedPath(path: string): string {
  if (!path.includes('%')) return redactText(path)
  let meant: string
  try {
    meant = decodeURIComponent(path)
  } catch {
    return redactText(path)
  }
  const masked = redactText(meant)
  return masked === meant ? redactText(path) : masked
}

/** An error names parameters, whose names may be a stranger's: no run of digits in it but those of our ids. */
export function maskedError(body: string): string {
  if (!MANY_DIGITS.test(body) || body.length > LOOKED_AT_LENGTH_MOST) return maskedAnswer(body)
  return maskedAnswer(
    JSON.stringify(JSON.parse(body), (_name, value: unknown) =>
      typeof value === 'string' && !OWN_ID.test(value) ? value.replace(ALL_MANY_DIGITS, REDACTED) : value,
    ),
  )
}
const OWN_ID = /^[a-z]{2,6}_[0-9a-z]{26}$/

const tooLong = (length: number): string => JSON.stringify(`… (${length} characters)`)

/** Past the limit a text with the beginning, so that what is kept is JSON in any case. */
function cut(text: string): string {
  if (text.length <= KEPT_LENGTH_MOST) return text
  return JSON.stringify(`${text.slice(0, KEPT_LENGTH_MOST).toWellFormed()}… (${text.length} characters)`)
}

/** A copy with strays and unfit names replaced. Works on what the caller sent, parsed or refused. */
function known(schema: z.core.$ZodType, value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value
  const def = (schema as z.core.$ZodTypes)._zod.def
  switch (def.type) {
    case 'pipe':
      return known(def.in, value)
    case 'optional':
    case 'nullable':
    case 'default':
    case 'prefault':
    case 'nonoptional':
    case 'readonly':
      return known(def.innerType, value)
    case 'array':
      return Array.isArray(value) ? value.map(element => known(def.element, element)) : REDACTED
    case 'union': {
      // The first branch that wants an object or a list at all: others would call the whole of it a stray.
      const branches = def.options.map(option => known(option, value))
      return branches.find(branch => branch !== REDACTED) ?? REDACTED
    }
    case 'object':
      return members(value, name => (Object.hasOwn(def.shape, name) ? def.shape[name] : undefined))
    case 'record':
      return members(value, () => def.valueType)
    default:
      return REDACTED
  }
}

function members(value: object, schemaOf: (name: string) => z.core.$ZodType | undefined): unknown {
  if (Array.isArray(value)) return REDACTED
  const kept: Record<string, unknown> = {}
  for (const [name, member] of Object.entries(value)) {
    const schema = schemaOf(name)
    const is_fit = !MANY_DIGITS.test(name) && (schema !== undefined || NAME.test(name))
    kept[is_fit ? redactText(name) : REDACTED] = schema === undefined ? REDACTED : known(schema, member)
  }
  return kept
}
