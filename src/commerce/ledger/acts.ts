/**
 * What is done to the books by hand beside postings: limits, accounts closed and reopened, periods closed and reopened.
 * Each act is written down with its reason and author in the commit that makes it true. The functions of
 * change-account.sql and close-period.sql decide under the locks that posting takes; here their words become errors.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { type Cause, emit, eventOf } from '#events'
import { type Context, endpoint, type Endpoint, keyset, listOf, listParams, page, timestamp } from '#http'
import { ApiError, newId } from '#kernel'
import {
  actColumns,
  author,
  authorText,
  LedgerAccount,
  LedgerAct,
  type LedgerAccountRow,
  type LedgerActRow,
  reason,
  shownAccount,
} from './objects.ts'
import type { Note } from './post.ts'

interface Limits {
  debits_must_not_exceed_credits: boolean
  credits_must_not_exceed_debits: boolean
}

/** What may be done to an account. A limit that is not named stays as it is. */
export type AccountChange =
  | ({ kind: 'set_limits' } & Partial<Limits>)
  | { kind: 'close_account' }
  | { kind: 'reopen_account' }

type Word =
  | 'done'
  | 'missing'
  | 'is_operated'
  | 'already'
  | 'is_violated'
  | 'both_limits'
  | 'is_closed'
  | 'has_pendings'
  | 'has_balance'

const unexpected = (message: string): ApiError => new ApiError('ledger_account_unexpected_state', { message })

/** Why an account was not changed; null when it was, or is so already. */
const REFUSALS: Record<Word, (() => ApiError) | null> = {
  done: null,
  already: null,
  missing: () => new ApiError('resource_missing', { param: 'id', message: 'No such ledger account.' }),
  is_operated: () =>
    unexpected(
      'Bursar posts to accounts of this code by itself, after money has moved. They are neither limited nor closed.',
    ),
  is_violated: () =>
    new ApiError('ledger_limit_exceeded', {
      message: 'What is on the account already exceeds this limit. Move the excess elsewhere first.',
    }),
  both_limits: () =>
    new ApiError('parameter_invalid', {
      param: 'credits_must_not_exceed_debits',
      message: 'With both limits nothing could be posted to the account. Set at most one.',
    }),
  is_closed: () => unexpected('The account is closed. Reopen it before you set its limits.'),
  has_pendings: () =>
    unexpected('Something is still reserved on the account. Post or void its pending transfers first.'),
  has_balance: () =>
    unexpected(
      'The account is not at zero. Move its balance to another account first, so that it is not lost from sight.',
    ),
}

/** Changes an account in the caller's transaction, writes the act down and tells of it. Throws ApiError. */
export async function changeAccount(
  tx: Tx,
  cause: Cause,
  id: string,
  change: AccountChange,
  note: Note,
  findAccount: (tx: Tx) => Promise<LedgerAccountRow>,
): Promise<LedgerAccountRow> {
  const at = cause.clock.now()
  const limits: Partial<Limits> = change.kind === 'set_limits' ? change : {}
  const { account_id, livemode } = cause.tenant
  const { word } = await tx.one<{ word: Word }>`
    select ledger_change_account(
      ${account_id}, ${livemode}, ${id}, ${newId(at)}, ${at}, ${change.kind},
      ${limits.debits_must_not_exceed_credits ?? null}, ${limits.credits_must_not_exceed_debits ?? null},
      ${note.reason}, ${note.author}
    ) as word`
  const refusal = REFUSALS[word]
  if (refusal) throw refusal()
  const account = await findAccount(tx)
  if (word === 'done') {
    const text = LedgerAccount.encode(shownAccount(account))
    await emit(tx, eventOf(cause, EVENTS[change.kind], { prefix: 'la_', id, version: account.version, text }))
  }
  return account
}

const EVENTS = {
  set_limits: 'ledger_account.updated',
  close_account: 'ledger_account.closed',
  reopen_account: 'ledger_account.reopened',
} as const

/** `closed_before` null reopens everything. */
export interface PeriodChange {
  readonly kind: 'close_period' | 'reopen_period'
  readonly closed_before: Date | null
}

/** Closes or reopens what is effective before an instant, in the caller's transaction. Throws ApiError. */
export async function movePeriod(
  tx: Tx,
  cause: Cause,
  { kind, closed_before }: PeriodChange,
  { reason, author }: Note,
): Promise<LedgerActRow> {
  const at = cause.clock.now()
  const { account_id, livemode } = cause.tenant
  const act: LedgerActRow = {
    account_id,
    livemode,
    id: newId(at),
    kind,
    ledger_account_id: null,
    debits_must_not_exceed_credits: null,
    credits_must_not_exceed_debits: null,
    closed_before,
    reason,
    author,
    created_at: at,
  }
  const { word, was_closed_before } = await tx.one<{ word: PeriodWord; was_closed_before: Date | null }>`
    select word, was_closed_before
    from ledger_move_period(
      ${account_id}, ${livemode}, ${act.id}, ${at}, ${kind}, ${closed_before}, ${reason}, ${author}
    )`
  if (word !== 'done') throw periodError(word, was_closed_before)
  const type = kind === 'close_period' ? 'ledger_period.closed' : 'ledger_period.reopened'
  await emit(
    tx,
    eventOf(cause, type, { prefix: 'lact_', id: act.id, version: 1n, text: LedgerAct.encode(act) }),
  )
  return act
}

type PeriodWord = 'done' | 'not_later' | 'not_earlier' | 'too_recent' | 'transactions_open'

function periodError(word: Exclude<PeriodWord, 'done'>, was: Date | null): ApiError {
  const param = 'closed_before'
  const now = was === null ? 'Nothing is closed.' : `Everything before ${was.toISOString()} is closed.`
  switch (word) {
    case 'not_later':
      return new ApiError('ledger_period_unexpected_state', {
        param,
        message: `${now} Closing only moves on: reopen the period to go back.`,
      })
    case 'not_earlier':
      return new ApiError('ledger_period_unexpected_state', {
        param,
        message: `${now} Reopening only moves back: name an earlier instant, or null to reopen everything.`,
      })
    case 'too_recent':
      return new ApiError('parameter_invalid', {
        param,
        message:
          'closed_before must lie at least a minute in the past: until then payments are posted there.',
      })
    case 'transactions_open':
      // Rare, and over in a moment: something that began within the period is still being written.
      return new ApiError('lock_timeout', {
        message: 'Something that began within this period is still being written. Retry in a moment.',
        headers: { 'Retry-After': '1' },
      })
  }
}

/** Who does it, as it will be kept. */
export const noteOf = (context: Context, said: { reason: string; author: string }): Note => ({
  reason: said.reason.trim(),
  author: authorText(said.author, context.caller.api_key_id),
})

const createClosing: Endpoint = endpoint({
  route: 'POST /v1/ledger/closings',
  summary: 'Close the books for everything effective before an instant, or reopen them.',
  resource: 'ledger_closings',
  params: z.strictObject({
    kind: z.enum(['close_period', 'reopen_period']).default('close_period'),
    closed_before: timestamp
      .nullable()
      .describe('Everything effective before is closed afterwards. Null, when reopening: nothing is.'),
    reason,
    author,
  }),
  returns: LedgerAct,
  run(context, { kind, closed_before, ...said }) {
    if (kind === 'close_period' && closed_before === null) {
      throw new ApiError('parameter_invalid', {
        param: 'closed_before',
        message: 'closed_before must be an instant when a period is closed.',
      })
    }
    return context.finish('moved', tx =>
      movePeriod(tx, context, { kind, closed_before }, noteOf(context, said)),
    )
  },
})

const listActs: Endpoint = endpoint({
  route: 'GET /v1/ledger/acts',
  summary:
    'List what was done to the books by hand beside postings: limits, closings, reopenings; newest first.',
  resource: 'ledger_acts',
  params: listParams({ filters: {} }),
  returns: listOf(LedgerAct),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(LedgerAct, context.tenant, params)
    const rows = await context.db.many<LedgerActRow>`
      select ${actColumns}
      from (
        select id
        from ledger_acts
        where account_id = ${account_id} and livemode = ${livemode} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join ledger_acts using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, LedgerAct, at, rows))
  },
})

export const actEndpoints: Endpoint[] = [createClosing, listActs]
