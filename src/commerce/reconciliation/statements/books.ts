/**
 * Our own books as a side: read by one cursor, so at one instant, whatever is booked meanwhile. Ids are those that the other
 * side knows: the reference that a processor was asked with (reading/csv/simulator.ts makes the same of its file), the
 * payout's own, and for the ledger the object behind an entry. What takes an earlier movement back has `:reversal` behind
 * the id, as it shares the reference. Days are those of UTC.
 */
import { type Fragment, raw, sql, type Tx } from '#db'
import { encodeId, type IdPrefix, idPrefixes, idRangeFloor, type Tenant } from '#kernel'
import type { AccountCode } from '#ledger'
import type { Line } from '../line.ts'
import type { Source } from './object.ts'

/** Of our own books: which, and booked when. */
export interface BooksCut {
  source: Exclude<Source, 'file'>
  /** Of source ledger: one account, or all of a code. */
  ledger_account_id?: string | undefined
  code?: AccountCode | undefined
  currency?: string | undefined
  /** Then or later … */
  from?: Date | undefined
  /** … and before then. */
  to?: Date | undefined
}

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
 * What `POST /v1/reconciliation_statements/snapshot` freezes, handed over piece by piece as it is at one instant. `tx` must
 * be the tenant's or see all accounts.
 */
export const cutBooks = (tx: Tx, tenant: Tenant, wanted: BooksCut): AsyncIterable<Line[]> =>
  read(tx, readers[wanted.source](tenant, wanted))

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
const bounds = ({ from, to }: BooksCut) => ({
  above: idRangeFloor(from ?? new Date(0)),
  below: to === undefined ? 'ffffffff-ffff-ffff-ffff-ffffffffffff' : idRangeFloor(to),
})

/**
 * What the processors settle: the net of each change of the balance, under the reference of the attempt that asked for
 * it. A dispute has none of ours: it goes by the processor's id.
 */
function balanceTransactions(tenant: Tenant, wanted: BooksCut): Fragment {
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

/**
 * As the bank sees them: each on the day on which it arrives, by what the processor expects and else by when it was told,
 * and what the bank sent back on the day on which that was told. What failed on its way the bank has never seen; what is on
 * its way until nobody knows when is no row yet, or it would be one again on the day on which it arrives.
 */
function payouts(tenant: Tenant, wanted: BooksCut): Fragment {
  return sql`
    select
      'payout' as source_type, movement.id as source_id, null as reference, movement.is_reversal, movement.amount,
      movement.currency, (movement.at at time zone 'UTC')::date as date, movement.text
    from (
      select
        payout.id, payout.currency, moved.is_reversal,
        case when moved.is_reversal then -payout.amount else payout.amount end as amount,
        case
          when moved.is_reversal then returned.effective_at
          else coalesce(payout.arrival_date, paid.effective_at)
        end as at,
        coalesce(payout.statement_descriptor, payout.description, 'payout') as text
      from payouts payout
      left join ledger_transfers paid
        on paid.account_id = payout.account_id and paid.livemode = payout.livemode
        and paid.source_id = payout.id and paid.step = 'pay'
      left join ledger_transfers returned
        on returned.account_id = payout.account_id and returned.livemode = payout.livemode
        and returned.source_id = payout.id and returned.step = 'return'
      cross join (values (false), (true)) as moved (is_reversal)
      where payout.account_id = ${tenant.account_id}
        and payout.livemode = ${tenant.livemode}
        and payout.currency = coalesce(${wanted.currency ?? null}::text, payout.currency)
        and case
          when moved.is_reversal then returned.id is not null
          else payout.status in ('in_transit', 'paid') or returned.id is not null
        end
    ) as movement
    where movement.at >= coalesce(${wanted.from ?? null}::timestamptz, '-infinity')
      and movement.at < coalesce(${wanted.to ?? null}::timestamptz, 'infinity')
    order by movement.at, movement.id, movement.is_reversal`
}

/**
 * Entries of ledger accounts, in the direction that makes their balance grow, by the day on which they count. What a decision
 * posted to suspense is none that the outside will show: its rows are explained already, and it would itself be found
 * unmatched in every run from then on.
 */
function ledger(tenant: Tenant, wanted: BooksCut): Fragment {
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

const readers: Record<Exclude<Source, 'file'>, (tenant: Tenant, wanted: BooksCut) => Fragment> = {
  balance_transactions: balanceTransactions,
  payouts,
  ledger,
}
