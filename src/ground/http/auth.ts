/**
 * Who calls. A key is found by its hash; what was found is kept for five seconds, so the hot path asks nothing and a
 * revocation elsewhere is felt within that time (in this process at once). Unknown keys are not kept: an attacker who
 * invents keys must not push real ones out.
 */
import type { Db } from '#db'
import { ApiError } from '#kernel'
import { hashOfKey, looksLikeKey, onRevocation } from './keys.ts'
import type { Caller, EndpointAuth } from './types.ts'

/** Keys in use at once by one process; a key and its caller cost some 500 bytes. */
const CACHED_MOST = 10_000
const CACHED_FOR_MS = 5_000

const CHALLENGE = { 'WWW-Authenticate': 'Bearer realm="Bursar"' }

export interface Authenticator {
  /** The caller that an Authorization header names. Throws `api_key_missing` or `api_key_invalid` (401). */
  authenticate(authorization: string | undefined): Promise<Caller> | Caller
  close(): void
}

interface Cached {
  caller: Caller
  fresh_until_ms: number
}

/** `db` is the system's: a key is what tells whose rows may be seen. `now_ms` is a monotonic clock, for tests. */
export function createAuthenticator(db: Db, now_ms = () => performance.now()): Authenticator {
  const known = new Map<string, Cached>()
  // Callers that meet an unknown key at the same moment ask once.
  const asking = new Map<string, Promise<Caller>>()

  // A look-up under way when its key is revoked may have read the row as it was: it serves who asked before the
  // revocation and is not kept.
  const stop = onRevocation(hash => {
    known.delete(hash)
    asking.delete(hash)
  })

  function lookUp(hash: string): Promise<Caller> {
    const under_way = asking.get(hash)
    if (under_way) return under_way
    const asked = findCaller(db, hash).then(
      caller => {
        if (asking.get(hash) === asked) {
          asking.delete(hash)
          keep(hash, caller)
        }
        return caller
      },
      (error: unknown) => {
        if (asking.get(hash) === asked) asking.delete(hash)
        throw error
      },
    )
    asking.set(hash, asked)
    return asked
  }

  function keep(hash: string, caller: Caller): void {
    // A Map keeps the order of insertion: the first is the one that was looked up longest ago.
    known.delete(hash)
    if (known.size >= CACHED_MOST) known.delete(known.keys().next().value as string)
    known.set(hash, { caller, fresh_until_ms: now_ms() + CACHED_FOR_MS })
  }

  return {
    authenticate(authorization) {
      const key = keyIn(authorization)
      if (!looksLikeKey(key)) throw new ApiError('api_key_invalid', { headers: CHALLENGE })
      const hash = hashOfKey(key)
      const found = known.get(hash)
      return found && found.fresh_until_ms > now_ms() ? found.caller : lookUp(hash)
    },
    close: stop,
  }
}

async function findCaller(db: Db, hash: string): Promise<Caller> {
  const caller = await db.maybe<Caller>`
    select id as api_key_id, account_id, livemode, kind, scopes
    from api_keys
    where hash = decode(${hash}, 'hex')
      and revoked_at is null
      and (expires_at is null or expires_at > now())`
  if (!caller) throw new ApiError('api_key_invalid', { headers: CHALLENGE })
  return caller
}

const SCHEME = /^(bearer|basic) +(\S+) *$/i

/** The key in `Bearer <key>` or, as curl's -u sends it, in `Basic base64(<key>:)`. */
function keyIn(authorization: string | undefined): string {
  if (authorization === undefined || authorization === '') {
    throw new ApiError('api_key_missing', { headers: CHALLENGE })
  }
  const [, scheme, credentials] = SCHEME.exec(authorization) ?? []
  if (scheme === undefined || credentials === undefined) {
    throw new ApiError('api_key_missing', { headers: CHALLENGE })
  }
  if (scheme.length === 'basic'.length) {
    const [user] = Buffer.from(credentials, 'base64').toString('utf8').split(':', 1)
    return user ?? ''
  }
  return credentials
}

/** Throws when the caller may not use an endpoint of this kind (403). */
export function authorize(
  caller: Caller,
  endpoint: { auth: EndpointAuth; resource: string; is_write: boolean },
): void {
  switch (caller.kind) {
    case 'secret':
      if (endpoint.auth !== 'scoped') return
      throw new ApiError('scope_missing', {
        message: `A secret key cannot do this. Make a restricted key with the scope "${missingScope([], endpoint)}".`,
      })
    case 'publishable':
      if (endpoint.auth !== 'publishable') throw new ApiError('secret_key_required')
      return
    case 'restricted': {
      const scope = missingScope(caller.scopes, endpoint)
      if (scope === undefined) return
      throw new ApiError('scope_missing', { message: `This restricted key lacks the scope "${scope}".` })
    }
  }
}

/** Whether the caller may read what stands beside that which was asked for. */
export function mayRead({ kind, scopes }: Caller, resource: string): boolean {
  if (kind !== 'restricted') return kind === 'secret'
  return missingScope(scopes, { resource, is_write: false }) === undefined
}

/** The scope that a restricted key would need and does not have; write includes read. */
export function missingScope(
  scopes: readonly string[],
  { resource, is_write }: { resource: string; is_write: boolean },
): string | undefined {
  const write = `${resource}:write`
  const read = `${resource}:read`
  if (scopes.includes(write) || (!is_write && scopes.includes(read))) return undefined
  return is_write ? write : read
}
