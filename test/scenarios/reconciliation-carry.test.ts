/** What still waits goes from day to day, along one line of runs, and stands in it once. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { decodeId } from '#kernel'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'

const RUNS = '/v1/reconciliation_runs'

let world: World
let shop: TestAccount
beforeAll(async () => {
  world = await startWorld()
  shop = await world.account()
})
afterAll(() => world.close())

async function upload(lines: string[]): Promise<string> {
  const { body } = await shop.api.upload(
    '/v1/reconciliation_statements?name=side.csv&is_empty_allowed=true',
    `id,amount,currency,date\n${lines.join('\n')}\n`,
  )
  return body.id
}

interface Asked {
  left: string
  right: string
  as_of: string
  carry_from?: string
}

const ask = ({ left, right, as_of, carry_from }: Asked) =>
  shop.api.post(RUNS, {
    left_statement_id: left,
    right_statement_id: right,
    rules: { as_of },
    ...(carry_from !== undefined && { carry_from }),
  })

/** A run that has ended, and which rows its left side had, with what became of them. */
async function day(asked: Asked): Promise<{ id: string; left: string[] }> {
  const { status, body } = await ask(asked)
  expect([status, body.error]).toEqual([200, undefined])
  const { account_id, livemode } = shop
  await world.runJob('reconciliation.run', { account_id, livemode, run_id: decodeId('rec_', body.id) })
  const { data } = (await shop.api.get(`${RUNS}/${body.id}/items?side=left&limit=100`)).body
  return {
    id: body.id,
    left: data.map((item: { entry: { id: string }; status: string }) => `${item.entry.id} ${item.status}`),
  }
}

/** Its message, which names another run. */
async function refusal(asked: Asked): Promise<{ code: string; param: string; message: string }> {
  const { body } = await ask(asked)
  return body.error
}

test('what still waits is carried to the next run, also where a side is empty on both days', async () => {
  const empty = await upload([])
  const first = await day({
    left: await upload(['carried,5,usd,2026-11-30']),
    right: empty,
    as_of: '2026-11-30',
  })
  expect(first.left).toEqual(['carried timing'])
  const second = await ask({
    left: await upload([]),
    right: await upload(['carried,5,usd,2026-12-01']),
    as_of: '2026-12-01',
    carry_from: first.id,
  })
  expect(second.body.progress.rows_total).toBe(2)
  const { account_id, livemode } = shop
  const run_id = decodeId('rec_', second.body.id)
  await world.runJob('reconciliation.run', { account_id, livemode, run_id })
  const { data } = (await shop.api.get(`${RUNS}/${second.body.id}/items`)).body
  expect(
    data.map((item: { side: string; status: string; entry: { id: string } }) => [
      item.side,
      item.status,
      item.entry.id,
    ]),
  ).toEqual([
    ['left', 'matched', 'carried'],
    ['right', 'matched', 'carried'],
  ])
})

test('a statement comes once in a line of runs, whatever it is called and however far back it was', async () => {
  const ours = ['again-1,5,usd,2026-11-28', 'again-2,6,usd,2026-11-29']
  const left = await upload(ours)
  const empty = await upload([])
  const first = await day({ left, right: empty, as_of: '2026-11-29' })
  const same = { right: empty, as_of: '2026-11-30', carry_from: first.id }
  for (const repeated of [left, await upload(ours)]) {
    expect(await refusal({ ...same, left: repeated })).toMatchObject({
      code: 'parameter_invalid',
      param: 'carry_from',
      message: expect.stringContaining(first.id),
    })
  }
  expect(await refusal({ ...same, left: await upload([]), right: left })).toMatchObject({
    param: 'carry_from',
  })
  const second = await day({ ...same, left: await upload(['again-3,7,usd,2026-11-30']) })
  expect(second.left).toEqual(['again-3 timing', 'again-1 timing', 'again-2 timing'])
  const third = { left, right: empty, as_of: '2026-12-01', carry_from: second.id }
  expect(await refusal(third)).toMatchObject({
    param: 'carry_from',
    message: expect.stringContaining(first.id),
  })
})

test('what waits is carried to the same day or a later one', async () => {
  const empty = await upload([])
  const first = await day({
    left: await upload(['waits-1,5,usd,2026-11-19']),
    right: empty,
    as_of: '2026-11-20',
  })
  const next = { left: await upload(['waits-2,6,usd,2026-11-19']), right: empty, carry_from: first.id }
  expect(await refusal({ ...next, as_of: '2026-11-19' })).toMatchObject({
    code: 'parameter_invalid',
    param: 'rules.as_of',
    message: expect.stringContaining('looks from 2026-11-20, and this run from 2026-11-19'),
  })
  const { left } = await day({ ...next, as_of: '2026-11-20' })
  expect(left).toEqual(['waits-2 timing', 'waits-1 timing'])
})

test('what waits is carried to one day; a day made good later is carried on through each day after it', async () => {
  const empty = await upload([])
  const ours = {
    first: await upload(['late-1,5,usd,2026-11-28', 'late-2,6,usd,2026-11-28']),
    second: await upload(['late-3,7,usd,2026-11-29']),
    third: await upload(['late-4,8,usd,2026-11-30']),
  }
  const second = { left: ours.second, right: await upload(['late-1,5,usd,2026-11-29']), as_of: '2026-11-29' }
  const third = { left: ours.third, right: empty, as_of: '2026-11-30' }
  const one = await day({ left: ours.first, right: empty, as_of: '2026-11-28' })
  const two = await day({ ...second, carry_from: one.id })
  expect(two.left).toEqual(['late-3 timing', 'late-1 matched', 'late-2 timing'])
  // late-1 would wait again, though the second day settled it.
  expect(await refusal({ ...third, carry_from: one.id })).toMatchObject({
    code: 'reconciliation_run_unexpected_state',
    param: 'carry_from',
    message: expect.stringMatching(new RegExp(`${two.id} already, which looks from 2026-11-29`)),
  })
  await day({ ...third, carry_from: two.id })
  // The bank sends a better file of the first day.
  const better = await day({
    left: ours.first,
    right: await upload(['late-2,6,usd,2026-11-28']),
    as_of: '2026-11-28',
  })
  expect(better.left).toEqual(['late-1 timing', 'late-2 matched'])
  expect(await refusal({ ...third, carry_from: better.id })).toMatchObject({
    param: 'carry_from',
    message: expect.stringContaining(two.id),
  })
  const two_again = await day({ ...second, carry_from: better.id })
  expect(two_again.left).toEqual(['late-3 timing', 'late-1 matched'])
  const three_again = await day({ ...third, carry_from: two_again.id })
  expect(three_again.left).toEqual(['late-4 timing', 'late-3 timing'])
  // Asked again, each day answers what stands.
  expect((await ask({ ...third, carry_from: two_again.id })).body.id).toBe(three_again.id)
  expect((await ask({ ...second, carry_from: one.id })).body.id).toBe(two.id)
})
