/** `bursar webhooks deliveries` and `show`. */
import type { Database } from '#db'
import type { Tenant } from '#kernel'
import type { DeliveryAttempt, DeliveryRow } from '#webhooks'
import { countOf } from './list.ts'

export interface DeliveriesOptions {
  endpoint?: string
  account?: string
  live?: boolean
  status?: string
  dead?: boolean
  type?: string
  event?: string
  since?: string
  before?: string
  limit: string
  json?: boolean
}

export async function deliveries(db: Database, options: DeliveriesOptions): Promise<void> {
  const [{ findDeliveries, shownStatuses }, { systemClock }, { print, table }, { durationMs }, { uuidOf }] =
    await Promise.all([
      import('#webhooks'),
      import('#kernel'),
      import('../output.ts'),
      import('../duration.ts'),
      import('../ledger/tenant.ts'),
    ])
  if (options.dead && options.status !== undefined && options.status !== 'dead') {
    throw new Error('--dead says --status dead: name one of them')
  }
  const named = options.dead ? 'dead' : options.status
  const status = shownStatuses.find(known => known === named)
  if (named !== undefined && status === undefined) {
    throw new Error(`--status must be one of ${shownStatuses.join(', ')}`)
  }
  const endpoint_id = options.endpoint && (await uuidOf('we_', options.endpoint))
  const tenant = await tenantOfList(db, options, endpoint_id)
  const found = await findDeliveries(db, tenant, {
    status,
    endpoint_id,
    event_id: options.event && (await uuidOf('evt_', options.event)),
    event_type: options.type,
    since:
      options.since === undefined
        ? undefined
        : new Date(systemClock.now().getTime() - durationMs('--since', options.since)),
    before: options.before && (await uuidOf('del_', options.before)),
    most: countOf(options.limit),
  })
  if (endpoint_id && found.length === 0) await demandKnown(db, tenant, options.endpoint ?? '', endpoint_id)
  const shown = await Promise.all(found.map(toShow))
  print(options.json, { data: shown }, () =>
    shown.length === 0
      ? 'There are no such deliveries, or no longer.'
      : table(
          ['delivery', 'event', 'type', 'endpoint', 'status', 'tries', 'answer', 'happened', 'next try'],
          shown.map(delivery => [
            delivery.id,
            delivery.event_id,
            delivery.event_type,
            delivery.endpoint_id,
            delivery.status,
            String(delivery.tries),
            delivery.status_code === null ? (delivery.failure ?? '') : String(delivery.status_code),
            delivery.created_at,
            delivery.due_at === null
              ? ''
              : `${delivery.due_at}${delivery.paused_until === null ? '' : ' (paused)'}`,
          ]),
          [5],
        ),
  )
}

/** An endpoint says whose it is; else it is said, or there is one account. */
async function tenantOfList(
  db: Database,
  options: DeliveriesOptions,
  endpoint_id: string | undefined,
): Promise<Tenant> {
  const { tenantOf } = await import('../ledger/tenant.ts')
  if (endpoint_id === undefined) return tenantOf(db, options)
  const { findEndpointOwner } = await import('#webhooks')
  const owner = await findEndpointOwner(db, endpoint_id)
  // Deleted endpoints leave their past: whose it was must then be said.
  return owner ?? tenantOf(db, options)
}

/** That there is nothing is an answer about an endpoint that exists, or did; about a mistyped one it is not. */
async function demandKnown(db: Database, tenant: Tenant, name: string, endpoint_id: string): Promise<void> {
  const { findDeliveries, findEndpointOwner } = await import('#webhooks')
  if (await findEndpointOwner(db, endpoint_id)) return
  const [any] = await findDeliveries(db, tenant, { endpoint_id, most: 1 })
  if (any === undefined) {
    throw new Error(
      `there is no webhook endpoint ${name}, and nothing is kept of one: see "bursar webhooks list"`,
    )
  }
}

export async function show(db: Database, name: string, options: { json?: boolean }): Promise<void> {
  const [{ attemptsOf }, { print, table }] = await Promise.all([import('#webhooks'), import('../output.ts')])
  const delivery = await findDelivery(db, name)
  const shown = {
    ...(await toShow(delivery)),
    attempts: await toShowAttempts(await attemptsOf(db, delivery)),
  }
  print(options.json, shown, () => {
    const { attempts, ...fields } = shown
    const lines = Object.entries(fields).map(([field, value]) => `${field.padEnd(12)}  ${value ?? '–'}`)
    if (attempts.length === 0)
      return [...lines, '', 'It has not been tried, or its tries are no longer kept.'].join('\n')
    const tries = table(
      [
        'try',
        'at',
        'answer',
        'DNS',
        'connect',
        'TLS',
        'wait',
        'in all (ms)',
        'connection',
        'address',
        'again',
      ],
      attempts.map(attempt => [
        `${attempt.number}${attempt.is_counted ? '' : ' (not counted)'}`,
        attempt.created_at,
        attempt.status_code === null ? (attempt.failure ?? '') : String(attempt.status_code),
        ...[attempt.dns_ms, attempt.connect_ms, attempt.tls_ms, attempt.wait_ms, attempt.duration_ms].map(
          phase,
        ),
        attempt.is_reused === null ? '' : attempt.is_reused ? 'kept' : 'new',
        attempt.address ?? '',
        attempt.retry_at ?? '',
      ]),
      [3, 4, 5, 6, 7],
    )
    const said = attempts
      .filter(attempt => attempt.message !== null || attempt.response !== null)
      .map(
        ({ number, message, response, is_response_cut }) =>
          `${number}: ${[message, response && printable(response) + (is_response_cut ? ' …' : '')].filter(Boolean).join(' ')}`,
      )
    return [...lines, '', tries, ...(said.length > 0 ? ['', ...said] : [])].join('\n')
  })
}

export async function findDelivery(db: Database, name: string): Promise<DeliveryRow> {
  const [{ findDeliveryOf }, { uuidOf }] = await Promise.all([
    import('#webhooks'),
    import('../ledger/tenant.ts'),
  ])
  const delivery = await findDeliveryOf(db, await uuidOf('del_', name))
  if (delivery === undefined) {
    throw new Error(`there is no delivery ${name}, or no longer: see "bursar webhooks deliveries"`)
  }
  return delivery
}

const phase = (ms: number | null): string => (ms === null ? '' : ms.toFixed(ms < 10 ? 1 : 0))

/** A stranger's text on somebody's terminal: one line, and no control characters. */
const printable = (text: string): string => text.replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ').trim()

async function toShow(row: DeliveryRow) {
  const [{ encodeId, instantOfId }, { dueOf }] = await Promise.all([import('#kernel'), import('#webhooks')])
  return {
    id: encodeId('del_', row.id),
    status: row.status,
    event_id: encodeId('evt_', row.event_id),
    event_type: row.event_type,
    endpoint_id: encodeId('we_', row.endpoint_id),
    account_id: encodeId('acct_', row.account_id),
    livemode: row.livemode,
    tries: row.tries,
    status_code: row.status_code,
    failure: row.failure,
    created_at: instantOfId(row.id).toISOString(),
    due_at: dueOf(row)?.toISOString() ?? null,
    paused_until: row.paused_until?.toISOString() ?? null,
    finished_at: row.finished_at?.toISOString() ?? null,
    replay_id: row.replay_id === null ? null : encodeId('wrp_', row.replay_id),
  }
}

async function toShowAttempts(attempts: readonly DeliveryAttempt[]) {
  const { encodeId, instantOfId } = await import('#kernel')
  return attempts.map(attempt => ({
    ...attempt,
    id: encodeId('wat_', attempt.id),
    created_at: instantOfId(attempt.id).toISOString(),
    retry_at: attempt.retry_at?.toISOString() ?? null,
  }))
}
