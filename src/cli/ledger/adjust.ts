/** `bursar ledger adjust`: one transfer by hand, with its reason and author. */
import type { Command } from 'commander'
import { instantOf, type TenantOptions, tenantOf, tenantOptions, uuidOf } from './tenant.ts'

interface Options extends TenantOptions {
  debit: string
  credit: string
  amount: string
  currency: string
  reason: string
  author: string
  effectiveAt?: Date
  id?: string
}

export function declare(command: Command): void {
  tenantOptions(command.command('adjust'))
    .description('Post a transfer by hand. What is wrong in the books is put right by another transfer.')
    .requiredOption('--debit <account>', 'a code of the chart (bank), or a ledger account (la_…)')
    .requiredOption('--credit <account>', 'a code of the chart (adjustments), or a ledger account (la_…)')
    .requiredOption('--amount <units>', "in the currency's minor unit: 1099 is 10.99 usd")
    .requiredOption('--currency <code>', 'three lower-case letters: usd')
    .requiredOption('--reason <text>', 'why')
    .requiredOption('--author <name>', 'who decides this')
    .option('--effective-at <time>', 'when it counts in the books; now when left out', instantOf)
    .option('--id <id>', 'the id (tr_…) that an earlier try showed: posts it once, however often it is tried')
    .addHelpText(
      'after',
      '\nExample:\n  bursar ledger adjust --debit bank --credit adjustments --amount 500 --currency usd \\\n' +
        '    --reason "Cash found in the drawer" --author "Ada Lovelace"',
    )
    .action((options: Options) => run(options).catch(inOptions))
}

async function run(options: Options): Promise<void> {
  const [{ adjust, AdjustmentParams, shownTransfer }, { parseParams }, kernel, { withSettings }, { print }] =
    await Promise.all([
      import('#ledger'),
      import('#http'),
      import('#kernel'),
      import('./books.ts'),
      import('../output.ts'),
    ])
  const { encodeId, newId, systemClock: clock } = kernel
  const { reason, author, transfers, effective_at } = parseParams(AdjustmentParams, {
    reason: options.reason,
    author: options.author,
    ...(options.effectiveAt && { effective_at: options.effectiveAt.toISOString() }),
    transfers: [
      {
        ...sideOf('debit', options.debit),
        ...sideOf('credit', options.credit),
        amount: /^\d+$/.test(options.amount) ? Number(options.amount) : options.amount,
        currency: options.currency,
      },
    ],
  })
  const id = options.id === undefined ? newId(clock.now()) : await uuidOf('tr_', options.id)
  // Before it is tried: whoever loses the answer knows what to try again.
  if (options.id === undefined) {
    process.stderr.write(`Posting ${encodeId('tr_', id)}; to try it again, add --id ${encodeId('tr_', id)}\n`)
  }
  const [transfer] = await withSettings(async db => {
    const tenant = await tenantOf(db, options)
    const basis = { tenant, clock, source: { source_type: 'ledger_transfer', source_id: id }, ids: [id] }
    const note = { reason: reason.trim(), author: `${author.trim()} (command line)` }
    return db.as(tenant).transaction(tx => adjust(tx, basis, { effective_at, transfers }, note))
  })
  if (transfer === undefined) throw new Error('the adjustment was not posted')
  const { LedgerTransfer } = await import('#ledger')
  print(options.json, LedgerTransfer.toJson(shownTransfer(transfer)), () =>
    [
      `Posted ${encodeId('tr_', transfer.id)}: ${transfer.amount} ${transfer.currency}`,
      `debit ${options.debit}, credit ${options.credit}, effective ${transfer.effective_at.toISOString()}.`,
    ].join('\n'),
  )
}

/** The API's refusals name its parameters; here a person typed options. */
function inOptions(error: unknown): never {
  if (error instanceof Error) {
    error.message = error.message
      .replaceAll(/transfers\[0\]\.(debit|credit)_(code|account_id)/g, '--$1')
      .replaceAll('transfers[0].', '--')
      .replaceAll('transfers[0]', 'the transfer')
      .replaceAll('effective_at', '--effective-at')
  }
  throw error
}

const sideOf = (side: 'debit' | 'credit', name: string) =>
  name.startsWith('la_') ? { [`${side}_account_id`]: name } : { [`${side}_code`]: name }
