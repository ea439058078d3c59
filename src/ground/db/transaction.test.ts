/** What passes when it is simply run again is run again, a lone statement like a transaction. */
import { newId, systemClock } from '#kernel'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { type Database, type Db, openDatabase, type Queries, sqlState } from './index.ts'
import { TRIES } from './retry.ts'
import { type TestDatabase, testDatabase } from './testing.ts'

const tenant = { account_id: newId(systemClock.now()), livemode: false }

let made: TestDatabase
let db: Database

beforeAll(async () => {
  made = await testDatabase()
  db = openDatabase({ url: made.url })
  await db.transaction(async tx => {
    await tx.run`set local role none`
    // What a sequence has counted is not rolled back.
    await tx.run`create sequence tries`
    await tx.run`grant update on sequence tries to bursar_system`
    await tx.run`
      create function fail_first(failures integer, code text) returns bigint language plpgsql security definer as $$
      declare
        tried bigint := nextval('tries');
      begin
        if tried <= failures then
          raise exception using errcode = code;
        end if;
        return tried;
      end;
      $$`
  })
})
const startOver = () => db.run`select setval('tries', 1, false)`
beforeEach(startOver)
afterAll(async () => {
  await db.close()
  await made.drop()
})

const failFirst = async (of: Queries, failures: number, code: string): Promise<bigint> => {
  const { tried } = await of.one<{ tried: bigint }>`select fail_first(${failures}, ${code}) as tried`
  return tried
}

const scopes: [string, () => Db][] = [
  ['of all accounts', () => db],
  ['of one tenant', () => db.as(tenant)],
]
const ways: [string, (of: Db, failures: number, code: string) => Promise<bigint>][] = [
  ['a lone statement', failFirst],
  ['a transaction', (of, failures, code) => of.transaction(tx => failFirst(tx, failures, code))],
]
const cases = scopes.flatMap(([scope, of]) => ways.map(([way, run]) => ({ scope, of, way, run })))

test.each(cases)('$way $scope is run again after a deadlock or a lost race', async ({ of, run }) => {
  const before = db.pool.retries
  expect(await run(of(), TRIES - 1, '40P01')).toBe(BigInt(TRIES))
  await startOver()
  expect(await run(of(), 1, '40001')).toBe(2n)
  expect(db.pool.retries - before).toBe(TRIES)
})

test.each(cases)('$way $scope that loses every time says so', async ({ of, run }) => {
  const failure = await run(of(), TRIES, '40P01').catch((error: unknown) => error)
  expect(sqlState(failure)).toBe('40P01')
  expect(await run(of(), TRIES, '40P01')).toBe(BigInt(TRIES + 1))
})

test.each(cases)('$way $scope that cannot succeed is tried once', async ({ of, run }) => {
  const failure = await run(of(), 1, '23514').catch((error: unknown) => error)
  expect(sqlState(failure)).toBe('23514')
  expect(await run(of(), 1, '23514')).toBe(2n)
})
