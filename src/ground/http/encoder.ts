/**
 * Turns a schema into the function that writes its rows as JSON text. Answers, events and stored idempotent answers
 * are all text, several per payment, so the walk over the schema happens once, when the program starts, and what is
 * left per row is one call per field. `z.encode` is for values, validates again and is an order slower.
 */
import { z } from 'zod'
import { assert, type IdPrefix } from '#kernel'

/** Writes one value (never undefined; null only where the schema is nullable) as JSON text. */
export type EncodeText = (value: never) => string

/** What the house knows about a schema beside its shape. Kept by zod: `.describe()` and `.meta()` copies inherit it. */
export interface SchemaFacts {
  /** Row value → JSON text, where the two differ or a quicker way than the general one is known. */
  encode?: EncodeText
  /** The value must never be shown, stored or compared in clear. */
  is_secret?: true
  /** The field holds an id with this prefix. */
  id_prefix?: IdPrefix
  /** `expand[]` can put the object that the id names beside the field. */
  is_expandable?: true
}
export const facts = z.registry<SchemaFacts>()

/** JSON text that is made already: a page of a list, an object with its expansions. */
export class JsonText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** The value as the answer of an endpoint with this schema; text that is made already goes through untouched. */
export function encodeAnswer(schema: z.ZodType, value: object): string {
  return value instanceof JsonText ? value.text : encoderOf(schema)(value as never)
}

const encoders = new WeakMap<z.core.$ZodType, EncodeText>()

/** The compiled encoder of a schema, made on first use. Throws for kinds of schemas that no answer needs. */
export function encoderOf(schema: z.core.$ZodType): EncodeText {
  let encode = encoders.get(schema)
  if (!encode) {
    encode = facts.get(schema)?.encode ?? compile(schema as z.core.$ZodTypes)
    encoders.set(schema, encode)
  }
  return encode
}

function compile(schema: z.core.$ZodTypes): EncodeText {
  const def = schema._zod.def
  switch (def.type) {
    case 'string':
      return encodeText
    case 'boolean':
      return String
    case 'unknown':
    case 'any':
    case 'null':
      return JSON.stringify
    case 'number':
      return encodeNumber
    case 'literal':
    case 'enum':
      return encodeOneOf([...(schema._zod.values ?? [])])
    case 'nullable': {
      const encode = encoderOf(def.innerType)
      return (value: never) => (value === null ? 'null' : encode(value))
    }
    case 'optional':
    case 'nonoptional':
    case 'readonly':
    case 'default':
    case 'prefault':
      return encoderOf(def.innerType)
    case 'lazy':
      return (value: never) => encoderOf(def.getter())(value)
    case 'array': {
      const encode = encoderOf(def.element)
      return (values: readonly never[]) => `[${values.map(encode).join(',')}]`
    }
    case 'record': {
      const encode = encoderOf(def.valueType)
      return (value: Record<string, never>) =>
        `{${Object.keys(value)
          .map(key => `${JSON.stringify(key)}:${encode(value[key] as never)}`)
          .join(',')}}`
    }
    case 'object':
      return encodeFields('object', def.shape)
    default:
      throw new Error(`no JSON encoder for schemas of type ${def.type}`)
  }
}

/** Most texts need no escape, and to see that is quicker than to let JSON.stringify look for one. */
const PLAIN = /^[ !#-[\]-~]*$/
const encodeText = (value: string): string => (PLAIN.test(value) ? `"${value}"` : JSON.stringify(value))

function encodeNumber(value: number): string {
  assert(Number.isFinite(value), 'a number in an answer is finite')
  return String(value)
}

/** The texts of a closed set are made once, and a row that holds something else is our own mistake: say so. */
function encodeOneOf(values: readonly unknown[]): EncodeText {
  const texts = new Map(values.map(value => [value, JSON.stringify(value)]))
  return (value: unknown) => {
    const text = texts.get(value)
    if (text === undefined) throw new Error(`an answer holds one of ${[...texts.values()].join(', ')}`)
    return text
  }
}

interface Field {
  readonly key: string
  /** `,"amount":` */
  readonly opening: string
  readonly encode: EncodeText
  readonly may_be_absent: boolean
  /** `,"amount":null`, unless null is no value of the field. */
  readonly null_member: string | undefined
  /** The whole member where it is the same in every row (`,"object":"refund"`): no column holds it. */
  readonly constant: string | undefined
}

/** The encoder of an object's fields, in their declared order. */
export function encodeFields(name: string, shape: z.core.$ZodShape): EncodeText {
  const fields = Object.entries(shape).map(([key, schema]): Field => {
    const opening = `,${JSON.stringify(key)}:`
    const is_literal = (schema as z.core.$ZodTypes)._zod.def.type === 'literal'
    const [value, ...others] = is_literal ? (schema._zod.values ?? []) : []
    return {
      key,
      opening,
      encode: encoderOf(schema),
      may_be_absent: schema._zod.optin === 'optional',
      null_member: acceptsNull(schema as z.core.$ZodTypes) ? `${opening}null` : undefined,
      constant: is_literal && others.length === 0 ? opening + JSON.stringify(value) : undefined,
    }
  })
  return (row: Record<string, never>) => {
    let text = ''
    for (const field of fields) {
      if (field.constant !== undefined) {
        text += field.constant
        continue
      }
      const value: unknown = row[field.key]
      if (value === null && field.null_member !== undefined) {
        text += field.null_member
        continue
      }
      if (value === undefined && field.may_be_absent) continue
      if (value === undefined || value === null) throw new Error(`the row of ${name} lacks ${field.key}`)
      text += field.opening + field.encode(value as never)
    }
    // Every member begins with a comma; the first one's gives way to the brace.
    return text === '' ? '{}' : `{${text.slice(1)}}`
  }
}

function acceptsNull(schema: z.core.$ZodTypes): boolean {
  const def = schema._zod.def
  switch (def.type) {
    case 'nullable':
    case 'null':
    case 'unknown':
    case 'any':
      return true
    case 'optional':
    case 'nonoptional':
    case 'readonly':
    case 'default':
    case 'prefault':
      return acceptsNull(def.innerType as z.core.$ZodTypes)
    case 'lazy':
      return acceptsNull(def.getter() as z.core.$ZodTypes)
    default:
      return false
  }
}
