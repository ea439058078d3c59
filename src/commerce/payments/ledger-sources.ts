/** What the ledger was told about a payment: its transfers name attempts, disputes and balance transactions as sources. */
import { type Fragment, sql } from '#db'
import type { Tenant } from '#kernel'
import type { Source, SourcesOf } from '#ledger'

/** One payment has a handful, one with many refunds some hundreds; more would be a list and no payment. */
const SOURCES_MOST = 1_000

/** The sources behind a payment intent, a charge, a refund or a dispute, itself among them; any other object stands for itself. */
export const ledgerSourcesOf: SourcesOf = async (db, tenant, source) => {
  const subjects = subjectsOf(tenant, source)
  if (subjects === null) return [source.id]
  const { account_id, livemode } = tenant
  const rows = await db.many<{ id: string }>`
    with subjects as materialized (${subjects})
    select id from subjects
    union
    select attempt.id
    from subjects
    join payment_attempts attempt on attempt.account_id = ${account_id} and attempt.livemode = ${livemode}
      and attempt.payment_intent_id = subjects.payment_intent_id
    where subjects.id in (attempt.payment_intent_id, attempt.charge_id, attempt.refund_id)
    union
    select balance.id
    from subjects
    join balance_transactions balance on balance.account_id = ${account_id} and balance.livemode = ${livemode}
      and balance.source_id = subjects.id
    limit ${SOURCES_MOST}`
  return rows.length === 0 ? [source.id] : rows.map(row => row.id)
}

/** The object with those that belong to it, each with its payment intent; null for what is no part of a payment. */
function subjectsOf({ account_id, livemode }: Tenant, { prefix, id }: Source): Fragment | null {
  switch (prefix) {
    case 'pi_':
      return sql`
        select id, id as payment_intent_id
        from payment_intents
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id}
        union all
        select id, payment_intent_id
        from charges
        where account_id = ${account_id} and livemode = ${livemode} and payment_intent_id = ${id}
        union all
        select id, payment_intent_id
        from refunds
        where account_id = ${account_id} and livemode = ${livemode} and payment_intent_id = ${id}
        union all
        select id, payment_intent_id
        from disputes
        where account_id = ${account_id} and livemode = ${livemode} and payment_intent_id = ${id}`
    case 'ch_':
      return sql`
        select id, payment_intent_id
        from charges
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id}
        union all
        select id, payment_intent_id
        from refunds
        where account_id = ${account_id} and livemode = ${livemode} and charge_id = ${id}
        union all
        select id, payment_intent_id
        from disputes
        where account_id = ${account_id} and livemode = ${livemode} and charge_id = ${id}`
    case 're_':
      return sql`
        select id, payment_intent_id
        from refunds
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
    case 'dp_':
      return sql`
        select id, payment_intent_id
        from disputes
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
    default:
      return null
  }
}
