/**
 * `npm run bench -- [name] [--quick]`: runs one benchmark or all, one after the other and each as its own process, so
 * that none warms the other's caches. A benchmark is a file beside this one; it prints its tables and writes
 * results/<name>.json itself.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

const benches: Record<string, string> = {
  payments: 'a payment over HTTP, against the floor of one stored function; latency at half of the maximum',
  ledger: 'set-based posting against one transfer at a time',
  'ledger-proofs': 'verification of a million entries; balances at past instants as an account grows',
  recovery: 'twenty times kill -9 under load, and how long until all that was interrupted is whole',
  webhooks:
    'deliveries a second, latency beside a dead endpoint with a backlog, cost of a claim, effect on payments',
  reconcile: 'two files of a million rows against the same outer join by DuckDB, and by sort and join',
  'reconcile-runs':
    'two files of a million rows uploaded and reconciled by a run that is kept, against the join alone',
  growth: 'what a payment and a page of a list cost once a table has ten times the rows',
}

function usage(): string {
  const width = Math.max(...Object.keys(benches).map(name => name.length))
  const lines = Object.entries(benches).map(([name, about]) => `  ${name.padEnd(width)}  ${about}`)
  return [
    'npm run bench -- [name] [options of the benchmark]',
    '',
    ...lines,
    '',
    'Without a name all run. --quick: short runs, nothing is written. docs/benchmarks.md says what the numbers mean.',
  ].join('\n')
}

function run(name: string, options: readonly string[]): Promise<number> {
  console.log(`\n== ${name}: ${benches[name]}`)
  const child = spawn(process.execPath, [join(import.meta.dirname, `${name}.ts`), ...options], {
    stdio: 'inherit',
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', code => resolve(code ?? 1))
  })
}

const args = process.argv.slice(2)
const names = args.filter(arg => !arg.startsWith('-'))
const options = args.filter(arg => arg.startsWith('-'))
const unknown = names.find(name => !Object.hasOwn(benches, name))

if (options.includes('--help') || unknown !== undefined) {
  if (unknown !== undefined) console.error(`There is no benchmark "${unknown}".\n`)
  console.log(usage())
  process.exitCode = unknown === undefined ? 0 : 1
} else {
  for (const name of names.length > 0 ? names : Object.keys(benches)) {
    const code = await run(name, options)
    if (code !== 0) process.exitCode = code
  }
}
