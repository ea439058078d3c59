/**
 * The command line. A verb is a file in src/cli, loaded only when it is asked for: `bursar --help` must not wait for a
 * database driver. People read standard output; with --json a script does; errors are one sentence on standard error.
 */
import { readFileSync } from 'node:fs'
import { enableCompileCache } from 'node:module'
import { join } from 'node:path'
import { Command, CommanderError } from 'commander'
import { verbs, type VerbName } from './catalog.ts'

interface Verb {
  /** Adds options, examples and the action. */
  declare(command: Command): void
}

const files: Record<VerbName, () => Promise<Verb>> = {
  serve: () => import('./cli/serve.ts'),
  simulator: () => import('./cli/simulator.ts'),
  migrate: () => import('./cli/migrate.ts'),
  config: () => import('./cli/config.ts'),
  keys: () => import('./cli/keys.ts'),
  consumers: () => import('./cli/consumers.ts'),
  demo: () => import('./cli/demo.ts'),
  attempts: () => import('./cli/attempts.ts'),
  id: () => import('./cli/id.ts'),
  inbound: () => import('./cli/inbound.ts'),
  ledger: () => import('./cli/ledger.ts'),
  reconcile: () => import('./cli/reconcile.ts'),
  requests: () => import('./cli/requests.ts'),
  webhooks: () => import('./cli/webhooks.ts'),
}

/**
 * Halves the work of a start (measured: 1.0 s of processor time to 0.5 s). Within the project and not in /tmp, where
 * others could leave code for us to run; where this account may not write, a start is slower and nothing else.
 */
const COMPILE_CACHE = join(import.meta.dirname, '..', 'node_modules', '.cache', 'bursar')

async function main(argv: readonly string[]): Promise<void> {
  const program = new Command('bursar')
    .description('The payments company you run yourself.')
    .version(version(), '--version', 'print the version')
    .helpCommand(false)
    // What stands behind a verb is for the verb, and behind its own verbs for these: both may have a --json.
    .enablePositionalOptions()
    .showHelpAfterError('(add --help to see what is possible)')
    .addHelpText(
      'after',
      '\nSettings are environment variables: see them with "bursar config".\n' +
        'Examples:\n  bursar serve\n  bursar demo\n  bursar keys create --help',
    )
  for (const [name, summary] of Object.entries(verbs)) {
    const command = program.command(name).description(summary)
    if (argv[0] === name) (await files[name as VerbName]()).declare(command)
  }
  try {
    await program.parseAsync(argv, { from: 'user' })
  } catch (error) {
    if (error instanceof CommanderError) throw error
    await fail(error, argv.includes('--json'))
  }
}

/** `bursar help ledger verify` is what `bursar ledger verify --help` is. */
const asked = ([first, ...rest]: readonly string[]): readonly string[] =>
  first === 'help' ? [...rest, '--help'] : [...(first === undefined ? [] : [first]), ...rest]

const version = (): string =>
  (JSON.parse(readFileSync(join(import.meta.dirname, '..', 'package.json'), 'utf8')) as { version: string })
    .version

/** Ends with 1 and one sentence; the whole story only for those who ask for it. */
async function fail(error: unknown, is_json: boolean): Promise<void> {
  const { redactText } = await import('#metrics')
  const message = redactText(error instanceof Error ? error.message : String(error))
  if (is_json) process.stdout.write(`${JSON.stringify({ error: { message } })}\n`)
  else process.stderr.write(`bursar: ${message}\n`)
  if (process.env.BURSAR_LOG_LEVEL === 'debug' && error instanceof Error)
    process.stderr.write(`${redactText(error.stack ?? '')}\n`)
  process.exitCode = 1
}

// In the environment, because our threads and the simulator's process read the same modules.
process.env.NODE_COMPILE_CACHE ??= COMPILE_CACHE
enableCompileCache()
await main(asked(process.argv.slice(2)))
