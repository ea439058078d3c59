import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { migrate, pendingMigrations } from './migrate.ts'
import { type TestDatabase, testDatabase } from './testing.ts'

let database: TestDatabase
let project: string

beforeEach(async () => {
  database = await testDatabase({ is_empty: true })
  project = mkdtempSync(join(tmpdir(), 'bursar-migrations-'))
  mkdirSync(join(project, 'migrations'))
  mkdirSync(join(project, 'src', 'shop'), { recursive: true })
  write('migrations/0001_fruits.sql', 'create table fruits (id integer primary key, name text);')
  write('src/shop/count.sql', definition('count(*)'))
})

afterEach(async () => {
  rmSync(project, { recursive: true })
  await database.drop()
})

const write = (path: string, sql: string) => writeFileSync(join(project, path), sql)
const definition = (what: string) =>
  `create or replace function fruit_count() returns bigint language sql as 'select ${what} from fruits';`
const run = () => migrate({ url: database.url, project })

async function ask(query: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    return (await client.query(query)).rows
  } finally {
    await client.end()
  }
}

describe('migrate', () => {
  test('applies what is missing in order, and nothing the second time', async () => {
    expect(await pendingMigrations(database.url, project)).toEqual(['0001_fruits.sql', 'src/shop/count.sql'])
    expect(await run()).toEqual({ applied: ['0001_fruits.sql', 'src/shop/count.sql'], version: 1 })
    expect(await run()).toEqual({ applied: [], version: 1 })
    expect(await pendingMigrations(database.url, project)).toEqual([])
  })

  test('applies a definition again when it changed, and only that', async () => {
    await run()
    write('src/shop/count.sql', definition('count(*) + 1'))
    expect((await run()).applied).toEqual(['src/shop/count.sql'])
    expect(await ask('select fruit_count() as n')).toEqual([{ n: '1' }])
  })

  test('several at once apply each migration once', async () => {
    write('migrations/0002_apples.sql', `insert into fruits values (1, 'apple');`)
    const results = await Promise.all(Array.from({ length: 5 }, run))
    expect(results.flatMap(result => result.applied).length).toBe(3)
    expect(await ask('select name from fruits')).toEqual([{ name: 'apple' }])
  })

  test('a migration that fails leaves nothing behind and says where', async () => {
    write('migrations/0002_bad.sql', `create table half (id integer);\n\nselect nonsense;`)
    await expect(run()).rejects.toThrow(
      'migration 0002_bad.sql failed at line 3: column "nonsense" does not exist',
    )
    expect(await ask(`select to_regclass('half') as half`)).toEqual([{ half: null }])
    expect(await pendingMigrations(database.url, project)).toContain('0002_bad.sql')
  })

  test('refuses a migration that was edited after it had been applied', async () => {
    await run()
    write('migrations/0001_fruits.sql', 'create table fruits (id bigint);')
    await expect(run()).rejects.toThrow('migration 0001_fruits.sql was edited after it had been applied')
  })

  test('does not mind other line ends', async () => {
    write('migrations/0001_fruits.sql', 'create table fruits\n(id integer);\n')
    await run()
    write('migrations/0001_fruits.sql', 'create table fruits\r\n(id integer);\r\n')
    expect((await run()).applied).toEqual([])
  })

  test('refuses a database that is newer than the code, and one whose migration is missing', async () => {
    write('migrations/0002_apples.sql', 'select 1;')
    write('migrations/0003_pears.sql', 'select 1;')
    await run()
    const complete = `${project}-complete`
    cpSync(project, complete, { recursive: true })
    rmSync(join(project, 'migrations/0003_pears.sql'))
    await expect(run()).rejects.toThrow(
      'the database is newer than this version of Bursar: it has migration 0003_pears',
    )
    cpSync(complete, project, { recursive: true })
    rmSync(join(project, 'migrations/0002_apples.sql'))
    await expect(run()).rejects.toThrow(
      'migration 0002_apples.sql was applied to this database and is missing here',
    )
    rmSync(complete, { recursive: true })
  })

  test('refuses a new migration numbered below an applied one, and two of one number', async () => {
    write('migrations/0003_pears.sql', 'select 1;')
    await run()
    write('migrations/0002_late.sql', 'select 1;')
    await expect(run()).rejects.toThrow('migration 0002_late.sql is numbered below 3')
    write('migrations/0003_plums.sql', 'select 1;')
    await expect(run()).rejects.toThrow(
      'two migrations have the same number: 0003_pears.sql and 0003_plums.sql',
    )
  })

  test('makes the roles and lets the owner take them on', async () => {
    await run()
    expect(
      await ask(
        `select set_config('role', role, true) as role from unnest(array['bursar_app', 'bursar_system']) role`,
      ),
    ).toEqual([{ role: 'bursar_app' }, { role: 'bursar_system' }])
  })

  test('an owner who is no superuser can migrate, when it may make roles', async () => {
    await ask(`
      drop role if exists modest_owner;
      create role modest_owner login createrole password 'modest';
      do $$ begin execute format('alter database %I owner to modest_owner', current_database()); end $$;`)
    const modest = new URL(database.url)
    modest.username = 'modest_owner'
    modest.password = 'modest'
    // The roles exist already on this server and belong to another, who has to let this one give them.
    await ask('grant bursar_app, bursar_system to modest_owner with admin option')
    await migrate({ url: modest.href, project })
    const client = new pg.Client({ connectionString: modest.href })
    await client.connect()
    await client.query('set role bursar_app')
    const answer = await client.query('select session_user, current_user')
    expect(answer.rows).toEqual([{ session_user: 'modest_owner', current_user: 'bursar_app' }])
    await client.end()
    await ask(`
      do $$ begin execute format('alter database %I owner to current_user', current_database()); end $$;
      drop owned by modest_owner cascade;
      drop role modest_owner;`)
  })
})
