/** A file that shows the account from its other side is turned row by row, whatever its format; what it says of itself is not. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readWhole } from './reading.fixture.ts'

const CORPUS = join(import.meta.dirname, '../../../../test/reconciliation/statements')

test.each([
  'simulator-settlement.csv',
  'german-bank-windows-1252.csv',
  'swiss-debit-credit.csv',
  'lines.jsonl',
  'simulator-camt053.xml',
  'camt053-v2-batch.xml',
  'mt940-swift.sta',
  'mt940-bare.sta',
  'bai2-sample.bai',
])('%s has every sign turned, and its balances hold as they did', async name => {
  const bytes = readFileSync(join(CORPUS, name))
  const plain = await readWhole(bytes)
  const turned = await readWhole(bytes, { mapping: { is_flipped: true } })
  expect(plain.lines.length).toBeGreaterThan(1)
  expect(turned.lines.map(({ amount }) => amount)).toEqual(plain.lines.map(({ amount }) => -amount))
  const named = ({ lines }: typeof plain) => lines.map(({ id }) => id).filter(id => !id.startsWith('(none)'))
  expect(named(turned)).toEqual(named(plain))
  expect(turned.bad).toEqual(plain.bad)
  expect(turned.summary).toEqual(plain.summary)
  expect(turned.mapping).toEqual({ ...plain.mapping, is_flipped: true })
})
