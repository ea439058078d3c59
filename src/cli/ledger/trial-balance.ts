/** `bursar ledger trial-balance`: the totals of every code of the chart. Exit code 0: debits equal credits; 1: not. */
import type { Command } from 'commander'
import { instantOf, type TenantOptions, tenantOf, tenantOptions } from './tenant.ts'

export function declare(command: Command): void {
  tenantOptions(command.command('trial-balance'))
    .description('Print the trial balance, by currency. Exit code 0: debits equal credits; 1: not.')
    .option('--at <time>', 'what counts then or before; now when left out', instantOf)
    .option('--as-recorded-at <time>', 'what was written then or before, as the books stood', instantOf)
    .addHelpText('after', '\nExample:\n  bursar ledger trial-balance --at 2026-10-31T23:59:59.999Z')
    .action(run)
}

interface Options extends TenantOptions {
  at?: Date
  asRecordedAt?: Date
}

async function run(options: Options): Promise<void> {
  const [{ closedBefore, trialBalanceByCode }, { withSettings }, { print, table }] = await Promise.all([
    import('#ledger'),
    import('./books.ts'),
    import('../output.ts'),
  ])
  const { sums, lines, closed_before } = await withSettings(async db => {
    const tenant = await tenantOf(db, options)
    return {
      ...(await trialBalanceByCode(db, tenant, { at: options.at, as_recorded_at: options.asRecordedAt })),
      closed_before: await closedBefore(db, tenant),
    }
  })
  const is_balanced = sums.every(sum => sum.is_balanced)
  print(options.json, { sums, lines, closed_before, is_balanced }, () => {
    const rows = sums.flatMap(sum => [
      ...lines
        .filter(line => line.currency === sum.currency)
        .map(line => [
          line.currency,
          line.code,
          `${line.debits_posted}`,
          `${line.credits_posted}`,
          `${line.balance}`,
        ]),
      [
        sum.currency,
        'sum',
        `${sum.debits_posted}`,
        `${sum.credits_posted}`,
        sum.is_balanced ? 'balanced' : 'NOT BALANCED',
      ],
    ])
    const shown =
      rows.length === 0
        ? 'Nothing was ever posted.'
        : table(['currency', 'code', 'debits', 'credits', 'balance'], rows, [2, 3, 4])
    const closed =
      closed_before === null ? 'No period is closed.' : `Closed before ${closed_before.toISOString()}.`
    return `${shown}\n\nIn minor units. ${closed}`
  })
  if (!is_balanced) process.exitCode = 1
}
