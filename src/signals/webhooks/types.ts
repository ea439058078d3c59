/** The words of this room that more than one of its parts speaks: the room itself, endpoints and deliveries as rows. */
import type { Database } from '#db'
import type { Fetcher } from '#fetch'
import type { Clock, Tenant } from '#kernel'
import type { Log } from '#metrics'

/** What is made once in a process and handed to all parts of the room. */
export interface Webhooks {
  /** Sees all accounts. */
  readonly db: Database
  readonly clock: Clock
  readonly log: Log
  readonly fetcher: Fetcher
  /** What the keys for the signing secrets are derived from. */
  readonly installation_secret: string
  /** Something was queued, or an endpoint was changed: the engine of this process, if it has one, looks at once. */
  nudge(): void
}

export const payloads = ['snapshot', 'thin'] as const
export type Payload = (typeof payloads)[number]

export const signatureSchemes = ['bursar', 'standard', 'standard_ed25519'] as const
export type SignatureScheme = (typeof signatureSchemes)[number]

/**
 * Why a try failed: the network's classes, what the receiver answered, that we could not make the payload; or why none
 * was made any more (expired).
 */
export const failures = [
  'dns',
  'connect',
  'tls',
  'timeout',
  'protocol',
  'blocked',
  'rejected',
  'failed',
  'throttled',
  'gone',
  'redirected',
  'payload',
  'expired',
] as const
export type Failure = (typeof failures)[number]

export const deliveryStatuses = ['succeeded', 'dead', 'canceled'] as const
/** What became of a delivery that is done. One that is not is a row of webhook_queue: `pending` outside. */
export type DeliveryStatus = (typeof deliveryStatuses)[number]

/** The lane of an endpoint. */
export interface LaneKey extends Tenant {
  readonly endpoint_id: string
}

/** An endpoint as the engine uses it: read with the lease of its lane, and again when its version has moved. */
export interface EndpointConfig extends LaneKey {
  version: bigint
  url: string
  status: 'enabled' | 'disabled'
  payload: Payload
  signature: SignatureScheme
  /** Null: no cap but concurrency. */
  max_per_second: number | null
  max_concurrency: number
  /** Seconds before each try; null: the schedule of Bursar. */
  retry_schedule: readonly number[] | null
  /** Sent along; values may be secrets. */
  headers: Readonly<Record<string, string>>
  /** The current one first; those rotated out whose time is not over sign along. */
  secrets: readonly SealedSecret[]
}

export interface SealedSecret {
  /** uuid: what it is sealed for. */
  id: string
  kind: 'hmac' | 'ed25519'
  sealed: Uint8Array
}

/** A delivery that is not done, with what is sent. */
export interface QueuedDelivery {
  id: string
  event_id: string
  event_type: string
  /** 0: it happened; 1: it is replayed, and waits for what happens. */
  priority: 0 | 1
  /** Tries that counted. */
  tries: number
  /** All tries. */
  attempts: number
  /** How long it has waited, by the database's clock. */
  waited_ms: number
  /** The event as it is kept: the text that is signed. Null: it is no longer kept. */
  body: string | null
  /** When it was read, by this process's own clock. */
  read_ms?: number
}
