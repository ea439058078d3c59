/**
 * Adjustments: transfers made by hand, as one voucher with one reason, one author and one date, posted all or none. What
 * is wrong is put right by another transfer, never by a change. Gather the accounts that are named, decide the transfers
 * (pure), record them; a refusal of the ledger rolls back and leaves no trace.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { amount, type Context, currency, endpoint, type Endpoint, id, object, refuse, timestamp } from '#http'
import { ApiError, assert, type Clock, idPrefixes, newId, type Tenant } from '#kernel'
import { noteOf } from './acts.ts'
import { NOBODY } from './balances.ts'
import {
  accountCode,
  anyObject,
  author,
  LedgerTransfer,
  type LedgerTransferRow,
  reason,
  shownTransfer,
} from './objects.ts'
import { type Note, postByHand } from './post.ts'
import type { AccountName, Refusal, Result, Transfer } from './transfer.ts'
import { findTransfers } from './transfers.ts'

/** A voucher that a person can check, and a transaction of milliseconds. */
const TRANSFERS_MOST = 100

/** A year is what is accrued ahead; a date further on is a slip of the pen. Also how long a hold by hand may last. */
const DAYS_AHEAD_MOST = 366
const DAY_MS = 86_400_000

const Line = z
  .strictObject({
    kind: z.enum(['post', 'pending', 'post_pending', 'void_pending']).default('post'),
    debit_account_id: id('la_').optional(),
    debit_code: accountCode
      .optional()
      .describe('In place of debit_account_id; the account is opened if need be.'),
    credit_account_id: id('la_').optional(),
    credit_code: accountCode.optional().describe('In place of credit_account_id.'),
    amount: amount
      .optional()
      .describe('Needed to post and to reserve; of a post_pending at most what is reserved.'),
    currency: currency.optional().describe('Needed to post and to reserve.'),
    pending_id: id('tr_').optional().describe('What a post_pending or void_pending resolves.'),
    expires_at: timestamp.optional().describe('Of a pending: from then on it is voided and posted no more.'),
    source_id: anyObject
      .optional()
      .describe(
        'The object that it is about. When left out: of a post_pending or void_pending that of the pending, else the request itself.',
      ),
  })
  .check(payload => {
    const line = payload.value
    const resolves = line.kind === 'post_pending' || line.kind === 'void_pending'
    const wanted = resolves ? (['pending_id'] as const) : (['amount', 'currency'] as const)
    const unwanted = resolves
      ? (['debit_account_id', 'debit_code', 'credit_account_id', 'credit_code', 'expires_at'] as const)
      : (['pending_id'] as const)
    for (const name of wanted) {
      if (line[name] === undefined)
        refuse(payload, 'parameter_missing', `is required for a ${line.kind}.`, [name])
    }
    for (const name of unwanted) {
      if (line[name] !== undefined)
        refuse(payload, 'parameter_invalid', `has no place in a ${line.kind}.`, [name])
    }
    if (line.kind === 'post' && line.expires_at !== undefined) {
      refuse(payload, 'parameter_invalid', 'has no place in a post: only a pending expires.', ['expires_at'])
    }
    if (resolves) return
    for (const side of ['debit', 'credit'] as const) {
      if ((line[`${side}_account_id`] === undefined) === (line[`${side}_code`] === undefined)) {
        const message = `is required, or ${side}_code in its place: send exactly one of the two.`
        refuse(payload, 'parameter_missing', message, [`${side}_account_id`])
      }
    }
  })
type Line = z.output<typeof Line>

/** A voucher as it is asked for. */
export const AdjustmentParams = z.strictObject({
  reason,
  author,
  effective_at: timestamp
    .optional()
    .describe(
      'When it counts in the books; now when left out. May lie in the past, but not in a closed period.',
    ),
  transfers: z.array(Line).min(1).max(TRANSFERS_MOST).describe('Posted all or none.'),
})

export const LedgerAdjustment = object('ledger_adjustment', null, {
  reason: z.string(),
  author: z.string(),
  transfers: z.array(LedgerTransfer),
  livemode: z.boolean(),
})

/** What an adjustment is decided from: who asks, and when. */
interface Basis {
  readonly tenant: Tenant
  readonly clock: Clock
  /** What the lines come from that name no source: the request, or what else asks. */
  readonly source: { readonly source_type: string; readonly source_id: string }
  /** Of the transfers, when whoever asks may ask again; new ones when left out. */
  readonly ids?: readonly string[]
  readonly demandSources?: DemandSources
}

/**
 * Refuses transfers whose source may not be adjusted as it stands, by throwing in the name of `transfers[i].source_id`;
 * until the transaction ends it stays as it is then. Handed in, as `SourcesOf` is.
 */
export type DemandSources = (tx: Tx, tenant: Tenant, transfers: readonly Transfer[]) => Promise<void>

/** What an object is to its transfers. */
type Cause = Pick<Transfer, 'source_type' | 'source_id'>

interface NamedAccount {
  readonly id: string
  readonly code: AccountName['code']
  readonly owner_id: string
  readonly currency: string
}

/** Pure: the transfers of a voucher. Throws ApiError in the name of the line that is wrong. */
export function decideAdjustment(
  { tenant, clock, source, ids: given_ids }: Basis,
  accounts: ReadonlyMap<string, NamedAccount>,
  pendings: ReadonlyMap<string, Cause>,
  { effective_at, transfers }: { effective_at?: Date | undefined; transfers: readonly Line[] },
): Transfer[] {
  const now = clock.now()
  const latest = new Date(now.getTime() + DAYS_AHEAD_MOST * DAY_MS)
  if (effective_at !== undefined && effective_at > latest) throw tooFar('effective_at')
  const ids = given_ids ?? transfers.map(() => newId(now))
  assert(ids.length === transfers.length, 'each line has its id')
  return transfers.map((line, i) => {
    const param = (name: string) => `transfers[${i}].${name}`
    if (line.expires_at !== undefined && line.expires_at > latest) throw tooFar(param('expires_at'))
    if (line.expires_at !== undefined && line.expires_at <= now) {
      throw new ApiError('parameter_invalid', {
        param: param('expires_at'),
        message: `${param('expires_at')} must lie in the future.`,
      })
    }
    const side = (of: 'debit' | 'credit'): AccountName | undefined => {
      const account_id = line[`${of}_account_id`]
      const code = line[`${of}_code`]
      if (account_id === undefined) return code && { code }
      const account = accounts.get(account_id)
      const name = param(`${of}_account_id`)
      if (!account) {
        throw new ApiError('resource_missing', { param: name, message: `No such ledger account: ${name}.` })
      }
      if (account.currency !== line.currency) {
        throw new ApiError('parameter_invalid', {
          param: param('currency'),
          message: `${param('currency')} must be that of the account ${name}, which is ${account.currency}.`,
        })
      }
      return account.owner_id === NOBODY
        ? { code: account.code }
        : { code: account.code, owner_id: account.owner_id }
    }
    const [debit, credit] = [side('debit'), side('credit')]
    const id = ids[i]
    assert(id !== undefined, 'each line has its id')
    return {
      ...tenant,
      id,
      kind: line.kind,
      ...(debit && { debit }),
      ...(credit && { credit }),
      ...(line.amount !== undefined && { amount: line.amount }),
      ...(line.currency !== undefined && { currency: line.currency }),
      ...(line.pending_id !== undefined && { pending_id: line.pending_id }),
      ...(line.expires_at !== undefined && { expires_at: line.expires_at }),
      ...(effective_at !== undefined && { effective_at }),
      ...(ids.length > 1 && { linked_id: ids[0] }),
      ...(line.source_id === undefined
        ? (pendings.get(line.pending_id ?? '') ?? source)
        : { source_type: idPrefixes[line.source_id.prefix], source_id: line.source_id.id }),
      // An object may be adjusted more than once; that one voucher posts once, its Idempotency-Key sees to.
      step: `adjustment:${id}`,
    } as Transfer
  })
}

const tooFar = (param: string): ApiError =>
  new ApiError('parameter_invalid', {
    param,
    message: `${param} must lie at most ${DAYS_AHEAD_MOST} days ahead.`,
  })

/** Posts a voucher in the caller's transaction and answers its transfers. Throws ApiError: then roll back. */
export async function adjust(
  tx: Tx,
  basis: Basis,
  voucher: { effective_at?: Date | undefined; transfers: readonly Line[] },
  note: Note,
): Promise<LedgerTransferRow[]> {
  const pendings = await namedPendings(tx, basis.tenant, voucher.transfers)
  const accounts = await namedAccounts(tx, basis.tenant, voucher.transfers)
  const transfers = decideAdjustment(basis, accounts, pendings, voucher)
  await basis.demandSources?.(tx, basis.tenant, transfers)
  const results = await postByHand(tx, transfers, note)
  // Of a group, the others only say that one failed.
  const refused = results.findIndex(result => !['posted', 'exists', 'linked_failed'].includes(result))
  if (refused >= 0) throw refusalError(results[refused] as Result, `transfers[${refused}]`)
  return findTransfers(
    tx,
    basis.tenant,
    transfers.map(transfer => transfer.id),
  )
}

/**
 * What the pendings that are resolved are about. Only what was reserved by hand is resolved by hand: the hold of a payment
 * or a payout belongs to whoever asks the processor; resolved by another, what then moves there could not be recorded any
 * more.
 */
async function namedPendings(
  tx: Tx,
  { account_id, livemode }: Tenant,
  lines: readonly Line[],
): Promise<ReadonlyMap<string, Cause>> {
  const ids = lines.flatMap(line => line.pending_id ?? [])
  if (ids.length === 0) return new Map()
  const pendings = await tx.many<Cause & { id: string; is_foreign: boolean }>`
    select id, source_type, source_id, reason is null as is_foreign
    from ledger_transfers
    where account_id = ${account_id} and livemode = ${livemode} and id = any(${ids}::uuid[])`
  const found = lines.findIndex(line =>
    pendings.some(({ id, is_foreign }) => is_foreign && id === line.pending_id),
  )
  if (found < 0) {
    return new Map(pendings.map(({ id, source_type, source_id }) => [id, { source_type, source_id }]))
  }
  const param = `transfers[${found}].pending_id`
  throw new ApiError('ledger_pending_unexpected_state', {
    param,
    message: `${param} was reserved by Bursar itself, for a payment or a payout. Capture, cancel or settle that instead.`,
  })
}

async function namedAccounts(
  tx: Tx,
  { account_id, livemode }: Tenant,
  lines: readonly Line[],
): Promise<ReadonlyMap<string, NamedAccount>> {
  const ids = lines.flatMap(line => [line.debit_account_id ?? [], line.credit_account_id ?? []].flat())
  if (ids.length === 0) return new Map()
  const rows = await tx.many<NamedAccount>`
    select id, code, owner_id, currency
    from ledger_accounts
    where account_id = ${account_id} and livemode = ${livemode} and id = any(${ids}::uuid[])`
  return new Map(rows.map(row => [row.id, row]))
}

/** What the caller hears when the ledger refuses a line, and in the name of which parameter. */
const ERRORS: Partial<
  Record<Refusal, [code: ConstructorParameters<typeof ApiError>[0], name: string, says: string]>
> = {
  account_closed: ['ledger_account_closed', '', 'names a closed ledger account. Reopen it, or use another.'],
  accounts_must_differ: [
    'parameter_invalid',
    '.credit_account_id',
    'must be another account than the debited one.',
  ],
  currency_mismatch: ['parameter_invalid', '.currency', 'must be that of the pending transfer.'],
  amount_invalid: [
    'parameter_invalid',
    '.amount',
    'must be all that is reserved, or be left out, to void a pending transfer.',
  ],
  exceeds_credits: [
    'ledger_limit_exceeded',
    '.amount',
    'would make the debits of an account exceed its credits, which its limit forbids.',
  ],
  exceeds_debits: [
    'ledger_limit_exceeded',
    '.amount',
    'would make the credits of an account exceed its debits, which its limit forbids.',
  ],
  exceeds_pending: ['parameter_invalid', '.amount', 'must be at most what the pending transfer reserved.'],
  id_already_used: ['parameter_invalid', '.id', 'belongs to another transfer.'],
  pending_already_resolved: [
    'ledger_pending_unexpected_state',
    '.pending_id',
    'was posted or voided before.',
  ],
  pending_expired: ['ledger_pending_unexpected_state', '.pending_id', 'has expired and may only be voided.'],
  pending_not_found: ['resource_missing', '.pending_id', 'names no pending transfer.'],
  period_closed: [
    'ledger_period_closed',
    '',
    'would be effective in a period that is closed. Choose a later effective_at, or reopen the period.',
  ],
  total_too_large: [
    'amount_too_large',
    '.amount',
    'would take a total of an account beyond 9223372036854775807.',
  ],
}

function refusalError(result: Result, line: string): ApiError {
  const known = result === 'posted' || result === 'exists' ? undefined : ERRORS[result]
  // The rest cannot come of a voucher that was parsed: its ids are new and its fields fit together.
  assert(known, `a voucher is not refused as ${result}`)
  const [code, name, says] = known
  const param = `${line}${name}`
  return new ApiError(code, { param, message: `${param} ${says}`, detail: { refusal: result } })
}

const createAdjustment = (demandSources: DemandSources): Endpoint =>
  endpoint({
    route: 'POST /v1/ledger/transfers',
    summary: 'Adjust the books by hand: transfers with a reason and an author, posted all or none.',
    resource: 'ledger_transfers',
    // It can make a balance out of nothing, which a payout then pays: no key does it by accident (spec of the API).
    auth: 'scoped',
    params: AdjustmentParams,
    returns: LedgerAdjustment,
    run: (context: Context, { reason, author, ...voucher }) =>
      context.finish('adjusted', async tx => {
        const note = noteOf(context, { reason, author })
        const { tenant, clock, request_id } = context
        const source = { source_type: idPrefixes.req_, source_id: request_id }
        const rows = await adjust(tx, { tenant, clock, source, demandSources }, voucher, note)
        return { ...note, transfers: rows.map(shownTransfer), livemode: context.tenant.livemode }
      }),
  })

export const adjustmentEndpoints = (demandSources: DemandSources): Endpoint[] => [
  createAdjustment(demandSources),
]
