/**
 * The fields that objects and parameters are made of, each one zod value: it checks what comes in, turns JSON into
 * what rows hold (an id's text into its uuid, an amount into a bigint, an instant into a Date), and knows how to
 * write the row's value as JSON again. From the same value come the TypeScript types and the OpenAPI document.
 */
import { z } from 'zod'
import { decodeId, encodeId, type ErrorCode, assert, type IdPrefix, idPrefixes } from '#kernel'
import { type Currency, currency as rulesOf, formatAmount, isCurrency } from '#money'
import { type EncodeText, encodeFields, facts, type SchemaFacts } from './encoder.ts'

/** The largest integer JSON readers agree on: beyond it a double loses units (RFC 8259, section 6). */
const JSON_INTEGER_MAX = BigInt(Number.MAX_SAFE_INTEGER)

interface Payload {
  value: unknown
  issues: z.core.$ZodRawIssue[]
}

/** Adds a refusal that carries its own code from the error table; parseParams turns it into an ApiError. */
export function refuse(payload: Payload, code: ErrorCode, message: string, path: PropertyKey[] = []): void {
  payload.issues.push({ code: 'custom', input: payload.value, message, path, params: { code } })
}

/** A copy of the schema with further facts; it inherits those it had. */
function withFacts<Schema extends z.ZodType>(schema: Schema, more: SchemaFacts): Schema {
  const copy = schema.clone()
  facts.add(copy, more)
  return copy
}

/** An id: uuid in rows, `pi_…` in JSON. A malformed id and another object's id are told apart from a missing object. */
export function id<Prefix extends IdPrefix>(prefix: Prefix) {
  const codec = z.codec(z.string(), z.string(), {
    decode(text, payload) {
      const uuid = decodeId(prefix, text)
      if (uuid === undefined) {
        const name = idPrefixes[prefix].replaceAll('_', ' ')
        refuse(payload, 'parameter_invalid', `must be the id of a ${name}, which begins with "${prefix}".`)
      }
      return uuid ?? ''
    },
    encode: uuid => encodeId(prefix, uuid),
  })
  const pattern = `^${prefix}[0-7][0-9a-hjkmnp-tv-z]{25}$`
  return withFacts(codec.meta({ pattern, examples: [`${prefix}01jd3x0yfae4qa9vrf2kz5m8wt`] }), {
    id_prefix: prefix,
    encode: (uuid: string) => `"${encodeId(prefix, uuid)}"`,
  })
}

function amountOf(wire: z.ZodNumber) {
  const codec = z.codec(wire, z.bigint(), {
    decode: number => BigInt(number),
    encode: bigint => Number(bigint),
  })
  return withFacts(codec, { encode: encodeAmount })
}

function encodeAmount(value: bigint): string {
  assert(value <= JSON_INTEGER_MAX && value >= -JSON_INTEGER_MAX, 'an amount in an answer is exact in JSON')
  return String(value)
}

/** Money to charge, refund, capture: a positive JSON integer in minor units, bigint in rows, at most 2^53 − 1. */
export const amount = amountOf(z.int().min(1)).describe(
  "A positive whole number in the currency's minor unit: 1099 is 10.99 USD, or 1099 JPY.",
)

/** A sum, a fee, what is left: as `amount`, but zero or more. */
export const amountOrZero = amountOf(z.int().min(0)).describe(
  "A whole number in the currency's minor unit, zero or more.",
)

/** A balance or a movement: as `amount`, but may be zero or negative. */
export const signedAmount = amountOf(z.int()).describe(
  "A whole number in the currency's minor unit, negative when money leaves.",
)

/** A count or a position that is no money: a number on both sides. Give limits with `.min()` and `.max()`. */
export const integer = z.int()

/** A lower-case ISO 4217 code known to #money. */
export const currency = z
  .string()
  .refine((code: string): code is Currency => isCurrency(code), {
    params: { code: 'currency_unknown' satisfies ErrorCode },
    error: 'must be a supported ISO 4217 currency in lower case, such as "usd".',
  })
  .meta({
    pattern: '^[a-z]{3}$',
    examples: ['usd'],
    description: 'Three-letter ISO 4217 code, lower case.',
  })

/**
 * Refuses an amount outside what may be charged in its currency. For `.check()` on a parameter object that has both,
 * under these names; a caller that takes only one of the two checks where it knows the other.
 */
export function chargeLimits(payload: {
  value: { amount?: bigint | undefined; currency?: Currency | undefined }
  issues: z.core.$ZodRawIssue[]
}): void {
  const { amount, currency } = payload.value
  // Also called when a field was refused already, with the value as it came.
  if (typeof amount !== 'bigint' || !isCurrency(currency)) return
  const { minimum_charge, maximum_charge } = rulesOf(currency)
  if (amount < minimum_charge) {
    const least = formatAmount(minimum_charge, currency)
    refuse(payload, 'amount_too_small', `must be at least ${minimum_charge} (${least}).`, ['amount'])
  } else if (amount > maximum_charge) {
    const most = formatAmount(maximum_charge, currency)
    refuse(payload, 'amount_too_large', `must be at most ${maximum_charge} (${most}).`, ['amount'])
  }
}

/** Milliseconds are what ids carry and what Date holds; finer instants would not survive the round trip. */
const INSTANT = /^(\d{4})-(\d\d)-(\d\d)T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,3})?Z$/
const EPOCH_YEAR = 1970
const DAY_MS = 86_400_000

/** The instant of an ISO 8601 UTC text, or undefined. Days that do not exist (30 February) are refused. */
function instantOf(text: string): Date | undefined {
  const match = INSTANT.exec(text)
  if (!match || Number(match[1]) < EPOCH_YEAR) return undefined
  const instant = new Date(text)
  // Date rolls 30 February over to March; a day that changed is no day.
  return instant.getUTCDate() === Number(match[3]) ? instant : undefined
}

/** An instant: Date in rows, ISO 8601 UTC with milliseconds in JSON; from 1970 to 9999. */
export const timestamp = withFacts(
  z
    .codec(z.string(), z.date(), {
      decode(text, payload) {
        const instant = instantOf(text)
        if (!instant) {
          refuse(
            payload,
            'parameter_invalid',
            'must be an ISO 8601 time in UTC, such as "2026-11-21T09:30:00Z".',
          )
        }
        return instant ?? new Date(0)
      },
      encode: instant => instant.toISOString(),
    })
    .meta({ format: 'date-time', examples: ['2026-11-21T09:30:00.000Z'] }),
  { encode: encodeInstant },
)

const two = Array.from({ length: 60 }, (_, n) => String(n).padStart(2, '0'))
let cached_day = Number.NaN
let cached_date = ''

/** `toISOString` in a third of its time: answers are about few days, so the day's text is kept from one to the next. */
function encodeInstant(instant: Date): string {
  const ms = instant.getTime()
  const day = Math.floor(ms / DAY_MS)
  if (day !== cached_day) {
    cached_date = instant.toISOString().slice(0, -'00:00:00.000Z'.length)
    cached_day = day
  }
  const rest = ms - day * DAY_MS
  const hour = two[Math.floor(rest / 3_600_000)]
  const minute = two[Math.floor(rest / 60_000) % 60]
  const second = two[Math.floor(rest / 1_000) % 60]
  return `"${cached_date}${hour}:${minute}:${second}.${String(rest % 1_000).padStart(3, '0')}Z"`
}

/** Whether PostgreSQL can keep the text and every reader agree on it: no NUL, no half of a surrogate pair. */
export const isStorableText = (text: string): boolean => text.isWellFormed() && !text.includes('\0')

const UNSTORABLE = 'must be well-formed Unicode text without NUL characters.'

/** Text of up to `max` UTF-16 units. */
export const text = (max: number) => z.string().max(max).refine(isStorableText, { error: UNSTORABLE })

/** Stripe's limits (docs.stripe.com/api/metadata): notes beside an object, not a document store. */
export const METADATA_KEYS_MOST = 50
const METADATA_KEY_LENGTH_MAX = 40
const METADATA_VALUE_LENGTH_MAX = 500

/** The caller's own notes: text by key, kept and returned, never interpreted. */
export const metadata = withFacts(
  z
    .record(z.string(), z.string())
    .check(checkMetadata)
    .meta({
      description: 'Your own notes: up to 50 keys of 40 characters with texts of up to 500 characters.',
      maxProperties: METADATA_KEYS_MOST,
      propertyNames: { type: 'string', minLength: 1, maxLength: METADATA_KEY_LENGTH_MAX },
      additionalProperties: { type: 'string', maxLength: METADATA_VALUE_LENGTH_MAX },
      examples: [{ order_id: '6735' }],
    }),
  { encode: JSON.stringify as EncodeText },
)

function checkMetadata(payload: z.core.ParsePayload<Record<string, string>>): void {
  const keys = Object.keys(payload.value)
  if (keys.length > METADATA_KEYS_MOST) {
    refuse(payload, 'parameter_invalid', `must have at most ${METADATA_KEYS_MOST} keys.`)
    return
  }
  for (const key of keys) {
    const value = payload.value[key] as string
    if (key.length === 0 || key.length > METADATA_KEY_LENGTH_MAX || !isStorableText(key)) {
      refuse(
        payload,
        'parameter_invalid',
        `must have keys of 1 to ${METADATA_KEY_LENGTH_MAX} characters of well-formed text.`,
      )
    } else if (value.length > METADATA_VALUE_LENGTH_MAX) {
      const message = `must be at most ${METADATA_VALUE_LENGTH_MAX} characters long.`
      refuse(payload, 'parameter_invalid', message, [key])
    } else if (!isStorableText(value)) refuse(payload, 'parameter_invalid', UNSTORABLE, [key])
  }
}

export const nullable = <Schema extends z.ZodType>(schema: Schema) => z.nullable(schema)

/** A parameter whose value is never echoed, logged or stored in clear: card numbers, security codes. */
export const secret = <Schema extends z.ZodType>(schema: Schema): Schema =>
  withFacts(schema.meta({ writeOnly: true }), { is_secret: true })

/**
 * An id field (its name ends in `_id`) that `expand[]` can follow: `customer_id` stays, and the object appears beside
 * it as `customer`. The target is the object of the prefix, found by name, so that two resources that point at each
 * other need not import each other; the target says how it is loaded (`loads`, expand.ts).
 */
export function expandable<Prefix extends IdPrefix>(prefix: Prefix) {
  return withFacts(id(prefix), { is_expandable: true })
}

/** The prefix of an id field, through nullable and optional. */
export function prefixOf(schema: z.core.$ZodType): IdPrefix | undefined {
  return factOf(schema, 'id_prefix')
}

/** A fact of a schema or of what it wraps. */
export function factOf<Name extends keyof SchemaFacts>(
  schema: z.core.$ZodType,
  name: Name,
): SchemaFacts[Name] | undefined {
  const fact = facts.get(schema)?.[name]
  if (fact !== undefined) return fact
  const def = (schema as z.core.$ZodTypes)._zod.def
  return def.type === 'nullable' || def.type === 'optional' ? factOf(def.innerType, name) : undefined
}

/** What a row of an object must have: its id, unless it has none, and its fields. Further columns are ignored. */
export type RowOf<Prefix extends IdPrefix | null, Fields extends z.ZodRawShape> = z.output<
  z.ZodObject<Fields>
> &
  (Prefix extends null ? unknown : { id: string })

type ObjectShape<Name extends string, Prefix extends IdPrefix | null, Fields extends z.ZodRawShape> = {
  object: z.ZodLiteral<Name>
} & (Prefix extends IdPrefix ? { id: ReturnType<typeof id<Prefix>> } : unknown) &
  Fields

/**
 * A resource as the outside sees it. It is a zod schema of its JSON (strict, so that a test which parses an answer
 * with it sees every surprise). `encode` and `toJson` take a row and take the place of zod's.
 */
export type ObjectSchema<
  Name extends string,
  Prefix extends IdPrefix | null,
  Fields extends z.ZodRawShape,
> = {
  readonly name: Name
  readonly prefix: Prefix
  /** Its expandable fields by the name they expand under: `customer` → `customer_id`. */
  readonly expansions: ReadonlyMap<string, Expansion>
  /** The row as JSON text, in declared field order. The way of every answer and event. */
  encode(row: RowOf<Prefix, Fields>): string
  /** The row as a JSON value, for the few who must look inside it. */
  toJson(
    row: RowOf<Prefix, Fields>,
  ): { object: Name } & z.input<z.ZodObject<Fields>> & (Prefix extends null ? unknown : { id: string })
} & z.ZodObject<z.core.util.Flatten<ObjectShape<Name, Prefix, Fields>>, z.core.$strict>

/** Any object, as the reference and the expander hold it. */
export type AnyObject = z.ZodType & {
  readonly name: string
  readonly prefix: IdPrefix | null
  readonly expansions: ReadonlyMap<string, Expansion>
  encode(row: never): string
}

/** An object whose rows are known to be at least `Row`. */
export type ObjectOf<Row> = { encode(row: Row): string } & AnyObject

export interface Expansion {
  readonly field: string
  readonly target_prefix: IdPrefix
}

const objectsByName = new Map<string, AnyObject>()

/** The object that ids with this prefix name. Its resource must be loaded, which catalog.ts sees to. */
export function objectOf(prefix: IdPrefix): AnyObject {
  const object = objectsByName.get(idPrefixes[prefix])
  assert(object !== undefined, `the object ${idPrefixes[prefix]} is declared`)
  return object
}

/** Every object declared so far. */
export const declaredObjects = (): readonly AnyObject[] => [...objectsByName.values()]

/** Declares a resource's object: `{ "id": "re_…", "object": "refund", …fields }`. */
export function object<
  const Name extends string,
  const Prefix extends IdPrefix | null,
  const Fields extends z.ZodRawShape,
>(name: Name, prefix: Prefix, fields: Fields): ObjectSchema<Name, Prefix, Fields> {
  assert(
    prefix === null || (idPrefixes[prefix] as string) === name,
    `ids with ${prefix} name the object ${name}`,
  )
  assert(!objectsByName.has(name), `the object ${name} is declared once`)
  const expansions = new Map<string, Expansion>()
  const shape: Record<string, z.ZodType> = {
    ...(prefix === null ? {} : { id: id(prefix) }),
    object: z.literal(name),
    ...(fields as unknown as Record<string, z.ZodType>),
  }
  // Made before the expansions join the shape: no row holds them, expand.ts writes them.
  const encode = encodeFields(name, shape)
  for (const [field, schema] of Object.entries(fields)) {
    const target_prefix = prefixOf(schema)
    if (!factOf(schema, 'is_expandable') || target_prefix === undefined) continue
    assert(field.endsWith('_id'), `the expandable field ${name}.${field} ends in _id`)
    const under = field.slice(0, -'_id'.length)
    expansions.set(under, { field, target_prefix })
    // A getter, because the target may be declared later, or point back here.
    Object.defineProperty(shape, under, {
      enumerable: true,
      get: () => objectOf(target_prefix).nullish(),
    })
  }
  const schema = z.strictObject(shape).meta({ id: name })
  facts.add(schema, { encode })
  const declared = Object.assign(schema, {
    name,
    prefix,
    expansions,
    encode,
    toJson: (row: never) => JSON.parse(encode(row)) as unknown,
  })
  objectsByName.set(name, declared)
  return declared as unknown as ObjectSchema<Name, Prefix, Fields>
}
