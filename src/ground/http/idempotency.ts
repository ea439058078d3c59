/**
 * Meeting the first use of a key: replay its answer, refuse a different request, wait for a running twin, or take over
 * from a runner that died (docs/idempotency.md's table). Claiming, holding and finishing are in idempotency.sql, because they
 * belong into the transactions of the effects; here is what happens around them.
 */
import type { Db } from '#db'
import { ApiError, backoffMs, encodeId, sleep, type Tenant } from '#kernel'
import { counter } from '#metrics'
import { differingParams } from './fingerprint.ts'
import { IDEMPOTENCY_KEY_LENGTH_MOST, JOIN_POLL, JOIN_WAIT_MS } from './limits.ts'
import type { Answer, Caller, Claim, Fence, Route } from './types.ts'

const takeovers = counter({
  name: 'bursar_idempotency_takeovers_total',
  help: 'Operations whose runner died or failed and that another one went on with',
  labels: ['by'],
})

/** How the first use of a key is found. */
export type FirstUse =
  | { kind: 'finished'; answer: Answer; request_id: string }
  /** Nobody's: the first use was rolled back. */
  | { kind: 'absent' }
  /** It is ours now, or still is: go on at its recovery point. */
  | { kind: 'owned'; fence: Fence; request_id: string; subject_id: string | null; is_takeover: boolean }
  | Refusal

/** The key is another's: with a different request, or with this one, still running after the wait. */
export interface Refusal {
  kind: 'conflict' | 'in_progress'
  error: ApiError
  /** uuid of the first use; undefined while that has not committed. */
  request_id: string | undefined
  /** Of a conflict: the paths of the parameters that differ, none when the path or the kind of caller does. */
  differing_params: string[] | undefined
}

interface KeyRow {
  request_id: string
  route: Route
  path: string
  fingerprint: string
  params: string
  subject_id: string | null
  epoch: number
  is_lapsed: boolean | null
  status: number | null
  body: string | null
}

/** The header's value. Throws what docs/idempotency.md says for a missing, long or unprintable one. */
export function readIdempotencyKey(header: string | undefined): string {
  if (header === undefined) throw new ApiError('missing_idempotency_key')
  if (header.length > IDEMPOTENCY_KEY_LENGTH_MOST) throw new ApiError('idempotency_key_too_long')
  if (!/^[\x20-\x7e]+$/.test(header)) throw new ApiError('idempotency_key_invalid')
  return header
}

/** The key's row, or undefined. */
export function findKey(db: Db, tenant: Tenant, key: string): Promise<KeyRow | undefined> {
  return db.maybe<KeyRow>`
    select
      request_id, route, path, fingerprint, params, subject_id, epoch,
      lease_until < now() as is_lapsed, status, body
    from idempotency_keys
    where account_id = ${tenant.account_id}
      and livemode = ${tenant.livemode}
      and key = ${key}`
}

/**
 * Joins the first use of a key. `own_epoch` is the caller's when it may still be the owner (its commit was lost).
 * A conflict is told at once, a running twin after two seconds of waiting, here and for the claim that brought us here
 * (since `waiting_since_ms`, on the monotonic clock).
 */
export async function joinFirstUse(
  db: Db,
  claim: Claim,
  caller: Caller['kind'],
  own_epoch: number | null,
  waiting_since_ms = performance.now(),
): Promise<FirstUse> {
  const give_up_ms = waiting_since_ms + JOIN_WAIT_MS
  for (let attempt = 1; ; attempt++) {
    const row = await findKey(db, claim, claim.key)
    if (!row) {
      // A claim that met a twin's uncommitted row has waited for it already; another would wait as long again.
      if (performance.now() >= give_up_ms) return inProgress()
      return { kind: 'absent' }
    }
    if (row.fingerprint !== claim.fingerprint) return conflict(row, claim, caller)
    if (row.status !== null && row.body !== null) {
      return {
        kind: 'finished',
        answer: { status: row.status, body: row.body },
        request_id: row.request_id,
      }
    }
    if (row.epoch === own_epoch && row.request_id === claim.request_id) {
      return owned(claim, row, row.epoch, false)
    }
    if (row.is_lapsed) {
      const epoch = await takeOver(db, claim, row.epoch)
      if (epoch !== undefined) {
        takeovers.inc({ by: 'caller' })
        return owned(claim, row, epoch, true)
      }
    }
    if (performance.now() >= give_up_ms) return inProgress(row)
    await sleep(backoffMs(JOIN_POLL, attempt))
  }
}

const owned = (claim: Claim, row: KeyRow, epoch: number, is_takeover: boolean): FirstUse => ({
  kind: 'owned',
  fence: { account_id: claim.account_id, livemode: claim.livemode, key: claim.key, epoch },
  request_id: row.request_id,
  subject_id: row.subject_id,
  is_takeover,
})

function inProgress(row?: KeyRow): Refusal {
  const error = new ApiError('idempotency_in_progress', {
    headers: { 'Retry-After': '1' },
    ...(row && { detail: { original_request: encodeId('req_', row.request_id) } }),
  })
  return { kind: 'in_progress', error, request_id: row?.request_id, differing_params: undefined }
}

function conflict(row: KeyRow, claim: Claim, caller: Caller['kind']): Refusal {
  const is_same_target = row.path === claim.path && row.route === claim.route
  const params = is_same_target ? differingParams(row.params, claim.params) : []
  const error = conflictError(row, is_same_target, params, caller)
  return { kind: 'conflict', error, request_id: row.request_id, differing_params: params }
}

function conflictError(
  row: KeyRow,
  is_same_target: boolean,
  params: string[],
  caller: Caller['kind'],
): ApiError {
  // A browser has shown no proof yet: what another request was about is not for everybody who holds a publishable key.
  if (caller === 'publishable') return new ApiError('idempotency_conflict')
  const method = row.route.slice(0, row.route.indexOf(' '))
  const message = !is_same_target
    ? `This Idempotency-Key was used with ${method} ${row.path}. Use a new key.`
    : params.length === 0
      ? 'This Idempotency-Key was used with a publishable API key. Use a new key.'
      : `This Idempotency-Key was used with other values of: ${params.join(', ')}. Use a new key.`
  const original_request = encodeId('req_', row.request_id)
  return new ApiError('idempotency_conflict', { message, detail: { params, original_request } })
}

async function takeOver(db: Db, { account_id, livemode, key }: Claim, epoch: number) {
  const taken = await db.maybe<{ epoch: number }>`
    update idempotency_keys
    set
      epoch = epoch + 1,
      takeovers = takeovers + 1,
      lease_until = now() + idempotency_lease()
    where account_id = ${account_id}
      and livemode = ${livemode}
      and key = ${key}
      and epoch = ${epoch}
      and finished_at is null
      and lease_until < now()
    returning epoch`
  return taken?.epoch
}

/** Gives an unfinished key up after a failure, so that the next caller or the completer need not wait for the lease. */
export function releaseLease(db: Db, fence: Fence): Promise<number> {
  return db.run`
    update idempotency_keys
    set lease_until = now()
    where account_id = ${fence.account_id}
      and livemode = ${fence.livemode}
      and key = ${fence.key}
      and epoch = ${fence.epoch}
      and finished_at is null`
}

/** A key whose runner died, taken over by the completer. */
export interface LapsedKey extends Fence {
  readonly route: Route
  readonly path: string
  readonly request_id: string
  readonly subject_id: string | null
  readonly takeovers: number
}

/** Takes over up to `most` lapsed keys of any account, longest lapsed first, skipping what others take. */
export async function takeLapsed(db: Db, most: number): Promise<LapsedKey[]> {
  const taken = await db.many<LapsedKey>`
    with lapsed as (
      select account_id, livemode, key
      from idempotency_keys
      where finished_at is null and lease_until < now()
      order by lease_until
      limit ${most}
      for update skip locked
    )
    update idempotency_keys taken
    set
      epoch = taken.epoch + 1,
      takeovers = taken.takeovers + 1,
      lease_until = now() + idempotency_lease()
    from lapsed
    where taken.account_id = lapsed.account_id
      and taken.livemode = lapsed.livemode
      and taken.key = lapsed.key
    returning
      taken.account_id, taken.livemode, taken.key, taken.epoch, taken.route, taken.path,
      taken.request_id, taken.subject_id, taken.takeovers`
  if (taken.length > 0) takeovers.inc({ by: 'completer' }, taken.length)
  return taken
}

/** Leaves a key alone for a while after its operation could not be finished; only as long as the epoch is ours. */
export function postpone(db: Db, fence: Fence, delay_ms: number): Promise<number> {
  return db.run`
    update idempotency_keys
    set lease_until = now() + ${delay_ms} * interval '1 millisecond'
    where account_id = ${fence.account_id}
      and livemode = ${fence.livemode}
      and key = ${fence.key}
      and epoch = ${fence.epoch}
      and finished_at is null`
}

/** What unfinished keys are about, and until when somebody drives it; longest leased first. */
export function unfinishedSubjects(
  db: Db,
  most: number,
): Promise<(Tenant & { subject_id: string; lease_until: Date })[]> {
  return db.many`
    select account_id, livemode, subject_id, lease_until
    from idempotency_keys
    where finished_at is null and subject_id is not null
    order by lease_until
    limit ${most}`
}

/** A finished key and what its operation was about. */
export type FinishedKey = Tenant & { key: string; subject_id: string | null }

/** Says which of these subjects are still open: their keys must not be forgotten, however old. */
export type OpenSubjects = (keys: readonly FinishedKey[]) => Promise<ReadonlySet<string>>

/**
 * Deletes up to `most` keys finished longer ago than `retention_ms`; answers how many. An unfinished key is never
 * deleted, nor one whose answer was given while its outcome was unknown and that is unknown still.
 */
export function reap(
  db: Db,
  retention_ms: number,
  most: number,
  openSubjects: OpenSubjects,
): Promise<number> {
  return db.transaction(async tx => {
    const due = await tx.many<FinishedKey>`
      select account_id, livemode, key, subject_id
      from idempotency_keys
      where finished_at < now() - ${retention_ms} * interval '1 millisecond'
      order by finished_at
      limit ${most}
      for update skip locked`
    const open = due.length === 0 ? new Set<string>() : await openSubjects(due)
    const done = due.filter(key => key.subject_id === null || !open.has(key.subject_id))
    return tx.run`
      delete from idempotency_keys
      using jsonb_to_recordset(${JSON.stringify(done)}::jsonb) as done (account_id uuid, livemode boolean, key text)
      where idempotency_keys.account_id = done.account_id
        and idempotency_keys.livemode = done.livemode
        and idempotency_keys.key = done.key collate "C"`
  })
}
