/**
 * What makes two requests the same: sha-256 over the kind of caller, method, path and the canonical body (RFC 8785). A
 * stored answer is given before the endpoint asks for its own proof (a client_secret), so a browser must never be the
 * same as a server, of whom none is asked. Values of secret parameters (schema.ts marks them) are replaced by keyed
 * digests first: equal secrets stay equal, and no card number can be recovered from a key's row, not even by trying all
 * of them, without the installation's secret.
 */
import canonicalize from 'canonicalize'
import { createHmac, hash } from 'node:crypto'
import { z } from 'zod'
import { assert, type Tenant } from '#kernel'
import { CONFLICT_PARAMS_MOST } from './limits.ts'
import type { Caller } from './types.ts'
import { maskSecrets } from './validate.ts'

function canonical(value: unknown): string {
  const text = canonicalize(value)
  assert(text !== undefined, 'a JSON value has a canonical form')
  return text
}

/** Whether any parameter is secret: then the JSON Schema says `writeOnly` somewhere. Found once per endpoint. */
export const hasSecrets = (schema: z.ZodType): boolean =>
  JSON.stringify(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' })).includes('"writeOnly":true')

/**
 * The canonical body with its secrets replaced; `schema` is null when it has none. Digests differ between accounts, so
 * that one account's rows say nothing about another's cards. `secret` is the installation's.
 */
export function canonicalParams(
  schema: z.ZodType | null,
  raw: Record<string, unknown>,
  secret: string,
  { account_id }: Tenant,
): string {
  if (!schema) return canonical(raw)
  const digest = (value: unknown): string => {
    const keyed = createHmac('sha256', secret).update(account_id).update('\n').update(canonical(value))
    return `hmac:${keyed.digest('hex')}`
  }
  return canonical(maskSecrets(schema, raw, digest))
}

/**
 * Secret and restricted keys are one kind, the server's: a scope is asked for before any key is looked at. A server's
 * fingerprint says nothing of its kind, so that the keys of an installation from before browsers were told apart stay.
 */
export function fingerprintOf(kind: Caller['kind'], method: string, path: string, params: string): string {
  const caller = kind === 'publishable' ? 'publishable ' : ''
  return hash('sha256', `${caller}${method} ${path}\n${params}`, 'hex')
}

/** Paths of the parameters in which two canonical bodies differ: `items[0].price_id`. Never their values. */
export function differingParams(first: string, second: string): string[] {
  const paths: string[] = []
  compare(JSON.parse(first), JSON.parse(second), '', paths)
  return paths
}

function compare(a: unknown, b: unknown, path: string, paths: string[]): void {
  if (paths.length >= CONFLICT_PARAMS_MOST || a === b) return
  if (Array.isArray(a) && Array.isArray(b)) {
    const length = Math.max(a.length, b.length)
    for (let i = 0; i < length && paths.length < CONFLICT_PARAMS_MOST; i++) {
      compare(a[i], b[i], `${path}[${i}]`, paths)
    }
    return
  }
  if (isObject(a) && isObject(b)) {
    for (const name of new Set([...Object.keys(a), ...Object.keys(b)])) {
      compare(a[name], b[name], path === '' ? name : `${path}.${name}`, paths)
    }
    return
  }
  paths.push(path)
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
