/**
 * Tells the people of an account that an endpoint fails or was disabled: a job, asked for in the transaction that reads
 * the event (consume.ts), so that a letter is neither lost nor written twice. What it says is read when it is written:
 * after an outage of the mail server nobody is told of what has passed.
 *
 * It is tried for some hours. Each try has the same Message-ID, for the case that a server took the letter and its
 * answer was lost.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { defineJob, type Job, type JobContext } from '#jobs'
import { encodeId, type Tenant, unreachable } from '#kernel'
import type { Mailer } from '#mail'
import { DISABLE_MS } from '../lanes/decide.ts'
import { countBacklog, findLastFailure, findNoticed, type NoticedEndpoint } from './gather.ts'
import { letterOf, type NoticeFacts, type NoticeKind, noticeKinds } from './letter.ts'

const Notice = z.strictObject({
  account_id: z.uuid(),
  livemode: z.boolean(),
  endpoint_id: z.uuid(),
  /** The event that says so: one letter each. */
  event_id: z.uuid(),
  kind: z.enum(noticeKinds),
  /** When it happened. */
  at: z.codec(z.iso.datetime(), z.date(), {
    decode: text => new Date(text),
    encode: date => date.toISOString(),
  }),
})
export type Notice = z.output<typeof Notice>

/** With the pauses of jobs (e, e², … seconds, six hours at most) twelve tries last fifteen hours: a mail server's bad day. */
const TRIES_MOST = 12
/** Whoever was not told within three days is told by the endpoint's page; a letter about last week only frightens. */
const NEWS_FOR_MS = 3 * 86_400_000
/** Days that events are kept (#events). */
const KEPT_DAYS = 30

/** `mailer` null: no mail server was named, and what would be sent is noted and nothing else. */
export const noticeJob = (mailer: Mailer | null): Job<typeof Notice> =>
  defineJob({
    name: 'webhooks.send_notice',
    payload: Notice,
    max_attempts: TRIES_MOST,
    run: (context, notice) => sendNotice(context, mailer, notice),
  })

async function sendNotice(context: JobContext, mailer: Mailer | null, notice: Notice): Promise<void> {
  const { db } = context
  context.note({ endpoint_id: encodeId('we_', notice.endpoint_id), kind: notice.kind })
  const endpoint = await findNoticed(db, notice, notice.endpoint_id)
  const why_not = mailer === null ? 'no_mail_server' : whyNot(notice, endpoint)
  if (mailer === null || endpoint === undefined || endpoint.notification_email === null || why_not !== null) {
    context.note({ outcome: 'not_sent', reason: why_not })
    return
  }
  const letter = letterOf(await factsOf(db, notice, endpoint))
  const outcome = await mailer.send({
    ...letter,
    to: endpoint.notification_email,
    message_id: `notice.${encodeId('evt_', notice.event_id)}`,
  })
  context.note({ outcome: outcome.kind })
  if (outcome.kind === 'failed') throw new Error(`the notice was not sent: ${outcome.reason}`)
}

/** Why nobody is written to any more; null when somebody is. Pure. */
export function whyNot(
  { kind, at }: Pick<Notice, 'kind' | 'at'>,
  endpoint: Omit<NoticedEndpoint, 'account_name' | 'url' | 'description'> | undefined,
): string | null {
  if (endpoint === undefined) return 'endpoint_deleted'
  if (endpoint.notification_email === null) return 'no_address'
  if (endpoint.now.getTime() - at.getTime() > NEWS_FOR_MS) return 'too_old'
  switch (kind) {
    case 'failing':
      if (endpoint.status === 'disabled') return 'disabled_meanwhile'
      return endpoint.failing_since === null || endpoint.failing_since > at ? 'well_again' : null
    case 'failed':
    case 'gone':
      return endpoint.status === 'enabled' ? 'enabled_meanwhile' : null
    default:
      return unreachable(kind)
  }
}

async function factsOf(db: Db, notice: Notice, endpoint: NoticedEndpoint): Promise<NoticeFacts> {
  const { kind, at, endpoint_id } = notice
  const tenant: Tenant = notice
  const { failing_since, failed_at } = endpoint
  const last_failure = failed_at && (await findLastFailure(db, tenant, endpoint_id, failed_at))
  const backlog = await countBacklog(db, tenant, endpoint_id, kind === 'failing' ? null : at)
  return {
    kind,
    at,
    account_name: endpoint.account_name,
    livemode: notice.livemode,
    endpoint_id: encodeId('we_', endpoint_id),
    url: endpoint.url,
    description: endpoint.description,
    failing_since,
    disables_at:
      kind === 'failing' && failing_since !== null ? new Date(failing_since.getTime() + DISABLE_MS) : null,
    last_failure: last_failure ?? null,
    ...backlog,
    kept_days: KEPT_DAYS,
  }
}

/** Which letter an event asks for; null: none. The account knows what it did itself. */
export function noticeKindOf(type: string, disabled_reason: string | null): NoticeKind | null {
  if (type === 'webhook_endpoint.failing') return 'failing'
  if (type !== 'webhook_endpoint.disabled') return null
  if (disabled_reason === 'gone') return 'gone'
  return disabled_reason === 'failing' ? 'failed' : null
}
