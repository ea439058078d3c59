/** Whose books a command is about, and what its options say. */
import type { Command } from 'commander'
import type { Database } from '#db'
import type { IdPrefix, Tenant } from '#kernel'

/** Options of every command that reads or adjusts the books of one account. */
export interface TenantOptions {
  account?: string
  live?: boolean
  json?: boolean
}

export const tenantOptions = (command: Command): Command =>
  command
    .option('--account <id>', 'of which account (acct_…); needed only when there are several')
    .option('--live', 'of live mode instead of test mode')
    .option('--json', 'print one JSON object instead of text')

export async function tenantOf(db: Database, { account, live = false }: TenantOptions): Promise<Tenant> {
  const { chooseAccount } = await import('../account.ts')
  return { account_id: await chooseAccount(db, account), livemode: live }
}

/** An instant as the API takes it, or a day, which begins at midnight UTC. */
export function instantOf(text: string): Date {
  const instant = new Date(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
  const is_whole = /^\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\d(\.\d{1,3})?Z)?$/.test(text)
  if (!is_whole || Number.isNaN(instant.getTime()) || !instant.toISOString().startsWith(text.slice(0, 10))) {
    throw new TypeError('a time is written like 2026-11-21 or 2026-11-21T09:30:00Z')
  }
  return instant
}

/** The uuid that a public id names. */
export async function uuidOf(prefix: IdPrefix, text: string): Promise<string> {
  const { decodeId } = await import('#kernel')
  const uuid = decodeId(prefix, text)
  if (uuid === undefined) throw new TypeError(`"${text}" is no id that begins with ${prefix}`)
  return uuid
}
