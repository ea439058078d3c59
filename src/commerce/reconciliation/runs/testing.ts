/** For tests of runs: statements and runs of an account of their own, made and worked off without the API. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll } from 'vitest'
import { type Database, openDatabase } from '#db'
import { type TestDatabase, testDatabase } from '#db/testing'
import { createAccount } from '#http'
import { newId, systemClock, type Tenant } from '#kernel'
import type { Decision } from '../decision.ts'
import type { Home } from '../home.ts'
import type { Line, Side } from '../line.ts'
import type { Rules } from '../rules.ts'
import { insertStatement, RowKeeper } from '../statements/keep.ts'
import { workStage } from './work.ts'

export interface AskedRun {
  left: readonly Line[]
  right: readonly Line[]
  rules: Rules
  decisions: readonly Decision[]
  carry_from?: string
}

export interface TestRuns {
  db: Database
  url: string
  tenant: Tenant
  /** Keeps both sides, and the run as `POST` does. */
  ask(asked: AskedRun): Promise<string>
  /** To the end; answers where each row ended. */
  work(run_id: string): Promise<Record<Side, Home[]>>
}

/** Registers its own beginning and end with the test file. */
export function useRuns(): TestRuns {
  let database: TestDatabase
  const opened = {} as { db: Database; url: string; tenant: Tenant }
  beforeAll(async () => {
    database = await testDatabase()
    opened.url = database.url
    opened.db = openDatabase({ url: database.url })
    const { id } = await createAccount(opened.db, systemClock, { name: 'A shop' })
    opened.tenant = { account_id: id, livemode: false }
  })
  afterAll(async () => {
    await opened.db.close()
    await database.drop()
  })
  return {
    get db() {
      return opened.db
    },
    get url() {
      return opened.url
    },
    get tenant() {
      return opened.tenant
    },
    ask: asked => ask(opened.db, opened.tenant, asked),
    work: run_id => work(opened.db, opened.tenant, run_id),
  }
}

const anyHash = () => `${randomUUID()}${randomUUID()}`.replaceAll('-', '')

const keep = (db: Database, tenant: Tenant, lines: readonly Line[]): Promise<string> =>
  db.transaction(async tx => {
    const id = newId(systemClock.now())
    const keeper = new RowKeeper(tx, tenant, id)
    await keeper.take(lines)
    const { rows, sums } = await keeper.finish()
    await insertStatement(tx, {
      ...tenant,
      id,
      name: 'side',
      source: 'file',
      format: 'csv',
      mapping: null,
      selection: null,
      sha256: anyHash(),
      content: anyHash(),
      bytes: 1n,
      rows,
      bad_rows: 0,
      bad: [],
      left_out: [],
      controls: [],
      sums,
      created_at: systemClock.now(),
    })
    return id
  })

const storedName = ({ amount, ...name }: Decision['left'][number]) => ({ ...name, amount: String(amount) })

/** Decisions belong to a run; this one is of no further interest. */
async function keepDecisions(
  db: Database,
  tenant: Tenant,
  run_id: string,
  decisions: readonly Decision[],
): Promise<void> {
  for (const { id, kind, left, right, author, reason } of decisions) {
    await db.run`
      insert into reconciliation_decisions (
        account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
      )
      values (
        ${tenant.account_id}, ${tenant.livemode}, ${id}, ${run_id}, ${kind},
        ${JSON.stringify(left.map(storedName))}::jsonb, ${JSON.stringify(right.map(storedName))}::jsonb, ${author},
        ${reason}, '{}', now()
      )`
  }
}

async function ask(
  db: Database,
  tenant: Tenant,
  { left, right, rules, decisions, carry_from }: AskedRun,
): Promise<string> {
  const left_id = await keep(db, tenant, left)
  const right_id = await keep(db, tenant, right)
  const stored = JSON.stringify({
    ...rules,
    tolerance: { ...rules.tolerance, amount: String(rules.tolerance.amount) },
  })
  const insert = (id: string, decision_ids: string[], earlier: string | null) => db.run`
    insert into reconciliation_runs (
      account_id, livemode, id, left_statement_id, right_statement_id, carry_from, rules, rules_version, decision_ids,
      key, rows_total, created_at
    )
    values (
      ${tenant.account_id}, ${tenant.livemode}, ${id}, ${left_id}, ${right_id}, ${earlier}, ${stored}::jsonb, 1,
      ${decision_ids}::uuid[], ${anyHash()}, ${left.length + right.length}, now()
    )`
  if (decisions.length > 0) {
    const decided_in = newId(systemClock.now())
    await insert(decided_in, [], null)
    await keepDecisions(db, tenant, decided_in, decisions)
  }
  const id = newId(systemClock.now())
  await insert(
    id,
    decisions.map(decision => decision.id),
    carry_from ?? null,
  )
  return id
}

async function work(db: Database, tenant: Tenant, run_id: string): Promise<Record<Side, Home[]>> {
  while ((await workStage(db, systemClock, { ...tenant, run_id })) !== 'done');
  const items = await db.many<Home>`
    select side, row, status, pass, "group", reason, decision_id
    from reconciliation_items
    where account_id = ${tenant.account_id} and livemode = ${tenant.livemode} and run_id = ${run_id}
    union all
    select pair.side, entry.row, 'matched', 'id', 'l' || case pair.side when 'left' then entry.row else entry.partner end,
      null, null
    from reconciliation_pairs pair
    cross join unnest(pair.rows, pair.partners) as entry (row, partner)
    where pair.account_id = ${tenant.account_id} and pair.livemode = ${tenant.livemode} and pair.run_id = ${run_id}
    order by side, row`
  return {
    left: items.filter(({ side }) => side === 'left'),
    right: items.filter(({ side }) => side === 'right'),
  }
}
