/**
 * `bursar ledger export`: transfers or entries as CSV or JSON lines. A file appears whole or not at all: it is written
 * beside its place under another name, and moved there when it is on the disk.
 */
import { once } from 'node:events'
import { open, rename, rm } from 'node:fs/promises'
import type { Command } from 'commander'
import type { ExportFormat, ExportOptions } from '#ledger'
import { instantOf, type TenantOptions, tenantOf, tenantOptions, uuidOf } from './tenant.ts'
import { progressBar } from './progress.ts'

interface Options extends TenantOptions {
  format: string
  what: string
  from?: Date
  to?: Date
  ledgerAccount?: string
  out?: string
}

const FORMATS = ['csv', 'jsonl'] as const
const KINDS = ['entries', 'transfers'] as const

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
        'Example:\n  bursar ledger export --from 2026-11-01 --to 2026-12-01 --out november.csv',
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
  const wanted: ExportOptions = {
    what,
    from: options.from,
    to: options.to,
    ...(options.ledgerAccount !== undefined && {
      ledger_account_id: await uuidOf('la_', options.ledgerAccount),
    }),
  }
  const { out } = options
  if (out === undefined) {
    await exportTo(options, format, wanted, async text => {
      if (!process.stdout.write(text)) await once(process.stdout, 'drain')
    })
    return
  }
  const rows = await wholeFile(out, write => exportTo(options, format, wanted, write))
  const { print } = await import('../output.ts')
  print(options.json, { file: out, format, what, rows }, () => `Wrote ${rows} ${what} to ${out}.`)
}

type Write = (text: string) => Promise<void>

/** Writes a file that is there whole afterwards, or not at all, whatever stops it. */
async function wholeFile<T>(path: string, work: (write: Write) => Promise<T>): Promise<T> {
  const unfinished = `${path}.${process.pid}.unfinished`
  // Only for its owner: it is the books.
  const file = await open(unfinished, 'wx', 0o600)
  try {
    const result = await work(async text => {
      await file.writeFile(text)
    })
    await file.sync()
    await file.close()
    await rename(unfinished, path)
    return result
  } catch (error) {
    await file.close()
    await rm(unfinished, { force: true })
    throw error
  }
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
