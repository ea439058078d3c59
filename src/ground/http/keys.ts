/**
 * Accounts, their API keys and their users. A key is shown once, when it is made; the database keeps its sha-256, so
 * neither a stolen backup nor a log can call. Made by the command line and by the first start; a key can make no keys.
 */
import { hash as argon2id } from '@node-rs/argon2'
import { hash, randomInt } from 'node:crypto'
import type { Db } from '#db'
import { ApiError, assert, type Clock, newId, type Tenant } from '#kernel'
import type { Caller } from './types.ts'

export type KeyKind = Caller['kind']

const PREFIXES: Record<KeyKind, string> = { secret: 'sk', restricted: 'rk', publishable: 'pk' }

/** Letters and digits only: a double click selects a key whole, and no shell or URL changes it. */
const ALPHABET = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** 33 of 62 characters are 196 bits, more than 24 random bytes. */
const RANDOM_LENGTH = 33

const KEY_SHAPE = /^[srp]k_(?:test|live)_[0-9A-Za-z]{33}$/
const SCOPE_SHAPE = /^[a-z][a-z0-9_/]*:(?:read|write)$/

/** A text that cannot be a key is refused without asking the database. */
export const looksLikeKey = (text: string): boolean => KEY_SHAPE.test(text)

/** How a key is found: 32 bytes in the table, hex here. */
export const hashOfKey = (key: string): string => hash('sha256', key, 'hex')

export interface Account {
  id: string
  name: string
  created_at: Date
}

/** What is known of a key after it was made. Ids are uuids; `hint` is the key's last four characters. */
export interface ApiKey extends Tenant {
  id: string
  kind: KeyKind
  scopes: string[]
  hint: string
  created_at: Date
  expires_at: Date | null
  revoked_at: Date | null
}

/** Makes an account. `db` is the system's. */
export async function createAccount(db: Db, clock: Clock, account: { name: string }): Promise<Account> {
  const created_at = clock.now()
  const id = newId(created_at)
  await db.run`
    insert into accounts (id, name, created_at)
    values (${id}, ${account.name}, ${created_at})`
  return { id, name: account.name, created_at }
}

/** Makes a key; `key` in the answer is the only time it is seen. Scopes: only and always for restricted ones. */
export async function createApiKey(
  db: Db,
  clock: Clock,
  wanted: Tenant & { kind: KeyKind; scopes?: readonly string[]; expires_at?: Date },
): Promise<ApiKey & { key: string }> {
  const scopes = [...(wanted.scopes ?? [])]
  if ((wanted.kind === 'restricted') !== scopes.length > 0) {
    throw new ApiError('parameter_invalid', {
      param: 'scopes',
      message: 'A restricted key needs scopes, and no other kind has any.',
    })
  }
  const wrong = scopes.find(scope => !SCOPE_SHAPE.test(scope))
  if (wrong !== undefined) {
    throw new ApiError('parameter_invalid', {
      param: 'scopes',
      message: `"${wrong}" is no scope: write "payment_intents:write" or "customers:read".`,
    })
  }
  const key = makeKey(wanted.kind, wanted.livemode)
  const created_at = clock.now()
  const made: ApiKey = {
    id: newId(created_at),
    account_id: wanted.account_id,
    livemode: wanted.livemode,
    kind: wanted.kind,
    scopes,
    hint: key.slice(-4),
    created_at,
    expires_at: wanted.expires_at ?? null,
    revoked_at: null,
  }
  await db.run`
    insert into api_keys (id, account_id, livemode, kind, scopes, hash, hint, created_at, expires_at)
    values (
      ${made.id}, ${made.account_id}, ${made.livemode}, ${made.kind}, ${scopes},
      decode(${hashOfKey(key)}, 'hex'), ${made.hint}, ${created_at}, ${made.expires_at}
    )`
  return { ...made, key }
}

function makeKey(kind: KeyKind, livemode: boolean): string {
  let random = ''
  for (let i = 0; i < RANDOM_LENGTH; i++) random += ALPHABET[randomInt(ALPHABET.length)]
  return `${PREFIXES[kind]}_${livemode ? 'live' : 'test'}_${random}`
}

/** The keys of an account, both modes, newest first, revoked ones included. */
export function listApiKeys(db: Db, account_id: string): Promise<ApiKey[]> {
  return db.many<ApiKey>`
    select id, account_id, livemode, kind, scopes, hint, created_at, expires_at, revoked_at
    from api_keys
    where account_id = ${account_id}
    order by id desc
    limit ${KEYS_LISTED_MOST}`
}

/** An account has a handful; the limit only keeps a mistake from filling a terminal. */
const KEYS_LISTED_MOST = 1_000

const revocationListeners = new Set<(hash: string) => void>()

/** Tells who caches keys in this process of one that was revoked here. Answers the function that stops it. */
export function onRevocation(listener: (hash: string) => void): () => void {
  revocationListeners.add(listener)
  return () => revocationListeners.delete(listener)
}

/**
 * Revokes a key: at once in this process, within five seconds in others (auth.ts). Revoking twice keeps the first
 * time. Throws `resource_missing` for a key that this account does not have.
 */
export async function revokeApiKey(
  db: Db,
  clock: Clock,
  key: { account_id: string; id: string },
): Promise<void> {
  const revoked = await db.maybe<{ hash: string }>`
    update api_keys
    set revoked_at = coalesce(revoked_at, ${clock.now()})
    where account_id = ${key.account_id} and id = ${key.id}
    returning encode(hash, 'hex') as hash`
  if (!revoked) throw new ApiError('resource_missing', { param: 'id' })
  for (const listener of revocationListeners) listener(revoked.hash)
}

/** OWASP's floor for argon2id (password storage cheat sheet): 19 MiB, two passes, one lane; about 20 ms. */
const ARGON2 = { memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** Makes a person who may sign in to the dashboard. Answers the uuid. */
export async function createUser(
  db: Db,
  clock: Clock,
  user: { account_id: string; email: string; password: string },
): Promise<string> {
  const created_at = clock.now()
  const id = newId(created_at)
  const password_hash = await hashPassword(user.password)
  await db.run`
    insert into users (id, account_id, email, password_hash, created_at)
    values (${id}, ${user.account_id}, ${user.email}, ${password_hash}, ${created_at})`
  return id
}

/** Gives a person a new password. Answers false when nobody has that address. */
export async function setPassword(db: Db, user: { email: string; password: string }): Promise<boolean> {
  const password_hash = await hashPassword(user.password)
  const changed = await db.run`
    update users
    set password_hash = ${password_hash}
    where lower(email) = lower(${user.email})`
  return changed > 0
}

/** The package's default algorithm is argon2id; the table's CHECK refuses any other. */
function hashPassword(password: string): Promise<string> {
  assert(password.length >= 12, 'a password has at least 12 characters')
  return argon2id(password, ARGON2)
}
