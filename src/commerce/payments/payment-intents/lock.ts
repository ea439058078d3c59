/** Reading one intent: as it is now, or locked for a change. */
import type { Queries } from '#db'
import { ApiError, type Tenant } from '#kernel'
import { intentColumns } from '../columns.ts'
import type { PaymentIntentRow } from '../rows.ts'

const missing = () => new ApiError('resource_missing', { param: 'id', message: 'No such payment intent.' })

export async function findIntent(db: Queries, tenant: Tenant, id: string): Promise<PaymentIntentRow> {
  const intent = await db.maybe<PaymentIntentRow>`
    select ${intentColumns}
    from payment_intents
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  if (!intent) throw missing()
  return intent
}

/** The row serialises what happens to the intent: whoever changes it holds it until the commit. */
export async function lockIntent(tx: Queries, tenant: Tenant, id: string): Promise<PaymentIntentRow> {
  const intent = await tx.maybe<PaymentIntentRow>`
    select ${intentColumns}
    from payment_intents
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    for update`
  if (!intent) throw missing()
  return intent
}
