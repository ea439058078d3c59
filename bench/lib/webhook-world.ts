/** What the webhook benchmark is played on: accounts with an endpoint each, and events for them, written in bulk. */
import type { Db } from '#db'
import { eventOf, type EventRow } from '#events'
import { newId, systemClock } from '#kernel'
import type { BenchAccount, Installation } from './installation.ts'
import type { Receiver } from './receiving.ts'

/** As long as a payment intent's snapshot. */
const PADDING = 'x'.repeat(600)
/** Rows of one insert: parameters of some megabytes. */
const ROWS = 1_000

export type Behaviour = 'ok' | 'fail' | 'hang' | 'dead'

export interface Listener extends BenchAccount {
  behaviour: Behaviour
}

/** Each endpoint is an origin of its own: another address of 127/8, all of which lead to the receiver. */
function urlOf(behaviour: Behaviour, { port, dead_port }: Receiver, number: number): string {
  const at = behaviour === 'dead' ? dead_port : port
  return `http://127.${1 + (number >> 16)}.${(number >> 8) & 255}.${number & 255}:${at}/${behaviour}`
}

/** Accounts with one endpoint each, of these behaviours. */
export async function listeners(
  bursar: Installation,
  receiver: Receiver,
  behaviours: readonly Behaviour[],
  first: number,
): Promise<Listener[]> {
  const accounts = await bursar.accounts(behaviours.length)
  const made: Listener[] = []
  for (const [i, account] of accounts.entries()) {
    const behaviour = behaviours[i] as Behaviour
    const answer = await fetch(`${bursar.url}/v1/webhook_endpoints`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${account.secret_key}`,
        'content-type': 'application/json',
        'idempotency-key': `endpoint-${first + i}`,
      },
      body: JSON.stringify({ url: urlOf(behaviour, receiver, first + i), event_types: ['*'] }),
    })
    if (!answer.ok) throw new Error(`no endpoint: ${answer.status} ${await answer.text()}`)
    made.push({ ...account, behaviour })
  }
  return made
}

let last_number = 0

/** Writes events of these accounts in turn, numbered on, each with the instant at which its insert was sent. */
export async function tell(
  db: Db,
  to: readonly Pick<Listener, 'account_id'>[],
  count: number,
): Promise<void> {
  for (let from = 0; from < count; from += ROWS) {
    const sent_at_ms = performance.timeOrigin + performance.now()
    const rows = Array.from({ length: Math.min(ROWS, count - from) }, (_, i) =>
      event(to[(last_number + i) % to.length] as Listener, last_number + i, sent_at_ms),
    )
    last_number += rows.length
    await insert(db, rows)
  }
}

function event({ account_id }: Pick<Listener, 'account_id'>, number: number, sent_at_ms: number): EventRow {
  const id = newId(systemClock.now())
  const text = `{"id":"pi_${number}","object":"payment_intent","n":${number},"sent_at_ms":${sent_at_ms.toFixed(3)},"description":"${PADDING}"}`
  const cause = {
    tenant: { account_id, livemode: false },
    clock: systemClock,
    request_id: null,
    idempotency_key: null,
  }
  return eventOf(cause, 'payment_intent.succeeded', { prefix: 'pi_', id, version: 1n, text })
}

async function insert(db: Db, rows: readonly EventRow[]): Promise<void> {
  await db.run`
    insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
    select account_id, false, id, 'payment_intent.succeeded', object_id, 1, null, body, created_at
    from unnest(
      ${rows.map(row => row.account_id)}::uuid[], ${rows.map(row => row.id)}::uuid[],
      ${rows.map(row => row.object_id)}::uuid[], ${rows.map(row => row.body)}::text[],
      ${rows.map(row => row.created_at)}::timestamptz[]
    ) as row (account_id, id, object_id, body, created_at)`
}
