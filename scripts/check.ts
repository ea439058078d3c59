/**
 * What can be said about the code without running it, all of it at once: types, lint, format, the house's own rules
 * and the freshness of generated files. CI runs exactly this before the tests.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'

const PROJECT = join(import.meta.dirname, '..')

const CHECKS: [name: string, program: string, ...args: string[]][] = [
  ['types', 'tsc', '--noEmit', '-p', '.'],
  ['lint', 'oxlint', '--type-aware', '--deny-warnings'],
  ['format', 'biome', 'format'],
  ['tidy', 'vitest', 'run', 'test/tidy.test.ts', '--project=unit'],
  ['generated', process.execPath, 'scripts/generate.ts', '--check'],
]

interface Outcome {
  name: string
  is_clean: boolean
  output: string
  seconds: number
}

function runCheck([name, program, ...args]: (typeof CHECKS)[number]): Promise<Outcome> {
  const started = performance.now()
  return new Promise(resolve => {
    const chunks: string[] = []
    const child = spawn(program, args, { cwd: PROJECT, stdio: ['ignore', 'pipe', 'pipe'] })
    const finish = (is_clean: boolean) =>
      resolve({ name, is_clean, output: chunks.join(''), seconds: (performance.now() - started) / 1000 })
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8')
      stream.on('data', (chunk: string) => chunks.push(chunk))
    }
    child.once('error', error => {
      chunks.push(error.message)
      finish(false)
    })
    child.once('close', code => finish(code === 0))
  })
}

const outcomes = await Promise.all(CHECKS.map(runCheck))
for (const { name, is_clean, output, seconds } of outcomes) {
  if (!is_clean) console.log(`\n──── ${name} ────\n${output.trim()}\n`)
  console.log(`${is_clean ? 'ok    ' : 'FAILED'} ${name} (${seconds.toFixed(1)} s)`)
}
if (outcomes.some(outcome => !outcome.is_clean)) process.exitCode = 1
