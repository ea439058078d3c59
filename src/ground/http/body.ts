/**
 * Reads a JSON body that may be hostile. What two readers could understand differently is refused rather than guessed
 * at (duplicate names; RFC 7493, 2.3), as is what PostgreSQL's text cannot hold (NUL, halves of surrogate pairs) and
 * what could run the stack out (depth, found on the bytes before anything recursive sees them).
 */
import { isUtf8 } from 'node:buffer'
import { ApiError } from '#kernel'
import { BODY_DEPTH_MOST } from './limits.ts'
import { NAME } from './validate.ts'

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** The object in a body; an empty body is an object without members. Throws ApiError for everything else. */
export function readJsonObject(body: Buffer | undefined): Record<string, unknown> {
  if (body === undefined || body.length === 0) return {}
  if (!isUtf8(body)) throw new ApiError('invalid_json', { message: 'The body is not valid UTF-8.' })
  const { members, has_escapes } = scan(body)
  const value = parse(body)
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new ApiError('body_must_be_object')
  }
  if (inspect(value, [], has_escapes) !== members) {
    throw new ApiError('invalid_json', { message: 'The body names a member of an object twice.' })
  }
  return value as Record<string, unknown>
}

/** The parser's own message quotes the body, which may hold a card number: it goes no further. */
function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'))
  } catch {
    throw new ApiError('invalid_json')
  }
}

/** One pass over the bytes: how many `name:` there are, and whether any string has an escape. */
function scan(body: Buffer): { members: number; has_escapes: boolean } {
  let depth = 0
  let members = 0
  let has_escapes = false
  let in_string = false
  for (let i = 0; i < body.length; i++) {
    const byte = body[i]
    if (in_string) {
      if (byte === BACKSLASH) {
        has_escapes = true
        i += 1
      } else if (byte === QUOTE) in_string = false
    } else if (byte === QUOTE) in_string = true
    else if (byte === COLON) members += 1
    else if (byte === OPEN_BRACE || byte === OPEN_BRACKET) {
      depth += 1
      if (depth > BODY_DEPTH_MOST) {
        throw new ApiError('invalid_json', {
          message: `The body is nested more than ${BODY_DEPTH_MOST} levels deep.`,
        })
      }
    } else if (byte === CLOSE_BRACE || byte === CLOSE_BRACKET) depth -= 1
  }
  return { members, has_escapes }
}

type Path = (string | number)[]

/** Counts the members of every object inside `value`, and refuses what cannot be kept or compared. */
function inspect(value: unknown, path: Path, has_escapes: boolean): number {
  if (typeof value === 'string') {
    if (has_escapes) refuseUnstorable(value, path)
    return 0
  }
  if (typeof value === 'number') {
    if (!Number.isFinite(value)) refuse('parameter_invalid', path, 'is larger than any number can be.')
    return 0
  }
  if (value === null || typeof value !== 'object') return 0
  let members = 0
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      path.push(i)
      members += inspect(value[i], path, has_escapes)
      path.pop()
    }
    return members
  }
  for (const name of Object.keys(value)) {
    if (has_escapes) refuseUnstorable(name, path)
    path.push(name)
    // JSON.parse makes it a plain member, but the first copy of the object would make it the prototype.
    if (name === '__proto__') refuse('parameter_unknown', path, 'is not a parameter.')
    members += 1 + inspect((value as Record<string, unknown>)[name], path, has_escapes)
    path.pop()
  }
  return members
}

function refuseUnstorable(text: string, path: Path): void {
  if (text.includes('\0') || !text.isWellFormed()) {
    refuse(
      'parameter_invalid',
      path,
      'holds a NUL character or half of a surrogate pair, which cannot be stored.',
    )
  }
}

function refuse(code: 'parameter_invalid' | 'parameter_unknown', path: Path, what: string): never {
  const param = pathText(path)
  throw new ApiError(code, { param, message: `${param} ${what}` })
}

/** `items[0].price_id`; the body itself is `body`. */
function pathText(path: Path): string {
  // A name that is no name may be anything, a card number too: the path is told as far as it is one.
  const odd = path.findIndex(step => typeof step === 'string' && !NAME.test(step))
  const told = odd === -1 ? path : path.slice(0, odd)
  const text = told.map(step => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('')
  return text === '' ? 'body' : text.replace(/^\./, '')
}
