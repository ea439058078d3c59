/** `bursar ledger verify`: proves the books from the rows, or from a proof file without any database. */
import type { Command } from 'commander'
import type { Broken, FileVerification, Verification } from '#ledger'
import type { Settings } from '../../settings.ts'
import { type Progress, progressBar } from './progress.ts'

interface Options {
  json?: boolean
  head?: string
  file?: string
}

export function declare(command: Command): void {
  command
    .command('verify')
    .description(
      'Check every invariant of the ledger on the live database, or a proof file. Exit code 0: all hold; 1: not.',
    )
    .option('--file <path>', 'check a proof file instead, without any database; - reads standard input')
    .option('--head <hash>', 'a head that was kept elsewhere: the chain must pass through it', headOf)
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nReads one snapshot in bounded pieces and blocks nobody. Names the first row that is wrong.\n' +
        'Examples:\n  bursar ledger verify --json\n  bursar ledger verify --file books.jsonl --head HASH',
    )
    .action(run)
}

/** A head as `bursar ledger head` prints it. */
function headOf(text: string): string {
  if (!/^[0-9a-f]{64}$/i.test(text)) throw new TypeError('a head is 64 hexadecimal digits')
  return text.toLowerCase()
}

async function run({ json = false, head, file }: Options): Promise<void> {
  const { print } = await import('../output.ts')
  if (file !== undefined) {
    const result = await verifyProof(file, json, head)
    print(json, result, () => fileText(result))
    if (!result.ok) process.exitCode = 1
    return
  }
  const { readSettings } = await import('../../settings.ts')
  const is_watched = process.stderr.isTTY && !json
  const progress = is_watched ? await progressBar('Checking the ledger', 'rows') : undefined
  const result = await verifyLedger(readSettings(process.env), {
    ...(progress === undefined ? {} : { progress }),
    ...(head === undefined ? {} : { head }),
  })
  const { ok, checked, sealed, broken } = result
  print(json, { ok, checked, sealed, broken: broken ?? null }, () =>
    broken === undefined ? soundText(result) : brokenText(broken),
  )
  if (!ok) process.exitCode = 1
}

/** Reads the file once, line by line. */
async function verifyProof(
  path: string,
  is_json: boolean,
  head: string | undefined,
): Promise<FileVerification> {
  const [{ open }, { linesOf, verifyFile }] = await Promise.all([
    import('node:fs/promises'),
    import('#ledger'),
  ])
  const file = path === '-' ? undefined : await open(path)
  const input = file?.createReadStream() ?? process.stdin
  const bytes = BigInt((await file?.stat())?.size ?? 0)
  const is_watched = process.stderr.isTTY && !is_json && file !== undefined
  const progress = is_watched ? await progressBar('Checking the file', 'bytes') : undefined
  try {
    return await verifyFile(linesOf(input), {
      ...(head === undefined ? {} : { head }),
      onLines: () => {
        if ('bytesRead' in input) progress?.update(BigInt(input.bytesRead), bytes)
      },
    })
  } finally {
    progress?.end()
    await file?.close()
  }
}

const seals = (count: bigint): string => (count === 1n ? '1 seal' : `${count} seals`)

const fileText = (result: FileVerification): string =>
  result.ok
    ? `The file holds: ${result.transfers} transfers as they were sealed, in ${seals(result.seals)}${result.sealed_at === null ? '' : ` up to ${result.sealed_at}`}.\nHead: ${result.head}`
    : `The file is BROKEN.\nLine ${result.line}: ${result.reason}`

const soundText = ({ checked, sealed }: Verification): string =>
  [
    `The ledger holds: ${checked.transfers} transfers, ${checked.entries} entries and ${checked.accounts} accounts checked.`,
    sealed.seals === 0n
      ? 'Nothing is sealed yet.'
      : `${sealed.transfers} transfers are as they were sealed, in ${seals(sealed.seals)}. Head: ${sealed.head}`,
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
