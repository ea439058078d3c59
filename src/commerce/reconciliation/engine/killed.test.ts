import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { STAGES } from './face.ts'

let home: string
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), 'reconcile-killed-'))
  // Enough for two threads.
  const rows = (side: string) =>
    Array.from({ length: 150_000 }, (_, at) => `${at % 50 === 0 ? side : 'id_'}${at},${at},usd\n`).join('')
  writeFileSync(join(home, 'left.csv'), `id,amount,currency\n${rows('l')}`)
  writeFileSync(join(home, 'right.csv'), `id,amount,currency\n${rows('r')}`)
})
afterAll(() => rmSync(home, { recursive: true, force: true }))

const RESULTS = ['.bursar-findings.csv', 'items.csv', 'run.json']

/** A run in a process of its own, that dies by its own hand, without a chance to tidy up, when a stage begins. */
function run(directory: string, killed_at: string | null, file_blocks = 'unlimited') {
  const program = `
    import { runFiles } from ${JSON.stringify(join(import.meta.dirname, 'run-files.ts'))}
    import { DEFAULT_RULES } from ${JSON.stringify(join(import.meta.dirname, '..', 'rules.ts'))}
    const side = name => ({ path: ${JSON.stringify(home)} + '/' + name, name })
    await runFiles({
      left: side('left.csv'), right: side('right.csv'), rules: DEFAULT_RULES, decisions: [],
      directory: ${JSON.stringify(directory)},
      on_progress: ({ stage }) => { if (stage === ${JSON.stringify(killed_at)}) process.kill(process.pid, 'SIGKILL') },
    })`
  const node = [process.execPath, '--input-type=module', '-e', program]
  // In blocks of 512 bytes.
  const limited = `ulimit -f ${file_blocks}; exec "$@"`
  return spawnSync('/bin/sh', ['-c', limited, 'sh', ...node], { encoding: 'utf8' })
}

const bytesOf = (directory: string) => RESULTS.map(name => readFileSync(join(directory, name), 'utf8'))

test.each(STAGES)(
  'a run killed when its stage "%s" begins ends with the same bytes when it is asked for again',
  stage => {
    const whole = join(home, 'whole')
    if (!existsSync(whole)) expect(run(whole, null).status).toBe(0)
    const directory = join(home, stage)
    expect(run(directory, stage).signal).toBe('SIGKILL')
    expect(existsSync(join(directory, 'run.json'))).toBe(stage === 'done')
    expect(run(directory, null)).toMatchObject({ status: 0, stderr: '' })
    expect(bytesOf(directory)).toEqual(bytesOf(whole))
    expect(readdirSync(directory).sort()).toEqual(RESULTS)
  },
  120_000,
)

test('a run whose result does not fit on the disk says so, and keeps nothing of it', () => {
  const directory = join(home, 'full')
  const { status, stderr } = run(directory, null, '200')
  expect(status).toBe(1)
  expect(stderr).toContain('RunFailed: no space is left on the disk of the run')
  expect(readdirSync(directory)).toEqual([])
}, 180_000)
