/**
 * The rows of a run in lists: in their order wherever they are kept, and at the cost of a page, whatever the run holds. The
 * SQL is what the API really sends, caught at the driver; its plan is the generic one that the API's connections keep.
 *
 * @every-postgresql plans differ between planners.
 */
import pg from 'pg'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { decodeId } from '#kernel'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'

const STATEMENTS = '/v1/reconciliation_statements'
const RUNS = '/v1/reconciliation_runs'

let world: World
let shop: TestAccount
let owner: pg.Client
let sent: { text: string; values: unknown[] }[] = []

beforeAll(async () => {
  world = await startWorld()
  shop = await world.account()
  const query = Reflect.get(pg.Client.prototype, 'query') as (...args: unknown[]) => unknown
  vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const [statement] = args as [{ text?: string; values?: unknown[] }]
    if (this !== owner && typeof statement.text === 'string') {
      sent.push({ text: statement.text, values: statement.values ?? [] })
    }
    return query.apply(this, args) as never
  })
  owner = new pg.Client({ connectionString: world.url, options: '-c plan_cache_mode=force_generic_plan' })
  await owner.connect()
})
afterAll(async () => {
  vi.restoreAllMocks()
  await owner.end()
  await world.close()
})

interface Item {
  side: string
  row: number
  status: string
  group: string
  reason: string | null
  entry: { id: string }
}

async function upload(lines: string[]): Promise<string> {
  const { body } = await shop.api.upload(
    `${STATEMENTS}?name=side.csv`,
    `id,amount,currency,date\n${lines.join('\n')}\n`,
  )
  return body.id
}

/** A run that has ended. */
async function reconciled(left: string[], right: string[], rules: object = {}): Promise<string> {
  const { body } = await shop.api.post(RUNS, {
    rules,
    left_statement_id: await upload(left),
    right_statement_id: await upload(right),
  })
  const { account_id, livemode } = shop
  await world.runJob('reconciliation.run', { account_id, livemode, run_id: decodeId('rec_', body.id) })
  return body.id
}

const listOf = (run_id: string) => async (query: string) => {
  const { status, body } = await shop.api.get(`${RUNS}/${run_id}/items?${query}`)
  expect([query, status, body.error]).toEqual([query, 200, undefined])
  return body
}
const names = (items: Item[]) => items.map(({ side, row, status }) => `${side} ${row} ${status}`)

test('items are listed in the order of reading, by side, status and group, forth and back', async () => {
  const id = await reconciled(
    ['a,1000,usd,2026-11-02', 'b,500,usd,2026-11-02', 'c,70,eur,2026-11-02'],
    ['a,1000,usd,2026-11-03', 'b,700,usd,2026-11-03', 'd,9,usd,'],
  )
  const list = listOf(id)
  const all = (await list('')).data as Item[]
  expect(names(all)).toEqual([
    'left 1 matched',
    'left 2 discrepant',
    'left 3 unmatched',
    'right 1 matched',
    'right 2 discrepant',
    'right 3 unmatched',
  ])
  expect(all[1]).toMatchObject({ reason: 'amount 500 != 700', entry: { amount: 500, line: 3 } })
  expect(names((await list('status=discrepant')).data)).toEqual(['left 2 discrepant', 'right 2 discrepant'])
  expect(names((await list('side=right&status=matched')).data)).toEqual(['right 1 matched'])
  expect(names((await list(`group=${all[1]?.group}`)).data)).toEqual([
    'left 2 discrepant',
    'right 2 discrepant',
  ])
  // Of a pair too, from either side of it.
  expect(names((await list('group=l1')).data)).toEqual(['left 1 matched', 'right 1 matched'])
  expect(names((await list('group=l1&side=right')).data)).toEqual(['right 1 matched'])
  for (const nothing of [
    'group=l1&status=unmatched',
    'group=l9',
    'group=l0',
    'group=l0001',
    'group=r1',
    'group=x',
  ]) {
    expect([nothing, (await list(nothing)).data]).toEqual([nothing, []])
  }
  const first = await list('limit=4')
  expect([names(first.data).at(-1), first.has_more]).toEqual(['right 1 matched', true])
  const second = await list(`limit=4&cursor=${first.next_cursor}`)
  expect([names(second.data), second.has_more]).toEqual([['right 2 discrepant', 'right 3 unmatched'], false])
  const back = await list(`limit=4&cursor=${second.prev_cursor}`)
  expect(back.data).toEqual(first.data)
  const foreign = await shop.api.get(`${RUNS}/${id}/items?side=left&cursor=${first.next_cursor}`)
  expect(foreign.body.error.code).toBe('invalid_cursor')
})

test('a list goes through thousands of rows, packed and alone, without a gap or a repetition', async () => {
  const said = Array.from({ length: 2_600 }, (_, at) => `many-${at},${at + 1},usd,`)
  // One in a hundred is unmatched, and a stretch longer than a block.
  const theirs = said.filter((_, at) => at % 100 !== 0 && !(at >= 1_000 && at < 2_100))
  const list = listOf(await reconciled(said, theirs.toReversed()))
  const expected = [
    ...said.map((_, at) => `left ${at + 1} ${theirs.includes(said[at] as string) ? 'matched' : 'unmatched'}`),
    ...theirs.map((_, at) => `right ${at + 1} matched`),
  ]
  const walk = async (query: string, towards: 'next_cursor' | 'prev_cursor', from = '') => {
    const found: string[] = []
    let last = ''
    for (let cursor: string | null = from; cursor !== null; ) {
      const page = await list(`${query}&limit=100${cursor === '' ? '' : `&cursor=${cursor}`}`)
      if (towards === 'next_cursor') found.push(...names(page.data))
      else found.unshift(...names(page.data))
      last = cursor
      cursor = page[towards]
    }
    return { found, last }
  }
  const { found, last } = await walk('', 'next_cursor')
  expect(found).toEqual(expected)
  const back = await walk('', 'prev_cursor', last)
  expect(back.found).toEqual(expected)
  for (const [query, of_it] of [
    ['status=matched', / matched$/],
    ['side=right', /^right /],
    ['side=left&status=matched', /^left .* matched$/],
    ['status=unmatched', / unmatched$/],
  ] as const) {
    expect((await walk(query, 'next_cursor')).found).toEqual(expected.filter(name => of_it.test(name)))
  }
  const { data } = await list('side=right&limit=1')
  expect(data[0]).toMatchObject({ group: 'l2600', reason: null, entry: { id: 'many-2599' } })
})

/** Rows of each kind in the large run. */
const MANY = 20_000
/** Pages (8 kB) that a list may touch: a hundred rows looked up in three tables by indexes of three levels. */
const PAGES_MOST = 1_000

/** Both sides say three times as much, from this row on. */
const growStatements = (run_id: string | undefined, from: number) =>
  owner.query(
    `insert into reconciliation_rows (account_id, livemode, statement_id, row, line, amount, currency, id)
     select account_id, livemode, statement_id, row, row, 1, 'usd', row::text
     from reconciliation_runs
     cross join unnest(array[left_statement_id, right_statement_id]) as statement_id
     cross join generate_series($3::integer, 3 * $2::integer) as row
     where id = $1`,
    [run_id, MANY, from],
  )

/** As a run of so many rows would have them: pairs, ambiguous rows in one large group, and one discrepancy behind all. */
async function grow(run_id: string): Promise<void> {
  const id = decodeId('rec_', run_id)
  await growStatements(id, 3)
  await owner.query(
    `insert into reconciliation_pairs (account_id, livemode, run_id, side, block, count, rows, partners)
     select account_id, livemode, id, side, block, count(*), array_agg(row order by row), array_agg(row order by row)
     from (
       select account_id, livemode, id, side, row, row / 1024 as block
       from reconciliation_runs
       cross join unnest(array['left', 'right']) as side
       cross join generate_series(2048, $2) as row
       where id = $1
     ) as pair
     group by account_id, livemode, id, side, block`,
    [id, MANY],
  )
  // Other runs have theirs, before and behind it.
  await owner.query(
    `insert into reconciliation_pairs (account_id, livemode, run_id, side, block, count, rows, partners)
     select account_id, livemode, overlay(id::text placing neighbour::text from 1 for 1)::uuid, 'left', block, 1,
       array[block * 1024], array[1]
     from reconciliation_runs
     cross join generate_series(1, 9) as neighbour
     cross join generate_series(1, 1000) as block
     where id = $1`,
    [id],
  )
  await owner.query(
    `insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group")
     select account_id, livemode, id, side, $2 + row, 'ambiguous', 'window', 'l20001'
     from reconciliation_runs
     cross join unnest(array['left', 'right']) as side
     cross join generate_series(1, $2) as row
     where id = $1
     union all
     select account_id, livemode, id, 'right', 3 * $2::integer, 'discrepant', 'id', 'l999999'
     from reconciliation_runs
     where id = $1`,
    [id, MANY],
  )
}

interface Plan {
  'Node Type': string
  'Relation Name'?: string
  'Shared Hit Blocks': number
  'Shared Read Blocks': number
  Plans?: Plan[]
}

/** Of the last question for rows of a run that was sent. */
function planOfList(): Promise<Plan> {
  const statement = sent.findLast(({ text }) => text.includes('from reconciliation_items'))
  if (statement === undefined) throw new Error('no list was sent')
  return planOf(statement)
}

/** The plan of what was sent, as the API's connections have it. */
async function planOf(statement: { text: string; values: unknown[] }): Promise<Plan> {
  const text = (value: unknown) =>
    Array.isArray(value) ? `{${value.join()}}` : String(value as string | number | boolean)
  const literal = (value: unknown) => (value === null ? 'null' : `'${text(value).replaceAll("'", "''")}'`)
  await owner.query(`prepare list as ${statement.text}`)
  try {
    const { rows } = await owner.query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(
      `explain (analyze, buffers, timing off, format json) execute list(${statement.values.map(literal).join(', ')})`,
    )
    const [row] = rows
    if (row === undefined) throw new Error('explain says something')
    return row['QUERY PLAN'][0].Plan
  } finally {
    await owner.query('deallocate all')
  }
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]

test('every list of a large run costs a page, also by what is rare in it, and with the statistics of a small one', async () => {
  const run_id = await reconciled(['a,1,usd,', 'b,1,usd,'], ['a,1,usd,', 'b,2,usd,'])
  await owner.query('analyze reconciliation_items, reconciliation_pairs, reconciliation_rows')
  await grow(run_id)
  const list = listOf(run_id)
  for (const statistics of ['of a small table', 'of a large one']) {
    if (statistics === 'of a large one')
      await owner.query('analyze reconciliation_items, reconciliation_pairs')
    for (const filters of [
      '',
      'side=right',
      'status=matched',
      'status=discrepant',
      'status=duplicate',
      'side=left&status=ambiguous',
      'group=l20001',
      'group=l20001&side=right',
      'group=l999999',
      'group=l10000',
    ]) {
      const first = await list(`${filters}&limit=100`)
      const pages = [await planOfList()]
      if (first.next_cursor !== null) {
        const second = await list(`${filters}&limit=100&cursor=${first.next_cursor}`)
        pages.push(await planOfList())
        await list(`${filters}&limit=100&cursor=${second.prev_cursor}`)
        pages.push(await planOfList())
      }
      for (const plan of pages) {
        const case_of = `${filters} with the statistics ${statistics}: ${JSON.stringify(plan, null, 1)}`
        expect.soft(plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], case_of).toBeLessThan(PAGES_MOST)
        const scanned = nodesOf(plan).filter(node => node['Node Type'] === 'Seq Scan')
        expect.soft(scanned, case_of).toEqual([])
      }
    }
  }
})

/** Pages of a request for candidates: a hundred rows looked up in two tables by indexes of three levels, and some besides. */
const PAGES_OF_CANDIDATES_MOST = 1_000
/** Of one for a row that has two. */
const PAGES_OF_A_FEW_MOST = 60

/** What the last request read of the run's tables, each statement of it by the plan that the API's connections have. */
async function pagesOf(ask: () => Promise<unknown>): Promise<{ pages: number; scanned: Plan[] }> {
  sent = []
  await ask()
  const statements = sent.filter(({ text }) => /reconciliation_(ambiguous|items|rows|line)/.test(text))
  const plans: Plan[] = []
  for (const statement of statements) plans.push(await planOf(statement))
  return {
    pages: plans.reduce((sum, plan) => sum + plan['Shared Hit Blocks'] + plan['Shared Read Blocks'], 0),
    scanned: plans.flatMap(nodesOf).filter(node => node['Node Type'] === 'Seq Scan'),
  }
}

test('candidates cost what is near, and not what is ambiguous or what the statements hold', async () => {
  const alike = Array.from({ length: 3_000 }, (_, at) => `${at},700,usd,2026-11-0${1 + (at % 3)}`)
  const twins = Array.from(
    { length: 3_000 },
    (_, at) => `t${at},${1_000 + Math.floor(at / 2)},usd,2026-11-02`,
  )
  const side = (name: string) => [...alike, ...twins].map(row => `${name}${row}`)
  const run_id = await reconciled(side('ours'), side('theirs'))
  const ask = async (row: number, of = 'left') =>
    (await shop.api.get(`${RUNS}/${run_id}/candidates?side=${of}&row=${row}`)).body
  for (const statistics of ['from before', 'of a large table']) {
    if (statistics === 'of a large table') {
      await owner.query('vacuum analyze reconciliation_rows, reconciliation_items, reconciliation_ambiguous')
    }
    const many = await ask(7)
    expect([many.count, many.has_more, many.data.length]).toEqual([3_000, true, 100])
    // By date, then by row: every third row is of the first day.
    expect(many.data.slice(0, 3).map(({ row }: Item) => row)).toEqual([1, 4, 7])
    const few = await ask(3_001, 'right')
    expect([few.count, few.has_more]).toEqual([2, false])
    expect(few.data.map(({ row, entry }: Item) => [row, entry.id])).toEqual([
      [3_001, 'ourst0'],
      [3_002, 'ourst1'],
    ])
    for (const [row, most] of [
      [7, PAGES_OF_CANDIDATES_MOST],
      [3_001, PAGES_OF_A_FEW_MOST],
    ] as const) {
      const { pages, scanned } = await pagesOf(() => ask(row))
      expect.soft([row, statistics, scanned]).toEqual([row, statistics, []])
      expect.soft(pages, `row ${row} with the statistics ${statistics}`).toBeLessThan(most)
    }
  }
})

test('candidates say when a tolerance takes in more than is looked at', async () => {
  const rules = { tolerance: { basis_points: 1_000 } }
  const run_id = await reconciled(
    ['a,1000000,usd,2026-11-02', 'b,1000000,usd,2026-11-02'],
    ['c,1000001,usd,2026-11-02'],
    rules,
  )
  const ask = async () => (await shop.api.get(`${RUNS}/${run_id}/candidates?side=left&row=1`)).body
  expect(await ask()).toMatchObject({ count: 1, has_more: false, data: [{ row: 1 }] })
  // Near in amount, and a month away.
  await owner.query(
    `insert into reconciliation_ambiguous (account_id, livemode, run_id, side, pass, currency, amount, date, block, count, rows)
     select account_id, livemode, id, 'right', 'tolerance', 'usd', 950000 + amount, '2026-12-02', 0, 1, '{1}'
     from reconciliation_runs
     cross join generate_series(1, 10000) as amount
     where id = $1`,
    [decodeId('rec_', run_id)],
  )
  expect(await ask()).toMatchObject({ count: 0, has_more: true, data: [] })
})
