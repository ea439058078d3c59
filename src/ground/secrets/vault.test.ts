import { expect, test } from 'vitest'
import { createVault } from './vault.ts'

const vault = createVault('a secret of the tests', 'tests')

test('what is sealed is read again, and is in no byte of what is kept', () => {
  for (const text of ['', 'whsec_hello', 'ünï 💶'.repeat(1_000)]) {
    const sealed = vault.seal(text, 'row 1')
    expect(vault.open(sealed, 'row 1')).toBe(text)
    if (text !== '') expect(sealed.includes(text.slice(0, 6))).toBe(false)
  }
})

test('the same text is never sealed to the same bytes', () => {
  expect(vault.seal('hello', 'row').equals(vault.seal('hello', 'row'))).toBe(false)
})

test('what is sealed for a row opens for no other row, purpose or installation', () => {
  const sealed = vault.seal('hello', 'row 1')
  expect(() => vault.open(sealed, 'row 2')).toThrow('does not open')
  expect(() => createVault('a secret of the tests', 'others').open(sealed, 'row 1')).toThrow('does not open')
  expect(() => createVault('another secret', 'tests').open(sealed, 'row 1')).toThrow('does not open')
})

test('what was changed or cut does not open', () => {
  const sealed = vault.seal('hello', 'row')
  for (let i = 0; i < sealed.length; i++) {
    const changed = Buffer.from(sealed)
    changed[i] = (changed[i] as number) ^ 1
    expect(() => vault.open(changed, 'row'), `byte ${i}`).toThrow('does not open')
    expect(() => vault.open(sealed.subarray(0, i), 'row'), `cut at ${i}`).toThrow('does not open')
  }
})
