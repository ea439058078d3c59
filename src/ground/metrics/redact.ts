/**
 * The second wall between secrets and the log. The first wall is that no caller hands a secret over; this one assumes
 * that somebody will, and masks by the name of a field and by the shape of a value. A false mask costs one value in one
 * log line, a miss costs a card number, so doubt masks.
 *
 * It also makes any value safe to write: bigint and Date become JSON, errors become plain objects, circles end, and
 * nothing is unbounded.
 */

export const REDACTED = '[redacted]'

/** Names whose value is never written, whatever it is. Anchored where a longer name is harmless (`number_of_items`). */
const SECRET_NAME =
  /^(?:(?:proxy[-_])?authorization|(?:set[-_])?cookie|(?:card_?)?number|pan|cvc2?|cvv2?|iban|account_number|passwd|token|api_?key|evidence)$|secret|password|private_?key|_token$/i

/** As above for JSON that nobody has taken apart: a name of these may stand in it. Sees more than there is, never less. */
const SECRET_NAME_INSIDE =
  /"(?:(?:proxy[-_])?authorization|(?:set[-_])?cookie|(?:card_?)?number|pan|cvc2?|cvv2?|iban|account_number|passwd|token|api_?key|evidence)"|secret|password|private_?key|_token"/i

/** Field names are few; the bound keeps a caller that builds names from data from growing the cache for ever. */
const KNOWN_NAMES_MAX = 2_000
const knownNames = new Map<string, boolean>()

function isSecretName(name: string): boolean {
  let isSecret = knownNames.get(name)
  if (isSecret === undefined) {
    isSecret = SECRET_NAME.test(name)
    if (knownNames.size < KNOWN_NAMES_MAX) knownNames.set(name, isSecret)
  }
  return isSecret
}

/** One cheap test that nearly every string fails; only what passes is looked at closely. */
const SUSPICIOUS = /\d(?:[ -]?\d){12}|[rs]k_|whs(?:ec|k)_|_secret_|:\/\/[^\s/]*@|(?:bearer|basic) /i
const DIGIT_RUN = /\d(?:[ -]?\d){12,}/g
/** Ids are dense with digits by nature and longer than a card: a hex trace id, a uuid, prefix and 26 of base32. */
const OWN_ID =
  /^(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?![sr]k_|whs(?:ec|k)_)[a-z]{1,6}_[0-9a-z]{26})$/
const API_KEY = /(?<![A-Za-z0-9])([rs]k_(?:test_|live_)?)[A-Za-z0-9]\w*/g
/** Their base64 has more than letters. */
const WEBHOOK_SECRET = /(?<![A-Za-z0-9])(whs(?:ec|k)_)[\w+/=-]+/g
const CLIENT_SECRET = /_secret_\w+/g
const URL_PASSWORD = /(:\/\/[^\s/@:]*:)[^\s/]+@/g
const CREDENTIALS = /\b(bearer|basic) +[\w.~+/=-]{8,}/gi

/**
 * Whether JSON text may hold anything that redaction would change. Most text does not, and to see that costs a fifth of
 * parsing it, walking it and writing it again.
 */
export const mayNeedRedaction = (json: string): boolean =>
  SUSPICIOUS.test(json) || SECRET_NAME_INSIDE.test(json) || json.includes('\\u')

/** ISO/IEC 7812: a card number has 13 to 19 digits and ends in a Luhn check digit. */
const CARD_DIGITS_MIN = 13
const CARD_DIGITS_MAX = 19

function passesLuhn(digits: string): boolean {
  let sum = 0
  for (let i = digits.length - 1, is_doubled = false; i >= 0; i--, is_doubled = !is_doubled) {
    const digit = digits.charCodeAt(i) - 48
    sum += is_doubled ? (digit > 4 ? digit * 2 - 9 : digit * 2) : digit
  }
  return sum % 10 === 0
}

/** A run of digit groups (`500 4242 4242 4242 4242`) hides a card when any consecutive groups of it make one. */
function hidesCard(run: string): boolean {
  const groups = run.split(/[ -]/)
  for (let from = 0; from < groups.length; from++) {
    let digits = ''
    for (let to = from; to < groups.length && digits.length <= CARD_DIGITS_MAX; to++) {
      digits += groups[to]
      if (digits.length >= CARD_DIGITS_MIN && digits.length <= CARD_DIGITS_MAX && passesLuhn(digits))
        return true
    }
  }
  return false
}

/** Long enough for a stack trace; a line is a summary, not a document. */
const TEXT_LENGTH_MAX = 4_096

/** Masks card numbers, API keys, client secrets, bearer tokens and passwords in URLs wherever they stand in a text. */
export function redactText(text: string): string {
  let shown = text
  if (text.length > TEXT_LENGTH_MAX) {
    // A card number cut in two would no longer look like one: digits at the cut go with the rest.
    shown = `${text.slice(0, TEXT_LENGTH_MAX).replace(/[\d -]+$/, '')}… (${text.length} characters)`
  }
  if (!SUSPICIOUS.test(shown) || OWN_ID.test(shown)) return shown
  return shown
    .replace(DIGIT_RUN, run => (hidesCard(run) ? REDACTED : run))
    .replace(API_KEY, `$1${REDACTED}`)
    .replace(WEBHOOK_SECRET, `$1${REDACTED}`)
    .replace(CLIENT_SECRET, `_secret_${REDACTED}`)
    .replace(URL_PASSWORD, `$1${REDACTED}@`)
    .replace(CREDENTIALS, `$1 ${REDACTED}`)
}

/** Enough for a sentence and where it came from. */
const REASON_LENGTH_MAX = 500

/** Why something failed, fit to be kept and shown: masked, short, and without what PostgreSQL's text cannot hold. */
export function reasonOf(error: unknown): string {
  const message = redactText(error instanceof Error ? error.message : String(error))
  return message.replaceAll('\0', '').slice(0, REASON_LENGTH_MAX).toWellFormed() || 'no reason was given'
}

/** Values in one line, all levels together: a wide line has some forty, a whole list object has no place in it. */
const VALUES_MAX = 500
const DEPTH_MAX = 6

interface Budget {
  values: number
}

/** A copy of `fields` that is safe to write as JSON. `undefined` is left out; what exceeds a bound is named `'…'`. */
export function redactFields(fields: object): Record<string, unknown> {
  return redactObject(fields, 1, { values: VALUES_MAX })
}

function redactObject(fields: object, depth: number, budget: Budget): Record<string, unknown> {
  const safe: Record<string, unknown> = {}
  for (const name in fields) {
    const value = (fields as Record<string, unknown>)[name]
    if (value === undefined) continue
    if (--budget.values < 0) {
      safe['…'] = 'more values than a line may hold'
      break
    }
    // Who sends a card number as a name means no harm, and does it.
    const shown = name.length >= CARD_DIGITS_MIN ? redactText(name) : name
    safe[shown] = isSecretName(name) && value !== null ? REDACTED : redactValue(value, depth, budget)
  }
  return safe
}

function redactValue(value: unknown, depth: number, budget: Budget): unknown {
  switch (typeof value) {
    case 'string':
      return redactText(value)
    case 'number':
      return redactNumber(value)
    case 'bigint':
      return redactBigint(value)
    case 'boolean':
      return value
    case 'object':
      return value === null ? null : redactStructure(value, depth, budget)
    default:
      return `[${typeof value}]`
  }
}

const SMALLEST_CARD = 10 ** (CARD_DIGITS_MIN - 1)

function redactNumber(value: number): unknown {
  if (value < SMALLEST_CARD || !Number.isSafeInteger(value))
    return Number.isFinite(value) ? value : String(value)
  return passesLuhn(String(value)) ? REDACTED : value
}

/** Amounts are bigint: a JSON number while exact there, text beyond 2^53. */
function redactBigint(value: bigint): unknown {
  const small = Number(value)
  if (Number.isSafeInteger(small)) return redactNumber(small)
  const digits = String(value)
  return digits.length <= CARD_DIGITS_MAX && passesLuhn(digits) ? REDACTED : digits
}

function redactStructure(value: object, depth: number, budget: Budget): unknown {
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? 'invalid date' : value.toISOString()
  if (depth >= DEPTH_MAX) return '…'
  if (Array.isArray(value)) {
    const safe: unknown[] = []
    for (const item of value) {
      if (--budget.values < 0) {
        safe.push('…')
        break
      }
      safe.push(redactValue(item, depth + 1, budget))
    }
    return safe
  }
  if (value instanceof Error) return redactError(value, depth, budget)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (value instanceof Map || value instanceof Set) return `[${value.size} items]`
  return redactObject(value, depth + 1, budget)
}

/** Message and stack are text like any other; a database's `detail` quotes whole rows, so only what is listed is kept. */
function redactError(error: Error, depth: number, budget: Budget): Record<string, unknown> {
  const { code, constraint, cause } = error as Error & { code?: unknown; constraint?: unknown }
  budget.values -= 4
  return {
    type: error.name,
    message: redactText(error.message),
    ...(code === undefined ? {} : { code: redactValue(code, depth + 1, budget) }),
    ...(constraint === undefined ? {} : { constraint: redactValue(constraint, depth + 1, budget) }),
    ...(error.stack === undefined ? {} : { stack: redactText(error.stack) }),
    ...(cause === undefined ? {} : { cause: redactValue(cause, depth + 1, budget) }),
  }
}
