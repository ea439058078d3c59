/** `bursar webhooks enable`, `disable` and `test`: what an account does to an endpoint of its own, done for it. */
import type { Database } from '#db'
import type { Cause } from '#events'

interface Options {
  json?: boolean
}

export async function enable(db: Database, name: string, options: Options): Promise<void> {
  await switchTo(db, name, 'enabled', options, [
    `${name} is enabled. What happens from now on is sent to it.`,
    `What it missed: bursar webhooks replay ${name} --from …`,
  ])
}

export async function disable(db: Database, name: string, options: Options): Promise<void> {
  await switchTo(db, name, 'disabled', options, [
    `${name} is disabled. What waits for it is canceled by a running worker, and can be replayed.`,
  ])
}

async function switchTo(
  db: Database,
  name: string,
  status: 'enabled' | 'disabled',
  options: Options,
  sentences: readonly string[],
): Promise<void> {
  const [{ switchNow }, { print }] = await Promise.all([import('#webhooks'), import('../output.ts')])
  const { id, cause } = await found(db, name)
  await db.transaction(tx => switchNow(tx, cause, id, status))
  print(options.json, { id: name, status }, () => sentences.join('\n'))
}

export async function test(db: Database, name: string, options: Options): Promise<void> {
  const [{ testNow }, { encodeId }, { print }] = await Promise.all([
    import('#webhooks'),
    import('#kernel'),
    import('../output.ts'),
  ])
  const { id, cause } = await found(db, name)
  const delivery = encodeId('del_', (await db.transaction(tx => testNow(tx, cause, id))).id)
  print(options.json, { id: name, delivery_id: delivery }, () =>
    [
      `A webhook_endpoint.test event is sent to ${name}, by a running worker.`,
      `What became of it: bursar webhooks show ${delivery}`,
    ].join('\n'),
  )
}

/** The endpoint, and on whose behalf: nobody's request. */
async function found(db: Database, name: string): Promise<{ id: string; cause: Cause }> {
  const [{ findEndpointOwner }, { systemClock }, { uuidOf }] = await Promise.all([
    import('#webhooks'),
    import('#kernel'),
    import('../ledger/tenant.ts'),
  ])
  const id = await uuidOf('we_', name)
  const owner = await findEndpointOwner(db, id)
  if (owner === undefined) throw new Error(`there is no webhook endpoint ${name}: see "bursar webhooks list"`)
  const tenant = { account_id: owner.account_id, livemode: owner.livemode }
  return { id, cause: { tenant, clock: systemClock, request_id: null, idempotency_key: null } }
}
