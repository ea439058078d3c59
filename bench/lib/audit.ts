/**
 * After the runs: does everything agree, seen from outside? The answers the generator counted, the rows, the ledger
 * and the processor's own book must name the same payments and the same money.
 */
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import type { Database } from '#db'
import { verify } from '#ledger'

export interface Audit {
  payments: number
  amount: string
  /** Each must be zero or empty. */
  problems: string[]
}

interface Booked {
  captures: number
  references: number
  amount: bigint
}

export async function audit(
  db: Database,
  simulator_url: string,
  counted: { answered: number; failed: number; hung: number },
): Promise<Audit> {
  const problems: string[] = []
  const same = (what: string, a: number | bigint, b: number | bigint) => {
    if (BigInt(a) !== BigInt(b)) problems.push(`${what}: ${a} and ${b}`)
  }
  same('failed requests', counted.failed, 0)
  same('hung requests', counted.hung, 0)

  const rows = await db.one<Record<'keys' | 'charges' | 'charged_intents' | 'amount' | 'succeeded', bigint>>`
    select
      (select count(*) from idempotency_keys where status = 200 and route = 'POST /v1/payment_intents') as keys,
      (select count(*) from charges where captured) as charges,
      (select count(distinct payment_intent_id) from charges) as charged_intents,
      (select coalesce(sum(amount_captured), 0)::bigint from charges) as amount,
      (select count(*) from payment_intents where status = 'succeeded') as succeeded`
  same('answers and finished keys', counted.answered, rows.keys)
  same('finished keys and charges', rows.keys, rows.charges)
  same('charges and charged intents', rows.charges, rows.charged_intents)
  same('charges and succeeded intents', rows.charges, rows.succeeded)

  const { orphans } = await db.one<{ orphans: bigint }>`
    select count(*) as orphans
    from idempotency_keys as key
    left join payment_attempts as attempt
      on (attempt.account_id, attempt.livemode, attempt.id) = (key.account_id, key.livemode, key.subject_id)
    where attempt.state is distinct from 'approved' or attempt.charge_id is null or key.finished_at is null`
  same('keys without exactly one approved attempt', orphans, 0)

  const ledger = await db.one<{ taken: bigint; pending: bigint }>`
    select
      coalesce(sum(debits_posted - credits_posted), 0)::bigint as taken,
      coalesce(sum(debits_pending + credits_pending), 0)::bigint as pending
    from ledger_accounts
    where code = 'processor_clearing'`
  const book = await readBook(simulator_url)
  same('amount in the book and in the charges', book.amount, rows.amount)
  same('amount in the book and in the ledger', book.amount, ledger.taken)
  same('amount still held in the ledger', ledger.pending, 0)
  same('captures in the book and charges', book.captures, rows.charges)
  same('captures in the book and references', book.captures, book.references)

  const verification = await verify(db)
  if (!verification.ok) problems.push(`the ledger does not hold: ${verification.broken?.reason}`)
  return { payments: Number(rows.charges), amount: String(rows.amount), problems }
}

async function readBook(simulator_url: string): Promise<Booked> {
  const response = await fetch(`${simulator_url}/book`)
  if (response.body === null) throw new Error('the book is empty')
  const references = new Set<string>()
  let captures = 0
  let amount = 0n
  for await (const line of createInterface(Readable.fromWeb(response.body))) {
    if (line === '') continue
    const movement = JSON.parse(line) as { type: string; reference: string; amount: number }
    if (movement.type !== 'capture') continue
    captures += 1
    amount += BigInt(movement.amount)
    references.add(movement.reference)
  }
  return { captures, references: references.size, amount }
}
