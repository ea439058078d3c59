import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { secret, text } from '../schema.ts'
import { KEPT_LENGTH_MOST, maskedAnswer, maskedParams } from './mask.ts'

type Json = ReturnType<typeof JSON.parse>

describe('what is kept', () => {
  const schema = z.strictObject({
    card: z.union([
      z.strictObject({ number: secret(text(20)), holder: text(50).optional() }),
      z.literal('none'),
    ]),
    metadata: z.record(z.string(), z.string()).optional(),
    note: text(100_000).optional(),
    evidence: z.strictObject({ text: text(100) }).optional(),
  })
  const ASKED = { has_secrets: true, are_accepted: false, length: 100 }
  const kept = (raw: Record<string, unknown>) => JSON.parse(maskedParams({ ...ASKED, schema }, raw)) as Json

  test('are no secrets, whatever they are and wherever they stand', () => {
    expect(kept({ card: { number: 'not even one', holder: 'A' } })).toEqual({
      card: { number: '[redacted]', holder: 'A' },
    })
    expect(kept({ card: { number: { deep: ['1'] } } })).toEqual({ card: { number: '[redacted]' } })
    expect(kept({ note: 'pay with 4242 4242 4242 4242' })).toEqual({ note: 'pay with [redacted]' })
    expect(kept({ note: 'sk_test_abcdefghijklmnopqrstuvwxyz0123456' })).toEqual({
      note: 'sk_test_[redacted]',
    })
    expect(kept({ evidence: { text: 'a private letter' } })).toEqual({ evidence: '[redacted]' })
    expect(JSON.parse(maskedAnswer('{"client_secret":"pi_1_secret_2","evidence":{"a":"b"}}'))).toEqual({
      client_secret: '[redacted]',
      evidence: '[redacted]',
    })
  })

  test('are no values where the endpoint has no parameter, and no name that may be a card number', () => {
    expect(kept({ pin_code: '9371', card: 'none' })).toEqual({ pin_code: '[redacted]', card: 'none' })
    expect(kept({ '374929385017263': '9371' })).toEqual({ '[redacted]': '[redacted]' })
    expect(kept({ metadata: { '374929385017263': 'x', order_id: '7' } })).toEqual({
      metadata: { '[redacted]': 'x', order_id: '7' },
    })
    expect(kept({ card: { holder: 'A', extra: '9371' } })).toEqual({
      card: { holder: 'A', extra: '[redacted]' },
    })
    expect(kept({ note: ['9371'], metadata: ['x'] })).toEqual({ note: '[redacted]', metadata: '[redacted]' })
  })

  test('are none of these where the endpoint took the parameters as they are, and in no answer', () => {
    const taken = (raw: Record<string, unknown>) =>
      JSON.parse(maskedParams({ schema, has_secrets: false, are_accepted: true, length: 100 }, raw)) as Json
    expect(taken({ metadata: { order_id: '6735' }, note: 'a "plain" note' })).toEqual({
      metadata: { order_id: '6735' },
      note: 'a "plain" note',
    })
    expect(taken({ note: '4242424242424242' })).toEqual({ note: '[redacted]' })
    expect(
      taken({ metadata: { '374929385017263': 'x', my_password: 'y', api_key: 'z', token: 't' } }),
    ).toEqual({
      metadata: { '[redacted]': 'x', my_password: '[redacted]', api_key: '[redacted]', token: '[redacted]' },
    })
    const answer = (value: object) => JSON.parse(maskedAnswer(JSON.stringify(value))) as Json
    expect(answer({ client_secret: 'pi_1_secret_2', description: 'x' })).toEqual({
      client_secret: '[redacted]',
      description: 'x',
    })
    expect(answer({ description: 'pi_1_secret_2abc', metadata: { '4242424242424242': 'x' } })).toEqual({
      description: 'pi_1_secret_[redacted]',
      metadata: { '[redacted]': 'x' },
    })
    expect(maskedAnswer('{"note":"\\u0034242424242424242"}')).toBe('{"note":"[redacted]"}')
    expect(answer({ secret: 'whsec_abc', webhook: 'whsec_abcdef', cvc: '1', Number: 'x' })).toEqual({
      secret: '[redacted]',
      webhook: 'whsec_[redacted]',
      cvc: '[redacted]',
      Number: '[redacted]',
    })
  })

  test('is the beginning of what is long, and nothing of what is very long; valid JSON always', () => {
    const long = maskedAnswer(
      JSON.stringify({ data: Array(300).fill('a plain text of thirty or so letters') }),
    )
    expect(JSON.parse(long)).toMatch(/^\{"data":\["a plain.*… \(\d+ characters\)$/)
    expect((JSON.parse(long) as string).length).toBeLessThan(KEPT_LENGTH_MOST + 50)
    expect(JSON.parse(maskedAnswer(`{"a":"${'x'.repeat(200_000)}"}`))).toBe('… (200008 characters)')
    expect(JSON.parse(maskedParams({ ...ASKED, schema, length: 200_000 }, { note: 'x' }))).toBe(
      '… (200000 characters)',
    )
  })
})
