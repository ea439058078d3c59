/**
 * Deciding about rows of a run: gather what they say, decide what is posted (pure), record both. The run itself stays as
 * it is; the next one replays the decision. One transaction, and each row of a run is decided once, so a difference is
 * posted once.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { type Context, endpoint, type Endpoint, refuse } from '#http'
import { ApiError, idPrefixes, newId } from '#kernel'
import { adjust, author, authorText, reason } from '#ledger'
import { INT64_MAX, INT64_MIN } from '#money'
import { type Currency, isCurrency } from '#money'
import type { Line, Side } from '../line.ts'
import { findSucceeded, type RunRow, runPath } from '../runs/object.ts'
import { claimRows, demandUndecided } from './claim.ts'
import { type DecisionRow, KINDS, ReconciliationDecision, shownDecision } from './object.ts'

/** What one person looks at as one thing; a payout of more items is a batch, which needs nobody. */
const ROWS_MOST = 200

const picked = (what: string) =>
  z.array(z.int().min(1).max(2_147_483_647)).max(ROWS_MOST).default([]).describe(what)

const DecisionParams = z
  .strictObject({
    kind: z
      .enum(KINDS)
      .describe(
        'match: these belong together; write_off: accepted as it is; suspense: accepted, and the difference posted.',
      ),
    left: picked('Rows of the left side, by their numbers in the run.'),
    right: picked('Rows of the right side.'),
    reason,
    author,
    ledger_code: z
      .enum(['bank', 'processor_clearing'])
      .optional()
      .describe(
        'Of suspense: which account the left side shows. Needed, unless the left statement is a cut of one of them.',
      ),
  })
  .check(payload => {
    const { kind, left, right, ledger_code } = payload.value
    if (left.length + right.length === 0) {
      refuse(payload, 'parameter_missing', 'or right must name at least one row.', ['left'])
    }
    if (kind === 'match' && (left.length === 0) !== (right.length === 0)) {
      const side = left.length === 0 ? 'left' : 'right'
      refuse(payload, 'parameter_missing', 'must name a row too: a match has both sides.', [side])
    }
    if (kind !== 'suspense' && ledger_code !== undefined) {
      refuse(payload, 'parameter_invalid', 'has no place here: only suspense posts.', ['ledger_code'])
    }
    for (const side of ['left', 'right'] as const) {
      if (new Set(payload.value[side]).size < payload.value[side].length) {
        refuse(payload, 'parameter_invalid', 'names a row twice.', [side])
      }
    }
  })

export const createDecision: Endpoint = endpoint({
  route: 'POST /v1/reconciliation_runs/:id/decisions',
  summary: 'Decide about rows of a run, with a name and a reason. Later runs replay it.',
  resource: 'reconciliation_decisions',
  path: runPath,
  params: DecisionParams,
  returns: ReconciliationDecision,
  run: (context, params, { id: run_id }) =>
    context.finish('decided', async tx => {
      const run = await findSucceeded(tx, context.tenant, run_id)
      const left = await pickLines(tx, run, 'left', params.left)
      const right = await pickLines(tx, run, 'right', params.right)
      const names = { left: left.map(nameOf), right: right.map(nameOf) }
      await demandUndecided(tx, run, params, names)
      const now = context.clock.now()
      const id = newId(now)
      const note = { reason: params.reason, author: authorText(params.author, context.caller.api_key_id) }
      const transfer_ids =
        params.kind === 'suspense'
          ? await postDifference(
              context,
              tx,
              id,
              await codeOf(tx, run, params.ledger_code),
              left,
              right,
              note,
            )
          : []
      const row: DecisionRow = {
        ...context.tenant,
        id,
        run_id,
        kind: params.kind,
        ...names,
        ...note,
        transfer_ids,
        created_at: now,
      }
      await insertDecision(tx, row)
      await claimRows(tx, row, params)
      return shownDecision(row)
    }),
})

const nameOf = ({ id, amount, currency, date }: Line) => ({ id, amount: String(amount), currency, date })

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

/** Which account of the books the left side shows. */
async function codeOf(
  tx: Tx,
  run: RunRow,
  given: 'bank' | 'processor_clearing' | undefined,
): Promise<'bank' | 'processor_clearing'> {
  if (given !== undefined) return given
  const { source, code } = await tx.one<{ source: string; code: string | null }>`
    select source, selection ->> 'code' as code
    from reconciliation_statements
    where account_id = ${run.account_id} and livemode = ${run.livemode} and id = ${run.left_statement_id}`
  if (source === 'balance_transactions') return 'processor_clearing'
  if (code === 'bank' || code === 'processor_clearing') return code
  throw new ApiError('parameter_missing', {
    param: 'ledger_code',
    message: 'ledger_code is required: the left statement does not say which account of the books it shows.',
  })
}

export interface Difference {
  currency: Currency
  /** What the books lack; negative when they have too much. Never zero. */
  amount: bigint
}

/** Pure: what must be posted so that the left side is worth what the right one says, by currency. */
export function differences(left: readonly Line[], right: readonly Line[]): Difference[] {
  const sums = new Map<string, bigint>()
  for (const { currency, amount } of right) sums.set(currency, (sums.get(currency) ?? 0n) + amount)
  for (const { currency, amount } of left) sums.set(currency, (sums.get(currency) ?? 0n) - amount)
  const found = [...sums]
    .filter((sum): sum is [Currency, bigint] => sum[1] !== 0n && isCurrency(sum[0]))
    .map(([currency, amount]) => ({ currency, amount }))
  if (found.length === 0) throw new ApiError('reconciliation_difference_missing')
  if (found.some(({ amount }) => amount > INT64_MAX || amount < -INT64_MAX || amount < INT64_MIN)) {
    throw new ApiError('amount_too_large', { message: 'The difference is beyond what the ledger holds.' })
  }
  return found
}

/** Money found outside is owed to nobody known; money missed outside is a claim on nobody known. */
async function postDifference(
  context: Context,
  tx: Tx,
  decision_id: string,
  code: 'bank' | 'processor_clearing',
  left: readonly Line[],
  right: readonly Line[],
  note: { reason: string; author: string },
): Promise<string[]> {
  const { tenant, clock } = context
  const found = differences(left, right)
  const ids = found.map(() => newId(clock.now()))
  const source = { source_type: idPrefixes.rdc_, source_id: decision_id }
  const transfers = found.map(({ currency, amount }) => ({
    kind: 'post' as const,
    currency,
    ...(amount > 0n
      ? { debit_code: code, credit_code: 'suspense_unexpected' as const, amount }
      : { debit_code: 'suspense_missing' as const, credit_code: code, amount: -amount }),
  }))
  await adjust(tx, { tenant, clock, source, ids }, { transfers }, note)
  return ids
}

async function insertDecision(tx: Tx, row: DecisionRow): Promise<void> {
  await tx.run`
    insert into reconciliation_decisions (
      account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
    )
    values (
      ${row.account_id}, ${row.livemode}, ${row.id}, ${row.run_id}, ${row.kind}, ${JSON.stringify(row.left)}::jsonb,
      ${JSON.stringify(row.right)}::jsonb, ${row.author}, ${row.reason}, ${row.transfer_ids}::uuid[], ${row.created_at}
    )`
}
