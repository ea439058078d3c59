/** Finding what a request names; what is not there, or is another account's, is the same clear 404. */
import type { Queries } from '#db'
import { ApiError, type Tenant } from '#kernel'
import { customerColumns, methodColumns } from './columns.ts'
import type { CustomerRow, PaymentMethodRow } from './rows.ts'

/** A customer who was not deleted. */
export async function findCustomer(
  db: Queries,
  tenant: Tenant,
  id: string,
  param = 'customer_id',
): Promise<CustomerRow> {
  const customer = await db.maybe<CustomerRow>`
    select ${customerColumns}
    from customers
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id} and deleted_at is null`
  if (!customer) throw new ApiError('resource_missing', { param, message: 'No such customer.' })
  return customer
}

export async function findMethod(
  db: Queries,
  tenant: Tenant,
  id: string,
  param = 'payment_method_id',
): Promise<PaymentMethodRow> {
  const method = await db.maybe<PaymentMethodRow>`
    select ${methodColumns}
    from payment_methods
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = ${id}`
  if (!method) throw new ApiError('resource_missing', { param, message: 'No such payment method.' })
  return method
}

/** A method that belongs to a customer pays for that customer only. */
export function checkOwner(method: PaymentMethodRow, customer_id: string | null): void {
  if (method.customer_id === null || method.customer_id === customer_id) return
  throw new ApiError('parameter_invalid', {
    param: 'payment_method_id',
    message: 'This payment method belongs to a customer. Set that customer_id with it.',
  })
}
