/** Finding what a request names; what is not there, or is another account's, is the same clear 404. */
import { type Queries, sql } from '#db'
import { ApiError, type Tenant } from '#kernel'
import { customerColumns, methodColumns } from './columns.ts'
import type { CustomerRow, PaymentMethodRow } from './rows.ts'

/** Where an id stood in the request, and how its object is wanted. */
interface Wanted {
  param?: string
  /** Held until the commit, for a change. */
  lock?: boolean
}

/** A customer; one who was deleted counts as missing unless `deleted` says otherwise. */
export async function findCustomer(
  db: Queries,
  tenant: Tenant,
  id: string,
  { param = 'customer_id', lock = false, deleted = false }: Wanted & { deleted?: boolean } = {},
): Promise<CustomerRow> {
  const customer = await db.maybe<CustomerRow>`
    select ${customerColumns}
    from customers
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    ${lock ? sql`for update` : sql``}`
  if (!customer || (customer.deleted_at && !deleted)) {
    throw new ApiError('resource_missing', { param, message: 'No such customer.' })
  }
  return customer
}

export async function findMethod(
  db: Queries,
  tenant: Tenant,
  id: string,
  { param = 'payment_method_id', lock = false }: Wanted = {},
): Promise<PaymentMethodRow> {
  const method = await db.maybe<PaymentMethodRow>`
    select ${methodColumns}
    from payment_methods
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}
    ${lock ? sql`for update` : sql``}`
  if (!method) throw new ApiError('resource_missing', { param, message: 'No such payment method.' })
  return method
}

/** A detached method was taken back by whom it belonged to. */
export const detached = (): ApiError =>
  new ApiError('payment_method_unexpected_state', {
    param: 'payment_method_id',
    message: 'This payment method was detached from its customer and cannot be used again. Ask for another.',
  })

/** A method that belongs to a customer pays for that customer only, and a detached one for nobody. */
export function checkOwner(method: PaymentMethodRow, customer_id: string | null): void {
  if (method.detached_at !== null) throw detached()
  if (method.customer_id === null || method.customer_id === customer_id) return
  throw new ApiError('parameter_invalid', {
    param: 'payment_method_id',
    message: 'This payment method belongs to a customer. Set that customer_id with it.',
  })
}
