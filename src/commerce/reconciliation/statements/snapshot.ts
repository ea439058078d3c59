/**
 * Our own books as a side: read by one cursor, so at one instant, and frozen as a file is. Ids are those that the other
 * side knows: the reference that a processor was asked with (reading/csv/simulator.ts makes the same of its file), the
 * payout's own, and for the ledger the object behind an entry. What takes an earlier movement back has `:reversal` behind
 * the id, as it shares the reference.
 */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { type Fragment, raw, sql, type Tx } from '#db'
import { currency, endpoint, type Endpoint, id, refuse, text, timestamp } from '#http'
import { encodeId, type IdPrefix, idPrefixes, idRangeFloor, newId, type Tenant } from '#kernel'
import { chart, findAccount } from '#ledger'
import type { Line } from '../line.ts'
import { demandRoom, insertStatement, KEEPING, RowKeeper } from './keep.ts'
import { ReconciliationStatement, shownStatement, type Source, type StatementRow } from './object.ts'
import { NAME_LENGTH_MOST } from './upload.ts'

const codes = Object.keys(chart) as [keyof typeof chart, ...(keyof typeof chart)[]]

const SnapshotParams = z
  .strictObject({
    name: text(NAME_LENGTH_MOST).min(1).describe('What it is called from now on.'),
    source: z
      .enum(['balance_transactions', 'payouts', 'ledger'])
      .describe(
        'balance_transactions: as a processor settles; payouts: as a bank sees them arrive; ledger: the entries of accounts.',
      ),
    ledger_account_id: id('la_').optional().describe('Of source ledger: the entries of this account …'),
    code: z.enum(codes).optional().describe('… or of all accounts of this code.'),
    currency: currency.optional().describe('Only this one.'),
    from: timestamp.optional().describe('What was booked then or later …'),
    to: timestamp.optional().describe('… and before then.'),
  })
  .check(payload => {
    const { source, ledger_account_id, code, from, to } = payload.value
    const named = [ledger_account_id, code].filter(value => value !== undefined).length
    if (source === 'ledger' && named !== 1) {
      refuse(
        payload,
        'parameter_missing',
        'is required, or code in its place: send exactly one of the two.',
        ['ledger_account_id'],
      )
    }
    if (source !== 'ledger' && named > 0) {
      refuse(payload, 'parameter_invalid', 'has no place here: only the ledger has accounts.', [
        ledger_account_id === undefined ? 'code' : 'ledger_account_id',
      ])
    }
    if (from !== undefined && to !== undefined && from >= to) {
      refuse(payload, 'parameter_invalid', 'must be later than from.', ['to'])
    }
  })
type Selection = z.output<typeof SnapshotParams>
/** Of our own books: which, and booked when. */
export type BooksCut = Omit<Selection, 'name'>

/** What a cursor answers: an object and what happened to it. */
interface Entry {
  source_type: string
  source_id: string
  /** In place of the object's id, where the other side has its own. */
  reference: string | null
  is_reversal: boolean
  amount: bigint
  currency: string
  date: string
  text: string
}

const PIECE = 5_000

/**
 * What `POST /v1/reconciliation_statements/snapshot` freezes, handed over piece by piece as it is at one instant: for
 * whoever keeps it elsewhere. `tx` must be the tenant's or see all accounts.
 */
export const cutBooks = (tx: Tx, tenant: Tenant, wanted: BooksCut): AsyncIterable<Line[]> =>
  read(tx, readers[wanted.source](tenant, { name: '', ...wanted }))

async function* read(tx: Tx, query: Fragment): AsyncGenerator<Line[]> {
  await tx.run`declare reconciliation_cut no scroll cursor for ${query}`
  for (let row = 0; ; ) {
    const entries = await tx.many<Entry>`fetch ${raw(String(PIECE))} from reconciliation_cut`
    if (entries.length > 0) {
      yield entries.map(entry => {
        row += 1
        return lineOf(entry, row)
      })
    }
    if (entries.length < PIECE) break
  }
  await tx.run`close reconciliation_cut`
}

const prefixes = new Map(
  Object.entries(idPrefixes).map(([prefix, type]) => [type as string, prefix as IdPrefix]),
)

function lineOf(entry: Entry, row: number): Line {
  const prefix = prefixes.get(entry.source_type)
  const own = prefix === undefined ? entry.source_id : encodeId(prefix, entry.source_id)
  const { amount, currency, date, text } = entry
  const id = `${entry.reference ?? own}${entry.is_reversal ? ':reversal' : ''}`
  return { row, line: row, id, amount, currency, date, batch: null, text }
}

/** Booked at all, in any currency, unless said otherwise. */
const bounds = ({ from, to }: Selection) => ({
  above: idRangeFloor(from ?? new Date(0)),
  below: to === undefined ? 'ffffffff-ffff-ffff-ffff-ffffffffffff' : idRangeFloor(to),
})

/**
 * What the processors settle: the net of each change of the balance, under the reference of the attempt that asked for
 * it. A dispute has none of ours: it goes by the processor's id.
 */
function balanceTransactions(tenant: Tenant, wanted: Selection): Fragment {
  const { above, below } = bounds(wanted)
  return sql`
    select
      case
        when txn.type in ('payout', 'payout_failure') then 'payout'
        when attempt.id is not null then 'payment_attempt'
        else 'balance_transaction'
      end as source_type,
      case when txn.type in ('payout', 'payout_failure') then txn.source_id else coalesce(attempt.id, txn.id) end as source_id,
      dispute.processor_id as reference,
      txn.type in ('refund_failure', 'dispute_reversal', 'payout_failure') as is_reversal,
      txn.net as amount, txn.currency, (txn.created_at at time zone 'UTC')::date as date, txn.type as text
    from balance_transactions txn
    left join disputes dispute
      on txn.type in ('dispute', 'dispute_reversal')
      and dispute.account_id = txn.account_id and dispute.livemode = txn.livemode and dispute.id = txn.source_id
    left join charges charge
      on txn.type = 'charge'
      and charge.account_id = txn.account_id and charge.livemode = txn.livemode and charge.id = txn.source_id
    left join lateral (
      select tried.id
      from payment_attempts tried
      where txn.type in ('charge', 'refund', 'refund_failure')
        and tried.account_id = txn.account_id and tried.livemode = txn.livemode
        and tried.payment_intent_id = coalesce(charge.payment_intent_id, (
          select refund.payment_intent_id
          from refunds refund
          where refund.account_id = txn.account_id and refund.livemode = txn.livemode and refund.id = txn.source_id
        ))
        and case
          when txn.type = 'charge' then tried.operation in ('authorize', 'capture') and tried.state = 'approved'
          else tried.operation = 'refund' and tried.refund_id = txn.source_id
        end
      order by tried.operation = 'capture' desc, tried.id desc
      limit 1
    ) as attempt on true
    where txn.account_id = ${tenant.account_id}
      and txn.livemode = ${tenant.livemode}
      and txn.id > ${above}::uuid and txn.id < ${below}::uuid
      and txn.currency = coalesce(${wanted.currency ?? null}::text, txn.currency)
    order by txn.id`
}

/** As the bank sees them: money that arrives, and what it sent back. */
function payouts(tenant: Tenant, wanted: Selection): Fragment {
  const { above, below } = bounds(wanted)
  return sql`
    select
      'payout' as source_type, payout.id as source_id, null as reference, false as is_reversal, payout.amount,
      payout.currency, (coalesce(payout.arrival_date, payout.created_at) at time zone 'UTC')::date as date,
      coalesce(payout.statement_descriptor, payout.description, 'payout') as text
    from payouts payout
    where payout.account_id = ${tenant.account_id}
      and payout.livemode = ${tenant.livemode}
      and payout.id > ${above}::uuid and payout.id < ${below}::uuid
      and payout.status in ('in_transit', 'paid')
      and payout.currency = coalesce(${wanted.currency ?? null}::text, payout.currency)
    order by payout.id`
}

/**
 * Entries of ledger accounts, in the direction that makes their balance grow, by the day on which they count. What a decision
 * posted to suspense is none that the outside will show: its rows are explained already, and it would itself be found
 * unmatched in every run from then on.
 */
function ledger(tenant: Tenant, wanted: Selection): Fragment {
  return sql`
    select
      moved.source_type, moved.source_id, null as reference,
      moved.step in ('return', 'reinstate', 'refund_failure') as is_reversal,
      case when entry.side::text = account.normal_side::text then entry.amount else -entry.amount end as amount,
      account.currency, (moved.effective_at at time zone 'UTC')::date as date,
      concat_ws(' ', moved.step, moved.reason) as text
    from ledger_accounts account
    join ledger_entries entry
      on entry.account_id = account.account_id and entry.livemode = account.livemode
      and entry.ledger_account_id = account.id
    join ledger_transfers moved
      on moved.account_id = entry.account_id and moved.livemode = entry.livemode and moved.id = entry.transfer_id
    where account.account_id = ${tenant.account_id}
      and account.livemode = ${tenant.livemode}
      and account.id = coalesce(${wanted.ledger_account_id ?? null}::uuid, account.id)
      and account.code = coalesce(${wanted.code ?? null}::text, account.code)
      and account.currency = coalesce(${wanted.currency ?? null}::text, account.currency)
      and not (
        account.code in ('bank', 'processor_clearing')
        and moved.source_type = ${idPrefixes.rdc_}
        and moved.id in (
          select unnest(decision.transfer_ids)
          from reconciliation_decisions decision
          where decision.account_id = ${tenant.account_id} and decision.livemode = ${tenant.livemode}
          union all
          select unnest(withdrawn.transfer_ids)
          from reconciliation_withdrawals withdrawn
          where withdrawn.account_id = ${tenant.account_id} and withdrawn.livemode = ${tenant.livemode}
        )
      )
      and moved.effective_at >= coalesce(${wanted.from ?? null}::timestamptz, '-infinity')
      and moved.effective_at < coalesce(${wanted.to ?? null}::timestamptz, 'infinity')
    order by entry.ledger_account_id, entry.sequence`
}

const readers: Record<Exclude<Source, 'file'>, (tenant: Tenant, wanted: Selection) => Fragment> = {
  balance_transactions: balanceTransactions,
  payouts,
  ledger,
}

export const snapshotStatement: Endpoint = endpoint({
  route: 'POST /v1/reconciliation_statements/snapshot',
  summary: 'Freeze a cut of our own books as a statement: what a processor or a bank should say too.',
  resource: 'reconciliation_statements',
  params: SnapshotParams,
  returns: ReconciliationStatement,
  run(context, params) {
    const { tenant } = context
    const now = context.clock.now()
    const id = newId(now)
    return context.finish(
      'kept',
      async tx => {
        await demandRoom(tx, tenant)
        if (params.ledger_account_id !== undefined) {
          await findAccount(tx, tenant, params.ledger_account_id, 'ledger_account_id')
        }
        // Before the cursor opens: a transaction that had ended by then is seen by it, and none that ended later is promised.
        const watermark = await readWatermark(tx)
        const keeper = new RowKeeper(tx, tenant, id)
        for await (const lines of read(tx, readers[params.source](tenant, params))) await keeper.take(lines)
        const { rows, sums, sha256 } = await keeper.finish()
        const { name, source, ...wanted } = params
        const row: StatementRow = {
          ...tenant,
          id,
          name,
          source,
          format: null,
          mapping: null,
          selection: shownSelection(wanted, watermark),
          sha256,
          content: hash(
            'sha256',
            JSON.stringify([source, wanted.code, wanted.ledger_account_id, sha256]),
            'hex',
          ),
          bytes: null,
          rows,
          bad_rows: 0,
          bad: [],
          controls: [],
          sums,
          created_at: now,
        }
        await insertStatement(tx, row)
        context.note({ statement_rows: rows })
        return shownStatement(row)
      },
      KEEPING,
    )
  },
})

/** What was asked, as it was asked, and the place in the database's history up to which all of it was seen. */
const shownSelection = (
  { ledger_account_id, ...wanted }: Omit<Selection, 'name' | 'source'>,
  watermark: string,
) => ({
  ...(ledger_account_id !== undefined && { ledger_account_id: encodeId('la_', ledger_account_id) }),
  ...wanted,
  watermark,
})

/** Every transaction with a smaller number has ended. */
async function readWatermark(tx: Tx): Promise<string> {
  const { watermark } = await tx.one<{ watermark: string }>`
    select pg_snapshot_xmin(pg_current_snapshot())::text as watermark`
  return watermark
}
