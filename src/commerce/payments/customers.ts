/** Customers: whom the account charges. A deleted one keeps its id, which payments name, and nothing personal. */
import { z } from 'zod'
import { sql, violatedConstraint } from '#db'
import { emit, eventOf, type Subject, changedFrom } from '#events'
import {
  endpoint,
  type Endpoint,
  expandOne,
  id,
  keyset,
  listOf,
  listParams,
  loads,
  metadata,
  nullable,
  object,
  page,
  retrieveParams,
  text,
  timestamp,
  mergeMetadata,
  metadataChange,
} from '#http'
import { ApiError, newId } from '#kernel'
import { customerColumns } from './columns.ts'
import { findCustomer } from './lookups.ts'
import type { CustomerRow } from './rows.ts'

/** RFC 5321 allows 254 characters in a path; the rest are lengths of names and numbers as people have them. */
const EMAIL_LENGTH_MAX = 254
const NAME_LENGTH_MAX = 256
const PHONE_LENGTH_MAX = 40
const DESCRIPTION_LENGTH_MAX = 500

const email = z.email().max(EMAIL_LENGTH_MAX)
const name = text(NAME_LENGTH_MAX)
const phone = text(PHONE_LENGTH_MAX)
const description = text(DESCRIPTION_LENGTH_MAX)

export const Customer = object('customer', 'cus_', {
  email: nullable(email),
  name: nullable(name),
  phone: nullable(phone),
  description: nullable(description),
  metadata,
  deleted_at: nullable(timestamp).describe('A deleted customer keeps its id and nothing personal.'),
  livemode: z.boolean(),
  created_at: timestamp,
})

const customerSubject = (customer: CustomerRow): Subject => ({
  prefix: 'cus_',
  id: customer.id,
  version: customer.version,
  text: Customer.encode(customer),
})

const path = z.object({ id: id('cus_') })

const createCustomer: Endpoint = endpoint({
  route: 'POST /v1/customers',
  summary: 'Create a customer.',
  resource: 'customers',
  params: z.strictObject({
    email: email.optional(),
    name: name.optional(),
    phone: phone.optional(),
    description: description.optional(),
    metadata: metadata.default({}),
  }),
  returns: Customer,
  run: (context, params) =>
    context.finish('created', async tx => {
      const now = context.clock.now()
      const customer: CustomerRow = {
        ...context.tenant,
        id: newId(now),
        email: params.email ?? null,
        name: params.name ?? null,
        phone: params.phone ?? null,
        description: params.description ?? null,
        metadata: params.metadata,
        deleted_at: null,
        version: 1n,
        created_at: now,
      }
      await emailTaken(tx.run`
        insert into customers (
          account_id, livemode, id, email, name, phone, description, metadata, deleted_at, version, created_at
        )
        values (
          ${customer.account_id}, ${customer.livemode}, ${customer.id}, ${customer.email}, ${customer.name},
          ${customer.phone}, ${customer.description}, ${customer.metadata}, null, ${customer.version},
          ${customer.created_at}
        )`)
      await emit(tx, eventOf(context, 'customer.created', customerSubject(customer)))
      return customer
    }),
})

const updateCustomer: Endpoint = endpoint({
  route: 'POST /v1/customers/:id',
  summary: 'Update a customer. What is not sent stays; null clears.',
  resource: 'customers',
  path,
  params: z.strictObject({
    email: email.nullable().optional(),
    name: name.nullable().optional(),
    phone: phone.nullable().optional(),
    description: description.nullable().optional(),
    metadata: metadataChange.optional(),
  }),
  returns: Customer,
  run: (context, params, { id }) =>
    context.finish('updated', async tx => {
      const known = await findCustomer(tx, context.tenant, id, { param: 'id', lock: true })
      const { metadata: metadata_change, ...fields } = params
      const customer: CustomerRow = {
        ...known,
        ...definedOnly(fields),
        metadata: mergeMetadata(known.metadata, metadata_change),
        version: known.version + 1n,
      }
      await emailTaken(tx.run`
        update customers
        set email = ${customer.email}, name = ${customer.name}, phone = ${customer.phone},
          description = ${customer.description}, metadata = ${customer.metadata}, version = ${customer.version}
        where account_id = ${customer.account_id} and livemode = ${customer.livemode} and id = ${customer.id}`)
      const previous = changedFrom(Customer, known, customer)
      await emit(tx, eventOf(context, 'customer.updated', customerSubject(customer), previous))
      return customer
    }),
})

const deleteCustomer: Endpoint = endpoint({
  route: 'DELETE /v1/customers/:id',
  summary: 'Delete a customer: forget everything personal and detach the payment methods.',
  resource: 'customers',
  path,
  params: z.strictObject({}),
  returns: Customer,
  run: (context, _params, { id }) =>
    context.finish('deleted', async tx => {
      const known = await findCustomer(tx, context.tenant, id, { param: 'id', lock: true })
      const customer: CustomerRow = {
        ...known,
        email: null,
        name: null,
        phone: null,
        description: null,
        metadata: {},
        deleted_at: context.clock.now(),
        version: known.version + 1n,
      }
      const { account_id, livemode } = context.tenant
      await tx.run`
        update customers
        set email = null, name = null, phone = null, description = null, metadata = '{}',
          deleted_at = ${customer.deleted_at}, version = ${customer.version}
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
      await tx.run`
        update payment_methods
        set customer_id = null, detached_at = ${customer.deleted_at}, version = version + 1
        where account_id = ${account_id} and livemode = ${livemode} and customer_id = ${id}`
      await emit(tx, eventOf(context, 'customer.deleted', customerSubject(customer)))
      return customer
    }),
})

const retrieveCustomer: Endpoint = endpoint({
  route: 'GET /v1/customers/:id',
  summary: 'Retrieve a customer.',
  resource: 'customers',
  path,
  params: retrieveParams,
  returns: Customer,
  async run(context, params, { id }) {
    const customer = await findCustomer(context.db, context.tenant, id, { param: 'id', deleted: true })
    return context.answer(await expandOne(context, Customer, customer, params.expand))
  },
})

const listCustomers: Endpoint = endpoint({
  route: 'GET /v1/customers',
  summary: 'List customers, newest first.',
  resource: 'customers',
  params: listParams({ filters: { email: email.optional() } }),
  returns: listOf(Customer),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(Customer, context.tenant, params)
    const by_email = params.email === undefined ? sql`` : sql`and email_key = lower(${params.email})`
    const rows = await context.db.many<CustomerRow>`
      select ${customerColumns}
      from (
        select id
        from customers
        where account_id = ${account_id} and livemode = ${livemode} ${by_email} and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join customers using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, Customer, at, rows))
  },
})

loads(
  Customer,
  ({ db, tenant }, ids) => db.many<CustomerRow>`
    select ${customerColumns}
    from customers
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and id = any(${ids}::uuid[])`,
)

export const customerEndpoints: Endpoint[] = [
  createCustomer,
  updateCustomer,
  deleteCustomer,
  retrieveCustomer,
  listCustomers,
]

/** The unique index is what keeps addresses unique; here its refusal becomes the caller's error. */
async function emailTaken(write: Promise<number>): Promise<void> {
  try {
    await write
  } catch (error) {
    if (violatedConstraint(error) === 'customers_email_is_unique')
      throw new ApiError('email_taken', { param: 'email' })
    throw error
  }
}

/** The fields that were sent: undefined means "leave as it is", null means "clear". */
function definedOnly<Fields extends object>(
  fields: Fields,
): { [Name in keyof Fields]?: Exclude<Fields[Name], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never
}
