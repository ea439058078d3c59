/** `bursar ledger verify`: proves the books from the rows, beside a running server or alone. */
import type { Command } from 'commander'
import type { Verification } from '#ledger'
import type { Settings } from '../settings.ts'

export function declare(command: Command): void {
  command.addHelpText('after', '\nExample:\n  bursar ledger verify')
  command
    .command('verify')
    .description('Check every invariant of the ledger on the live database. Exit code 0: all hold; 1: not.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nReads one snapshot in bounded pieces and blocks nobody. Names the first row that is wrong.\n' +
        'Example:\n  bursar ledger verify --json',
    )
    .action(({ json }: { json?: boolean }) => run(json ?? false))
}

async function run(is_json: boolean): Promise<void> {
  const [{ readSettings }, { print }] = await Promise.all([import('../settings.ts'), import('./output.ts')])
  const is_watched = process.stderr.isTTY && !is_json
  const result = await verifyLedger(readSettings(process.env), is_watched ? await progressBar() : undefined)
  const { ok, checked, broken } = result
  print(is_json, { ok, checked, broken: broken ?? null }, () =>
    ok
      ? `The ledger holds: ${checked.transfers} transfers, ${checked.entries} entries and ${checked.accounts} accounts checked.`
      : `The ledger is BROKEN.\n${broken ? `First broken row: ${broken.table} ${broken.id} (account ${broken.account_id}, ${broken.livemode ? 'live' : 'test'} mode)\n${broken.reason}` : ''}`,
  )
  if (!ok) process.exitCode = 1
}

/** How far a check is: rows done, rows in all; `end` when nothing more comes. */
export interface Progress {
  update(done: bigint, total: bigint): void
  end(): void
}

/** Checks the ledger of these settings; ids in the answer are as the API shows them. */
export async function verifyLedger(settings: Settings, progress?: Progress): Promise<Verification> {
  const [{ borrowStore }, { openDatabase }, { pendingMigrations }, { verify }, { encodeId }] =
    await Promise.all([
      import('../main/store.ts'),
      import('#db'),
      import('#db/migrate'),
      import('#ledger'),
      import('#kernel'),
    ])
  const store = await borrowStore(settings)
  try {
    if ((await pendingMigrations(store.url)).some(name => /^\d/.test(name))) {
      throw new Error('the database is older than this version of Bursar: run "bursar migrate" first')
    }
    const db = openDatabase({ url: store.url, application_name: 'bursar ledger verify', connections: 1 })
    try {
      const result = await verify(db, { onProgress: (done, total) => progress?.update(done, total) })
      if (!result.broken) return result
      const { account_id, id, table } = result.broken
      const prefix = ({ ledger_accounts: 'la_', ledger_transfers: 'tr_', ledger_entries: 'tr_' } as const)[
        table
      ]
      const shown = { account_id: encodeId('acct_', account_id), id: encodeId(prefix, id) }
      return { ...result, broken: { ...result.broken, ...shown } }
    } finally {
      await db.close()
    }
  } finally {
    progress?.end()
    await store.close()
  }
}

async function progressBar(): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar({
    format: 'Checking the ledger  {bar}  {percentage} %  {value} of {total} rows',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  let is_started = false
  return {
    update(done, total) {
      if (!is_started) bar.start(Number(total), 0)
      is_started = true
      bar.update(Number(done))
    },
    end() {
      if (is_started) bar.stop()
    },
  }
}
