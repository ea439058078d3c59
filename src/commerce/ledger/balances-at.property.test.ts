/**
 * Balances at past instants against a list that is added up: transfers that count earlier or later than they are written,
 * transactions that begin early and post late, and checkpoints at any moment.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sleep, type Tenant } from '#kernel'
import { balancesAt } from './balances-at.ts'
import type { AccountCode } from './chart.ts'
import { post } from './post.ts'
import { asOwner, newTenant, passHorizon, transferOf, useDatabase } from './testing.ts'
import type { Transfer } from './transfer.ts'
import { seal } from './seal.ts'
import { verify } from './verify.ts'

const db = useDatabase()
const codes: AccountCode[] = ['bank', 'processor_clearing', 'merchant_pending']

/** What the model knows of a transfer; times in microseconds, as the database has them. */
interface Row {
  debit: string
  credit: string
  amount: bigint
  effective_us: bigint
  recorded_us: bigint
}

async function rowsOf(tenant: Tenant): Promise<Row[]> {
  return db().many<Row>`
    select d.code as debit, c.code as credit, t.amount, (extract(epoch from t.effective_at) * 1000000)::bigint as effective_us,
      (extract(epoch from t.recorded_at) * 1000000)::bigint as recorded_us
    from ledger_transfers t
    join ledger_accounts d on d.account_id = t.account_id and d.livemode = t.livemode and d.id = t.debit_account_id
    join ledger_accounts c on c.account_id = t.account_id and c.livemode = t.livemode and c.id = t.credit_account_id
    where t.account_id = ${tenant.account_id} and t.kind = 'post'`
}

function modelOf(rows: readonly Row[], at: Date | undefined, as_recorded_at: Date | undefined) {
  const sums = new Map<string, { debits: bigint; credits: bigint }>()
  const is_by = (us: bigint, instant: Date | undefined) =>
    instant === undefined || us / 1_000n <= BigInt(instant.getTime())
  for (const { debit, credit, amount, effective_us, recorded_us } of rows) {
    for (const [code, side] of [
      [debit, 'debits'],
      [credit, 'credits'],
    ] as const) {
      const sum = sums.get(code) ?? { debits: 0n, credits: 0n }
      if (is_by(effective_us, at) && is_by(recorded_us, as_recorded_at)) sum[side] += amount
      sums.set(code, sum)
    }
  }
  return Object.fromEntries(sums)
}

async function readAt(tenant: Tenant, at: Date | undefined, as_recorded_at: Date | undefined) {
  const lines = await balancesAt(db(), tenant, { at, as_recorded_at })
  return Object.fromEntries(
    lines.map(line => [line.code, { debits: line.debits_posted, credits: line.credits_posted }]),
  )
}

/** Some transfers in one transaction; it may have begun before others that posted meanwhile. */
const stepArbitrary = fc.record({
  transfers: fc.array(
    fc.record({
      debit: fc.nat(2),
      other: fc.integer({ min: 1, max: 2 }),
      amount: fc.bigInt({ min: 1n, max: 1_000n }),
      /** Milliseconds between when it is written and when it counts; the same when undefined. */
      shift_ms: fc.option(fc.integer({ min: -400, max: 400 }), { nil: undefined, freq: 3 }),
    }),
    { minLength: 1, maxLength: 12 },
  ),
  /** How many later steps are posted while its transaction is open. */
  waits_for: fc.constantFrom(0, 0, 0, 1, 2, 4),
  afterwards: fc.constantFrom('nothing', 'nothing', 'checkpoint', 'pause'),
})
type Step = typeof stepArbitrary extends fc.Arbitrary<infer T> ? T : never

function transfersOf(tenant: Tenant, { transfers }: Step): Transfer[] {
  return transfers.map(({ debit, other, amount, shift_ms }) =>
    transferOf(tenant, {
      debit: { code: codes[debit] as AccountCode },
      credit: { code: codes[(debit + other) % 3] as AccountCode },
      amount,
      ...(shift_ms === undefined
        ? {}
        : { effective_at: new Date(performance.timeOrigin + performance.now() + shift_ms) }),
    }),
  )
}

/** Posts the steps; a step that waits begins its transaction first and posts after the ones it waits for. */
async function play(tenant: Tenant, steps: readonly Step[]): Promise<void> {
  const [step, ...rest] = steps
  if (step === undefined) return
  const [meanwhile, later] = [rest.slice(0, step.waits_for), rest.slice(step.waits_for)]
  await db().transaction(async tx => {
    await tx.run`select now()`
    await play(tenant, meanwhile)
    await post(tx, transfersOf(tenant, step))
  })
  if (step.afterwards === 'pause') await sleep(3)
  if (step.afterwards === 'checkpoint') await seal(db())
  await play(tenant, later)
}

/** In blocks of four entries rather than 64, so that small histories have many checkpoints. */
const makeSmallBlocks = () =>
  asOwner(db(), async tx => {
    const { text } = await tx.one<{ text: string }>`
      select pg_get_functiondef('ledger_checkpoint'::regproc) as text`
    await tx.run`select set_config('test.definition', ${text.replace('integer := 64', 'integer := 4').replace('integer := 2000', 'integer := 3')}, true)`
    await tx.run`do $$ begin execute current_setting('test.definition'); end $$`
  })

test('a balance at any two instants is what adds up to it', async () => {
  await makeSmallBlocks()
  await fc.assert(
    fc.asyncProperty(
      fc.array(stepArbitrary, { minLength: 1, maxLength: 25 }),
      fc.infiniteStream(fc.record({ place: fc.nat(1_000), beside_ms: fc.integer({ min: -1, max: 2 }) })),
      async (steps, dice) => {
        const tenant = newTenant()
        await play(tenant, steps)
        const rows = await rowsOf(tenant)
        const times = rows.flatMap(row => [row.effective_us, row.recorded_us])
        /** At an instant at which something happens, or a millisecond beside it; now and then none. */
        const instant = (): Date | undefined => {
          const { place, beside_ms } = dice.next().value as { place: number; beside_ms: number }
          const us = times[place % (times.length + 2)]
          return us === undefined ? undefined : new Date(Number(us / 1_000n) + beside_ms)
        }
        for (let i = 0; i < 12; i++) {
          const [at, as_recorded_at] = [instant(), instant()]
          expect(await readAt(tenant, at, as_recorded_at)).toEqual(modelOf(rows, at, as_recorded_at))
        }
      },
    ),
    { numRuns: 40 },
  )
  await passHorizon(db())
  await seal(db())
  const { n } = await db().one<{ n: bigint }>`select count(*) as n from ledger_checkpoints where late_by > 0`
  expect(n).toBeGreaterThan(0n)
  expect(await verify(db())).toMatchObject({ ok: true })
}, 180_000)
