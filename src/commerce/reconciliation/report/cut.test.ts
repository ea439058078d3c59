import { expect, test } from 'vitest'
import { cutInWords } from './cut.ts'

test('a cut of our own books says whose rows it has, of which days, and up to where it was read', () => {
  const days = { from: '2026-11-01T00:00:00.000Z', to: '2026-12-01T09:30:00.000Z' }
  const selection = { code: 'bank', currency: 'usd', ...days, watermark: '712' }
  expect(cutInWords({ source: 'ledger', selection })).toBe(
    'entries of the ledger, account bank; usd alone; from 2026-11-01 to before 2026-12-01T09:30:00.000Z (UTC); read up to transaction 712',
  )
  expect(cutInWords({ source: 'payouts', selection: { watermark: '9' } })).toBe(
    'payouts; all days; read up to transaction 9',
  )
  expect(cutInWords({ source: 'file', selection: null })).toBeNull()
})
