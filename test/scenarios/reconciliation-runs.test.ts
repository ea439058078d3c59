/** Runs through the API: asked for, worked off by the job, read, decided about, replayed, told of; and nobody else's. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'

const STATEMENTS = '/v1/reconciliation_statements'
const RUNS = '/v1/reconciliation_runs'

let world: World
let shop: TestAccount
beforeAll(async () => {
  world = await startWorld()
  shop = await world.account()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

async function upload(lines: string[], account = shop): Promise<string> {
  const file = `id,amount,currency,date\n${lines.join('\n')}\n`
  const { status, body } = await account.api.upload(`${STATEMENTS}?name=side.csv&is_empty_allowed=true`, file)
  expect([status, body.error]).toEqual([200, undefined])
  return body.id
}

async function work(account = shop): Promise<void> {
  const waiting = await world.db.many<{ id: string }>`
    select id from reconciliation_runs where account_id = ${account.account_id} and finished_at is null`
  for (const { id } of waiting) {
    const { account_id, livemode } = account
    await world.runJob('reconciliation.run', { account_id, livemode, run_id: id })
  }
}

/** Runs of one file never share their statements: each test has rows of its own. */
let made = 0
async function example(account = shop) {
  const at = `n${(made += 1)}`
  const left = await upload(
    [`${at}-a,1000,usd,2026-11-02`, `${at}-b,500,usd,2026-11-02`, `${at}-c,70,eur,2026-11-02`],
    account,
  )
  const right = await upload(
    [`${at}-a,1000,usd,2026-11-03`, `${at}-b,700,usd,2026-11-03`, `${at}-d,9,usd,`],
    account,
  )
  return { left_statement_id: left, right_statement_id: right }
}

test('a run is asked for, worked off and answers counts and sums that add up', async () => {
  const sides = await example()
  const { status, body: run } = await shop.api.post(RUNS, sides)
  expect(status).toBe(200)
  expect(run).toMatchObject({
    object: 'reconciliation_run',
    status: 'queued',
    stage: 'carry',
    progress: { rows_done: 0, rows_total: 6 },
    counts: null,
    rules: { date_window_days: 3, tolerance: { amount: 0, basis_points: 0 }, as_of: null, timing_days: 3 },
  })
  const early = await shop.api.get(`${RUNS}/${run.id}/items`)
  expect(early.body.error.code).toBe('reconciliation_run_unexpected_state')
  await work()
  const { body: ended } = await shop.api.get(`${RUNS}/${run.id}`)
  expect(ended).toMatchObject({
    status: 'succeeded',
    stage: 'done',
    is_clean: false,
    progress: { rows_done: 6, rows_total: 6 },
    counts: {
      left: { matched: 1, discrepant: 1, unmatched: 1 },
      right: { matched: 1, discrepant: 1, unmatched: 1 },
    },
    bad_rows: { left: 0, right: 0 },
    are_controls_met: true,
  })
  expect(ended.sums).toContainEqual({
    side: 'right',
    status: 'discrepant',
    currency: 'usd',
    rows: 1,
    amount: 700,
  })
  const events = await shop.api.get('/v1/events?limit=100')
  const told = events.body.data.filter((event: { object_id: string }) => event.object_id === run.id)
  expect(told.map((event: { type: string }) => event.type)).toEqual([
    'reconciliation_run.findings',
    'reconciliation_run.succeeded',
    'reconciliation_run.created',
  ])
  expect(told[0].data.object.counts.left.unmatched).toBe(1)
  const again = await shop.api.post(RUNS, sides)
  expect(again.body).toEqual(ended)
  const other = await shop.api.post(RUNS, { ...sides, rules: { date_window_days: 0 } })
  expect(other.body.id).not.toBe(run.id)
  await work()
})

test('a decision is kept with name and reason, shows on its rows, and is replayed by the next run', async () => {
  const sides = await example()
  const { body: run } = await shop.api.post(RUNS, sides)
  await work()
  const decide = (body: object) =>
    shop.api.post(`${RUNS}/${run.id}/decisions`, { reason: 'The same order.', author: 'Ada', ...body })
  const { status, body: decision } = await decide({ kind: 'match', left: [2], right: [2] })
  expect(status).toBe(200)
  expect(decision).toMatchObject({
    kind: 'match',
    left: [{ amount: 500, date: '2026-11-02' }],
    right: [{ amount: 700 }],
    transfer_ids: [],
  })
  expect(decision.author).toMatch(/^Ada \(key_/)
  expect((await decide({ kind: 'write_off', left: [2] })).body.error.code).toBe('reconciliation_row_decided')
  await decide({ kind: 'write_off', left: [3] })
  await decide({ kind: 'write_off', right: [3] })
  const listed = await shop.api.get(`${RUNS}/${run.id}/decisions`)
  expect(listed.body.data).toHaveLength(3)
  const { data } = (await shop.api.get(`${RUNS}/${run.id}/items?side=left&status=discrepant`)).body
  expect(data[0].decided_by).toBe(decision.id)
  // The run itself stays as it is.
  expect((await shop.api.get(`${RUNS}/${run.id}`)).body.counts.left.manual).toBe(0)
  const { body: next } = await shop.api.post(RUNS, sides)
  expect(next.id).not.toBe(run.id)
  await work()
  const { body: ended } = await shop.api.get(`${RUNS}/${next.id}`)
  expect(ended).toMatchObject({ is_clean: true, counts: { left: { manual: 2 }, right: { manual: 2 } } })
  expect([run.decisions, ended.decisions]).toEqual([0, 3])
  const replayed = async (id: string, query = '') =>
    (await shop.api.get(`${RUNS}/${id}/replayed_decisions${query}`)).body
  expect((await replayed(next.id)).data).toEqual(listed.body.data)
  expect((await replayed(run.id)).data).toEqual([])
  const first = await replayed(next.id, '?limit=2')
  const second = await replayed(next.id, `?limit=2&cursor=${first.next_cursor}`)
  expect([...first.data, ...second.data]).toEqual(listed.body.data)
  const manual = (await shop.api.get(`${RUNS}/${next.id}/items?status=manual&side=left`)).body.data
  expect(manual[0].decision_id).toBe(decision.id)
})

test('suspense posts the difference once, to the account of what is missing or of what nobody expected', async () => {
  const books = await world.account()
  const { body: run } = await books.api.post(RUNS, await example(books))
  await work(books)
  const decide = (body: object) =>
    books.api.post(`${RUNS}/${run.id}/decisions`, {
      kind: 'suspense',
      reason: 'Asked the bank.',
      author: 'Ada',
      ...body,
    })
  expect((await decide({ right: [2], left: [2] })).body.error).toMatchObject({
    code: 'parameter_missing',
    param: 'ledger_code',
  })
  const nothing = await decide({ left: [1], right: [1], ledger_code: 'bank' })
  expect(nothing.body.error.code).toBe('reconciliation_difference_missing')
  const more = await decide({ left: [2], right: [2], ledger_code: 'bank' })
  expect(more.body.transfer_ids).toHaveLength(1)
  const missing = await decide({ left: [3], ledger_code: 'bank' })
  expect(missing.status).toBe(200)
  expect((await decide({ left: [3], ledger_code: 'bank' })).body.error.code).toBe(
    'reconciliation_row_decided',
  )
  const { data } = (await books.api.get('/v1/ledger/accounts?limit=100')).body
  const balances = Object.fromEntries(
    data.map((account: { code: string; currency: string; balance: number }) => [
      `${account.code} ${account.currency}`,
      account.balance,
    ]),
  )
  expect(balances).toEqual({
    'bank usd': 200,
    'suspense_unexpected usd': 200,
    'bank eur': -70,
    'suspense_missing eur': 70,
  })
  const transfer = await books.api.get(`/v1/ledger/transfers/${more.body.transfer_ids[0]}`)
  expect(transfer.body).toMatchObject({ source_type: 'reconciliation_decision', reason: 'Asked the bank.' })
})

test('a row that stands in two runs is decided once, and its difference posted once', async () => {
  const books = await world.account()
  const sides = await example(books)
  const ask = async (rules: object): Promise<string> =>
    (await books.api.post(RUNS, { ...sides, rules })).body.id
  const older = await ask({})
  const other = await ask({ date_window_days: 5 })
  await work(books)
  const decide = (run_id: string, body: object) =>
    books.api.post(`${RUNS}/${run_id}/decisions`, {
      kind: 'suspense',
      reason: 'Asked the bank.',
      author: 'Ada',
      ledger_code: 'bank',
      ...body,
    })
  expect((await decide(older, { right: [3] })).status).toBe(200)
  // The run of the other rules was made before, and shows the row as unmatched still.
  expect((await decide(other, { right: [3] })).body.error).toMatchObject({
    code: 'reconciliation_row_decided',
    message: expect.stringContaining('in another run'),
  })
  // Two people at once, each before another run.
  const both = await Promise.all([decide(older, { left: [3] }), decide(other, { left: [3] })])
  expect(both.map(({ status }) => status).sort((a, b) => a - b)).toEqual([200, 409])
  // A run that is asked for now replays both, and what it found decided is not decided again.
  const next = await ask({})
  await work(books)
  for (const body of [{ right: [3] }, { left: [3] }]) {
    expect((await decide(next, body)).body.error).toMatchObject({
      code: 'reconciliation_row_decided',
      message: expect.stringContaining('manual'),
    })
  }
  expect((await decide(next, { left: [2], right: [2] })).status).toBe(200)
  const { data } = (await books.api.get('/v1/ledger/accounts?limit=100')).body
  const suspense = data.filter(({ code }: { code: string }) => code.startsWith('suspense'))
  expect(
    Object.fromEntries(
      suspense.map((each: { code: string; currency: string; balance: number }) => [
        `${each.code} ${each.currency}`,
        each.balance,
      ]),
    ),
  ).toEqual({ 'suspense_unexpected usd': 209, 'suspense_missing eur': 70 })
})

test('what a decision posted to suspense is no finding of the next cut of the books', async () => {
  const books = await world.account()
  const cut = async (code: string) =>
    (await books.api.post(`${STATEMENTS}/snapshot`, { name: code, source: 'ledger', code })).body
  const right_statement_id = await upload(['wire-1,700,usd,2026-11-03'], books)
  const run = await books.api.post(RUNS, { left_statement_id: (await cut('bank')).id, right_statement_id })
  await work(books)
  const decided = await books.api.post(`${RUNS}/${run.body.id}/decisions`, {
    kind: 'suspense',
    right: [1],
    reason: 'Nobody knows the sender.',
    author: 'Ada',
  })
  expect(decided.body.transfer_ids).toHaveLength(1)
  const next = await books.api.post(RUNS, { left_statement_id: (await cut('bank')).id, right_statement_id })
  await work(books)
  expect((await books.api.get(`${RUNS}/${next.body.id}`)).body).toMatchObject({
    is_clean: true,
    counts: { left: { unmatched: 0 }, right: { manual: 1 } },
  })
  expect(await cut('suspense_unexpected')).toMatchObject({ rows: 1, sums: [{ amount: 700 }] })
})

test('a run whose worker was killed at each of its tries goes on when it is asked for again', async () => {
  const sides = await example()
  const { body: run } = await shop.api.post(RUNS, sides)
  const { id } = await world.db.one<{ id: string }>`
    select id from reconciliation_runs where account_id = ${shop.account_id} and finished_at is null`
  const owner = new pg.Client({ connectionString: world.url })
  await owner.connect()
  try {
    const of_run = [`reconciliation.run:${id}`]
    const waiting = async () =>
      (
        await owner.query(
          'select id from graphile_worker._private_jobs where key = $1 and attempts < max_attempts',
          of_run,
        )
      ).rowCount
    expect(await waiting()).toBe(1)
    await owner.query(
      'update graphile_worker._private_jobs set attempts = max_attempts where key = $1',
      of_run,
    )
    expect((await shop.api.post(RUNS, sides)).body.id).toBe(run.id)
    expect((await shop.api.post(RUNS, sides)).body.id).toBe(run.id)
    expect(await waiting()).toBe(1)
  } finally {
    await owner.end()
  }
  await work()
})

test('PostgreSQL looks in every stage whether its worker still lives, and gives up the lock of one that was killed', async () => {
  const owner = new pg.Client({ connectionString: world.url })
  await owner.connect()
  try {
    await owner.query(`
      create table stages_seen (setting text);
      grant insert on stages_seen to bursar_system;
      create function note_stage() returns trigger language plpgsql as $$
        begin
          insert into stages_seen values (current_setting('client_connection_check_interval'));
          return new;
        end
      $$;
      create trigger note_stage before update on reconciliation_runs for each row execute function note_stage()`)
    await shop.api.post(RUNS, await example())
    await work()
    const { rows } = await owner.query(
      'select distinct setting, count(*)::integer from stages_seen group by setting',
    )
    expect(rows).toEqual([{ setting: '2s', count: 6 }])
  } finally {
    await owner.query('drop trigger if exists note_stage on reconciliation_runs')
    await owner.end()
  }
})

test('suggestions say what may belong together, and change nothing', async () => {
  const at = `s${(made += 1)}`
  const { body: run } = await shop.api.post(RUNS, {
    left_statement_id: await upload([`PO-${at},5,usd,`]),
    right_statement_id: await upload([`po ${at},5,usd,`]),
  })
  await work()
  const { body } = await shop.api.get(`${RUNS}/${run.id}/suggestions`)
  expect(body).toMatchObject({ run_id: run.id, data: [{ kind: 'text', left: [1], right: [1] }] })
  expect((await shop.api.get(`${RUNS}/${run.id}`)).body.counts.left.unmatched).toBe(1)
})

test('a run that cannot be is refused with the parameter at fault, and none is made', async () => {
  const sides = await example()
  const stranger = await world.account()
  const foreign = await example(stranger)
  const before = await world.db.one`select count(*) as count from reconciliation_runs`
  const tolerating = (tolerance: object) => ({ ...sides, rules: { tolerance } })
  const cases: [object, string, string][] = [
    [{ ...sides, right_statement_id: foreign.right_statement_id }, 'resource_missing', 'right_statement_id'],
    [{ ...sides, right_statement_id: sides.left_statement_id }, 'parameter_invalid', 'right_statement_id'],
    [{ left_statement_id: sides.left_statement_id }, 'parameter_missing', 'right_statement_id'],
    [{ ...sides, rules: { date_window_days: 93 } }, 'parameter_invalid_integer', 'rules.date_window_days'],
    [tolerating({ basis_points: 1_001 }), 'parameter_invalid_integer', 'rules.tolerance.basis_points'],
    [tolerating({ amount: -1 }), 'parameter_invalid_integer', 'rules.tolerance.amount'],
    [{ ...sides, rules: { as_of: '2026-02-30' } }, 'parameter_invalid', 'rules.as_of'],
    [{ ...sides, rules: { as_of: 'yesterday' } }, 'parameter_invalid', 'rules.as_of'],
    [{ ...sides, rules: { fuzzy: true } }, 'parameter_unknown', 'rules.fuzzy'],
    [{ ...sides, carry_from: 'rec_01jd3x0yfae4qa9vrf2kz5m8wt' }, 'resource_missing', 'carry_from'],
  ]
  for (const [body, code, param] of cases) {
    const refused = await shop.api.post(RUNS, body)
    expect([body, refused.body.error?.code, refused.body.error?.param]).toEqual([body, code, param])
  }
  expect(await world.db.one`select count(*) as count from reconciliation_runs`).toEqual(before)
})

test('decisions that cannot be are refused, and nothing is posted or kept', async () => {
  const { body: run } = await shop.api.post(RUNS, await example())
  await work()
  const before = await world.db.one`select count(*) as count from reconciliation_decisions`
  const said = { reason: 'r', author: 'a' }
  const cases: [object, string, string][] = [
    [{ kind: 'match', left: [2], ...said }, 'parameter_missing', 'right'],
    [{ kind: 'match', ...said }, 'parameter_missing', 'left'],
    [{ kind: 'match', left: [2], right: [99], ...said }, 'resource_missing', 'right[0]'],
    [{ kind: 'match', left: [2, 2], right: [2], ...said }, 'parameter_invalid', 'left'],
    [{ kind: 'guess', left: [2], ...said }, 'parameter_invalid', 'kind'],
    [{ kind: 'write_off', left: [2], reason: ' ', author: 'a' }, 'parameter_invalid', 'reason'],
    [{ kind: 'write_off', left: [2], ledger_code: 'bank', ...said }, 'parameter_invalid', 'ledger_code'],
  ]
  for (const [body, code, param] of cases) {
    const refused = await shop.api.post(`${RUNS}/${run.id}/decisions`, body)
    expect([body, refused.body.error?.code, refused.body.error?.param]).toEqual([body, code, param])
  }
  expect(await world.db.one`select count(*) as count from reconciliation_decisions`).toEqual(before)
})

test('a statement that a run names stays; nobody else sees the run', async () => {
  const sides = await example()
  const { body: run } = await shop.api.post(RUNS, sides)
  await work()
  const kept = await shop.api.delete(`${STATEMENTS}/${sides.left_statement_id}`)
  expect([kept.status, kept.body.error.code]).toEqual([409, 'reconciliation_statement_in_use'])
  const stranger = await world.account()
  for (const path of ['', '/items', '/suggestions', '/decisions']) {
    expect([path, (await shop.api.get(`${RUNS}/${run.id}${path}`)).status]).toEqual([path, 200])
    expect([path, (await stranger.api.get(`${RUNS}/${run.id}${path}`)).status]).toEqual([path, 404])
  }
  const decided = await stranger.api.post(`${RUNS}/${run.id}/decisions`, {
    kind: 'write_off',
    left: [1],
    reason: 'r',
    author: 'a',
  })
  expect(decided.status).toBe(404)
  const { data } = (await shop.api.get(`${RUNS}?left_statement_id=${sides.left_statement_id}`)).body
  expect(data.map(({ id }: { id: string }) => id)).toEqual([run.id])
})
