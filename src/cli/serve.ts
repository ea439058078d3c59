/**
 * `bursar serve`: a server as a process. What people read goes to standard output, the JSON log lines to standard error.
 * The first Ctrl-C or SIGTERM drains and ends with 0; the second ends at once, which loses nothing either.
 */
import { flushCompileCache } from 'node:module'
import { constants } from 'node:os'
import type { Command } from 'commander'
import type { Bursar } from '../main.ts'
import type { Settings } from '../settings.ts'

const ENDINGS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** One Ctrl-C arrives twice when npm stands in between: from the terminal and from npm. */
const SAME_SIGNAL_MS = 500

export function declare(command: Command): void {
  command
    .option('--json', 'print one JSON object when it serves, instead of text')
    .addHelpText(
      'after',
      '\nStarts PostgreSQL (unless DATABASE_URL is set), the simulator (unless SIMULATOR_URL is set), the API and the\n' +
        'workers, and prints where they are and the test keys. Log lines go to standard error as JSON.\n' +
        'Example:\n  PORT=8080 bursar serve 2> bursar.log',
    )
    .action(({ json }: { json?: boolean }) => serve(json ?? false))
}

async function serve(is_json: boolean): Promise<void> {
  const [{ readSettings }, { createLog }, { isConnectionLost }, { startBursar }] = await Promise.all([
    import('../settings.ts'),
    import('#metrics'),
    import('#db'),
    import('../main.ts'),
  ])
  const settings = readSettings(process.env)
  // On a terminal a line for every request would bury what a person looks for.
  const level = process.stderr.isTTY && !settings.is_log_level_set ? 'warn' : settings.log_level
  const log = createLog({ level, descriptor: 2 })
  // Whoever reads our output may leave; payments go on.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined)
  const say = (line: string) => {
    if (!is_json) process.stdout.write(`${line}\n`)
  }
  const end = (code: number): never => {
    log.flush()
    process.exit(code)
  }
  let bursar: Bursar | undefined
  let stopping_since_ms: number | undefined
  const stop = (signal: (typeof ENDINGS)[number]) => {
    const now_ms = performance.now()
    if (stopping_since_ms !== undefined) {
      if (now_ms - stopping_since_ms > SAME_SIGNAL_MS) end(128 + constants.signals[signal])
      return
    }
    stopping_since_ms = now_ms
    // Still starting: the start looks here when it is done, and a second signal need not wait for it.
    if (bursar !== undefined) void close(bursar)
  }
  const close = async (running: Bursar) => {
    say('\nFinishing what is under way (once more to stop at once) …')
    try {
      await running.close()
    } catch (error) {
      log.error('bursar.not_stopped', { error })
      end(1)
    }
    say('Stopped.')
    end(0)
  }
  for (const signal of ENDINGS) process.on(signal, stop)
  for (const crash of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(crash, (error: unknown) => {
      // A connection that the worker was just opening is cut when our own database stops: nobody waits for it.
      if (stopping_since_ms !== undefined && isConnectionLost(error)) {
        log.event('connection.cut', { error })
        return
      }
      // Nobody knows what is half done: what was promised is in the database, and the next start goes on from there.
      log.error('process.crashed', { error })
      end(1)
    })
  }

  bursar = await startBursar(settings, log, say)
  // Otherwise it is written at the end, to which a killed process never comes.
  flushCompileCache()
  if (stopping_since_ms !== undefined) return close(bursar)
  process.stdout.write(is_json ? `${JSON.stringify(facts(settings, bursar))}\n` : banner(settings, bursar))
}

const facts = (settings: Settings, bursar: Bursar) => ({
  role: settings.role,
  pid: process.pid,
  url: bursar.url,
  simulator_url: bursar.simulator_url,
  data_dir: settings.data_dir,
  database: bursar.database,
  credentials: bursar.credentials,
  started_in_ms: bursar.started_in_ms,
})

function banner(settings: Settings, bursar: Bursar): string {
  const { credentials } = bursar
  const lines = [
    '',
    `Bursar is ready (role ${settings.role}, started in ${(bursar.started_in_ms / 1_000).toFixed(1)} s).`,
    '',
    `  API              ${bursar.url}`,
    `  Reference        ${bursar.url}/docs`,
    `  Simulator        ${bursar.simulator_url}`,
    `  Data             ${settings.data_dir} (${bursar.database})`,
  ]
  if (credentials === null) {
    lines.push('', '  Make an API key with "bursar keys create".')
  } else {
    lines.push(
      '',
      `  Secret key       ${credentials.secret_key}`,
      `  Publishable key  ${credentials.publishable_key}`,
      `  Both are test keys, kept in ${settings.data_dir}/credentials.json.`,
      '',
      '  Try it: npx bursar demo',
    )
  }
  lines.push('  Stop it: Ctrl-C', '', '')
  return lines.join('\n')
}
