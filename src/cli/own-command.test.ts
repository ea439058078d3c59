import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ownCommand } from './own-command.ts'

const CHECKOUT = join(import.meta.dirname, '..', '..')

test('within the checkout npx finds the command, and elsewhere its path does', () => {
  expect(ownCommand(CHECKOUT)).toBe('npx bursar')
  expect(ownCommand(join(CHECKOUT, 'docs', 'runbooks'))).toBe('npx bursar')
  const beside = `${CHECKOUT}-runs`
  for (const elsewhere of [join(CHECKOUT, '..'), beside, tmpdir()]) {
    expect(ownCommand(elsewhere)).toBe(join(CHECKOUT, 'scripts', 'bursar.mjs'))
  }
})

test('the path runs from any folder', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bursar-own-command-'))
  try {
    const said = execFileSync('sh', ['-c', `${ownCommand(folder)} --version`], {
      cwd: folder,
      encoding: 'utf8',
    })
    expect(said).toMatch(/^\d+\.\d+\.\d+\n$/)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test('a reconciliation whose packages cannot be installed could not run, and has no findings', () => {
  const folder = mkdtempSync(join(tmpdir(), 'bursar-own-command-'))
  try {
    cpSync(join(CHECKOUT, 'scripts'), join(folder, 'scripts'), { recursive: true })
    const codeOf = (verb: string) =>
      spawnSync(process.execPath, [join(folder, 'scripts', 'bursar.mjs'), verb], { stdio: 'ignore' }).status
    expect([codeOf('reconcile'), codeOf('ledger')]).toEqual([2, 1])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
