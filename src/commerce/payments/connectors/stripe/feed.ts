/**
 * Stripe's list of events as a feed, oldest first. The list itself is newest first and keeps thirty days; what follows an
 * event is asked for by `ending_before`, which gives the page right after it. Its start has no such event: it is found by
 * halving spans of time until one holds no more than a page.
 */
import type { Clock } from '#kernel'
import type { EventPage } from '../connector.ts'
import type { Said, StripeClient } from './client.ts'
import { readEvent, STRIPE_EVENT_TYPES } from './events.ts'
import { type Fields, isFields, textOf } from './reading.ts'

/** As many as Stripe gives at once. */
const PAGE_MOST = 100
const DAY_S = 86_400
/** Events are kept thirty days; one more for the difference of clocks. */
const KEPT_S = 31 * DAY_S
/** More than a hundred events in one second are read to their end, up to this many pages: a thousand a second. */
const PAGES_OF_A_SECOND_MOST = 10
const MIN_CALL_MS = 1

type Unknown = { kind: 'unknown'; reason: string }

export interface FeedOptions {
  livemode: boolean
  clock: Clock
  /** How old an event must be to be read: one that is listed late, among older ones, would be passed otherwise. */
  lag_ms: number
}

export function stripeFeed(
  client: StripeClient,
  { livemode, clock, lag_ms }: FeedOptions,
): (after: string | null, deadline_ms: number) => Promise<EventPage | Unknown> {
  type Page = { data: Fields[]; has_more: boolean }
  type Span = { gte?: number; lt?: number; lte?: number }

  async function list(
    params: { ending_before?: string; starting_after?: string; created: Span },
    until_ms: number,
  ): Promise<Page | { kind: 'gone' } | Unknown> {
    const timeout = Math.max(MIN_CALL_MS, Math.ceil(until_ms - performance.now()))
    const said = await client.ask(api =>
      api.events.list({ limit: PAGE_MOST, types: STRIPE_EVENT_TYPES, ...params }, { timeout }),
    )
    return pageOf(said)
  }

  /** The oldest events there are, at most a page of them. */
  async function start(newest_s: number, until_ms: number): Promise<EventPage | Unknown> {
    let from_s = newest_s - KEPT_S
    let span_s = KEPT_S + 1
    while (from_s <= newest_s) {
      const span = { gte: from_s, lt: Math.min(from_s + span_s, newest_s + 1) }
      const page = await list({ created: span }, until_ms)
      if ('kind' in page) return page.kind === 'gone' ? { kind: 'unknown', reason: 'list_refused' } : page
      if (page.has_more && span_s > 1) {
        span_s = Math.ceil(span_s / 2)
        continue
      }
      const data = page.has_more ? await rest(page, span, until_ms) : page.data
      if ('kind' in data) return data
      if (data.length > 0) return read(data, '')
      from_s += span_s
      span_s = newest_s + 1 - from_s
    }
    return { events: [], next: '' }
  }

  async function rest(first: Page, created: Span, until_ms: number): Promise<Fields[] | Unknown> {
    const data = [...first.data]
    for (let pages = 1; pages < PAGES_OF_A_SECOND_MOST; pages++) {
      const starting_after = textOf(data.at(-1)?.id)
      if (starting_after === undefined) break
      const page = await list({ starting_after, created }, until_ms)
      if ('kind' in page) return page.kind === 'gone' ? { kind: 'unknown', reason: 'list_refused' } : page
      data.push(...page.data)
      if (!page.has_more) return data
    }
    return { kind: 'unknown', reason: 'too_many_events' }
  }

  /** Oldest first, and where to go on. */
  function read(newest_first: Fields[], after: string): EventPage | Unknown {
    const page: EventPage = { events: [], next: textOf(newest_first[0]?.id) ?? after }
    for (const body of newest_first.toReversed()) {
      const event = readEvent(body, livemode)
      // Going on past what cannot be read would lose it.
      if (event === undefined) return { kind: 'unknown', reason: 'unreadable_answer' }
      page.events.push({ body, event })
    }
    return page
  }

  return async (after, deadline_ms) => {
    const until_ms = performance.now() + deadline_ms
    const newest_s = Math.floor((clock.now().getTime() - lag_ms) / 1_000)
    if (after === null || after === '') return start(newest_s, until_ms)
    const page = await list({ ending_before: after, created: { lte: newest_s } }, until_ms)
    if (!('kind' in page)) return read(page.data, after)
    // It is older than what is kept, or it was never an event.
    return page.kind === 'gone' ? start(newest_s, until_ms) : page
  }
}

function pageOf(said: Said): { data: Fields[]; has_more: boolean } | { kind: 'gone' } | Unknown {
  if (said.kind === 'unknown') return said
  if (said.kind === 'refused') {
    const is_gone = said.error.code === 'resource_missing' || said.error.param === 'ending_before'
    return is_gone
      ? { kind: 'gone' }
      : { kind: 'unknown', reason: said.error.code ?? `http_${said.error.status}` }
  }
  const { body } = said
  if (!isFields(body) || !Array.isArray(body.data) || !body.data.every(isFields)) {
    return { kind: 'unknown', reason: 'unreadable_answer' }
  }
  return { data: body.data, has_more: body.has_more === true }
}
