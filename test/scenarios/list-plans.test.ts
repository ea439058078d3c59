/**
 * Every list, with every combination of its filters, costs what a page costs and not what the table holds. The SQL is
 * what the API really sends, caught at the driver; its plan is the generic one that the API's connections keep.
 *
 * @every-postgresql plans differ between planners.
 */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { encodeId } from '#kernel'
import { writePast } from '../../bench/lib/many-rows.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'
import { deliverPast } from '../support/webhook-past.ts'

const PAYMENTS = 20_000
/** Another account's rows, older than all of ours: a plan that walks ids without the account would meet them. */
const STRANGERS = 5_000

/** Pages (8 kB) that one list request may touch: 21 rows, each by a look-up of some levels, and the index's own. */
const PAGES_MOST = 250

interface Sent {
  text: string
  values: unknown[]
}

interface Node {
  'Node Type': string
  'Relation Name'?: string
  'Index Name'?: string
  'Index Cond'?: string
  Filter?: string
  'Rows Removed by Filter'?: number
  'Actual Rows'?: number
  'Shared Hit Blocks'?: number
  'Shared Read Blocks'?: number
  Plans?: Node[]
}

let world: World
let account: TestAccount
let sent: Sent[] = []
let planner: pg.Client

beforeAll(async () => {
  world = await startWorld({ has_invented_events: true })
  account = await world.account()
  const stranger = await world.account()
  const owner = new pg.Client({ connectionString: world.url })
  await owner.connect()
  try {
    await writePast(owner, { account_id: account.account_id, payments: PAYMENTS, customers: 500, days: 5 })
    await writePast(owner, { account_id: stranger.account_id, payments: STRANGERS, customers: 100, days: 9 })
    await openAccounts(owner)
    await deliverPast(owner)
  } finally {
    await owner.end()
  }
  const query = Reflect.get(pg.Client.prototype, 'query') as (...args: unknown[]) => unknown
  vi.spyOn(pg.Client.prototype, 'query').mockImplementation(function (this: pg.Client, ...args: unknown[]) {
    const [statement] = args as [Partial<Sent>]
    if (this !== planner && typeof statement.text === 'string') {
      sent.push({ text: statement.text, values: statement.values ?? [] })
    }
    return query.apply(this, args) as never
  })
  planner = new pg.Client({
    connectionString: world.url,
    options: '-c role=bursar_system -c jit=off -c plan_cache_mode=force_generic_plan',
  })
  await planner.connect()
})

/** Ledger accounts of many customers, as invoices would open them. */
async function openAccounts(owner: pg.Client): Promise<void> {
  await owner.query(`
    insert into ledger_accounts (account_id, livemode, id, code, owner_id, currency, kind, normal_side, created_at)
    select account_id, livemode, overlay(id::text placing last from 36)::uuid, code, id, currency, kind::ledger_account_kind,
      side::ledger_side, created_at
    from customers
    cross join (values
      ('receivables', 'usd', 'asset', 'debit', '0'),
      ('receivables', 'eur', 'asset', 'debit', '1'),
      ('customer_credit', 'usd', 'liability', 'credit', '2')
    ) as opened (code, currency, kind, side, last)`)
  await owner.query('vacuum analyze ledger_accounts')
}

afterAll(async () => {
  vi.restoreAllMocks()
  await planner.end()
  await world.close()
})

/** What one request sends, in order, and its answer. */
async function caught(path: string): Promise<{ body: Json; statements: Sent[] }> {
  sent = []
  const reply = await account.api.get(path)
  expect(reply.status, reply.text).toBe(200)
  return { body: reply.body, statements: sent }
}

/** The caller's key is looked up again every five seconds, whatever is asked. */
const isRead = ({ text }: Sent) =>
  /^\s*select\b/.test(text) && !text.includes('set_config') && !text.includes('from api_keys')

const literal = (value: unknown): string => {
  if (value === null || value === undefined) return 'null'
  if (Array.isArray(value)) return `'{${value.join(',')}}'`
  return `'${String(value as string | number | bigint | boolean).replaceAll("'", "''")}'`
}

/** The plan of a statement as the API's connections have it: prepared, generic, run as the tenant. */
async function planOf(statement: Sent): Promise<Node> {
  await planner.query('begin')
  try {
    await planner.query(
      `select set_config('role', 'bursar_app', true), set_config('bursar.account_id', $1, true),
        set_config('bursar.livemode', 'false', true)`,
      [account.account_id],
    )
    await planner.query(`prepare list as ${statement.text}`)
    const values = statement.values.length === 0 ? '' : `(${statement.values.map(literal).join(', ')})`
    const { rows } = await planner.query<{ 'QUERY PLAN': { Plan: Node }[] }>(
      `explain (analyze, buffers, timing off, format json) execute list${values}`,
    )
    return rows[0]!['QUERY PLAN'][0]!.Plan
  } finally {
    await planner.query('rollback')
    await planner.query('deallocate all')
  }
}

const nodesOf = (node: Node): Node[] => [node, ...(node.Plans ?? []).flatMap(nodesOf)]
/** A plan as a person reads it, for the message of a failure. */
const outline = (node: Node, depth = 0): string =>
  [
    `${'  '.repeat(depth)}${node['Node Type']} ${node['Index Name'] ?? node['Relation Name'] ?? ''}`,
    `rows ${node['Actual Rows']}, filter ${node.Filter ?? '-'}, removed ${node['Rows Removed by Filter'] ?? 0}`,
    `pages ${(node['Shared Hit Blocks'] ?? 0) + (node['Shared Read Blocks'] ?? 0)}`,
    ...(node.Plans ?? []).map(child => `\n${outline(child, depth + 1)}`),
  ].join(' | ')

/** Pages that it touched. */
const pagesOf = (plan: Node) => (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0)

const kinds = (nodes: Node[]) => nodes.map(node => node['Node Type'])

/**
 * Combinations in which one filter names an object that has a few rows at most: those are read by that filter's index,
 * and the other filter looks at the rows. A wider index would cost every write more than it saves these reads.
 */
const FEW_ROWS: Record<string, string> = {
  'refunds by payment_intent_id and charge_id': 'refunds_by_',
  'orphan_captures by payment_intent_id and status': 'orphan_captures_by_',
  'disputes by charge_id and payment_intent_id': 'disputes_by_',
  'disputes by charge_id and status': 'disputes_by_',
  'disputes by payment_intent_id and status': 'disputes_by_',
  'disputes by charge_id and payment_intent_id and status': 'disputes_by_',
  // Only what is open can be asked for by its state: an index that holds nothing else is read, and its rows.
  'payment_attempts by state': 'payment_attempts_open',
  'payment_attempts by unresolved and state': 'payment_attempts_open',
  'payment_attempts by payment_intent_id and unresolved': 'payment_attempts_',
  'payment_attempts by payment_intent_id and state': 'payment_attempts_',
  'payment_attempts by payment_intent_id and unresolved and state': 'payment_attempts_',
  'events by type and object_id': 'object_id_id_idx',
  // Fifty of an account at most.
  'webhook_endpoints by nothing': 'webhook_endpoints_pkey',
  // One filter's index is read in the order of the list, up to a page's worth of rows; what waits is looked through by id.
  ...Object.fromEntries(
    [
      'endpoint_id',
      'event_id',
      'endpoint_id and event_id',
      'event_type',
      'endpoint_id and event_type',
      'event_id and event_type',
      'endpoint_id and event_id and event_type',
      'event_id and status',
      'endpoint_id and event_id and status',
      'event_type and status',
      'endpoint_id and event_type and status',
      'event_id and event_type and status',
      'endpoint_id and event_id and event_type and status',
    ].map(filters => [`webhook_deliveries by ${filters}`, 'webhook_']),
  ),
  ...Object.fromEntries(
    ['code and ', 'currency and ', 'code and currency and '].map(others => [
      `ledger/accounts by ${others}owner_id`,
      'ledger_accounts_by_owner',
    ]),
  ),
  'ledger/transfers by pending_id': 'ledger_transfers_resolution',
  'ledger/transfers by pending_id and adjustments_only': 'ledger_transfers_resolution',
}

function expectFewRowsPlan(plan: Node, index: string): void {
  const shown = outline(plan)
  const page = nodesOf(plan).find(node => node['Node Type'] === 'Limit')
  // No day that is asked for has a row of this event: nothing is read.
  if (pagesOf(plan) === 0) return
  const scans = nodesOf(page as Node).filter(node => node['Index Name'] !== undefined)
  expect(scans.length, shown).toBeGreaterThan(0)
  for (const scan of scans) expect(scan['Index Name'], shown).toContain(index)
  expect(kinds(nodesOf(plan)), shown).not.toContain('Seq Scan')
}

/** The page of ids is read from an index alone, in order; the rows are fetched by their ids; nothing is read whole. */
function expectPagePlan(plan: Node): void {
  const shown = outline(plan)
  const all = nodesOf(plan)
  const page = all.find(node => node['Node Type'] === 'Limit')
  expect(page, shown).toBeDefined()
  const of_page = nodesOf(page as Node)
  const scans = of_page.filter(
    node => node['Node Type'].includes('Scan') && node['Relation Name'] !== undefined,
  )
  expect(new Set(kinds(scans)), shown).toEqual(new Set(['Index Only Scan']))
  expect(kinds(of_page), shown).not.toContain('Sort')
  expect(kinds(all), shown).not.toContain('Seq Scan')
  expect((plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0), shown).toBeLessThan(PAGES_MOST)
}

/** Filters by name; each list is asked with every combination of its own. */
const combinations = <T>(all: readonly T[]): T[][] =>
  all.reduce<T[][]>((sets, one) => [...sets, ...sets.map(set => [...set, one])], [[]])

/** The filters of each list, and where a value that matches many rows is found. */
const LISTS: Record<string, Record<string, (some: Json) => string>> = {
  payment_intents: {
    customer_id: some => some.intent.customer_id,
    status: () => 'succeeded',
  },
  charges: {
    payment_intent_id: some => some.intent.id,
    customer_id: some => some.intent.customer_id,
  },
  refunds: {
    payment_intent_id: some => some.refund.payment_intent_id,
    charge_id: some => some.refund.charge_id,
  },
  disputes: {
    charge_id: some => some.dispute.charge_id,
    payment_intent_id: some => some.dispute.payment_intent_id,
    status: () => 'lost',
  },
  payouts: { status: () => 'paid' },
  payment_attempts: {
    payment_intent_id: some => some.intent.id,
    unresolved: () => 'true',
    state: () => 'unknown',
  },
  orphan_captures: {
    payment_intent_id: some => some.intent.id,
    status: () => 'pending',
  },
  payment_methods: { customer_id: some => some.method.customer_id },
  customers: {},
  balance_transactions: { source_id: some => some.charge.id },
  'ledger/accounts': {
    code: () => 'merchant_pending',
    currency: () => 'usd',
    owner_id: some => some.owner_id,
  },
  'ledger/transfers': { pending_id: some => some.pending_id, adjustments_only: () => 'true' },
  'ledger/acts': {},
  events: {
    type: () => 'charge.succeeded',
    object_id: some => some.intent.id,
  },
  webhook_endpoints: {},
  webhook_deliveries: {
    endpoint_id: some => some.delivery.endpoint_id,
    event_id: some => some.delivery.event_id,
    event_type: () => 'charge.succeeded',
    status: () => 'dead',
  },
  webhook_replays: { endpoint_id: some => some.replay.endpoint_id },
  request_logs: {
    route: () => '/v1/payment_intents',
    status: () => '409',
    error_code: () => 'idempotency_conflict',
    api_key_id: some => some.request.api_key_id,
  },
}

const CREATED = {
  'without a time': '',
  'since a time': `&created_at[gte]=${new Date(Date.now() - 3 * 86_400_000).toISOString()}`,
  'within a day': `&created_at[gt]=${new Date(Date.now() - 3 * 86_400_000).toISOString()}&created_at[lt]=${new Date(Date.now() - 2 * 86_400_000).toISOString()}`,
}

/** Asked for once: nothing is written any more. */
let found: Promise<Json> | undefined
const some = (): Promise<Json> => (found ??= findSome())

async function findSome(): Promise<Json> {
  const first = async (path: string, wanted: (item: Json) => boolean = () => true) =>
    (await account.api.get(path)).body.data.find(wanted)
  const intent = await first(
    '/v1/payment_intents?limit=50',
    item => item.customer_id && item.status === 'succeeded',
  )
  return {
    intent,
    charge: await first('/v1/charges'),
    refund: await first('/v1/refunds'),
    dispute: await first('/v1/disputes'),
    method: await first('/v1/payment_methods?limit=50', item => item.customer_id),
    pending_id: (await first('/v1/ledger/transfers?limit=50', item => item.pending_id)).pending_id,
    owner_id: intent.customer_id,
    request: await first('/v1/request_logs?status=409'),
    delivery: await first('/v1/webhook_deliveries?status=succeeded'),
    replay: await first('/v1/webhook_replays'),
  }
}

const cases = Object.entries(LISTS).flatMap(([list, filters]) =>
  combinations(Object.keys(filters)).map(names => ({ list, names, by: names.join(' and ') || 'nothing' })),
)

describe('a page of ids comes from an index alone', () => {
  test.each(cases)('$list by $by', async ({ list, names, by }) => {
    const few_rows_index = FEW_ROWS[`${list} by ${by}`]
    const values = await some()
    const filters = names.map(name => `&${name}=${encodeURIComponent(LISTS[list]![name]!(values))}`).join('')
    for (const range of Object.values(CREATED)) {
      const path = `/v1/${list}?limit=20${filters}${range}`
      const first = await caught(path)
      const pages = [first]
      if (first.body.next_cursor !== null) {
        const second = await caught(`${path}&cursor=${first.body.next_cursor}`)
        pages.push(second, await caught(`${path}&cursor=${second.body.prev_cursor}`))
      }
      for (const { statements } of pages) {
        const reads = statements.filter(isRead)
        expect(reads.length).toBe(1)
        const plan = await planOf(reads[0] as Sent)
        if (few_rows_index === undefined) expectPagePlan(plan)
        else expectFewRowsPlan(plan, few_rows_index)
      }
    }
  })

  test('a customer is found by address without reading the others', async () => {
    const { body } = await account.api.get('/v1/customers?limit=1')
    const { statements } = await caught(`/v1/customers?email=${body.data[0].email}`)
    const plan = await planOf(statements.find(isRead) as Sent)
    // At most one row matches, by the unique index on the address, so its order needs no index.
    expect(
      nodesOf(plan).map(node => node['Index Name']),
      outline(plan),
    ).toContain('customers_email_is_unique')
    expect(kinds(nodesOf(plan))).not.toContain('Seq Scan')
  })

  test('the uses of an Idempotency-Key are found without reading the others', async () => {
    const { request } = await some()
    const { statements, body } = await caught(`/v1/request_logs?idempotency_key=${request.idempotency_key}`)
    expect(body.data.map((row: Json) => row.id)).toContain(request.id)
    expectFewRowsPlan(await planOf(statements.find(isRead) as Sent), 'idempotency_key')
  })

  test('a failure that never happened is looked for among failures, not among all requests', async () => {
    for (const filter of ['error_code=lock_timeout', 'status=503', 'status_class=5xx']) {
      const { statements, body } = await caught(`/v1/request_logs?${filter}`)
      expect(body.data).toEqual([])
      const plan = await planOf(statements.find(isRead) as Sent)
      expectPagePlan(plan)
      expect(
        (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0),
        outline(plan),
      ).toBeLessThan(50)
    }
  })

  test('the checks would notice a list that reads its table or sorts', async () => {
    const plan = await planOf({
      text: 'select id from payment_intents where amount > $1::bigint order by amount limit 20',
      values: [0],
    })
    expect(() => expectPagePlan(plan)).toThrow()
  })
})

describe('a list request asks once, and once more for each expansion', () => {
  /** By the request's own count in its log line: the pool serves others meanwhile, and looks keys up again. */
  async function trips(path: string): Promise<{ round_trips: number; reads: number }> {
    const before = world.lines.length
    const { statements } = await caught(path)
    const counted = world.lines
      .slice(before)
      .map(line => JSON.parse(line) as { round_trips?: number })
      .filter(line => line.round_trips !== undefined)
    expect(counted).toHaveLength(1)
    return { round_trips: counted[0]?.round_trips ?? 0, reads: statements.filter(isRead).length }
  }

  test.each([
    ['/v1/payment_intents?limit=100', 0],
    ['/v1/payment_intents?limit=100&expand[]=customer', 1],
    ['/v1/payment_intents?limit=100&expand[]=customer&expand[]=latest_charge', 2],
    ['/v1/payment_intents?limit=100&expand[]=latest_charge.balance_transaction', 2],
    ['/v1/charges?limit=100&expand[]=payment_intent', 1],
    ['/v1/events?limit=100', 0],
  ])('%s', async (path, expansions) => {
    await caught(path)
    const { reads, round_trips } = await trips(path)
    expect(reads).toBe(1 + expansions)
    // The transaction's beginning travels with its first question; its end is one more message each.
    expect(round_trips).toBeLessThanOrEqual(2 * (1 + expansions))
  })
})

describe('deep in the list', () => {
  test('the last page costs what the first costs', async () => {
    const oldest = encodeId('pi_', (await oldestIntent()).id)
    const before = (await account.api.get(`/v1/payment_intents/${oldest}`)).body.created_at
    const near = new Date(Date.parse(before) + 60_000).toISOString()
    const { statements, body } = await caught(`/v1/payment_intents?created_at[lt]=${near}&limit=2`)
    expect(body.data.length).toBeGreaterThan(0)
    expectPagePlan(await planOf(statements.find(isRead) as Sent))
  })

  const oldestIntent = () => world.db.one<{ id: string }>`
    select id
    from payment_intents
    where account_id = ${account.account_id} and livemode = false
    order by id
    limit 1`
})
