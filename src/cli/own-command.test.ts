import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
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
