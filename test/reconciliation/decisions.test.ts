/** The file of decisions, month after month: the command line holds them for what the platform holds them for. */
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'
import { makeFolder } from './command.fixture.ts'

const TEST_MS = 180_000

const folder = makeFolder()
let world: World
let account: TestAccount
beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
})
afterAll(async () => {
  folder.remove()
  await world.close()
})

const csv = (...rows: string[]) => `id,amount,currency,date\n${rows.map(row => `${row}\n`).join('')}`
const shaOf = (text: string) => createHash('sha256').update(text).digest('hex')

const SAID = { author: 'Ada', reason: 'Agreed with the bank.' }
const decisions = (...lines: object[]) =>
  folder.write('decisions.jsonl', lines.map(line => `${JSON.stringify({ ...SAID, ...line })}\n`).join(''))

interface Sides {
  left: string
  right: string
}

/** What becomes of each row, by the command line. */
async function byFiles({ left, right }: Sides): Promise<string[]> {
  folder.write('left.csv', left)
  folder.write('right.csv', right)
  const options = ['--allow-empty', '--out', `run-${(runs += 1)}`, '--decisions', 'decisions.jsonl', '--json']
  const ran = await folder.run('reconcile', 'left.csv', 'right.csv', ...options)
  expect(ran.err).toBe('')
  const [header = '', ...items] = folder.read(`run-${runs}/items.csv`).trimEnd().split('\n')
  const at = (name: string) => header.split(',').indexOf(name)
  return items
    .flatMap(item => {
      const cells = item.split(',')
      const said = (side: string) => {
        const row = cells[at(`${side}_row`)]
        return row === '' ? [] : [`${side} ${row} ${cells[at('status')]}`]
      }
      return [...said('left'), ...said('right')]
    })
    .toSorted()
}
let runs = 0

/** The same by the platform. */
async function run({ left, right }: Sides): Promise<Json> {
  const keep = async (file: string): Promise<string> =>
    (await account.api.upload('/v1/reconciliation_statements?name=side.csv&is_empty_allowed=true', file)).body
      .id
  const sides = { left_statement_id: await keep(left), right_statement_id: await keep(right) }
  const { body } = await account.api.post('/v1/reconciliation_runs', sides)
  const { account_id, livemode } = account
  for (const { id } of await world.db.many<{ id: string }>`
    select id from reconciliation_runs where finished_at is null`) {
    await world.runJob('reconciliation.run', { account_id, livemode, run_id: id })
  }
  return body
}

async function byPlatform(sides: Sides): Promise<string[]> {
  const { id } = await run(sides)
  const { data } = (await account.api.get(`/v1/reconciliation_runs/${id}/items`)).body
  return data.map(({ side, row, status }: Json) => `${side} ${row} ${status}`).toSorted()
}

test(
  'a fee without a date that was decided in November is a finding in December, by files as by the platform',
  async () => {
    const left = csv('l,9,usd,2026-11-30')
    const november = { left, right: csv('FEE,-350,usd,', 'x,1,usd,2026-11-30') }
    const december = { left, right: csv('FEE,-350,usd,', 'x,1,usd,2026-11-30', 'y,2,usd,2026-12-01') }
    const { id } = await run(november)
    for (const right of [[1], [2]]) {
      const decided = { ...SAID, kind: 'write_off', right }
      expect((await account.api.post(`/v1/reconciliation_runs/${id}/decisions`, decided)).status).toBe(200)
    }
    const fee = { id: 'FEE', amount: -350, currency: 'usd', date: null }
    const write_off = { kind: 'write_off', left: [] }
    decisions(
      { ...write_off, id: 'd-1', right: [{ ...fee, statement: shaOf(november.right).slice(0, 12) }] },
      { ...write_off, id: 'd-2', right: [{ id: 'x', amount: 1, currency: 'usd', date: '2026-11-30' }] },
    )
    for (const reconcile of [byFiles, byPlatform]) {
      expect(await reconcile(november)).toEqual(['left 1 unmatched', 'right 1 manual', 'right 2 manual'])
      expect(await reconcile(december)).toEqual([
        'left 1 unmatched',
        'right 1 unmatched',
        'right 2 manual',
        'right 3 unmatched',
      ])
    }
  },
  TEST_MS,
)

test(
  'a row with a date that is named with its file is decided there alone',
  async () => {
    const one = { left: csv('l,9,usd,2026-11-30'), right: csv('x,1,usd,2026-11-30') }
    const row = { id: 'x', amount: 1, currency: 'usd', date: '2026-11-30', statement: shaOf(one.right) }
    decisions({ id: 'd-1', kind: 'write_off', left: [], right: [row] })
    expect(await byFiles(one)).toEqual(['left 1 unmatched', 'right 1 manual'])
    const other = { ...one, right: csv('x,1,usd,2026-11-30', 'y,2,usd,2026-11-30') }
    expect(await byFiles(other)).toEqual(['left 1 unmatched', 'right 1 unmatched', 'right 2 unmatched'])
  },
  TEST_MS,
)

test(
  'the careful reader holds a decision for the same file, too',
  async () => {
    // A quoted cell is none of the plain reader's.
    const november = { left: csv(), right: csv('"FEE",-350,usd,') }
    const fee = { id: 'FEE', amount: -350, currency: 'usd', date: null, statement: shaOf(november.right) }
    decisions({ id: 'd-1', kind: 'write_off', left: [], right: [fee] })
    expect(await byFiles(november)).toEqual(['right 1 manual'])
    expect(await byFiles({ ...november, right: csv('"FEE",-350,usd,', '"z",1,usd,') })).toEqual([
      'right 1 unmatched',
      'right 2 unmatched',
    ])
  },
  TEST_MS,
)

test(
  'a later line withdraws a decision, and a clear says what has come',
  async () => {
    const sides = { left: csv(), right: csv('a,1,usd,2026-11-30', 'b,2,usd,2026-11-30') }
    const row = (id: string, amount: number) => ({ id, amount, currency: 'usd', date: '2026-11-30' })
    const lines = [
      { id: 'd-1', kind: 'suspense', left: [], right: [row('a', 1)] },
      { id: 'd-2', kind: 'clear', left: [], right: [row('b', 2)], clears: ['d-1'] },
    ]
    decisions(...lines)
    expect(await byFiles(sides)).toEqual(['right 1 manual', 'right 2 manual'])
    decisions(...lines, { id: 'd-3', kind: 'withdraw', withdraws: 'd-2' })
    expect(await byFiles(sides)).toEqual(['right 1 manual', 'right 2 unmatched'])
    const withdrawn = { id: 'd-4', kind: 'withdraw', withdraws: 'd-1' }
    decisions(...lines, { id: 'd-3', kind: 'withdraw', withdraws: 'd-2' }, withdrawn)
    expect(await byFiles(sides)).toEqual(['right 1 unmatched', 'right 2 unmatched'])
  },
  TEST_MS,
)

test(
  'an ambiguous row is shown with the rows that it could belong to, on the terminal, in the report and for programs',
  async () => {
    const left = csv('l1,100,usd,2026-11-02', 'l2,100,usd,2026-11-02')
    folder.write('left.csv', left)
    folder.write(
      'right.csv',
      csv('r<1>,100,usd,2026-11-03', 'r2,100,usd,2026-11-02', 'r3,100,usd,2026-11-20'),
    )
    const ran = await folder.run('reconcile', 'left.csv', 'right.csv', '--out', 'choice')
    expect(ran.out).toContain(
      '  ambiguous  left.csv:2 l1 1.00 USD: could be any of 2 rows within 3 days, right.csv:3 r2, right.csv:2 r<1>\n',
    )
    const findings = folder
      .read('choice/findings.jsonl')
      .trimEnd()
      .split('\n')
      .map(line => JSON.parse(line) as Json)
    const of = (side: string) =>
      findings.find(finding => finding.side === side && finding.status === 'ambiguous')
    expect(of('left')?.candidates).toEqual([
      { side: 'right', row: 2, line: 3, id: 'r2' },
      { side: 'right', row: 1, line: 2, id: 'r<1>' },
    ])
    expect(of('right')?.candidates.map(({ row }: Json) => row)).toEqual([1, 2])
    expect(findings.find(({ status }) => status === 'unmatched')).not.toHaveProperty('candidates')
    expect(folder.read('choice/report.html')).toContain(
      'could be any of 2 rows within 3 days<span class="soft">in right.csv:</span><span class="candidate"><span class="soft">line 3</span> <span class="id">r2</span></span>',
    )
    const asked = await folder.run('reconcile', 'left.csv', 'right.csv', '--json')
    const [first] = (JSON.parse(asked.out) as Json).findings.filter(
      ({ status }: Json) => status === 'ambiguous',
    )
    expect(first.candidates.map(({ id }: Json) => id)).toEqual(['r2', 'r<1>'])
  },
  TEST_MS,
)

const ROW = { id: 'a', amount: 1, currency: 'usd', date: '2026-11-30' }
const SUSPENSE = { id: 'd-1', kind: 'suspense', left: [], right: [ROW] }
const CLEAR = { id: 'd-2', kind: 'clear', left: [], right: [ROW], clears: ['d-1'] }

test.each<[string, object[], RegExp]>([
  [
    'a row without a date and without its file',
    [{ ...SUSPENSE, right: [{ ...ROW, date: null }] }],
    /decisions\.jsonl:1: right\.0\.statement: a row without a date is known by its file: add "statement"/,
  ],
  [
    'too few digits of a file',
    [{ ...SUSPENSE, right: [{ ...ROW, statement: 'abc' }] }],
    /jsonl:1: right\.0\.statement: the first 12/,
  ],
  [
    'too many rows',
    [{ ...SUSPENSE, right: Array.from({ length: 10_001 }, () => ROW) }],
    /jsonl:1: right: a decision names at most 10000 rows/,
  ],
  ['a clear of nothing', [{ ...CLEAR, clears: [] }], /jsonl:1: clears: it names no decision/],
  [
    'a clear of what is not above it',
    [CLEAR],
    /jsonl:1: clears: no decision "d-1" of kind suspense stands above/,
  ],
  ['no row', [{ ...SUSPENSE, right: [] }], /jsonl:1: the decision: it names no row/],
  [
    'a withdrawal of what is not above it',
    [{ id: 'd-9', kind: 'withdraw', withdraws: 'd-1' }, SUSPENSE],
    /jsonl:1: withdraws: no decision "d-1" stands above/,
  ],
  [
    'a withdrawal of what another clears',
    [SUSPENSE, CLEAR, { id: 'd-9', kind: 'withdraw', withdraws: 'd-1' }],
    /jsonl:3: withdraws: "d-2" clears "d-1": withdraw that first/,
  ],
])(
  'a file of decisions with %s is refused with its line',
  async (_, lines, message) => {
    decisions(...lines)
    folder.write('left.csv', csv())
    folder.write('right.csv', csv())
    const ran = await folder.run(
      'reconcile',
      'left.csv',
      'right.csv',
      '--allow-empty',
      '--decisions',
      'decisions.jsonl',
    )
    expect([ran.code, ran.out]).toEqual([2, ''])
    expect(ran.err).toMatch(message)
  },
  TEST_MS,
)
