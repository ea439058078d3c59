/** `bursar webhooks list`. */
import type { Database } from '#db'
import type { EndpointHealth } from '#webhooks'

export interface ListOptions {
  account?: string
  failing?: boolean
  limit: string
  json?: boolean
}

const SHOWN_MOST = 1_000

export async function list(db: Database, options: ListOptions): Promise<void> {
  const [{ COUNTED_MOST, listEndpointHealth }, { systemClock }, { print, table }, { age }, { uuidOf }] =
    await Promise.all([
      import('#webhooks'),
      import('#kernel'),
      import('../output.ts'),
      import('../duration.ts'),
      import('../ledger/tenant.ts'),
    ])
  const most = countOf(options.limit)
  const account_id = options.account === undefined ? undefined : await uuidOf('acct_', options.account)
  const found = await listEndpointHealth(db, { account_id, is_failing: options.failing ?? false, most })
  const shown = await Promise.all(found.map(toShow))
  const now_ms = systemClock.now().getTime()
  const since = (instant: string | null) => (instant === null ? '–' : age(now_ms - Date.parse(instant)))
  print(options.json, { data: shown }, () =>
    shown.length === 0
      ? `There are no ${options.failing ? 'endpoints that fail' : 'webhook endpoints'}.`
      : table(
          [
            'endpoint',
            'account',
            'mode',
            'status',
            'success',
            'waiting',
            'oldest',
            'sending',
            'failing',
            'URL',
          ],
          shown.map(endpoint => [
            endpoint.id,
            endpoint.account_id,
            endpoint.livemode ? 'live' : 'test',
            endpoint.disabled_reason === null
              ? endpoint.status
              : `${endpoint.status}: ${endpoint.disabled_reason}`,
            endpoint.success_rate === null ? '–' : `${(endpoint.success_rate * 100).toFixed(1)} %`,
            `${endpoint.waiting}${endpoint.waiting === COUNTED_MOST ? '+' : ''}`,
            since(endpoint.oldest_queued_at),
            sendingOf(endpoint),
            since(endpoint.failing_since),
            endpoint.url,
          ]),
          [4, 5, 6, 8],
        ),
  )
}

/** How it is sent to just now. */
function sendingOf({ status, breaker, slots, blocked_until }: Shown): string {
  if (status === 'disabled') return 'nothing'
  if (breaker === 'open') return blocked_until === null ? 'a probe' : `a probe at ${clockTime(blocked_until)}`
  if (blocked_until !== null) return `again at ${clockTime(blocked_until)}`
  return slots === null ? 'freely' : `${slots} at once, recovering`
}

const clockTime = (instant: string) => instant.slice(11, 19)

type Shown = Awaited<ReturnType<typeof toShow>>

async function toShow(endpoint: EndpointHealth) {
  const { encodeId } = await import('#kernel')
  return {
    ...endpoint,
    id: encodeId('we_', endpoint.id),
    account_id: encodeId('acct_', endpoint.account_id),
    oldest_queued_at: endpoint.oldest_queued_at?.toISOString() ?? null,
    blocked_until: endpoint.blocked_until?.toISOString() ?? null,
    failing_since: endpoint.failing_since?.toISOString() ?? null,
  }
}

export function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 1 || count > SHOWN_MOST) {
    throw new Error(`--limit must be a whole number from 1 to ${SHOWN_MOST}`)
  }
  return count
}
