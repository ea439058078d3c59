/**
 * The floor of the payments benchmark: what the same database does when one stored function writes the same rows as
 * one payment, a payment a transaction, from eight connections, with no HTTP, no processor and no Node.js in the way.
 *
 * The function is made from a payment that the API really took: the texts it stores (request, answer, events) are
 * that payment's own, so the rows are as long as the real ones; ids and keys are new for each. It writes every row and
 * every row version the API's three commits leave behind, the ledger included (as plain inserts and updates, without
 * the checks of ledger_post, so the floor does less than the product and not more), in a database of its own with
 * the same schema, indexes and constraints. `compareRows` shows that the rows are the same.
 */
import type pg from 'pg'
import { type Database, openDatabase } from '#db'
import { migrate } from '#db/migrate'
import { newId, systemClock } from '#kernel'
import { floorFunction, type Sample } from './floor-function.ts'
import { asOwner } from './owner.ts'

export interface Floor {
  url: string
  db: Database
  /** Closes our connections; the database goes with its server. */
  close(): Promise<void>
}

const DATABASE = 'bursar_floor'

/** Makes the floor's database beside that of the API, with as many accounts; `sample_of` is where a payment is found. */
export async function makeFloor(api: { url: string; db: Database }, accounts: number): Promise<Floor> {
  await asOwner(api.url, client => client.query(`create database ${DATABASE}`))
  const sibling = new URL(api.url)
  sibling.pathname = `/${DATABASE}`
  const url = sibling.href
  await migrate({ url })
  const sample = await samplePayment(api.db)
  await asOwner(url, async client => {
    await client.query(
      `create table bench_accounts (
        number integer primary key,
        account_id uuid not null,
        clearing_id uuid not null,
        pending_id uuid not null,
        fees_id uuid not null
      )`,
    )
    for (let number = 1; number <= accounts; number++) await addAccount(client, number, sample)
    await client.query('vacuum analyze bench_accounts, ledger_accounts')
    await client.query(floorFunction(sample))
  })
  const db = openDatabase({ url, connections: 2, application_name: 'bursar bench' })
  return { url, db, close: () => db.close() }
}

const LEDGER_CODES = ['processor_clearing', 'merchant_pending', 'processing_fees'] as const

async function addAccount(client: pg.Client, number: number, sample: Sample): Promise<void> {
  const account_id = newId(systemClock.now())
  const ids = LEDGER_CODES.map(() => newId(systemClock.now()))
  for (const [i, code] of LEDGER_CODES.entries()) {
    await client.query(
      `insert into ledger_accounts (account_id, livemode, id, code, currency, kind, normal_side, created_at)
      select $1, false, $2, code, $3, kind, normal_side, now()
      from ledger_chart
      where code = $4`,
      [account_id, ids[i], sample.currency, code],
    )
  }
  await client.query('insert into bench_accounts values ($1, $2, $3, $4, $5)', [number, account_id, ...ids])
}

async function samplePayment(db: Database): Promise<Sample> {
  const row = await db.maybe<Omit<Sample, 'events'>>`
    select
      key.route, key.path, key.fingerprint, key.params, key.body,
      intent.amount, intent.currency, intent.client_secret,
      method.brand, method.last4, method.exp_month, method.exp_year, method.fingerprint as card_fingerprint,
      method.processor, method.processor_token,
      attempt.processor_id, charge.payment_method_details::text as payment_method_details, balance.fee,
      attempt.id as attempt_id
    from payment_intents as intent
    join payment_attempts as attempt on attempt.payment_intent_id = intent.id
    join idempotency_keys as key on key.subject_id = attempt.id
    join payment_methods as method on method.id = intent.payment_method_id
    join charges as charge on charge.payment_intent_id = intent.id
    join balance_transactions as balance on balance.source_id = charge.id
    where intent.status = 'succeeded' and charge.captured
    limit 1`
  if (row === undefined)
    throw new Error('the floor is made after a payment that the API took: take one first')
  const events = await db.many<{ type: string; body: string }>`
    select events.type, events.body
    from events
    join idempotency_keys as key on key.request_id = events.request_id
    where key.subject_id = ${(row as { attempt_id?: string }).attempt_id}
    order by events.id`
  return { ...row, events }
}
