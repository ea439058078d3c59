/** The report of a run that is kept: the page that the command line writes of files, from the API. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'
import { RUNS, STATEMENTS, team } from './reconciliation-team.fixture.ts'

let world: World
let shop: TestAccount
beforeAll(async () => {
  world = await startWorld()
  shop = await world.account()
})
afterAll(() => world.close())

const DAY = '2026-11-02'
const textOf = (page: string) =>
  page
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')

test('the page shows totals, findings beside their counterparts, and what it was made from', async () => {
  const { api, run } = team(world, shop)
  const left = [
    `a,1000,usd,${DAY}`,
    `b,500,usd,${DAY}`,
    `c,70,eur,${DAY}`,
    `PAY-7,33,usd,${DAY}`,
    `c,70,eur,${DAY}`,
  ]
  const right = [`a,1000,usd,${DAY}`, `b,700,usd,${DAY}`, `pay7,33,usd,2026-05-01`, 'x,1O0,usd,']
  const made = await run(left, right)
  const { status, headers, body } = await api.get(`${RUNS}/${made.id}/report`)
  expect(status).toBe(200)
  expect(headers['content-type']).toBe('text/html; charset=utf-8')
  expect(body).toMatch(/^<!doctype html>/)
  expect(body).not.toMatch(/<script|https?:/)
  const text = textOf(body)
  expect(text).toContain('books.csv and bank.csv')
  expect(text).toContain(`Run ${made.id}.`)
  expect(text).toContain(made.key)
  expect(text).toMatch(
    /books\.csv line 3 b 2026-11-02 5\.00 USD amount 500 != 700 difference -2\.00 USD bank\.csv line 3 b 2026-11-02 7\.00 USD/,
  )
  expect(text).toContain('Discrepant 1 5.00 1 7.00 -2.00')
  expect(text).toContain('Only in books.csv')
  expect(text).toMatch(
    /Duplicate 1 row .*went on; this is another\. where id date amount what is wrong books\.csv line 6 c 2026-11-02 0\.70 EUR id c appears 2 times/,
  )
  expect(text).toMatch(/Not readable 1 row .*bank\.csv: 1 row line 5 &quot;1O0&quot; is not an amount/)
  expect(text).toMatch(/May belong together .*PAY-7.*pay7/)
  // The same run, the same page.
  expect((await api.get(`${RUNS}/${made.id}/report`)).body).toBe(body)
})

test('thousands of findings make a short page that says how many there are', async () => {
  const { api, run } = team(world, shop)
  const rows = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${prefix}${i},${i + (prefix === 'l' ? 1 : 5_000)},usd,${DAY}`)
  const made = await run(rows('l', 3_000), rows('r', 120))
  const { body } = await api.get(`${RUNS}/${made.id}/report`)
  const text = textOf(body)
  expect(body.length).toBeLessThan(200_000)
  expect(made.counts.left.unmatched).toBe(3_000)
  expect(text).toMatch(/more in the items of the run, under the status unmatched\./)
})

test('what came from the run before is told apart, and what it waits for is shown', async () => {
  const { api, run } = team(world, shop)
  const rules = (as_of: string) => ({ rules: { as_of } })
  const first = await run([`m,5,usd,${DAY}`, `n,6,usd,${DAY}`], [`m,5,usd,${DAY}`], rules(DAY))
  expect(textOf((await api.get(`${RUNS}/${first.id}/report`)).body)).toMatch(/Expected soon 1 row .*line 3 n/)
  const more = { ...rules('2026-11-03'), carry_from: first.id }
  const second = await run(['o,7,usd,2026-11-03'], ['n,6,usd,2026-11-03', 'o,7,usd,2026-11-03'], more)
  const text = textOf((await api.get(`${RUNS}/${second.id}/report`)).body)
  expect(text).toContain('Clean: every row of both sides is explained.')
  expect(text).toContain('Rows 1, and 1 from the run before')
})

test('a run that has not ended, is not there or is another account’s has no report', async () => {
  const { api } = team(world, shop)
  const upload = async (row: string) =>
    (await api.upload(`${STATEMENTS}?name=s.csv`, `id,amount,currency\n${row}\n`)).body.id
  const { body } = await api.post(RUNS, {
    left_statement_id: await upload('q,1,usd'),
    right_statement_id: await upload('q,2,usd'),
  })
  expect((await api.get(`${RUNS}/${body.id}/report`)).body.error.code).toBe(
    'reconciliation_run_unexpected_state',
  )
  const stranger = await world.account()
  const refused = await stranger.api.get(`${RUNS}/${body.id}/report`)
  expect([refused.status, refused.body.error.code]).toEqual([404, 'resource_missing'])
})
