import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { mayHaveMetWithoutId } from './look-through.ts'

const directory = mkdtempSync(join(tmpdir(), 'bursar-look-through-'))
afterAll(() => rmSync(directory, { recursive: true }))

const look = (content: string) => {
  writeFileSync(join(directory, 'items.csv'), content)
  return mayHaveMetWithoutId({ directory })
}
const PIECE = 1024 * 1024
const by_id = '1,2,1,2,a,5,usd,2026-11-21,,matched,id,l1,,,\n'

test.each(['matched,window', 'matched_with_tolerance,tolerance'])(
  'a pair by %s is found wherever the pieces of a file part it',
  async mark => {
    for (let cut = 0; cut <= mark.length + 2; cut++) {
      expect(await look(`${'x'.repeat(PIECE - cut)},${mark},l1,,,\n${by_id}`)).toBe(true)
    }
  },
)

test('rows that met by their ids, in batches, or not at all are none', async () => {
  const others = ['matched,batch', 'matched_with_tolerance,id', 'ambiguous,window', 'unmatched,rest']
  expect(
    await look(by_id.repeat(50_000) + others.map(mark => `1,2,,,a,5,usd,,,${mark},l1,,,\n`).join('')),
  ).toBe(false)
})
