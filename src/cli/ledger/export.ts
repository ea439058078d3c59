/** `bursar ledger export`: transfers, entries or what processors settle, as CSV or JSON lines. */
import { once } from 'node:events'
import type { Command } from 'commander'
import type { ExportFormat, ExportOptions } from '#ledger'
import { instantOf, type TenantOptions, tenantOf, tenantOptions, uuidOf } from './tenant.ts'
import { progressBar } from './progress.ts'
import { wholeFile, type Write } from './whole-file.ts'

interface Options extends TenantOptions {
  format: string
  what: string
  from?: Date
  to?: Date
  ledgerAccount?: string
  out?: string
}

const FORMATS = ['csv', 'jsonl'] as const
const KINDS = ['entries', 'transfers', 'settlements'] as const

export function declare(command: Command): void {
  tenantOptions(command.command('export'))
    .description('Write the books as CSV or JSON lines, in the order of transfer ids, from one snapshot.')
    .option('--format <format>', FORMATS.join(' | '), 'csv')
    .option('--what <what>', KINDS.join(' | '), 'entries')
    .option('--from <time>', 'effective since then', instantOf)
    .option('--to <time>', 'effective before then', instantOf)
    .option('--ledger-account <id>', 'only what this ledger account (la_…) was part of')
    .option('--out <file>', 'where to; standard output when left out')
    .addHelpText(
      'after',
      '\nAmounts are exact whole numbers in minor units. What is exported of a closed period is the same for ever.\n' +
        'settlements is what a processor should report (the net of each change of the balance, under the reference it\n' +
        'was asked with): the left side of "bursar reconcile".\n' +
        'Examples:\n  bursar ledger export --from 2026-11-01 --to 2026-12-01 --out november.csv\n' +
        '  bursar ledger export --what settlements --from 2026-11-21 --out ledger.csv',
    )
    .action(run)
}

const oneOf = <T extends string>(all: readonly T[], given: string, option: string): T => {
  const found = all.find(one => one === given)
  if (found === undefined) throw new Error(`${option} must be one of ${all.join(', ')}`)
  return found
}

async function run(options: Options): Promise<void> {
  const format = oneOf(FORMATS, options.format, '--format')
  const what = oneOf(KINDS, options.what, '--what')
  if (options.json && options.out === undefined)
    throw new Error('--json reports on a file: name it with --out')
  // Before anything is written: a header with nothing below it looks like an empty period.
  if (options.from && options.to && options.to < options.from)
    throw new Error('--to must not be before --from')
  if (what === 'settlements' && options.ledgerAccount !== undefined)
    throw new Error('settlements are of no single ledger account: leave --ledger-account out')
  const exporting =
    what === 'settlements'
      ? (write: Write) => settlementsTo(options, format, write)
      : await booksOf(options, format, what)
  const { out } = options
  if (out === undefined) {
    await exporting(async text => {
      if (!process.stdout.write(text)) await once(process.stdout, 'drain')
    })
    return
  }
  const rows = await wholeFile(out, exporting)
  const { print } = await import('../output.ts')
  print(options.json, { file: out, format, what, rows }, () => `Wrote ${rows} ${what} to ${out}.`)
}

/** The ledger's own rows. */
async function booksOf(options: Options, format: ExportFormat, what: ExportOptions['what']) {
  const { from, to } = options
  const wanted: ExportOptions = {
    what,
    from,
    to,
    ...(options.ledgerAccount !== undefined && {
      ledger_account_id: await uuidOf('la_', options.ledgerAccount),
    }),
  }
  return (write: Write) => exportTo(options, format, wanted, write)
}

/** What processors should report. */
async function settlementsTo(options: Options, format: ExportFormat, write: Write): Promise<bigint> {
  const [{ writeSettlements }, { withSettings }] = await Promise.all([
    import('./settlements.ts'),
    import('./books.ts'),
  ])
  return withSettings(async db =>
    writeSettlements(db, await tenantOf(db, options), { ...options, format }, write),
  )
}

async function exportTo(
  options: Options,
  format: ExportFormat,
  wanted: ExportOptions,
  write: Write,
): Promise<bigint> {
  const [{ exportBooks, exportHeader, exportLine, findAccount }, { withSettings }] = await Promise.all([
    import('#ledger'),
    import('./books.ts'),
  ])
  const progress =
    process.stderr.isTTY && !options.json && options.out !== undefined
      ? await progressBar('Exporting the books', 'transfers')
      : undefined
  try {
    return await withSettings(async db => {
      const tenant = await tenantOf(db, options)
      if (wanted.ledger_account_id !== undefined) await findAccount(db, tenant, wanted.ledger_account_id)
      await write(exportHeader(format, wanted.what))
      return exportBooks(db, tenant, wanted, async ({ rows, done, total }) => {
        await write(rows.map(row => exportLine(format, row)).join(''))
        progress?.update(done, total)
      })
    })
  } finally {
    progress?.end()
  }
}
