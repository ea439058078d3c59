/**
 * Events are written in the transaction of the change that caused them; nothing is ever sent from inside or after a
 * transaction by hand. An event's body is made once, here, and kept as the exact text that will be signed.
 */
import type { Tx } from '#db'
import { type Clock, encodeId, type IdPrefix, newId, type Tenant } from '#kernel'
import type { EventType } from './types.ts'

/** The shape of `data.object`; a consumer that knows this version can read the snapshot for as long as it is kept. */
export const API_VERSION = '2026-11-21'

/** On whose behalf something happens: an API request, or the system itself (then both are null). */
export interface Cause {
  readonly tenant: Tenant
  readonly clock: Clock
  readonly request_id: string | null
  readonly idempotency_key: string | null
}

/** What an event is about: an object's snapshot as JSON text, with its id and its count of changes. */
export interface Subject {
  prefix: IdPrefix
  id: string
  version: bigint
  /** The object as the API shows it. */
  text: string
}

/** A row of the events table. */
export interface EventRow extends Tenant {
  id: string
  type: string
  object_id: string
  object_version: bigint
  request_id: string | null
  body: string
  created_at: Date
}

/** Makes an event of `type` about `subject`; `previous` holds what the changed fields were before (updates only). */
export function eventOf(
  cause: Cause,
  type: EventType,
  subject: Subject,
  previous?: Record<string, unknown>,
): EventRow {
  const at = cause.clock.now()
  const id = newId(at)
  const request = {
    id: cause.request_id === null ? null : encodeId('req_', cause.request_id),
    idempotency_key: cause.idempotency_key,
  }
  const body =
    `{"id":"${encodeId('evt_', id)}","object":"event","type":"${type}","api_version":"${API_VERSION}"` +
    `,"created_at":"${at.toISOString()}","livemode":${cause.tenant.livemode}` +
    `,"object_id":"${encodeId(subject.prefix, subject.id)}","object_version":${subject.version}` +
    `,"request":${JSON.stringify(request)},"data":{"object":${subject.text}` +
    `${previous === undefined ? '' : `,"previous_attributes":${JSON.stringify(previous)}`}}}`
  return {
    ...cause.tenant,
    id,
    type,
    object_id: subject.id,
    object_version: subject.version,
    request_id: cause.request_id,
    body,
    created_at: at,
  }
}

/** Writes an event in the caller's transaction. */
export async function emit(tx: Tx, event: EventRow): Promise<void> {
  await tx.run`
    insert into events (account_id, livemode, id, type, object_id, object_version, request_id, body, created_at)
    values (
      ${event.account_id}, ${event.livemode}, ${event.id}, ${event.type}, ${event.object_id},
      ${event.object_version}, ${event.request_id}, ${event.body}, ${event.created_at}
    )`
}
