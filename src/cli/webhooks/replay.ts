/** `bursar webhooks retry` and `replay`: one delivery again, or a range of events. */
import type { Database } from '#db'
import type { Tenant } from '#kernel'
import type { DeliveryRow } from '#webhooks'
import { findDelivery } from './deliveries.ts'

export interface ReplayOptions {
  from: string
  to?: string
  types?: string[]
  status: string
  watch?: boolean
  json?: boolean
}

/** How often who watches is told; a page takes about as long. */
const WATCH_MS = 500

export async function retry(
  db: Database,
  names: readonly string[],
  options: { json?: boolean },
): Promise<void> {
  const [{ retryNow }, { print }] = await Promise.all([import('#webhooks'), import('../output.ts')])
  // All or none: whoever mistyped one of several learns it before the others are under way.
  const deliveries: DeliveryRow[] = []
  for (const name of names) deliveries.push(await findDelivery(db, name))
  await db.transaction(async tx => {
    for (const delivery of deliveries) await retryNow(tx, delivery, delivery.id)
  })
  print(options.json, { retried: names }, () =>
    names.length === 1
      ? `${names[0]} is sent again, by a running worker.`
      : `${names.length} deliveries are sent again, by a running worker.`,
  )
}

export async function replay(db: Database, name: string, options: ReplayOptions): Promise<void> {
  const [webhooks, { ApiError, encodeId, systemClock }, { print }, { instantOf, uuidOf }] = await Promise.all(
    [import('#webhooks'), import('#kernel'), import('../output.ts'), import('../ledger/tenant.ts')],
  )
  const endpoint_id = await uuidOf('we_', name)
  const owner = await webhooks.findEndpointOwner(db, endpoint_id)
  if (owner === undefined) throw new Error(`there is no webhook endpoint ${name}: see "bursar webhooks list"`)
  const delivery_status = webhooks.wantedStatuses.find(known => known === options.status)
  if (delivery_status === undefined) {
    throw new Error(`--status must be one of ${webhooks.wantedStatuses.join(', ')}`)
  }
  const types = options.types && webhooks.wantedTypes.safeParse(options.types)
  if (types && !types.success)
    throw new Error('--types must be "*", a resource such as "charge.*", or a type such as "charge.captured"')
  const { account_id, livemode } = owner
  const tenant: Tenant = { account_id, livemode }
  const instant = (option: string, text: string): Date => {
    try {
      return instantOf(text)
    } catch (error) {
      throw new TypeError(`${option}: ${(error as Error).message}`, { cause: error })
    }
  }
  const wanted = {
    event_types: types?.data,
    delivery_status,
    created_from: instant('--from', options.from),
    created_before: options.to === undefined ? undefined : instant('--to', options.to),
  }
  const started = await db
    .transaction(tx => webhooks.startReplay(tx, systemClock.now(), tenant, endpoint_id, wanted))
    .catch((error: unknown) => {
      if (!(error instanceof ApiError)) throw error
      // By the names that were typed, and not by those of the API.
      throw new Error(
        error.message.replaceAll('created_from', '--from').replaceAll('created_before', '--to'),
        { cause: error },
      )
    })
  const id = encodeId('wrp_', started.id)
  if (!options.watch) {
    print(options.json, { id, status: started.status }, () =>
      [
        `${id} has begun: a running worker queues what is wanted, after all that happens now.`,
        `How far it is: GET /v1/webhook_replays/${id}`,
      ].join('\n'),
    )
    return
  }
  const { status, examined, queued } = await watch(db, { ...tenant, id: started.id })
  print(options.json, { id, status, examined: Number(examined), queued: Number(queued) }, () =>
    status === 'succeeded'
      ? `${queued} of ${examined} events are queued again. Their lane sends them as fast as the endpoint takes them.`
      : `${id} was canceled after ${examined} events, of which ${queued} had been queued.`,
  )
}

/** Until it has ended. Whoever stops watching stops nothing. */
async function watch(db: Database, replay: Tenant & { id: string }) {
  const [{ replayProgress }, { sleep }, { default: cliProgress }] = await Promise.all([
    import('#webhooks'),
    import('#kernel'),
    import('cli-progress'),
  ])
  const bar = new cliProgress.SingleBar({
    format: 'Queueing  {bar}  {percentage} %  {queued} of {examined} events',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  bar.start(100, 0, { queued: '0', examined: '0' })
  try {
    for (;;) {
      const progress = await replayProgress(db, replay)
      if (progress === undefined) throw new Error('the replay is gone: its endpoint was deleted')
      const { share, queued, examined } = progress
      bar.update(Math.floor(share * 100), { queued: String(queued), examined: String(examined) })
      if (progress.status !== 'running') return progress
      await sleep(WATCH_MS)
    }
  } finally {
    bar.stop()
  }
}
