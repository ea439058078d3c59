/** `bursar ledger suspense`: what reconciliation put in suspense and nobody has explained. Exit code 0: nothing; 1: something. */
import type { Command } from 'commander'
import { type TenantOptions, tenantOf, tenantOptions } from './tenant.ts'

interface Options extends TenantOptions {
  all?: boolean
}

export function declare(command: Command): void {
  tenantOptions(command.command('suspense'))
    .description(
      'Print what waits in suspense accounts: of which run and rows, since when, and who decided it.',
    )
    .option('--all', 'also what was cleared or withdrawn')
    .addHelpText(
      'after',
      '\nExit code 0: nothing is open; 1: something is.\n' + 'Example:\n  bursar ledger suspense --json',
    )
    .action(run)
}

async function run(options: Options): Promise<void> {
  const [{ suspenseOf }, { encodeId }, { shownAmount, visible }, { withSettings }, { print, table }] =
    await Promise.all([
      import('#reconciliation'),
      import('#kernel'),
      import('#reconciliation/files'),
      import('./books.ts'),
      import('../output.ts'),
    ])
  const found = await withSettings(async db => {
    const tenant = await tenantOf(db, options)
    return suspenseOf(db.as(tenant), tenant, { is_all: options.all ?? false })
  })
  const { decisions, totals, has_more } = found
  print(options.json, { decisions: found.json, totals, has_more }, () => {
    if (decisions.length === 0) return 'Nothing waits in suspense.'
    const rows = decisions.flatMap(decision =>
      (decision.suspended ?? []).map(({ code, currency, amount, open }) => [
        decision.created_at.toISOString().slice(0, 10),
        code,
        currency.toUpperCase(),
        shownAmount(amount, currency),
        shownAmount(open, currency),
        decision.status,
        rowsInWords(decision),
        encodeId('rec_', decision.run_id),
        encodeId('rdc_', decision.id),
        decision.author,
        decision.reason,
      ]),
    )
    const header = [
      'since',
      'account',
      '',
      'posted',
      'open',
      '',
      'rows',
      'of run',
      'decision',
      'by',
      'because',
    ]
    const sums = totals.map(
      ({ code, currency, open, decisions: count }) =>
        `${code}: ${shownAmount(open, currency)} ${currency.toUpperCase()} open in ${count} of the decisions shown.`,
    )
    const more = has_more ? ['There are more: ask GET /v1/reconciliation_decisions, page by page.'] : []
    return [
      table(
        header,
        rows.map(cells => cells.map(visible)),
        [3, 4],
      ),
      '',
      ...sums,
      ...more,
    ].join('\n')
  })
  if (decisions.some(({ status }) => status === 'open')) process.exitCode = 1
}

interface Named {
  left: { row: number | null; id: string }[]
  right: { row: number | null; id: string }[]
  rows: { left: number; right: number }
}

/** `left 2 pay_1002`, and how many more. */
function rowsInWords({ left, right, rows }: Named): string {
  const [side, first] = left[0] ? ['left', left[0]] : ['right', right[0]]
  const more = rows.left + rows.right - 1
  return `${side} ${first?.row ?? ''} ${first?.id ?? ''}${more > 0 ? ` and ${more} more` : ''}`
}
