/** Payment attempts as the account sees them: what was asked of a processor, how it stands, and what is done next. */
import { z } from 'zod'
import { type Fragment, raw, sql } from '#db'
import {
  amount,
  currency,
  endpoint,
  type Endpoint,
  expandable,
  expandOne,
  id,
  integer,
  keyset,
  listOf,
  listParams,
  nullable,
  object,
  page,
  retrieveParams,
  timestamp,
} from '#http'
import { ApiError } from '#kernel'
import type { Payments } from '../payments.ts'
import type { AnyAttempt } from './changes.ts'
import { attemptLifecycle } from './lifecycle.ts'
import { nextAction } from './unresolved.ts'

/** The states that have no end yet: only these are few enough to be a filter of their own. */
const OPEN_STATES = ['prepared', 'sent', 'unknown', 'requires_action', 'pending'] as const

export const PaymentAttempt = object('payment_attempt', 'att_', {
  operation: z.enum(['authorize', 'capture', 'void', 'refund']),
  state: z.enum(attemptLifecycle.states),
  amount,
  currency,
  processor: z.string(),
  processor_id: nullable(z.string()).describe('What the processor made of it, in its words.'),
  target_processor_id: nullable(z.string()).describe('The payment at the processor that it acts on.'),
  payment_intent_id: nullable(expandable('pi_')),
  charge_id: nullable(expandable('ch_')),
  refund_id: nullable(expandable('re_')),
  orphan_capture_id: nullable(expandable('oc_')).describe('The orphan capture that it gives back.'),
  reason: nullable(z.string()).describe('Why it is unknown, was declined or was voided, in a word.'),
  age_ms: nullable(integer).describe('Of an open one: since it was made.'),
  checks: integer.describe('How often the processor was asked.'),
  next_action: nullable(z.string()).describe('What is done next, in words. Null when it is over.'),
  next_check_at: nullable(timestamp).describe(
    'When that is. Null when it is over, or a request drives it now.',
  ),
  sent_at: nullable(timestamp).describe('When it was first sent.'),
  livemode: z.boolean(),
  created_at: timestamp,
})

type ReadAttempt = AnyAttempt & {
  payment_intent_id: string | null
  orphan_capture_id: string | null
  age_ms: number
  silence_ms: number
}

const columns: Fragment = raw(
  `account_id, livemode, id, operation, state, amount, currency, processor, processor_id, target_processor_id,
    payment_intent_id, charge_id, refund_id, orphan_capture_id, reason, checks, sent_at, next_check_at, created_at,
    floor(extract(epoch from now() - created_at) * 1000)::float8 as age_ms,
    coalesce((extract(epoch from now() - sent_at) * 1000)::float8, 0) as silence_ms`,
)

const shown = (payments: Payments, attempt: ReadAttempt) => ({
  ...attempt,
  age_ms: attemptLifecycle.isFinal(attempt.state) ? null : attempt.age_ms,
  next_action: nextAction(payments.connectorNamed(attempt.processor).facts, attempt, attempt.silence_ms),
})

const retrievePaymentAttempt = (payments: Payments): Endpoint =>
  endpoint({
    route: 'GET /v1/payment_attempts/:id',
    summary: 'Retrieve a payment attempt: one operation asked of a processor.',
    resource: 'payment_attempts',
    path: z.object({ id: id('att_') }),
    params: retrieveParams,
    returns: PaymentAttempt,
    async run(context, params, path) {
      const { account_id, livemode } = context.tenant
      const attempt = await context.db.maybe<ReadAttempt>`
        select ${columns}
        from payment_attempts
        where account_id = ${account_id} and livemode = ${livemode} and id = ${path.id}`
      if (!attempt)
        throw new ApiError('resource_missing', { param: 'id', message: 'No such payment attempt.' })
      return context.answer(await expandOne(context, PaymentAttempt, shown(payments, attempt), params.expand))
    },
  })

const listPaymentAttempts = (payments: Payments): Endpoint =>
  endpoint({
    route: 'GET /v1/payment_attempts',
    summary: 'List payment attempts, newest first.',
    resource: 'payment_attempts',
    params: listParams({
      filters: {
        payment_intent_id: id('pi_').optional(),
        unresolved: z
          .boolean()
          .optional()
          .describe('true: those without an outcome; those that a request drives at this moment left out.'),
        state: z.enum(OPEN_STATES).optional().describe('One state of what is unresolved.'),
      },
    }),
    returns: listOf(PaymentAttempt),
    async run(context, params) {
      const { account_id, livemode } = context.tenant
      const at = keyset(PaymentAttempt, context.tenant, params)
      const of_intent =
        params.payment_intent_id === undefined
          ? sql``
          : sql`and payment_intent_id = ${params.payment_intent_id}`
      const is_open =
        params.unresolved === false
          ? sql`and next_check_at is null`
          : params.unresolved === true || params.state !== undefined
            ? sql`and next_check_at is not null`
            : sql``
      const in_state = params.state === undefined ? sql`` : sql`and state = ${params.state}`
      const rows = await context.db.many<ReadAttempt>`
        select ${columns}
        from (
          select id
          from payment_attempts
          where account_id = ${account_id} and livemode = ${livemode} ${of_intent} ${is_open} ${in_state}
            and ${at.where}
          order by ${at.order_by}
          limit ${at.limit}
        ) as page
        join payment_attempts using (id)
        where account_id = ${account_id} and livemode = ${livemode}`
      return context.answer(
        await page(
          context,
          PaymentAttempt,
          at,
          rows.map(row => shown(payments, row)),
        ),
      )
    },
  })

export const paymentAttemptEndpoints = (payments: Payments): Endpoint[] => [
  retrievePaymentAttempt(payments),
  listPaymentAttempts(payments),
]
