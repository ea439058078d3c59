/** `bursar migrate`: what every start does first, as a step of its own for those who roll out in steps. */
import type { Command } from 'commander'

export function declare(command: Command): void {
  command
    .option('--pending', 'only print what would be applied')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nForward only and safe to repeat; every start of a server does the same.\n' +
        'Example:\n  DATABASE_URL=postgres://… bursar migrate --pending',
    )
    .action((options: { pending?: boolean; json?: boolean }) => run(options))
}

async function run(options: { pending?: boolean; json?: boolean }): Promise<void> {
  const [{ readSettings }, { borrowStore, prepareStore }, { pendingMigrations }, { print }] =
    await Promise.all([
      import('../settings.ts'),
      import('../main/store.ts'),
      import('#db/migrate'),
      import('./output.ts'),
    ])
  const settings = readSettings(process.env)
  const store = await borrowStore(settings)
  try {
    if (options.pending) {
      const pending = await pendingMigrations(store.url)
      print(options.json, { pending }, () => list('To be applied', pending))
    } else {
      const applied = await prepareStore(store.url, settings, () => undefined)
      print(options.json, { applied }, () => list('Applied', applied))
    }
  } finally {
    await store.close()
  }
}

const list = (title: string, names: readonly string[]): string =>
  names.length === 0
    ? 'The database is as this version expects.'
    : `${title}:\n${names.map(name => `  ${name}`).join('\n')}`
