/** `bursar keys`: API keys from the command line; a key can make no keys, so this is where they come from. */
import type { Command } from 'commander'
import type { Database, Db } from '#db'
import type { ApiKey, KeyKind } from '#http'
import { chooseAccount } from './account.ts'
import { withDatabase } from './database.ts'

const TYPES: readonly KeyKind[] = ['secret', 'publishable', 'restricted']

interface CreateOptions {
  account?: string
  type: string
  scope: string[]
  live?: boolean
  json?: boolean
}

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nExamples:\n  bursar keys create --type restricted --scope payment_intents:write --scope customers:read\n' +
      '  bursar keys list\n  bursar keys revoke key_01jd…',
  )
  command
    .command('create')
    .description('Make a key. It is shown this once and kept nowhere.')
    .option('--account <id>', 'for which account (acct_…); needed only when there are several')
    .option('--type <type>', TYPES.join(' | '), 'secret')
    .option('--scope <scope...>', 'of a restricted key: payment_intents:write, customers:read, …', [])
    .option('--live', 'for live mode instead of test mode')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar keys create --type restricted --scope refunds:write')
    .action((options: CreateOptions) => withDatabase('keys', db => create(db, options)))
  command
    .command('list')
    .description('List the keys of an account, newest first, revoked ones included.')
    .option('--account <id>', 'of which account (acct_…); needed only when there are several')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar keys list --json')
    .action((options: { account?: string; json?: boolean }) => withDatabase('keys', db => list(db, options)))
  command
    .command('revoke <id>')
    .description('Revoke a key; within five seconds no server accepts it.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar keys revoke key_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) => withDatabase('keys', db => revoke(db, id, options)))
}

async function create(db: Database, options: CreateOptions): Promise<void> {
  const [{ createApiKey }, { systemClock }, { print }] = await Promise.all([
    import('#http'),
    import('#kernel'),
    import('./output.ts'),
  ])
  const kind = TYPES.find(type => type === options.type)
  if (kind === undefined) throw new Error(`--type must be one of ${TYPES.join(', ')}`)
  const account_id = await chooseAccount(db, options.account)
  const made = await createApiKey(db, systemClock, {
    account_id,
    livemode: options.live ?? false,
    kind,
    scopes: options.scope,
  })
  const shown = await toShow(made)
  print(options.json, { ...shown, key: made.key }, () =>
    [`${made.key}`, '', `Keep it now: it is not shown again. It is ${shown.id}.`].join('\n'),
  )
}

async function list(db: Database, options: { account?: string; json?: boolean }): Promise<void> {
  const [{ listApiKeys }, { print, table }] = await Promise.all([import('#http'), import('./output.ts')])
  const keys = await Promise.all(
    (await listApiKeys(db, await chooseAccount(db, options.account))).map(toShow),
  )
  print(options.json, { data: keys }, () =>
    table(
      ['id', 'type', 'mode', 'ends in', 'made', 'state', 'scopes'],
      keys.map(key => [
        key.id,
        key.type,
        key.livemode ? 'live' : 'test',
        key.hint,
        key.created_at,
        key.revoked_at === null ? 'active' : `revoked ${key.revoked_at}`,
        key.scopes.join(' '),
      ]),
    ),
  )
}

async function revoke(db: Database, id: string, options: { json?: boolean }): Promise<void> {
  const [{ revokeApiKey }, { decodeId, systemClock }, { print }] = await Promise.all([
    import('#http'),
    import('#kernel'),
    import('./output.ts'),
  ])
  const key_id = decodeId('key_', id)
  const found = key_id && (await ownerOfKey(db, key_id))
  if (!key_id || !found) throw new Error(`there is no key ${id}: see "bursar keys list"`)
  await revokeApiKey(db, systemClock, { account_id: found.account_id, id: key_id })
  print(options.json, { id, revoked: true }, () => `Revoked ${id}.`)
}

const ownerOfKey = (db: Db, key_id: string) => db.maybe<{ account_id: string }>`
  select account_id
  from api_keys
  where id = ${key_id}`

async function toShow(key: ApiKey) {
  const { encodeId } = await import('#kernel')
  return {
    id: encodeId('key_', key.id),
    account_id: encodeId('acct_', key.account_id),
    type: key.kind,
    livemode: key.livemode,
    scopes: key.scopes,
    hint: key.hint,
    created_at: key.created_at.toISOString(),
    expires_at: key.expires_at?.toISOString() ?? null,
    revoked_at: key.revoked_at?.toISOString() ?? null,
  }
}
