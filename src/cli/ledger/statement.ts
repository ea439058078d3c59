/** `bursar ledger statement`: the entries of one ledger account, oldest first, with the running balance. */
import type { Command } from 'commander'
import type { Db } from '#db'
import type { Tenant } from '#kernel'
import { instantOf, type TenantOptions, tenantOf, tenantOptions, uuidOf } from './tenant.ts'

interface Options extends TenantOptions {
  from?: Date
  to?: Date
  limit: number
}

/** What fits a terminal's memory; whoever wants all of a busy account exports it. */
const LIMIT_DEFAULT = 1_000
const LIMIT_MOST = 100_000

export function declare(command: Command): void {
  tenantOptions(command.command('statement <account>'))
    .description('Print the entries of a ledger account with its opening, running and closing balance.')
    .option('--from <time>', 'entries recorded since then', instantOf)
    .option('--to <time>', 'entries recorded before then', instantOf)
    .option('--limit <number>', `the newest so many entries, at most ${LIMIT_MOST}`, limitOf, LIMIT_DEFAULT)
    .addHelpText(
      'after',
      '\nThe account is an id (la_…), or a code and a currency: merchant_pending:usd.\n' +
        'Example:\n  bursar ledger statement merchant_pending:usd --from 2026-11-01 --to 2026-12-01',
    )
    .action(run)
}

function limitOf(text: string): number {
  const limit = Number(text)
  if (!Number.isInteger(limit) || limit < 1 || limit > LIMIT_MOST) {
    throw new TypeError(`--limit is a whole number from 1 to ${LIMIT_MOST}`)
  }
  return limit
}

async function run(named: string, options: Options): Promise<void> {
  const [ledger, { encodeId }, { withSettings }, { print, table }] = await Promise.all([
    import('#ledger'),
    import('#kernel'),
    import('./books.ts'),
    import('../output.ts'),
  ])
  const { account, range, entries } = await withSettings(async db => {
    const tenant = await tenantOf(db, options)
    const account = await ledger.findAccount(db, tenant, await accountIdOf(db, tenant, named))
    const range = await ledger.statementRange(db, tenant, account.id, options)
    const rows = await ledger.entriesBetween(db, tenant, account.id, {
      above: range.after,
      below: range.until + 1n,
      limit: options.limit,
      direction: 'older',
    })
    return { account, range, entries: rows.toSorted((a, b) => (a.sequence < b.sequence ? -1 : 1)) }
  })
  const shown = ledger.shownAccount(account)
  const left_out = range.until - range.after - BigInt(entries.length)
  const { opening_balance, closing_balance } = range
  const json = entries.map(entry => ledger.LedgerEntry.toJson(ledger.shownEntry(entry)))
  print(
    options.json,
    {
      ledger_account: ledger.LedgerAccount.toJson(shown),
      opening_balance,
      closing_balance,
      left_out,
      entries: json,
    },
    () => {
      const rows = entries.map(entry => [
        `${entry.sequence}`,
        entry.recorded_at.toISOString(),
        encodeId('tr_', entry.transfer_id),
        `${entry.source_type} ${entry.step.replace(/:.*/, '')}`,
        entry.side === 'debit' ? `${entry.amount}` : '',
        entry.side === 'credit' ? `${entry.amount}` : '',
        `${entry.balance}`,
      ])
      return [
        `${encodeId('la_', account.id)}  ${account.code} in ${account.currency}, ${account.kind}, minor units`,
        `Opening balance ${opening_balance}`,
        ...(left_out > 0n ? [`${left_out} older entries of the range are left out: raise --limit`] : []),
        table(['no.', 'recorded', 'transfer', 'source', 'debit', 'credit', 'balance'], rows, [0, 4, 5, 6]),
        `Closing balance ${closing_balance}`,
      ].join('\n')
    },
  )
}

/** The account of an id, or of a code and a currency. */
async function accountIdOf(db: Db, tenant: Tenant, named: string): Promise<string> {
  const [, code, currency] = /^([a-z_]+):([a-z]{3})$/.exec(named) ?? []
  if (code === undefined || currency === undefined) {
    if (named.startsWith('la_')) return uuidOf('la_', named)
    throw new Error(`"${named}" names no account: name a code and a currency (bank:usd), or an id (la_…)`)
  }
  const { chart } = await import('#ledger')
  if (!(code in chart)) throw new Error(`"${code}" is not in the chart: ${Object.keys(chart).join(', ')}`)
  const account = await db.maybe<{ id: string }>`
    select id
    from ledger_accounts
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and code = ${code}
      and currency = ${currency} and owner_id = '00000000-0000-0000-0000-000000000000'`
  if (!account) throw new Error(`nothing was ever posted to ${named}`)
  return account.id
}
