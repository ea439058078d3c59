/** The books are proven by the clock, and whoever scrapes a process hears what was found. */
import { expect, test } from 'vitest'
import { type Database } from '#db'
import { systemClock } from '#kernel'
import { type LogFields, metricsText } from '#metrics'
import { ledgerJobs } from './jobs.ts'
import { post } from './post.ts'
import { asOwner, id, newTenant, transferOf, useDatabase } from './testing.ts'

const db = useDatabase()

async function runOf(of: Database, signal = new AbortController().signal): Promise<LogFields> {
  const job = ledgerJobs(systemClock, of).jobs.find(({ name }) => name === 'ledger.verify')
  const noted: LogFields = {}
  const context = { db: of, job_id: '1', attempt: 1, max_attempts: 1, scheduled_for: undefined, signal }
  await job?.run({ ...context, note: fields => void Object.assign(noted, fields) }, {})
  return noted
}

async function valueOf(metric: string): Promise<number | undefined> {
  const line = (await metricsText()).split('\n').find(candidate => candidate.startsWith(`${metric} `))
  return line === undefined ? undefined : Number(line.split(' ')[1])
}

const longAgo = () => db().run`update ledger_verified set ended_at = now() - interval '3 days'`

test('before the first night nothing is claimed, and one that does not come is missed', async () => {
  ledgerJobs(systemClock, db())
  await longAgo()
  expect(await valueOf('bursar_ledger_verified')).toBeUndefined()
  expect(await valueOf('bursar_ledger_verification_age_seconds')).toBeGreaterThanOrEqual(3 * 86_400)
})

test('books that hold are told as such until the next night, and what a superuser changed by then as broken', async () => {
  const transfer = id()
  await post(db(), [transferOf(newTenant(), { id: transfer })])
  expect(await runOf(db())).toMatchObject({ ok: true, transfers: 1, entries: 2 })
  expect(await valueOf('bursar_ledger_verified')).toBe(1)
  expect(await valueOf('bursar_ledger_verification_age_seconds')).toBeLessThan(3_600)
  const add = (by: bigint) =>
    asOwner(
      db(),
      tx =>
        tx.run`update ledger_entries set amount = amount + ${by} where transfer_id = ${transfer} and side = 'debit'`,
      { triggers: 'off' },
    )
  await add(1n)
  expect(await runOf(db())).toMatchObject({ ok: false, broken: expect.stringContaining('is not there') })
  expect(await valueOf('bursar_ledger_verified')).toBe(0)
  const { broken } = await db().one<{ broken: string }>`select broken from ledger_verified`
  expect(broken).toMatch(/^ledger_transfers tr_\w{26} of acct_\w{26}: /)
  await add(-1n)
  await runOf(db())
  expect(await valueOf('bursar_ledger_verified')).toBe(1)
})

test('a run that is called off ends soon and leaves what was known', async () => {
  await longAgo()
  await expect(runOf(db(), AbortSignal.abort(new Error('the process must end')))).rejects.toThrow(
    'the process must end',
  )
  expect(await valueOf('bursar_ledger_verified')).toBe(1)
  expect(await valueOf('bursar_ledger_verification_age_seconds')).toBeGreaterThanOrEqual(3 * 86_400)
})
