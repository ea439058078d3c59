/** `bursar ledger seal` and `bursar ledger head`: puts the newest transfers under the chain, and shows where it stands. */
import type { Command } from 'commander'
import type { Sealed, SealHead } from '#ledger'

export function declare(command: Command): void {
  command
    .command('seal')
    .description('Seal what was posted since the last seal, now. Workers do it every minute.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar ledger seal')
    .action(runSeal)
  command
    .command('head')
    .description('Print the head of the chain of seals: keep it elsewhere, and it proves the books up to it.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nWhoever has a head can later run "bursar ledger verify --head HASH".\nExample:\n  bursar ledger head',
    )
    .action(runHead)
}

async function runSeal({ json = false }: { json?: boolean }): Promise<void> {
  const [{ seal }, { withSettings }, { print }] = await loaded()
  const sealed: Sealed = await withSettings(db => seal(db))
  print(json, sealed, () =>
    sealed.seals === 0
      ? `Nothing new to seal. ${headText(sealed.head)}`
      : `Sealed ${sealed.transfers} transfers. ${headText(sealed.head)}`,
  )
}

async function runHead({ json = false }: { json?: boolean }): Promise<void> {
  const [{ sealHead }, { withSettings }, { print }] = await loaded()
  const head = await withSettings(db => sealHead(db))
  print(json, head, () => headText(head))
}

const headText = ({ number, head, sealed_at }: SealHead): string =>
  sealed_at === null ? 'Nothing is sealed yet.' : `Seal ${number} of ${sealed_at.toISOString()}: ${head}`

const loaded = () => Promise.all([import('#ledger'), import('./books.ts'), import('../output.ts')])
