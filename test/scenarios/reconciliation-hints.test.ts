/** What a run that is kept says beside its result: read when somebody looks, so that it knows what was decided since. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Json } from '../support/testing.ts'
import { startWorld, type World } from '../support/testing.ts'
import { RUNS, STATEMENTS, team } from './reconciliation-team.fixture.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(() => world.close())

const newTeam = async () => team(world, await world.account())
const DAY = '2026-11-02'
const textOf = (page: string) =>
  page
    .replace(/<style>[\s\S]*?<\/style>/, '')
    .replaceAll(/<[^>]*>/g, ' ')
    .replaceAll(/\s+/g, ' ')
const NONE = { turned: null, matched_without_id: { pairs: 0, is_all: true }, suspense: [] }

test('a side that is written with the other’s signs is told, and turning it when it is uploaded mends it', async () => {
  const { api, run } = await newTeam()
  const rows = (sign: string) => Array.from({ length: 12 }, (_, i) => `p${i},${sign}${i + 1},usd,${DAY}`)
  const left = rows('')
  const right = rows('-').with(3, `p3,4,usd,${DAY}`)
  const made = await run(left, right)
  const hints = (await api.get(`${RUNS}/${made.id}/hints`)).body
  expect(hints).toEqual({
    object: 'reconciliation_hints',
    run_id: made.id,
    decided_since: { rows: [], is_all: true },
    ...NONE,
    turned: { ids: 11, of: 12, is_sample: false },
  })
  const report = textOf((await api.get(`${RUNS}/${made.id}/report`)).body)
  expect(report).toContain('11 of 12 ids that both sides know agree with the sign turned')

  const camt = (amount: string, direction: string) =>
    `<Document><BkToCstmrStmt><Stmt><Id>1</Id><Ntry><Amt Ccy="USD">${amount}</Amt><CdtDbtInd>${direction}</CdtDbtInd><Sts>BOOK</Sts><BookgDt><Dt>${DAY}</Dt></BookgDt><NtryRef>p0</NtryRef></Ntry></Stmt></BkToCstmrStmt></Document>`
  const mapping = encodeURIComponent('{"is_flipped":true}')
  const uploaded = await api.upload(`${STATEMENTS}?name=b.xml&mapping=${mapping}`, camt('0.01', 'DBIT'))
  expect(uploaded.body).toMatchObject({
    format: 'camt053',
    mapping: { is_flipped: true },
    sums: [{ currency: 'usd', rows: 1, amount: 1 }],
  })
})

test('of ids of which a few only would agree turned, nothing is said', async () => {
  const { api, run } = await newTeam()
  const rows = (sign: string, more: number) => [
    ...Array.from({ length: 4 }, (_, i) => `p${i},${sign}${i + 1},usd,${DAY}`),
    ...Array.from({ length: more }, (_, i) => `q${i},5,usd,${DAY}`),
  ]
  const made = await run(rows('', 3), rows('-', 3))
  expect((await api.get(`${RUNS}/${made.id}/hints`)).body).toMatchObject(NONE)
})

test('rows of a batch that does not add up are no ids that would agree turned, however many they are', async () => {
  const { api, run } = await newTeam()
  const upload = async (name: string, rows: readonly string[]): Promise<string> => {
    const file = `id,amount,currency,date,batch\n${rows.map(row => `${row}\n`).join('')}`
    return (await api.upload(`${STATEMENTS}?name=${name}`, file)).body.id
  }
  const some = (sign: string) => Array.from({ length: 4 }, (_, i) => `p${i},${sign}${i + 1},usd,${DAY},`)
  const agreed = Array.from({ length: 500 }, (_, i) => `q${i},5,usd,${DAY},`)
  const of_batch = Array.from({ length: 5_000 }, (_, i) => `b${i},1,usd,${DAY},po_1`)
  const made = await run([], [], {
    left_statement_id: await upload('books.csv', [...some(''), ...agreed, ...of_batch]),
    right_statement_id: await upload('bank.csv', [...some('-'), ...agreed, `po_1,4990,usd,${DAY},`]),
  })
  expect(made.counts.left).toMatchObject({ matched: 500, discrepant: 5_004 })
  expect((await api.get(`${RUNS}/${made.id}/hints`)).body.turned).toBeNull()
})

test('the report names the candidates of an ambiguous row, and what met without an id', async () => {
  const { api, run } = await newTeam()
  const many = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${prefix}${i},500,usd,${DAY}`)
  const made = await run(
    ['l1,900,usd,2026-11-02', ...many('ours', 2), 'same,1,usd,2026-11-02'],
    ['r1,900,usd,2026-11-03', ...many('theirs', 12), 'same,1,usd,2026-11-02'],
  )
  expect(made.counts.left).toMatchObject({ ambiguous: 2, matched: 2 })
  const report = textOf((await api.get(`${RUNS}/${made.id}/report`)).body)
  expect(report).toMatch(
    /ours0 2026-11-02 5\.00 USD could be any of 12 rows within 3 days in bank\.csv: line 3 theirs0 .*line 12 theirs9 and 2 more/,
  )
  expect(report).toMatch(
    /Matched by amount and date, not by id 1 pair .*books\.csv line 2 l1 .*bank\.csv line 2 r1/,
  )
  expect((await api.get(`${RUNS}/${made.id}/hints`)).body).toMatchObject({
    ...NONE,
    matched_without_id: { pairs: 1, is_all: true },
  })
})

test('a row that is worth what waits in suspense names the decision, until that is settled', async () => {
  const { api, run, decide } = await newTeam()
  const november = await run(
    ['pay_1,70,usd,2026-11-20', 'pay_2,30,usd,2026-11-20'],
    ['odd,44,usd,2026-11-20'],
  )
  const before = await run([], ['wire,70,usd,2026-12-03'])
  // Nobody knows what will wait when it is shown again.
  const shown = textOf((await api.get(`${RUNS}/${before.id}/report`)).body)
  expect(shown).not.toContain('give this page again')
  const missed = (await decide(november, { kind: 'suspense', left: [1], ledger_code: 'bank' })).body
  expect(textOf((await api.get(`${RUNS}/${before.id}/report`)).body)).not.toBe(shown)
  const odd = (await decide(november, { kind: 'suspense', right: [1], ledger_code: 'bank' })).body
  const december = await run(
    ['late,44,usd,2026-12-02'],
    ['wire,70,usd,2026-12-03', 'other,30,usd,2026-12-03', 'back,-70,usd,2026-12-03'],
  )
  const fits = async (of: Json) => (await api.get(`${RUNS}/${of.id}/hints`)).body.suspense
  const fit = { currency: 'usd', date: '2026-11-20' }
  expect(await fits(december)).toEqual([
    { ...fit, side: 'left', row: 1, decision_id: odd.id, code: 'suspense_unexpected', open: 44 },
    { ...fit, side: 'right', row: 1, decision_id: missed.id, code: 'suspense_missing', open: 70 },
  ])
  // Those that were put there are not what settles it.
  expect(await fits(november)).toEqual([])
  const path = `${RUNS}/${december.id}/report`
  const said = `may clear suspense from decision ${missed.id} (0.70 USD missed, 2026-11-20)`
  const page = textOf((await api.get(path)).body)
  expect(page).toContain(said)
  expect(page).toContain(
    'What was decided since, and what may clear suspense, is as it was when this page was made',
  )

  const cleared = await decide(december, { kind: 'clear', right: [1], clears: [missed.id] })
  expect([cleared.status, cleared.body.error]).toEqual([200, undefined])
  expect(await fits(december)).toMatchObject([{ row: 1, decision_id: odd.id }])
  expect(textOf((await api.get(path)).body)).not.toContain(said)
  // A row that was decided otherwise settles nothing.
  expect((await decide(december, { kind: 'write_off', left: [1] })).status).toBe(200)
  expect(await fits(december)).toEqual([])
})

test('the day from which a row may settle a decision is the first of all its rows, however many it names', async () => {
  const { api, run, decide } = await newTeam()
  const days = ['2026-11-01', ...Array.from({ length: 150 }, () => '2026-11-20')].toReversed()
  const november = await run(
    days.map((day, i) => `pay_${i},1,usd,${day}`),
    [],
  )
  const left = days.map((_, i) => i + 1)
  const missed = (await decide(november, { kind: 'suspense', left, ledger_code: 'bank' })).body
  const later = await run([], ['early,151,usd,2026-11-05', 'late,151,usd,2027-02-10'])
  expect((await api.get(`${RUNS}/${later.id}/hints`)).body.suspense).toMatchObject([
    { row: 1, decision_id: missed.id, date: '2026-11-01' },
  ])
})

test('what waits in suspense is told to those alone who may read decisions', async () => {
  const account = await world.account()
  const { run, decide } = team(world, account)
  const november = await run(['pay_1,70,usd,2026-11-20'], [])
  expect((await decide(november, { kind: 'suspense', left: [1], ledger_code: 'bank' })).status).toBe(200)
  const december = await run([], ['wire,70,usd,2026-12-03'])
  const told = async (...scopes: string[]) => {
    const api = world.client(await world.key(account, { kind: 'restricted', scopes }))
    const { suspense } = (await api.get(`${RUNS}/${december.id}/hints`)).body
    const page: string = (await api.get(`${RUNS}/${december.id}/report`)).body
    return [suspense && suspense.length, page.includes('may clear suspense')]
  }
  expect(await told('reconciliation_runs:read')).toEqual([null, false])
  expect(await told('reconciliation_runs:read', 'reconciliation_decisions:read')).toEqual([1, true])
})

test('hints are of a run that has succeeded and of its own account', async () => {
  const { run } = await newTeam()
  const made = await run(['a,1,usd,2026-11-02'], [])
  const stranger = await world.account()
  const refused = await stranger.api.get(`${RUNS}/${made.id}/hints`)
  expect([refused.status, refused.body.error.code]).toEqual([404, 'resource_missing'])
})
