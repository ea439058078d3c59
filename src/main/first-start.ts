/**
 * What a newcomer needs and nobody should have to type: an account, its test keys and a person who may sign in. Made
 * once, and written to `credentials.json`, which scripts read (docs: the names in it are a contract).
 */
import { randomBytes } from 'node:crypto'
import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { Database, Tx } from '#db'
import { createAccount, createApiKey, createUser, setPassword } from '#http'
import { type Clock, decodeId, encodeId } from '#kernel'
import { readPrivate, writePrivate } from './private-file.ts'

const Credentials = z.object({
  api_url: z.string(),
  account_id: z.string(),
  secret_key: z.string(),
  publishable_key: z.string(),
  dashboard_url: z.string(),
  dashboard_email: z.string(),
  dashboard_password: z.string(),
  simulator_url: z.string(),
})
export type Credentials = z.output<typeof Credentials>

export const credentialsFile = (data_dir: string): string => join(data_dir, 'credentials.json')

/** The file as it is, or null when there is none. Throws one sentence when it is not what we once wrote. */
export function readCredentials(data_dir: string): Credentials | null {
  const file = credentialsFile(data_dir)
  const text = readPrivate(file)
  if (text === null) return null
  try {
    return Credentials.parse(JSON.parse(text))
  } catch (error) {
    throw new Error(`${file} is damaged: remove it, and the next start makes new keys`, { cause: error })
  }
}

/** For a command that asks the server. Throws one sentence when there are none. */
export function demandCredentials(data_dir: string): Credentials {
  const credentials = readCredentials(data_dir)
  if (credentials !== null) return credentials
  throw new Error(
    `there is no ${credentialsFile(data_dir)}: start the server with "npm start". ${WHERE_LOOKED_FOR}`,
  )
}

/** Whoever has a server running reads above that there is none, and must learn why. */
export const WHERE_LOOKED_FOR =
  'If it is started already: commands look for its data in .bursar of the folder they are called in; change to the folder of the server, or set BURSAR_DATA_DIR to its data'

const ACCOUNT_NAME = 'Default'
/** RFC 2606: an address that reaches nobody. It is changed in the dashboard. */
const EMAIL = 'owner@example.com'
const PASSWORD_BYTES = 15
const SECRET_BYTES = 32

/** Processes of one database that start together: one makes the account, the others find it. */
const FIRST_START_LOCK = 4_242_004n

export interface Urls {
  api_url: string
  simulator_url: string
}

/**
 * The credentials of this installation, made where there are none. Null: the account was made by another machine of
 * the same database, which has the keys; `bursar keys create` makes more.
 */
export async function ensureCredentials(
  db: Database,
  clock: Clock,
  at: Urls & { data_dir: string; is_embedded: boolean },
  say: (line: string) => void,
): Promise<Credentials | null> {
  const urls = {
    api_url: at.api_url,
    dashboard_url: `${at.api_url}/dashboard`,
    simulator_url: at.simulator_url,
  }
  const known = readCredentials(at.data_dir)
  if (known !== null && (await hasAccount(db, known.account_id))) {
    const current = { ...known, ...urls }
    // The keys stay; where to find us may have changed with the settings.
    if (JSON.stringify(current) !== JSON.stringify(known)) write(at.data_dir, current)
    return current
  }
  const file = credentialsFile(at.data_dir)
  const secrets = await db.transaction(async tx => {
    await tx.run`select pg_advisory_xact_lock(${FIRST_START_LOCK})`
    const found = await firstAccount(tx)
    if (found === undefined) return makeAccount(db, clock)
    // Another machine of this database has its keys.
    if (!at.is_embedded) return null
    // The file was lost with the only copy of its keys; the account and its payments were not.
    say(`${file} was lost: made new keys and a new password (the old keys keep working)`)
    return makeKeys(db, clock, found.id)
  })
  if (known !== null)
    say(`${file} is of another database${secrets === null ? '' : `; it is now ${file}.old`}`)
  if (secrets === null) return null
  const credentials = {
    api_url: urls.api_url,
    account_id: encodeId('acct_', secrets.account_id),
    secret_key: secrets.secret_key,
    publishable_key: secrets.publishable_key,
    dashboard_url: urls.dashboard_url,
    dashboard_email: EMAIL,
    dashboard_password: secrets.password,
    simulator_url: urls.simulator_url,
  }
  if (known !== null) renameSync(file, `${file}.old`)
  write(at.data_dir, credentials)
  return credentials
}

const write = (data_dir: string, credentials: Credentials) =>
  writePrivate(credentialsFile(data_dir), `${JSON.stringify(credentials, null, 2)}\n`)

async function hasAccount(db: Database, account_id: string): Promise<boolean> {
  const id = decodeId('acct_', account_id)
  return id !== undefined && (await db.maybe`select id from accounts where id = ${id}`) !== undefined
}

/** Ids grow with time, so the first is the one that the first start made. */
const firstAccount = (tx: Tx) => tx.maybe<{ id: string }>`
  select id
  from accounts
  order by id
  limit 1`

async function makeAccount(db: Database, clock: Clock) {
  const account = await createAccount(db, clock, { name: ACCOUNT_NAME })
  return makeKeys(db, clock, account.id)
}

async function makeKeys(db: Database, clock: Clock, account_id: string) {
  const tenant = { account_id, livemode: false }
  const password = randomBytes(PASSWORD_BYTES).toString('base64url')
  const secret = await createApiKey(db, clock, { ...tenant, kind: 'secret' })
  const publishable = await createApiKey(db, clock, { ...tenant, kind: 'publishable' })
  const has_user = await setPassword(db, { email: EMAIL, password })
  if (!has_user) await createUser(db, clock, { account_id, email: EMAIL, password })
  return { account_id, secret_key: secret.key, publishable_key: publishable.key, password }
}

/** The key of this installation: BURSAR_SECRET, or one made once and kept in the data directory. */
export function installationSecret(settings: { secret: string | null; data_dir: string }): string {
  if (settings.secret !== null) return settings.secret
  const file = join(settings.data_dir, 'secret')
  const kept = readPrivate(file)?.trim()
  if (kept) return kept
  const made = randomBytes(SECRET_BYTES).toString('hex')
  writePrivate(file, `${made}\n`)
  return made
}
