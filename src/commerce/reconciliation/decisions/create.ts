/**
 * Deciding about rows of a run: gather what they say, decide what is posted (pure), record both. The run itself stays as
 * it is; the next one replays the decision. One transaction, and each row of a run is decided once, so a difference is
 * posted once.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { type Context, endpoint, type Endpoint, id, refuse } from '#http'
import { ApiError, decodeId, newId, type Tenant } from '#kernel'
import { type AccountCode, author, authorText, findAccount, reason } from '#ledger'
import { DECISION_ROWS_MOST } from '../decision.ts'
import type { Line, Side } from '../line.ts'
import { findSucceeded, type RunRow, runPath } from '../runs/object.ts'
import { claimRows, demandOpen, type Picked, takeTurn } from './claim.ts'
import {
  findDecision,
  findDecisions,
  type KeptDecision,
  KINDS,
  ReconciliationDecision,
  shownDecision,
} from './object.ts'
import {
  differences,
  intoSuspense,
  outOfSuspense,
  postAll,
  type Posting,
  type ShownCode,
  type Waiting,
} from './posting.ts'

/** One payment of a bank that makes good what many rows missed; and each is a transfer of one voucher. */
const CLEARED_MOST = 100

const picked = (what: string) =>
  z.array(z.int().min(1).max(2_147_483_647)).max(DECISION_ROWS_MOST).default([]).describe(what)

const DecisionParams = z
  .strictObject({
    kind: z
      .enum(KINDS)
      .describe(
        'match: these belong together; write_off: accepted as it is; suspense: accepted, and the difference posted; clear: what waits in suspense has come with these rows.',
      ),
    left: picked('Rows of the left side, by their numbers in the run.'),
    right: picked('Rows of the right side.'),
    reason,
    author,
    ledger_code: z
      .enum(['bank', 'processor_clearing'])
      .optional()
      .describe(
        'Of suspense: which account the left side shows: bank, or processor_clearing where it shows what a processor owes. Needed where the left statement is a file. A cut says it itself (one of balance transactions is processor_clearing, one of payouts is bank, one by code or account is that), and takes no other.',
      ),
    clears: z
      .array(id('rdc_'))
      .max(CLEARED_MOST)
      .default([])
      .describe('Of clear: the suspense decisions that are settled, whole or in part, in this order.'),
  })
  .check(payload => {
    const { kind, left, right, ledger_code, clears } = payload.value
    if (left.length + right.length === 0) {
      refuse(payload, 'parameter_missing', 'or right must name at least one row.', ['left'])
    }
    if (kind === 'match' && (left.length === 0) !== (right.length === 0)) {
      const side = left.length === 0 ? 'left' : 'right'
      refuse(payload, 'parameter_missing', 'must name a row too: a match has both sides.', [side])
    }
    if (kind !== 'suspense' && ledger_code !== undefined) {
      refuse(
        payload,
        'parameter_invalid',
        'has no place here: only suspense asks which account of ours this is; a clear goes to the account that the cut shows, beside a file to where its suspense came from.',
        ['ledger_code'],
      )
    }
    if (kind === 'clear' && clears.length === 0) {
      refuse(payload, 'parameter_missing', 'must name at least one decision that is cleared.', ['clears'])
    }
    if (kind !== 'clear' && clears.length > 0) {
      refuse(payload, 'parameter_invalid', 'has no place here: only a clear settles others.', ['clears'])
    }
    for (const list of ['left', 'right', 'clears'] as const) {
      if (new Set<number | string>(payload.value[list]).size < payload.value[list].length) {
        const what = list === 'clears' ? 'decision' : 'row'
        refuse(payload, 'parameter_invalid', `names a ${what} twice.`, [list])
      }
    }
  })
type Params = z.output<typeof DecisionParams>

export const createDecision: Endpoint = endpoint({
  route: 'POST /v1/reconciliation_runs/:id/decisions',
  summary: 'Decide about rows of a run, with a name and a reason. Later runs replay it.',
  resource: 'reconciliation_decisions',
  path: runPath,
  params: DecisionParams,
  returns: ReconciliationDecision,
  run: (context, params, { id: run_id }) =>
    context.finish('decided', async tx => {
      const { tenant, clock } = context
      const run = await findSucceeded(tx, tenant, run_id)
      const lines: Picked = {
        left: await pickLines(tx, run, 'left', params.left),
        right: await pickLines(tx, run, 'right', params.right),
      }
      await takeTurn(tx, tenant)
      await demandOpen(tx, run, lines)
      const id = newId(clock.now())
      const note = {
        reason: params.reason.trim(),
        author: authorText(params.author, context.caller.api_key_id),
      }
      const postings = await decidePostings(tx, context, run, id, params, lines)
      const row: KeptDecision = {
        ...tenant,
        id,
        run_id,
        kind: params.kind,
        left: lines.left.map(nameOf),
        right: lines.right.map(nameOf),
        ...note,
        transfer_ids: await postAll(tx, context, postings, note),
        clears: params.clears,
        created_at: clock.now(),
      }
      await insertDecision(tx, row)
      await claimRows(tx, row, params)
      return shownDecision(await findDecision(tx, tenant, id))
    }),
})

const nameOf = ({ row, id, amount, currency, date }: Line) => ({
  row,
  id,
  amount: String(amount),
  currency,
  date,
})

async function decidePostings(
  tx: Tx,
  { tenant }: Context,
  run: RunRow,
  id: string,
  { kind, ledger_code, clears }: Params,
  { left, right }: Picked,
): Promise<Posting[]> {
  switch (kind) {
    case 'suspense':
      return intoSuspense(id, await codeOf(tx, run, ledger_code), differences(left, right))
    case 'clear': {
      const shown = await shownBy(tx, run)
      const waiting = await findWaiting(tx, tenant, clears)
      // A cut says where it came, which may be past the account that missed it; of a file that account is all that is known.
      const there = shown === null ? waiting : waiting.map(({ decision }) => ({ decision, code: shown }))
      return outOfSuspense(there, differences(left, right))
    }
    case 'match':
    case 'write_off':
      return []
  }
}

/** What the rows say. Throws `resource_missing` for one that the run does not have. */
async function pickLines(tx: Tx, run: RunRow, side: Side, rows: readonly number[]): Promise<Line[]> {
  if (rows.length === 0) return []
  const { account_id, livemode } = run
  const statement_id = side === 'left' ? run.left_statement_id : run.right_statement_id
  const lines = await tx.many<Line>`
    select row, line, id, amount, currency, date, batch, text
    from reconciliation_rows
    where account_id = ${account_id} and livemode = ${livemode} and statement_id = ${statement_id}
      and row = any(${rows}::integer[])
    union all
    select row, line, id, amount, currency, date, batch, text
    from reconciliation_carried_rows
    where account_id = ${account_id} and livemode = ${livemode} and run_id = ${run.id} and side = ${side}
      and row = any(${rows}::integer[])`
  const found = new Map(lines.map(line => [line.row, line]))
  return rows.map((row, at) => {
    const line = found.get(row)
    if (line) return line
    const param = `${side}[${at}]`
    throw new ApiError('resource_missing', { param, message: `${param}: the run has no such row.` })
  })
}

/** Which account of the books the left side shows: a cut of one says it itself, of a file what was given. */
async function codeOf(tx: Tx, run: RunRow, given: ShownCode | undefined): Promise<ShownCode> {
  const shown = await shownBy(tx, run)
  if (shown === null) {
    if (given !== undefined) return given
    throw new ApiError('parameter_missing', {
      param: 'ledger_code',
      message:
        'ledger_code is required: the left statement is a file, which does not say which account of the books it shows. Send bank when the right one is a statement of your bank, processor_clearing when it is one of a processor.',
    })
  }
  if (given !== undefined && given !== shown) {
    throw new ApiError('parameter_invalid', {
      param: 'ledger_code',
      message: `ledger_code must be ${shown}, or be left out: that is what the left statement shows.`,
    })
  }
  return shown
}

/** Null of a file: only who sends it knows which account it shows. Throws `parameter_invalid` for one without suspense. */
async function shownBy(tx: Tx, run: RunRow): Promise<ShownCode | null> {
  const shown = await cutOf(tx, run)
  if (shown === null || shown === 'bank' || shown === 'processor_clearing') return shown
  throw new ApiError('parameter_invalid', {
    param: 'kind',
    message: `kind: the left statement is a cut of ${shown}, and what waits in suspense is missed or found at bank or processor_clearing.`,
  })
}

async function cutOf(tx: Tx, run: RunRow): Promise<AccountCode | null> {
  const { source, code, ledger_account_id } = await tx.one<{
    source: string
    code: AccountCode | null
    ledger_account_id: string | null
  }>`
    select source, selection ->> 'code' as code, selection ->> 'ledger_account_id' as ledger_account_id
    from reconciliation_statements
    where account_id = ${run.account_id} and livemode = ${run.livemode} and id = ${run.left_statement_id}`
  if (source === 'balance_transactions') return 'processor_clearing'
  // As the bank sees them arrive: what is not there is missed at the bank. In processor_clearing they go the other way.
  if (source === 'payouts') return 'bank'
  const account_id = ledger_account_id === null ? undefined : decodeId('la_', ledger_account_id)
  if (account_id === undefined) return code
  return (await findAccount(tx, run, account_id, 'ledger_code')).code
}

/** In the order asked for, each with the account that its money was put aside from. Throws `resource_missing`. */
async function findWaiting(tx: Tx, tenant: Tenant, ids: readonly string[]): Promise<Waiting[]> {
  const decisions = new Map((await findDecisions(tx, tenant, ids)).map(found => [found.id, found]))
  const codes = await tx.many<{ id: string; code: ShownCode }>`
    select distinct moved.source_id as id, account.code
    from reconciliation_decisions decision
    join ledger_transfers moved
      on moved.account_id = decision.account_id and moved.livemode = decision.livemode
      and moved.id = any(decision.transfer_ids)
    join ledger_accounts account
      on account.account_id = moved.account_id and account.livemode = moved.livemode
      and account.id in (moved.debit_account_id, moved.credit_account_id)
    where decision.account_id = ${tenant.account_id} and decision.livemode = ${tenant.livemode}
      and decision.id = any(${ids}::uuid[]) and decision.kind = 'suspense'
      and account.code in ('bank', 'processor_clearing')`
  const code_of = new Map(codes.map(({ id, code }) => [id, code]))
  return ids.map((id, i) => {
    const decision = decisions.get(id)
    if (decision) return { decision, code: code_of.get(id) ?? 'bank' }
    const param = `clears[${i}]`
    throw new ApiError('resource_missing', { param, message: `${param}: no such decision.` })
  })
}

async function insertDecision(tx: Tx, row: KeptDecision): Promise<void> {
  await tx.run`
    insert into reconciliation_decisions (
      account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, clears, created_at
    )
    values (
      ${row.account_id}, ${row.livemode}, ${row.id}, ${row.run_id}, ${row.kind}, ${JSON.stringify(row.left)}::jsonb,
      ${JSON.stringify(row.right)}::jsonb, ${row.author}, ${row.reason}, ${row.transfer_ids}::uuid[],
      ${row.clears}::uuid[], ${row.created_at}
    )`
}
