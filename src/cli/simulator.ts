/** `bursar simulator`: the simulator alone, in the foreground, with its own signals and exit code. */
import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:os'
import { createInterface } from 'node:readline'
import type { Command } from 'commander'

export function declare(command: Command): void {
  command
    .option('--json', 'print one JSON object when it serves, instead of text')
    .addHelpText(
      'after',
      '\nListens at SIMULATOR_PORT and keeps its book in BURSAR_DATA_DIR. A server started afterwards with the same\n' +
        'data directory uses it; one elsewhere does with SIMULATOR_URL.\n' +
        'Example:\n  SIMULATOR_PORT=5000 bursar simulator',
    )
    .action(({ json }: { json?: boolean }) => simulate(json ?? false))
}

async function simulate(is_json: boolean): Promise<void> {
  const [{ readSettings }, { SIMULATOR_PROGRAM }, { print }] = await Promise.all([
    import('../settings.ts'),
    import('../main/simulator-process.ts'),
    import('./output.ts'),
  ])
  const { simulator_port, data_dir } = readSettings(process.env)
  const child = spawn(process.execPath, [SIMULATOR_PROGRAM], {
    env: { ...process.env, SIMULATOR_PORT: String(simulator_port), BURSAR_DATA_DIR: data_dir },
    // Apart from the terminal: a Ctrl-C reaches it once, through us.
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  createInterface(child.stdout).on('line', line => {
    const url = line.replace('simulator ready at ', '')
    print(
      is_json,
      { url, data_dir, pid: child.pid },
      () => `The simulator is ready at ${url}; its book is in ${data_dir}/simulator. Stop it with Ctrl-C.`,
    )
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    process.on(signal, () => child.kill('SIGTERM'))
  process.exitCode = await ended(child)
}

const ended = (child: ChildProcess): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)))
  })
