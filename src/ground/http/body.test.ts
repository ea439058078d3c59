import { expect, test } from 'vitest'
import { ApiError } from '#kernel'
import { readJsonObject } from './body.ts'
import { BODY_DEPTH_MOST } from './limits.ts'

const read = (text: string | Buffer) => readJsonObject(Buffer.from(text as string))

/** What is thrown for a body: code and, where there is one, the parameter. */
function refusal(text: string | Buffer): string {
  try {
    read(text)
  } catch (error) {
    if (error instanceof ApiError) return [error.code, error.param].filter(Boolean).join(' ')
    throw error
  }
  return 'accepted'
}

test('an object is read, and an empty body is an empty object', () => {
  expect(read('{"a":[1,{"b":"ü"}],"c":null}')).toEqual({ a: [1, { b: 'ü' }], c: null })
  expect(readJsonObject(undefined)).toEqual({})
  expect(read('')).toEqual({})
})

test.each([
  ['broken JSON', '{"a":', 'invalid_json'],
  ['a list', '[1]', 'body_must_be_object'],
  ['a text', '"a"', 'body_must_be_object'],
  ['null', 'null', 'body_must_be_object'],
  ['invalid UTF-8', Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x7d]), 'invalid_json'],
  ['a raw NUL byte', '{"a":"\0"}', 'invalid_json'],
  ['an escaped NUL', '{"items":[{"text":"a\\u0000b"}]}', 'parameter_invalid items[0].text'],
  ['an escaped NUL in a name', '{"metadata":{"a\\u0000":"b"}}', 'parameter_invalid metadata'],
  ['an escaped NUL in a name at the top', '{"\\u0000":"b"}', 'parameter_invalid body'],
  ['half of a surrogate pair', '{"a":"\\ud800"}', 'parameter_invalid a'],
  ['a name given twice', '{"amount":1,"amount":2}', 'invalid_json'],
  ['a name given twice, once with an escape', '{"amount":1,"\\u0061mount":2}', 'invalid_json'],
  ['a name given twice deep inside', '{"a":[{"b":{"c":1,"c":1}}]}', 'invalid_json'],
  ['__proto__', '{"__proto__":{"is_admin":true}}', 'parameter_unknown __proto__'],
  ['__proto__ with an escape', '{"a":{"__prot\\u006f__":1}}', 'parameter_unknown a.__proto__'],
  ['a number beyond all numbers', '{"amount":1e400}', 'parameter_invalid amount'],
])('%s is refused', (_name, body, expected) => {
  expect(refusal(body)).toBe(expected)
})

test('escapes that look like a NUL or like quotes are text', () => {
  expect(read('{"a":"\\\\u0000","b":"\\"c\\":\\\\","d:":"{[:"}')).toEqual({
    a: '\\u0000',
    b: '"c":\\',
    'd:': '{[:',
  })
})

test('nesting is refused beyond its limit, however deep it goes', () => {
  const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`
  expect(refusal(nested(BODY_DEPTH_MOST))).toBe('accepted')
  expect(refusal(nested(BODY_DEPTH_MOST + 1))).toBe('invalid_json')
  expect(refusal(nested(10_000))).toBe('invalid_json')
  expect(refusal(`{"a":${'['.repeat(500_000)}`)).toBe('invalid_json')
})

test('a refusal never repeats what was sent', () => {
  try {
    read('{"number":4242424242424242')
    expect.unreachable()
  } catch (error) {
    expect((error as Error).message).not.toContain('4242')
  }
})
