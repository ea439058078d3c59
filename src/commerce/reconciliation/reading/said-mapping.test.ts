import { expect, test } from 'vitest'
import { readMapping, SAID_BY_API } from './said-mapping.ts'
import { SAYABLE } from './statement.ts'

test('a mapping is what it says, whole or in part', () => {
  const mapping = {
    encoding: 'windows-1252',
    delimiter: ';',
    header_line: 3,
    decimal: 'comma',
    columns: { id: ['Ref', '#4'], credit: 'Haben', debit: 'Soll', date: 'Tag' },
    date_format: 'DD.MM.YYYY',
    currency: 'eur',
  }
  expect(readMapping(JSON.stringify(mapping))).toEqual(mapping)
  expect(readMapping('{"columns":{"currency":"Währung"}}')).toEqual({ columns: { currency: 'Währung' } })
  expect(readMapping('{}')).toEqual({})
})

test.each([
  ['{x', /^ is not valid JSON/],
  ['[]', /^ must be one object, as \{/],
  ['"comma"', /^ must be one object, as \{/],
  ['{"decimal":";"}', /^\.decimal must be one of minor, point, comma\.$/],
  ['{"columns":["Ref"]}', /^\.columns must be an object of columns, as /],
  ['{"columns":{"id":"Ref"}}', /^\.columns\.id must be a list of 1 to 8 columns, as \["Ref"\]\.$/],
  ['{"columns":{"id":[]}}', /^\.columns\.id must be a list of 1 to 8 columns/],
  ['{"columns":{"id":[7]}}', /^\.columns\.id\.0 must be a list|^\.columns\.id\.0 must be the name/],
  ['{"columns":{"amount":7}}', /^\.columns\.amount must be the name of a column, or its place, as #3\.$/],
  ['{"columns":{"betrag":"B"}}', /^\.columns has no "betrag": its members are id, amount, sign, debit/],
  ['{"spaces":2}', /^ has no "spaces": its members are preset, encoding, delimiter/],
  ['{"delimiter":"--"}', /^\.delimiter must be one character, as ";"\.$/],
  ['{"header_line":0}', /^\.header_line must be the number of a line, from 1\.$/],
  ['{"date_format":"D.M.Y"}', /^\.date_format must be one of YYYY-MM-DD, /],
  ['{"encoding":"ebcdic"}', /^\.encoding must be one of utf-8, /],
  ['{"currency":"EURO"}', /^\.currency must be a code of ISO 4217 in lower case/],
])('%s is refused with what is wanted there', (text, sentence) => {
  const said = readMapping(text)
  expect(said).toMatch(sentence)
  expect(said).not.toMatch(/Invalid|expected|received|undefined/)
})

test('what a file leaves open can be said by the API', () => {
  expect(Object.keys(SAID_BY_API).toSorted()).toEqual([...SAYABLE].toSorted())
})
