import { describe, expect, test } from 'vitest'
import { failures } from '../types.ts'
import { failureWords } from './failure-words.ts'
import { letterOf, type NoticeFacts, noticeKinds } from './letter.ts'
import { noticeKindOf, whyNot } from './send.ts'

const ID = 'we_01jd3x0yfae4qa9vrf2kz5m8wt'
const facts = (more: Partial<NoticeFacts> = {}): NoticeFacts => ({
  kind: 'failing',
  at: new Date('2026-11-24T10:00:00Z'),
  account_name: 'Shop & Sons <Ltd>',
  livemode: true,
  endpoint_id: ID,
  url: 'https://hooks.shop.example/orders?token=hunter2',
  description: null,
  failing_since: new Date('2026-11-20T10:03:00Z'),
  disables_at: new Date('2026-11-25T10:03:00Z'),
  last_failure: {
    failure: 'failed',
    message: 'The endpoint answered 500.',
    at: new Date('2026-11-24T09:58:00Z'),
  },
  waiting: 12_345,
  is_waiting_cut: false,
  oldest_waiting_at: new Date('2026-11-20T10:02:00Z'),
  kept_days: 30,
  ...more,
})

/** Text without its line breaks, which stand where the page ends. */
const flat = (text: string) => text.replaceAll(/\s+/g, ' ')

describe('a letter', () => {
  test('that warns says what fails since when and why, what waits, and what happens when', () => {
    const { subject, text } = letterOf(facts())
    expect(subject).toBe('Webhooks to hooks.shop.example fail, and stop on 25 November if nothing changes')
    for (const sentence of [
      'https://hooks.shop.example/orders',
      ID,
      'Nothing has been accepted since 20 November 2026 at 10:03 UTC.',
      'The last try, on 24 November 2026 at 09:58 UTC, failed: the server answered that it failed (5xx). The endpoint answered 500.',
      failureWords.failed.help,
      '12,345 deliveries wait, the oldest since 20 November 2026 at 10:02 UTC.',
      'If nothing is accepted until 25 November 2026 at 10:03 UTC, the endpoint is disabled, and we write once more.',
      `bursar webhooks deliveries --endpoint ${ID}`,
    ]) {
      expect(flat(text)).toContain(sentence)
    }
  })

  test('about an endpoint that was disabled says how to enable it and to have sent again what it missed', () => {
    const { subject, text } = letterOf(facts({ kind: 'failed', disables_at: null, livemode: false }))
    expect(subject).toBe('Test mode: Webhooks to hooks.shop.example have stopped')
    expect(flat(text)).toContain('12,345 deliveries were set aside')
    expect(text).toContain(`POST /v1/webhook_endpoints/${ID}/enable\n`)
    expect(text).toContain(`bursar webhooks replay ${ID} --from 2026-11-20T10:03:00.000Z --watch\n`)
  })

  test('about an endpoint that is gone says that it asked for it', () => {
    const { text } = letterOf(facts({ kind: 'gone', last_failure: null, failing_since: null, waiting: 1 }))
    expect(flat(text)).toContain(
      'On 24 November 2026 at 10:00 UTC the server answered that the endpoint is gone for good (410). It asks us to stop, so we did.',
    )
    expect(flat(text)).toContain('1 delivery was set aside')
    expect(text).toContain('--from 2026-11-24T10:00:00.000Z')
  })

  test('bears what is not known', () => {
    for (const kind of noticeKinds) {
      const { subject, text, html } = letterOf(
        facts({
          kind,
          failing_since: null,
          disables_at: null,
          last_failure: null,
          waiting: 0,
          oldest_waiting_at: null,
        }),
      )
      for (const part of [subject, text, html]) expect(part).not.toMatch(/null|undefined|Invalid|NaN/)
      expect(text).toContain('No delivery waits just now.')
    }
    expect(letterOf(facts({ waiting: 100_000, is_waiting_cut: true })).text).toContain('More than 100,000')
  })

  test('says the same in both forms, and nothing in it becomes markup or a secret of the URL', () => {
    const message = 'It names <https://evil.example/"onload="x> & more.'
    const failure = { failure: 'redirected' as const, message, at: new Date('2026-11-24T09:58:00Z') }
    const { text, html } = letterOf(
      facts({ kind: 'failed', description: '<script>1</script>', last_failure: failure }),
    )
    expect(html).not.toMatch(/<script|<https|onload="|hunter2/)
    expect(text).not.toContain('hunter2')
    const read = html
      .replace(/[\s\S]*<body[^>]*>/, '')
      .replaceAll(/<[^>]*>/g, ' ')
      .replaceAll(/&#(\d+);/g, (_whole, code: string) => String.fromCodePoint(Number(code)))
    expect(flat(read).trim()).toBe(flat(text).trim())
  })

  test('has lines that a terminal shows whole, but for what is to be copied', () => {
    const { text } = letterOf(facts())
    const long = text.split('\n').filter(line => line.length > 72 && !line.startsWith('  '))
    expect(long).toEqual([])
  })
})

test('every class of failure has words', () => {
  for (const failure of failures) {
    expect(failureWords[failure].what, failure).toMatch(/^[a-z][^.]*$/)
    expect(failureWords[failure].help, failure).toMatch(/^[A-Z].*\.$/)
  }
})

test('the account is told of what it did not do itself', () => {
  expect(noticeKindOf('webhook_endpoint.failing', null)).toBe('failing')
  expect(noticeKindOf('webhook_endpoint.disabled', 'failing')).toBe('failed')
  expect(noticeKindOf('webhook_endpoint.disabled', 'gone')).toBe('gone')
  expect(noticeKindOf('webhook_endpoint.disabled', 'requested')).toBeNull()
  expect(noticeKindOf('webhook_endpoint.updated', 'failing')).toBeNull()
})

describe('nobody is written to', () => {
  const at = new Date('2026-11-24T10:00:00Z')
  const earlier = new Date('2026-11-20T10:00:00Z')
  const later = new Date('2026-11-24T10:00:01Z')
  const failing = {
    status: 'enabled' as const,
    disabled_reason: null,
    notification_email: 'ada@example.com',
    failing_since: earlier,
    failed_at: at,
    now: new Date('2026-11-25T10:00:00Z'),
  }
  const disabled = { ...failing, status: 'disabled' as const, disabled_reason: 'failing' as const }

  test.each([
    ['when all is as it was', 'failing', failing, null],
    ['when all is as it was', 'failed', disabled, null],
    ['when all is as it was', 'gone', { ...disabled, disabled_reason: 'gone' as const }, null],
    ['about an endpoint that was deleted', 'failed', undefined, 'endpoint_deleted'],
    ['where no address is named', 'failed', { ...disabled, notification_email: null }, 'no_address'],
    ['about last week', 'failed', { ...disabled, now: new Date('2026-11-27T10:00:01Z') }, 'too_old'],
    ['about an endpoint that is well again', 'failing', { ...failing, failing_since: null }, 'well_again'],
    ['about one that failed anew', 'failing', { ...failing, failing_since: later }, 'well_again'],
    ['to warn of what has happened', 'failing', disabled, 'disabled_meanwhile'],
    ['about one that was enabled', 'gone', failing, 'enabled_meanwhile'],
  ] as const)('%s (%s)', (_when, kind, endpoint, reason) => {
    expect(whyNot({ kind, at }, endpoint)).toBe(reason)
  })
})
