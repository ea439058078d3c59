/** Decisions through the API, month after month: what they hold for, whom they refuse, and how they are withdrawn. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type Json, startWorld, type World } from '../support/testing.ts'
import { DECISIONS, RUNS, SAID, STATEMENTS, team } from './reconciliation-team.fixture.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const newTeam = async () => team(world, await world.account())

test('a decision about a row without a date holds for its statement, and not for the same row of the next month', async () => {
  const { run, decide, homes } = await newTeam()
  const fee = 'FEE,-350,usd,'
  const november = await run(['a,1,usd,2026-11-02'], ['a,1,usd,2026-11-02', fee])
  // Made before anything is decided, so that it replays nothing.
  const january = await run(['c,1,usd,2027-01-02'], ['c,1,usd,2027-01-02', fee])
  const first = await decide(november, { kind: 'suspense', right: [2], ledger_code: 'bank' })
  expect(first.status).toBe(200)
  // The same statement again, also sent again, whatever our side says by then.
  const again = await run(['a,1,usd,2026-11-03'], ['a,1,usd,2026-11-02', fee])
  expect(await homes(again)).toEqual(['left 1 matched', 'right 1 matched', 'right 2 manual'])
  const december = await run(['b,1,usd,2026-12-02'], ['b,1,usd,2026-12-02', fee])
  expect(await homes(december)).toEqual(['left 1 matched', 'right 1 matched', 'right 2 unmatched'])
  const second = await decide(december, { kind: 'suspense', right: [2], ledger_code: 'bank' })
  expect([second.status, second.body.error]).toEqual([200, undefined])
  expect((await decide(january, { kind: 'write_off', right: [2] })).status).toBe(200)
  const both = await run(['b,1,usd,2026-12-03'], ['b,1,usd,2026-12-02', fee])
  expect(await homes(both)).toEqual(['left 1 matched', 'right 1 matched', 'right 2 manual'])
})

test('a decision about a row with a date holds wherever the row comes again, and is not swallowed by another day', async () => {
  const { run, decide, homes } = await newTeam()
  const november = await run([], ['FEE,-350,usd,2026-11-30'])
  await decide(november, { kind: 'write_off', right: [1] })
  const quarter = await run([], ['FEE,-350,usd,2026-10-31', 'FEE2,-1,usd,', 'FEE,-350,usd,2026-11-30'])
  expect(await homes(quarter)).toEqual(['right 1 unmatched', 'right 2 unmatched', 'right 3 manual'])
  // A decision is refused only for the row that it names.
  const older = await run([], ['FEE,-350,usd,2026-11-30', 'x,1,usd,2026-12-01'])
  expect((await decide(older, { kind: 'write_off', right: [2] })).status).toBe(200)
})

test('a row that has found its counterpart is not decided without it, and the refusal says which it is', async () => {
  const { run, decide, homes } = await newTeam()
  const left = ['a,100,usd,2026-11-02', 'b,205,usd,2026-11-02', 'c,50,usd,2026-11-02', 'd,60,usd,2026-11-02']
  const right = [
    'a,100,usd,2026-11-02',
    'b,200,usd,2026-11-02',
    'x,100,usd,2026-11-20',
    'po,110,usd,2026-11-03',
  ]
  const rules = { tolerance: { amount: 5 } }
  const found = await run(left, right, { rules })
  expect(await homes(found)).toContain('left 2 matched_with_tolerance')
  for (const body of [
    { kind: 'match', left: [1], right: [3] },
    { kind: 'write_off', left: [1] },
    { kind: 'suspense', right: [3], left: [1], ledger_code: 'bank' },
  ]) {
    const refused = await decide(found, body)
    expect([refused.status, refused.body.error]).toEqual([
      409,
      expect.objectContaining({
        code: 'reconciliation_row_matched',
        param: 'left[0]',
        message: expect.stringMatching(/^left\[0\]: row 1 \(a\) is matched already, in the group l1/),
      }),
    ])
  }
  const theirs = await decide(found, { kind: 'match', left: [4, 3], right: [4, 1] })
  expect(theirs.body.error).toMatchObject({
    param: 'right[1]',
    message: expect.stringContaining('row 1 (a) is matched already, in the group l1'),
  })
  const other = await decide(found, { kind: 'match', left: [3], right: [3, 2] })
  expect(other.body.error).toMatchObject({ code: 'reconciliation_row_matched', param: 'right[1]' })
  // Both of a pair, whose difference somebody wants explained.
  const pair = await decide(found, { kind: 'suspense', left: [2], right: [2], ledger_code: 'bank' })
  expect(pair.body).toMatchObject({ status: 'open', suspended: [{ code: 'suspense_missing', open: 5 }] })
  const again = await decide(found, { kind: 'write_off', left: [3, 2] })
  expect(again.body.error).toMatchObject({
    code: 'reconciliation_row_decided',
    param: 'left[1]',
    message: expect.stringContaining(`row 2 (b) was decided by ${pair.body.id}`),
  })
})

test('an ambiguous row has candidates that are named, as many as its reason counts, and any other row has none', async () => {
  const { api, run } = await newTeam()
  const left = [
    'l1,100,usd,2026-11-02',
    'l2,100,usd,2026-11-04',
    'l3,7,usd,2026-11-02',
    'l4,1000,usd,2026-11-02',
    'same,5,usd,2026-11-03',
  ]
  const right = [
    'r1,100,usd,2026-11-03',
    'r2,100,usd,2026-11-02',
    'r3,100,eur,2026-11-02',
    'r4,100,usd,2026-11-20',
    // A hundredth of 1000 is 10, of 989 only 9.
    'r5,990,usd,2026-11-02',
    'r6,1010,usd,2026-11-03',
    'r7,989,usd,2026-11-03',
    'same,5,usd,2026-11-03',
  ]
  const found = await run(left, right, { rules: { tolerance: { basis_points: 100 } } })
  const items = (await api.get(`${RUNS}/${found.id}/items?status=ambiguous`)).body.data
  expect(items.map(({ side, row }: Json) => `${side} ${row}`)).toEqual([
    'left 1',
    'left 2',
    'left 4',
    'right 1',
    'right 2',
    'right 5',
    'right 6',
  ])
  const candidates = async (side: string, row: number) =>
    (await api.get(`${RUNS}/${found.id}/candidates?side=${side}&row=${row}`)).body
  expect(await candidates('left', 1)).toMatchObject({
    run_id: found.id,
    side: 'left',
    row: 1,
    count: 2,
    data: [
      { side: 'right', row: 2, entry: { id: 'r2', amount: 100, date: '2026-11-02', line: 3 } },
      { side: 'right', row: 1, entry: { id: 'r1' } },
    ],
  })
  for (const { side, row, reason } of items) {
    const { count, data } = await candidates(side, row)
    const told = Number(/any of (\d+) rows/.exec(reason)?.[1] ?? 1)
    expect([side, row, reason, count, data.length]).toEqual([side, row, reason, told, told])
  }
  expect((await candidates('left', 4)).data.map(({ entry }: Json) => entry.id)).toEqual(['r5', 'r6'])
  for (const row of [3, 4, 7, 8]) expect(await candidates('right', row)).toMatchObject({ count: 0, data: [] })
  expect((await candidates('left', 9)).error).toMatchObject({ code: 'resource_missing', param: 'row' })
  expect((await candidates('both', 1)).error).toMatchObject({ code: 'parameter_invalid', param: 'side' })
})

test('a row of a batch that adds up is not decided by itself', async () => {
  const { api, run, decide } = await newTeam()
  const file = 'id,amount,currency,batch\na,60,usd,po\nb,50,usd,po\n'
  const { body } = await api.upload(`${STATEMENTS}?name=batch.csv`, file)
  const found = await run([], ['po,110,usd,'], { left_statement_id: body.id })
  expect(found.counts.left.matched).toBe(2)
  for (const rows of [{ left: [1] }, { left: [1, 2], right: [1] }]) {
    const { body: refused } = await decide(found, { kind: 'write_off', ...rows })
    expect(refused.error.code).toBe('reconciliation_row_matched')
  }
})

test('a decision is withdrawn once, with a name and a reason: its rows are open again, and runs replay it no more', async () => {
  const account = await world.account()
  const { api, run, decide, withdraw, homes, list } = team(world, account)
  const sides = [['a,1,usd,2026-11-02'], ['a2,1,usd,2026-11-12']] as const
  const found = await run(...sides)
  const { body: decision } = await decide(found, { kind: 'match', left: [1], right: [1] })
  expect(decision).toMatchObject({ status: 'standing', withdrawal: null, rows: { left: 1, right: 1 } })
  expect(decision.left).toMatchObject([{ row: 1, id: 'a', amount: 1, date: '2026-11-02' }])
  const decided = await run(...sides)
  expect(await homes(decided)).toEqual(['left 1 manual', 'right 1 manual'])

  const { status, body: withdrawn } = await withdraw(decision)
  expect(status).toBe(200)
  expect(withdrawn).toMatchObject({
    status: 'withdrawn',
    reason: SAID.reason,
    withdrawal: { reason: SAID.reason, transfer_ids: [], author: expect.stringMatching(/^Grace \(key_/) },
  })
  expect((await api.get(`${DECISIONS}/${decision.id}`)).body).toEqual(withdrawn)
  const { data } = (await api.get(`${RUNS}/${found.id}/decisions`)).body
  expect(data).toEqual([withdrawn])
  expect([await list('status=withdrawn'), await list('status=standing')]).toEqual([[decision.id], []])
  const twice = await withdraw(decision)
  expect(twice.body.error).toMatchObject({
    code: 'reconciliation_decision_unexpected_state',
    message: expect.stringContaining('withdrawn already'),
  })

  // What the run found stays; the next one does not replay it.
  expect(await homes(decided)).toEqual(['left 1 manual', 'right 1 manual'])
  const next = await run(...sides)
  expect(await homes(next)).toEqual(['left 1 unmatched', 'right 1 unmatched'])
  const items = (await api.get(`${RUNS}/${found.id}/items`)).body.data
  expect(items.map(({ decided_by }: Json) => decided_by)).toEqual([null, null])
  const anew = await decide(found, { kind: 'write_off', left: [1] })
  expect(anew.status).toBe(200)
  const release = world.db.as(account).run`
    delete from reconciliation_decided_rows where account_id = ${account.account_id}`
  await expect(release).rejects.toThrow('reconciliation_decided_rows is immutable: delete refused')
})

test('a decision names up to 10,000 rows of a side, and shows the first hundred of them', async () => {
  const { api, run, decide, homes } = await newTeam()
  const rows = Array.from({ length: 400 }, (_, at) => `r${at},1,usd,2026-11-02`)
  const found = await run(rows, ['po,390,usd,2026-11-02'])
  const left = rows.map((_, at) => at + 1)
  const most = await decide(found, {
    kind: 'write_off',
    left: Array.from({ length: 10_001 }, (_, at) => at + 1),
  })
  expect(most.body.error).toMatchObject({ param: 'left', message: expect.stringContaining('10') })
  const all = await decide(found, { kind: 'suspense', left, right: [1], ledger_code: 'bank' })
  expect([all.status, all.body.error]).toEqual([200, undefined])
  expect(all.body).toMatchObject({ rows: { left: 400, right: 1 }, suspended: [{ amount: 10 }] })
  expect(all.body.left.map(({ row }: Json) => row)).toEqual(left.slice(0, 100))
  const next = await run(rows, ['po,390,usd,2026-11-02'])
  expect(next).toMatchObject({ is_clean: true, counts: { left: { manual: 400 }, right: { manual: 1 } } })
  expect((await homes(next))[0]).toBe('left 1 manual')
  for (const path of [
    `${DECISIONS}/${all.body.id}`,
    `${DECISIONS}?kind=suspense&status=open`,
    `${RUNS}/${found.id}/decisions`,
    `${RUNS}/${next.id}/replayed_decisions`,
  ]) {
    const { body, answered } = await answeredTo(() => api.get(path))
    const [shown] = body.data ?? [body]
    expect([path, shown.left]).toEqual([path, all.body.left])
    expect([path, shown.rows]).toEqual([path, { left: 400, right: 1 }])
    // The others stay in the database: lists of such decisions are asked of the process that serves payments.
    expect([path, answered.map(row => row['left']?.length)]).toEqual([path, [100]])
  }
})

/** What the database answers to the question for decisions that a request sends. */
async function answeredTo(
  ask: () => Promise<{ body: Json }>,
): Promise<{ body: Json; answered: Record<string, unknown[] | undefined>[] }> {
  const query = Reflect.get(pg.Client.prototype, 'query') as (...args: unknown[]) => unknown
  const sent: { text: string; values: unknown[] }[] = []
  const spy = vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (
    this: pg.Client,
    ...args: unknown[]
  ) {
    const [{ text, values = [] }] = args as [{ text?: string; values?: unknown[] }]
    if (text?.includes('from reconciliation_decisions decision')) sent.push({ text, values })
    return query.apply(this, args) as never
  })
  const { body } = await ask().finally(() => spy.mockRestore())
  const owner = new pg.Client({ connectionString: world.url })
  await owner.connect()
  try {
    const answered: Record<string, unknown[] | undefined>[] = []
    for (const { text, values } of sent) answered.push(...(await owner.query(text, values)).rows)
    return { body, answered }
  } finally {
    await owner.end()
  }
}

test('what decisions cannot be is refused, and strangers see none', async () => {
  const { run, decide, withdraw } = await newTeam()
  const found = await run(['a,1,usd,2026-11-02'], ['b,2,usd,2026-11-12'])
  const { body: decision } = await decide(found, { kind: 'write_off', left: [1] })
  const cases: [object, string, string][] = [
    [{ kind: 'clear', right: [1] }, 'parameter_missing', 'clears'],
    [{ kind: 'write_off', right: [1], clears: [decision.id] }, 'parameter_invalid', 'clears'],
    [{ kind: 'clear', right: [1], clears: [decision.id, decision.id] }, 'parameter_invalid', 'clears'],
    [
      { kind: 'clear', right: [1], clears: ['rdc_01jd3x0yfae4qa9vrf2kz5m8wt'] },
      'resource_missing',
      'clears[0]',
    ],
    [
      { kind: 'clear', right: [1], clears: [decision.id] },
      'reconciliation_decision_unexpected_state',
      'clears[0]',
    ],
  ]
  for (const [body, code, param] of cases) {
    const refused = await decide(found, body)
    expect([body, refused.body.error?.code, refused.body.error?.param]).toEqual([body, code, param])
  }
  const stranger = await newTeam()
  expect((await stranger.withdraw(decision)).status).toBe(404)
  expect((await stranger.api.get(`${DECISIONS}/${decision.id}`)).status).toBe(404)
  expect(await stranger.list('')).toEqual([])
  const blank = await stranger.api.post(`${DECISIONS}/${decision.id}/withdraw`, { author: 'Ada' })
  expect(blank.body.error).toMatchObject({ code: 'parameter_missing', param: 'reason' })
  expect((await withdraw(decision)).status).toBe(200)
})
