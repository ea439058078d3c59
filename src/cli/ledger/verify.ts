/** `bursar ledger verify`: proves the books from the rows, or from a proof file without any database. */
import type { Command } from 'commander'
import type { Broken, Verification } from '#ledger'
import type { Settings } from '../../settings.ts'
import { type Progress, progressBar } from './progress.ts'

interface Options {
  json?: boolean
  head?: string
}

export function declare(command: Command): void {
  command
    .command('verify')
    .description('Check every invariant of the ledger on the live database. Exit code 0: all hold; 1: not.')
    .option('--head <hash>', 'a head that was kept elsewhere: the chain must pass through it', headOf)
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nReads one snapshot in bounded pieces and blocks nobody. Names the first row that is wrong.\n' +
        'Example:\n  bursar ledger verify --json',
    )
    .action(run)
}

/** A head as `bursar ledger head` prints it. */
function headOf(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new TypeError('a head is 64 hexadecimal digits')
  return text.toLowerCase()
}

async function run({ json = false, head }: Options): Promise<void> {
  const [{ readSettings }, { print }] = await Promise.all([
    import('../../settings.ts'),
    import('../output.ts'),
  ])
  const is_watched = process.stderr.isTTY && !json
  const result = await verifyLedger(readSettings(process.env), {
    ...(is_watched ? { progress: await progressBar('Checking the ledger', 'rows') } : {}),
    ...(head === undefined ? {} : { head }),
  })
  const { ok, checked, sealed, broken } = result
  print(json, { ok, checked, sealed, broken: broken ?? null }, () =>
    broken === undefined ? soundText(result) : brokenText(broken),
  )
  if (!ok) process.exitCode = 1
}

const soundText = ({ checked, sealed }: Verification): string =>
  [
    `The ledger holds: ${checked.transfers} transfers, ${checked.entries} entries and ${checked.accounts} accounts checked.`,
    sealed.seals === 0n
      ? 'Nothing is sealed yet.'
      : `${sealed.transfers} transfers are as they were sealed, in ${sealed.seals} seals. Head: ${sealed.head}`,
  ].join('\n')

function brokenText({ table, id, account_id, livemode, reason }: Broken): string {
  const whose = account_id === null ? '' : ` (account ${account_id}, ${livemode ? 'live' : 'test'} mode)`
  return `The ledger is BROKEN.\nFirst broken row: ${table} ${id}${whose}\n${reason}`
}

/** Checks the ledger of these settings; ids in the answer are as the API shows them. */
export async function verifyLedger(
  settings: Settings,
  { progress, head }: { progress?: Progress; head?: string } = {},
): Promise<Verification> {
  const [{ withBooks }, { verify }] = await Promise.all([import('./books.ts'), import('#ledger')])
  try {
    const result = await withBooks(settings, db =>
      verify(db, {
        onProgress: (done, total) => progress?.update(done, total),
        ...(head === undefined ? {} : { head }),
      }),
    )
    return result.broken === undefined ? result : { ...result, broken: await shownBroken(result.broken) }
  } finally {
    progress?.end()
  }
}

async function shownBroken(broken: Broken): Promise<Broken> {
  const { encodeId } = await import('#kernel')
  const { table, account_id, id } = broken
  if (table === 'ledger_seals') return broken
  const prefix = (
    {
      ledger_accounts: 'la_',
      ledger_checkpoints: 'la_',
      ledger_transfers: 'tr_',
      ledger_entries: 'tr_',
    } as const
  )[table]
  return {
    ...broken,
    account_id: account_id === null ? null : encodeId('acct_', account_id),
    id: encodeId(prefix, id),
  }
}
