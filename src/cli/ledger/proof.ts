/** `bursar ledger proof`: writes all that is sealed to a file that proves itself, without this database or any. */
import { once } from 'node:events'
import type { Command } from 'commander'
import { wholeFile, type Write } from './whole-file.ts'

export function declare(command: Command): void {
  command
    .command('proof')
    .description('Write all sealed transfers and their seals as JSON lines, to be checked anywhere.')
    .requiredOption('--out <path>', 'the file to write; - writes to standard output')
    .addHelpText(
      'after',
      '\nOf all accounts and both modes, in one snapshot; blocks nobody.\n' +
        'Example:\n  bursar ledger proof --out books.jsonl\n  bursar ledger verify --file books.jsonl',
    )
    .action(run)
}

async function run({ out }: { out: string }): Promise<void> {
  if (out !== '-') return wholeFile(out, writeTo)
  await writeTo(async text => {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  })
}

async function writeTo(write: Write): Promise<void> {
  const [{ writeProof }, { withSettings }, { progressBar }] = await Promise.all([
    import('#ledger'),
    import('./books.ts'),
    import('./progress.ts'),
  ])
  const progress = process.stderr.isTTY ? await progressBar('Writing the proof', 'transfers') : undefined
  try {
    const { transfers, seals, head } = await withSettings(db =>
      writeProof(db, write, { onProgress: (done, total) => progress?.update(done, total) }),
    )
    progress?.end()
    process.stderr.write(`${transfers} transfers, sealed in ${seals} batches. Head: ${head}\n`)
  } finally {
    progress?.end()
  }
}
