/** What was decided and found ambiguous before the tables that they are found by is found by them as well. */
import { cpSync, globSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { expect, test } from 'vitest'
import { migrate } from '#db/migrate'
import { testDatabase } from '#db/testing'

const PROJECT = join(import.meta.dirname, '..', '..')
const LAST_BEFORE = '0019'

const ACCOUNT = '01990000-0000-7000-8000-000000000001'
const [LEFT, RIGHT, RUN, DECISION, LATE] = ['a', 'b', 'c', 'd', 'e'].map(
  last => `01990000-0000-7000-8000-00000000001${last}`,
)

/** A run of two ambiguous rows against one that is carried and one of its statement, and a decision about others. */
const BEFORE = `
  insert into reconciliation_statements (
    account_id, livemode, id, name, source, format, sha256, content, rows, bad_rows, bad, controls, sums, created_at
  )
  select '${ACCOUNT}', false, id, 'side', 'file', 'csv', repeat('a', 64), repeat('b', 64), 2, 0, '[]', '[]', '[]', now()
  from unnest('{${LEFT},${RIGHT}}'::uuid[]) as id;
  insert into reconciliation_rows (account_id, livemode, statement_id, row, line, amount, date, currency, id)
  values
    ('${ACCOUNT}', false, '${LEFT}', 1, 2, 700, '2026-11-02', 'usd', 'x'),
    ('${ACCOUNT}', false, '${LEFT}', 2, 3, 700, '2026-11-02', 'usd', 'y'),
    ('${ACCOUNT}', false, '${RIGHT}', 1, 2, 700, '2026-11-03', 'usd', 'z');
  insert into reconciliation_runs (
    account_id, livemode, id, left_statement_id, right_statement_id, rules, rules_version, decision_ids, key, rows_total, created_at
  )
  values ('${ACCOUNT}', false, '${RUN}', '${LEFT}', '${RIGHT}', '{}', 1, '{}', 'key', 4, now());
  insert into reconciliation_carried_rows (account_id, livemode, run_id, side, row, line, amount, date, currency, id)
  values ('${ACCOUNT}', false, '${RUN}', 'right', 2, 9, 700, '2026-11-01', 'usd', 'w');
  insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group")
  values
    ('${ACCOUNT}', false, '${RUN}', 'left', 1, 'ambiguous', 'window', 'l1'),
    ('${ACCOUNT}', false, '${RUN}', 'left', 2, 'ambiguous', 'window', 'l2'),
    ('${ACCOUNT}', false, '${RUN}', 'right', 1, 'ambiguous', 'window', 'r1'),
    ('${ACCOUNT}', false, '${RUN}', 'right', 2, 'ambiguous', 'window', 'r2');
  insert into reconciliation_decisions (
    account_id, livemode, id, run_id, kind, "left", "right", author, reason, transfer_ids, created_at
  )
  values (
    '${ACCOUNT}', false, '${DECISION}', '${RUN}', 'write_off',
    '[{"id":"a b","amount":"1","currency":"usd","date":"2026-11-02"},{"id":"a b","amount":"1","currency":"usd","date":"2026-11-02"}]',
    '[{"id":"fee","amount":"-350","currency":"usd","date":null}]', 'Ada', 'Small.', '{}', now()
  );`

/** Another run of the same sides, as that version ends it. */
const PLACED_MEANWHILE = `
  insert into reconciliation_runs (
    account_id, livemode, id, left_statement_id, right_statement_id, rules, rules_version, decision_ids, key, rows_total, created_at
  )
  values ('${ACCOUNT}', false, '${LATE}', '${LEFT}', '${RIGHT}', '{}', 1, '{}', 'another', 3, now());
  insert into reconciliation_items (account_id, livemode, run_id, side, row, status, pass, "group")
  values
    ('${ACCOUNT}', false, '${LATE}', 'left', 1, 'ambiguous', 'window', 'l1'),
    ('${ACCOUNT}', false, '${LATE}', 'left', 2, 'ambiguous', 'window', 'l2'),
    ('${ACCOUNT}', false, '${LATE}', 'right', 1, 'ambiguous', 'window', 'r1');
  set role bursar_system;
  update reconciliation_runs
  set status = 'succeeded', stage = 'done', totals = '{}', is_clean = false, finished_at = now()
  where id = '${LATE}';
  reset role;`

test('decisions and ambiguous rows of the version before are found by name and by amount', async () => {
  const project = mkdtempSync(join(tmpdir(), 'bursar-before-'))
  const database = await testDatabase({ is_empty: true })
  const client = new pg.Client({ connectionString: database.url })
  try {
    mkdirSync(join(project, 'migrations'))
    for (const file of globSync('migrations/*.sql', { cwd: PROJECT })) {
      if (file.slice('migrations/'.length) < `${LAST_BEFORE}~`)
        cpSync(join(PROJECT, file), join(project, file))
    }
    await migrate({ url: database.url, project })
    await client.connect()
    await client.query(BEFORE)
    await migrate({ url: database.url })
    const names = await client.query(
      `select named.decision_id, asked.id
       from (values
         (1, 'left', 'a b', 1, date '2026-11-02'), (2, 'right', 'fee', -350, null), (3, 'right', 'a b', 1, date '2026-11-02')
       ) as asked (place, side, id, amount, date)
       left join reconciliation_named_rows named
         on named.name = reconciliation_name_of(asked.side, asked.id, asked.amount, 'usd', asked.date)
       order by asked.place`,
    )
    expect(names.rows).toEqual([
      { decision_id: DECISION, id: 'a b' },
      { decision_id: DECISION, id: 'fee' },
      { decision_id: null, id: 'a b' },
    ])
    const kept = await client.query(
      `select side, pass, currency, amount::integer, date::text, block, count, rows
       from reconciliation_ambiguous
       order by side, date`,
    )
    const alike = { pass: 'window', currency: 'usd', amount: 700, block: 0 }
    expect(kept.rows).toEqual([
      { side: 'left', ...alike, date: '2026-11-02', count: 2, rows: [1, 2] },
      { side: 'right', ...alike, date: '2026-11-01', count: 1, rows: [2] },
      { side: 'right', ...alike, date: '2026-11-03', count: 1, rows: [1] },
    ])
    // A worker of the version before was placing rows meanwhile: it ends a run of which none are kept.
    await client.query(PLACED_MEANWHILE)
    const late = await client.query(
      `select side, amount::integer, date::text, rows from reconciliation_ambiguous where run_id = '${LATE}' order by side`,
    )
    expect(late.rows).toEqual([
      { side: 'left', amount: 700, date: '2026-11-02', rows: [1, 2] },
      { side: 'right', amount: 700, date: '2026-11-03', rows: [1] },
    ])
  } finally {
    await client.end()
    await database.drop()
    rmSync(project, { recursive: true })
  }
})
