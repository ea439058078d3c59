/** `bursar requests`: the request log from the command line, across accounts; and which clients reuse their keys. */
import type { Command } from 'commander'
import type { Database } from '#db'
import type { ConflictRate, ReusedKey } from '#http'
import { durationMs } from './duration.ts'
import type { RequestFound } from './requests-read.ts'

interface ConflictOptions {
  since: string
  account?: string
  json?: boolean
}

interface ListOptions extends ConflictOptions {
  status?: string
  key?: string
  limit: string
}

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nExamples:\n  bursar requests conflicts --since 24h\n  bursar requests show req_01jd…\n' +
      '  bursar requests list --status 409',
  )
  command
    .command('conflicts')
    .description(
      'Show which accounts and API keys use an Idempotency-Key for different requests, and how often.',
    )
    .option('--since <time>', 'how far back: 30m, 1h, 7d', '1h')
    .option('--account <id>', 'of this account alone (acct_…)')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nWhat to do about them: docs/runbooks/idempotency-keys-reused.md.\n' +
        'Example:\n  bursar requests conflicts --since 24h --json',
    )
    .action((options: ConflictOptions) => withDatabase(db => conflicts(db, options)))
  command
    .command('show <id>')
    .description('Show a request and its answer; and beside it the first use of its key, when it is not it.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar requests show req_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) => withDatabase(db => show(db, id, options)))
  command
    .command('list')
    .description('List requests, newest first.')
    .option('--since <time>', 'how far back: 30m, 1h, 7d', '1h')
    .option('--account <id>', 'of this account alone (acct_…)')
    .option('--status <status>', 'a status (409) or a class of them (4xx)')
    .option('--key <key>', 'with this Idempotency-Key')
    .option('--limit <n>', 'how many at most, up to 1000', '50')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar requests list --since 10m --status 5xx')
    .action((options: ListOptions) => withDatabase(db => list(db, options)))
}

async function withDatabase(work: (db: Database) => Promise<void>): Promise<void> {
  const [{ readSettings }, { borrowStore }, { openDatabase }] = await Promise.all([
    import('../settings.ts'),
    import('../main/store.ts'),
    import('#db'),
  ])
  const store = await borrowStore(readSettings(process.env))
  const db = openDatabase({ url: store.url, application_name: 'bursar requests', connections: 1 })
  try {
    await work(db)
  } finally {
    await db.close()
    await store.close()
  }
}

async function accountOf(text: string | undefined): Promise<string | null> {
  if (text === undefined) return null
  const { decodeId } = await import('#kernel')
  const account_id = decodeId('acct_', text)
  if (account_id === undefined)
    throw new Error(`"${text}" is not the id of an account, which begins with acct_`)
  return account_id
}

async function conflicts(db: Database, options: ConflictOptions): Promise<void> {
  const [{ conflictRates, reusedKeys }, { encodeId }, { print, table }] = await Promise.all([
    import('#http'),
    import('#kernel'),
    import('./output.ts'),
  ])
  const question = {
    since_ms: durationMs('--since', options.since),
    account_id: await accountOf(options.account),
  }
  const rates = (await conflictRates(db, question)).map((rate: ConflictRate) => ({
    ...rate,
    account_id: encodeId('acct_', rate.account_id),
    api_key_id: encodeId('key_', rate.api_key_id),
    last_at: rate.last_at.toISOString(),
  }))
  const keys = (await reusedKeys(db, question)).map((key: ReusedKey) => ({
    ...key,
    account_id: encodeId('acct_', key.account_id),
    api_key_id: encodeId('key_', key.api_key_id),
    request_id: encodeId('req_', key.request_id),
    original_request_id: key.original_request_id && encodeId('req_', key.original_request_id),
  }))
  print(options.json, { since: options.since, rates, keys }, () => {
    if (rates.length === 0)
      return `No Idempotency-Key was used for two different requests (last ${options.since}).`
    return [
      table(
        ['account', 'mode', 'API key', 'ends in', 'requests', 'conflicts', 'rate', 'keys', 'last'],
        rates.map(rate => [
          `${rate.account_id} (${rate.account_name})`,
          rate.livemode ? 'live' : 'test',
          rate.api_key_id,
          rate.api_key_hint ?? '',
          String(rate.requests),
          String(rate.conflicts),
          `${(rate.rate * 100).toFixed(2)} %`,
          String(rate.keys),
          rate.last_at,
        ]),
        [4, 5, 6, 7],
      ),
      '',
      table(
        ['Idempotency-Key', 'conflicts', 'route', 'differs in', 'last conflict'],
        keys.map(key => [
          key.idempotency_key,
          String(key.conflicts),
          key.route,
          key.differing_params.join(', '),
          key.request_id,
        ]),
        [1],
      ),
      '',
      'Both requests of a conflict: bursar requests show <last conflict>',
    ].join('\n')
  })
}

async function show(db: Database, id: string, options: { json?: boolean }): Promise<void> {
  const [{ compareRequests, encodeAnswer, RequestComparison, RequestLog }, { findRequest }, { print }] =
    await Promise.all([import('#http'), import('./requests-read.ts'), import('./output.ts')])
  const found = await findRequest(db, id)
  if (!found) throw new Error(`there is no request ${id} in the log, or not any more`)
  const { tenant, row } = found
  const has_original = row.idempotency_key !== null && row.original_request_id !== null
  const comparison = has_original
    ? (JSON.parse(encodeAnswer(RequestComparison, await compareRequests(db, tenant, row.id))) as object)
    : null
  const shown = comparison ?? { request: RequestLog.toJson(row), original: null, differences: [] }
  print(options.json, shown, () => JSON.stringify(shown, null, 2))
}

async function list(db: Database, options: ListOptions): Promise<void> {
  const [{ RequestLog }, { encodeId }, { findRequests }, { print, table }] = await Promise.all([
    import('#http'),
    import('#kernel'),
    import('./requests-read.ts'),
    import('./output.ts'),
  ])
  const limit = Number(options.limit)
  if (!Number.isInteger(limit) || limit < 1 || limit > 1_000)
    throw new Error('--limit must be from 1 to 1000')
  const found = await findRequests(db, {
    since_ms: durationMs('--since', options.since),
    account_id: await accountOf(options.account),
    status: statusRange(options.status),
    idempotency_key: options.key ?? null,
    limit,
  })
  const data = found.map(({ tenant, row }: RequestFound) => ({
    account_id: encodeId('acct_', tenant.account_id),
    ...RequestLog.toJson(row),
  }))
  print(options.json, { data }, () =>
    data.length === 0
      ? `No request was like that (last ${options.since}).`
      : table(
          ['at', 'request', 'account', 'API key', 'status', 'ms', 'what', 'error', 'key'],
          data.map(request => [
            request.created_at,
            request.id,
            request.account_id,
            request.api_key_id,
            String(request.status),
            String(Math.round(request.duration_ms)),
            `${request.method} ${request.path}`,
            request.error_code ?? (request.replayed ? 'replayed' : ''),
            request.idempotency_key ?? '',
          ]),
          [4, 5],
        ),
  )
}

/** `409` is that one, `4xx` all of its class, nothing any. */
function statusRange(text: string | undefined): [least: number, most: number] {
  if (text === undefined) return [0, 999]
  if (/^[1-5]\d\d$/.test(text)) return [Number(text), Number(text)]
  if (/^[1-5]xx$/.test(text)) return [Number(text[0]) * 100, Number(text[0]) * 100 + 99]
  throw new Error('--status must be a status such as 409, or a class such as 4xx')
}
