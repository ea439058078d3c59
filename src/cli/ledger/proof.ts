/** `bursar ledger proof`: writes all that is sealed to a file that proves itself, without this database or any. */
import type { Command } from 'commander'

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
  const [{ createWriteStream }, { once }, { finished }, { writeProof }, { withSettings }, { progressBar }] =
    await Promise.all([
      import('node:fs'),
      import('node:events'),
      import('node:stream/promises'),
      import('#ledger'),
      import('./books.ts'),
      import('./progress.ts'),
    ])
  const file = out === '-' ? process.stdout : createWriteStream(out, { mode: 0o600 })
  const progress = await progressBar('Writing the proof', 'transfers', false)
  try {
    const written = await withSettings(db =>
      writeProof(
        db,
        async text => {
          if (!file.write(text)) await once(file, 'drain')
        },
        { onProgress: (done, total) => progress?.update(done, total) },
      ),
    )
    if (file !== process.stdout) {
      file.end()
      await finished(file)
    }
    progress?.end()
    process.stderr.write(
      `${written.transfers} transfers in ${written.seals} seals. Head: ${written.head}\n`,
    )
  } finally {
    progress?.end()
  }
}
