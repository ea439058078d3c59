import { expect, test } from 'vitest'
import type { StatusSum } from '../engine/face.ts'
import { shownControl } from './controls.ts'

const sum = (currency: string): StatusSum => ({
  side: 'right',
  status: 'matched',
  currency,
  count: 1,
  sum: 1n,
})
const control = (name: string) => ({ name, expected: '1115502', found: '-5', is_met: false, line: 1 })

test('sums of money are shown with their currency, and what is counted as it is', () => {
  const closing = control('opening balance and entries are the closing balance')
  const shown = { expected: '11,155.02 CHF', found: '-0.05 CHF' }
  expect(shownControl(closing, 'right', [sum('chf')])).toMatchObject(shown)
  for (const name of ['number of entries', 'records of the file', 'statement numbers have no gap']) {
    expect(shownControl(control(name), 'right', [sum('chf')])).toEqual(control(name))
  }
  const quoted = { ...closing, found: 'a balance that cannot be read' }
  expect(shownControl(quoted, 'right', [sum('chf')]).found).toBe('a balance that cannot be read')
})

test('of several currencies nothing is guessed', () => {
  const shown = { expected: '1115502 in minor units', found: '-5 in minor units' }
  expect(shownControl(control('sum of the file'), 'right', [sum('chf'), sum('jpy')])).toMatchObject(shown)
  expect(shownControl(control('sum of the file'), 'left', [sum('chf')])).toMatchObject(shown)
})
