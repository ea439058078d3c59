/** Statements through the API: uploaded whole or not at all, cut from our own books, listed, deleted, and nobody else's. */
import { gzipSync } from 'node:zlib'
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startWorld, type TestAccount, type World } from '../support/testing.ts'

const PATH = '/v1/reconciliation_statements'

let world: World
let shop: TestAccount
beforeAll(async () => {
  world = await startWorld()
  shop = await world.account()
})
afterAll(() => world.close())

const upload = (file: string | Buffer, query = 'name=bank.csv', headers: Record<string, string> = {}) =>
  shop.api.upload(`${PATH}?${query}`, file, headers)

const rowsOf = (id: string) => world.db.many<{ row: number; id: string; amount: bigint; currency: string }>`
  select row, reconciliation_rows.id, amount, currency
  from reconciliation_rows
  join reconciliation_statements statement on statement.id = statement_id
  where statement.name = ${id}
  order by row`

test('a file becomes a statement: rows in their order, sums by currency, bad rows with their line, its hash', async () => {
  const { status, body } = await upload(
    'id,amount,currency\na,1000,usd\nb,x,usd\n"c ""q"" \\",-5,eur\nd,7,usd\n',
    'name=one.csv',
  )
  expect(status).toBe(200)
  expect(body).toMatchObject({
    object: 'reconciliation_statement',
    name: 'one.csv',
    source: 'file',
    format: 'csv',
    rows: 3,
    bad_rows: 1,
    bad: [{ line: 3 }],
    sums: [
      { currency: 'eur', rows: 1, amount: -5 },
      { currency: 'usd', rows: 2, amount: 1007 },
    ],
  })
  expect(body.sha256).toMatch(/^[0-9a-f]{64}$/)
  expect(await rowsOf('one.csv')).toEqual([
    { row: 1, id: 'a', amount: 1000n, currency: 'usd' },
    { row: 2, id: 'c "q" \\', amount: -5n, currency: 'eur' },
    { row: 3, id: 'd', amount: 7n, currency: 'usd' },
  ])
  expect((await shop.api.get(`${PATH}/${body.id}`)).body).toEqual(body)
})

test('thousands of rows arrive in their order, and what comes packed is unpacked', async () => {
  const rows = Array.from({ length: 12_345 }, (_, at) => `r${at},${at},usd`)
  const { body } = await upload(gzipSync(`id,amount,currency\n${rows.join('\n')}\n`), 'name=many.csv.gz', {
    'content-encoding': 'gzip',
  })
  expect(body).toMatchObject({ rows: 12_345, bad_rows: 0 })
  const kept = await rowsOf('many.csv.gz')
  expect(kept.every(({ id, amount }, at) => id === `r${at}` && amount === BigInt(at))).toBe(true)
  expect(kept).toHaveLength(12_345)
})

test('a mapping says how columns are meant, and what was used is shown', async () => {
  const mapping = {
    delimiter: ';',
    decimal: 'comma',
    columns: { id: ['Ref'], amount: 'Betrag', date: 'Tag' },
  }
  const query = `name=de.csv&currency=eur&mapping=${encodeURIComponent(JSON.stringify(mapping))}`
  const { body } = await upload('Tag;Ref;Betrag\n2026-11-02;x;1.234,50\n', query)
  expect(body).toMatchObject({
    rows: 1,
    sums: [{ currency: 'eur', amount: 123_450 }],
    mapping: { columns: { id: ['Ref'] } },
  })
  const totals = encodeURIComponent(JSON.stringify({ skips_totals: true }))
  const skipped = await upload(
    'Tag;Ref;Betrag EUR\n20.11.2026;x;1,50\nSumme;;1,50\n',
    `name=t&mapping=${totals}`,
  )
  expect(skipped.body).toMatchObject({
    rows: 1,
    bad_rows: 0,
    left_out: [{ what: 'total', entries: 1 }],
    mapping: { skips_totals: true },
  })
})

test('the same key and file answer the stored statement; another file under the key is a conflict', async () => {
  const headers = { 'idempotency-key': randomUUID() }
  const first = await upload('id,amount,currency\na,1,usd\n', 'name=k', headers)
  const again = await upload('id,amount,currency\na,1,usd\n', 'name=k', headers)
  expect(again.text).toBe(first.text)
  const other = await upload('id,amount,currency\na,2,usd\n', 'name=k', headers)
  expect([other.status, other.body.error.params]).toEqual([409, ['file']])
})

const cut = gzipSync(`id,amount,currency\n${'a,1,usd\n'.repeat(5_000)}`).subarray(0, 60)
const FILE = 'id,amount,currency\na,1,usd\n'
test.each<[string, string | Buffer, string, number, string, RegExp]>([
  ['an empty file', '', 'name=e', 400, 'reconciliation_statement_invalid', /^e: the file is empty/],
  ['columns alone', 'id,amount,currency\n', 'name=h', 400, 'reconciliation_statement_invalid', /^h/],
  [
    'an open quote at the end',
    'id,amount,currency\na,1,usd\n"b,2,usd\n',
    'name=q',
    400,
    'reconciliation_statement_invalid',
    /^q:3: /,
  ],
  ['a file that was cut while it was packed', cut, 'name=g', 400, 'reconciliation_statement_invalid', /^g/],
  [
    'a file of which no row can be read as it was said to be',
    'Ref,Amount\na,1.50\nb,2.50\n',
    `name=u&currency=eur&mapping=${encodeURIComponent('{"decimal":"minor"}')}`,
    400,
    'reconciliation_statement_invalid',
    /^u:2: none of 2 rows can be read, .*\. Send mapping=\{"decimal":"…"\}/,
  ],
  ['no name', FILE, '', 400, 'parameter_missing', /name/],
  ['a format that does not exist', FILE, 'name=f&format=pdf', 400, 'parameter_invalid', /format/],
  ['a currency that does not exist', FILE, 'name=f&currency=xxz', 400, 'currency_unknown', /currency/],
  ['a mapping that is no JSON', FILE, 'name=f&mapping=%7Bx', 400, 'parameter_invalid', /not valid JSON/],
  [
    'a mapping of something else',
    FILE,
    'name=f&mapping=%7B%22x%22%3A1%7D',
    400,
    'parameter_invalid',
    /mapping has no "x"/,
  ],
  [
    'a file that does not say its currency',
    'id,amount\na,1\n',
    'name=c',
    400,
    'reconciliation_statement_invalid',
    /^c:1: .*\. Send currency=eur, or mapping=\{"columns":\{"currency":"…"\}\}\.$/,
  ],
  ['an unknown parameter', FILE, 'name=f&shape=x', 400, 'parameter_unknown', /shape/],
])('%s is refused, and nothing is kept', async (_, file, query, status, code, message) => {
  const counted = () => world.db.one`
    select
      (select count(*) from reconciliation_rows) as rows, (select count(*) from reconciliation_statements) as statements,
      (select count(*) from idempotency_keys) as keys`
  const before = await counted()
  const refused = await upload(file, query)
  expect([refused.status, refused.body.error.code]).toEqual([status, code])
  expect(refused.body.error.message).toMatch(message)
  expect(await counted()).toEqual(before)
})

test("another account, the other mode and a key without the scope see nothing of an account's statements", async () => {
  const { body } = await upload(FILE, 'name=mine')
  const stranger = await world.account()
  expect((await stranger.api.get(`${PATH}/${body.id}`)).status).toBe(404)
  expect((await stranger.api.get(PATH)).body.data).toEqual([])
  expect((await stranger.api.delete(`${PATH}/${body.id}`)).status).toBe(404)
  const live = world.client(await world.key(shop, { kind: 'secret', livemode: true }))
  expect((await live.get(`${PATH}/${body.id}`)).status).toBe(404)
  const reader = world.client(
    await world.key(shop, { kind: 'restricted', scopes: ['reconciliation_statements:read'] }),
  )
  expect((await reader.get(`${PATH}/${body.id}`)).status).toBe(200)
  expect((await reader.upload(`${PATH}?name=x`, FILE)).body.error.code).toBe('scope_missing')
})

test('lists are newest first and of one name when asked; what is deleted is gone, and its rows with it', async () => {
  const first = await upload(FILE, 'name=listed')
  const second = await upload(FILE, 'name=listed')
  const list = async () => (await shop.api.get(`${PATH}?name=listed`)).body.data as { id: string }[]
  expect((await list()).map(({ id }) => id)).toEqual([second.body.id, first.body.id])
  expect((await shop.api.delete(`${PATH}/${first.body.id}`)).status).toBe(200)
  expect((await list()).map(({ id }) => id)).toEqual([second.body.id])
  expect((await shop.api.delete(`${PATH}/${first.body.id}`)).status).toBe(404)
  const [gone] = await world.db.many<{ id: string }>`
    select id from reconciliation_statements where deleted_at is not null`
  await expect(
    world.db.run`delete from reconciliation_rows where statement_id <> ${gone?.id}`,
  ).rejects.toThrow('immutable')
  await world.runJob('reconciliation.forget_statement', { ...shop, statement_id: gone?.id })
  const left = await world.db.one`
    select
      (select count(*) from reconciliation_rows where statement_id = ${gone?.id}) as rows,
      (select count(*) from reconciliation_statements where id = ${gone?.id}) as statements`
  expect(left).toEqual({ rows: 0n, statements: 0n })
})

test('a statement and its rows cannot be changed', async () => {
  await expect(world.db.run`update reconciliation_rows set amount = 1`).rejects.toThrow()
  await expect(world.db.run`update reconciliation_statements set name = 'x'`).rejects.toThrow()
})

test('a cut of the balance is in the words of the settlement file: each movement under one id, net of fees', async () => {
  const merchant = await world.account()
  const pay = async (body: object = {}) =>
    (
      await merchant.api.post('/v1/payment_intents', {
        amount: 10_000,
        currency: 'usd',
        payment_method_id: 'pm_card_bypassPending',
        confirm: true,
        ...body,
      })
    ).body
  const paid = await pay()
  const held = await pay({ capture_method: 'manual' })
  await merchant.api.post(`/v1/payment_intents/${held.id}/capture`, { amount_to_capture: 4_000 })
  await merchant.api.post('/v1/refunds', { payment_intent_id: paid.id, amount: 1_000 })
  await world.releaseFunds()
  await merchant.api.post('/v1/payouts', { amount: 500, currency: 'usd' })
  const ours = await merchant.api.post(`${PATH}/snapshot`, { name: 'ours', source: 'balance_transactions' })
  expect(ours.status).toBe(200)
  const csv = await (await fetch(`${world.simulator.url}/statement?format=csv`)).text()
  const theirs = await merchant.api.upload(`${PATH}?name=theirs`, csv)
  expect(theirs.body).toMatchObject({ mapping: { preset: 'simulator' }, bad_rows: 0, rows: 4 })
  expect(ours.body.sums).toEqual(theirs.body.sums)
  const sides = await world.db.many<{ name: string; said: string[] }>`
    select name, array_agg(concat_ws(' ', line.id, amount, currency, date) order by line.id) as said
    from reconciliation_statements statement
    join reconciliation_rows line on statement_id = statement.id
    where statement.account_id = ${merchant.account_id}
    group by name
    order by name`
  expect(sides[0]?.said).toEqual(sides[1]?.said)

  const books = await merchant.api.post(`${PATH}/snapshot`, {
    name: 'l',
    source: 'ledger',
    code: 'processor_clearing',
    from: '2026-01-01T00:00:00Z',
  })
  expect(books.body.rows).toBeGreaterThan(0)
  expect(books.body.selection).toMatchObject({ code: 'processor_clearing', from: '2026-01-01T00:00:00.000Z' })
  const nothing = await merchant.api.post(`${PATH}/snapshot`, {
    name: 'n',
    source: 'balance_transactions',
    currency: 'eur',
  })
  expect(nothing.body).toMatchObject({ rows: 0, sums: [] })
})

test('a file that is bad in its last line has not written its rows before', async () => {
  const size = () => world.db.one`select pg_relation_size('reconciliation_rows') as bytes`
  const before = await size()
  const rows = Array.from({ length: 20_000 }, (_, at) => `r${at},${at},usd`).join('\n')
  const { body } = await upload(`id,amount,currency\n${rows}\n"b,2,usd\n`)
  expect(body.error).toMatchObject({ code: 'reconciliation_statement_invalid', line: 20_002 })
  expect(await size()).toEqual(before)
})

test('entries of a bank statement that are not booked are no rows, and are told', async () => {
  const entry = (
    status: string,
  ) => `<Ntry><Amt Ccy="USD">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>${status}</Sts>
    <BookgDt><Dt>2026-11-20</Dt></BookgDt><AcctSvcrRef>${status}-1</AcctSvcrRef></Ntry>`
  const { body } = await upload(`<?xml version="1.0" encoding="UTF-8"?>
    <Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Id>S-1</Id>
    <Acct><Id><IBAN>XX00TEST0000000001</IBAN></Id><Ccy>USD</Ccy></Acct>
    ${entry('BOOK')}${entry('PDNG')}${entry('PDNG')}</Stmt></BkToCstmrStmt></Document>`)
  expect(body).toMatchObject({ rows: 1, bad_rows: 0, left_out: [{ what: 'pending', entries: 2 }] })
  expect((await shop.api.get(`${PATH}/${body.id}`)).body).toEqual(body)
})

test('what a statement stands for is its rows and the account they are of, not the bytes alone', async () => {
  const contents = async (name: string) =>
    (
      await world.db.many<{ content: string }>`
        select distinct content from reconciliation_statements where name = ${name}`
    ).length
  await upload(FILE, 'name=twice')
  await upload(FILE, 'name=twice')
  expect(await contents('twice')).toBe(1)
  // Pieces of many sizes: the packed file comes otherwise cut.
  const many = `id,amount,currency\n${Array.from({ length: 12_345 }, (_, at) => `r${at},${at},usd`).join('\n')}\n`
  await upload(many, 'name=packed')
  await upload(gzipSync(many), 'name=packed')
  expect(await contents('packed')).toBe(1)
  await upload(many.replace('r7,7', 'r7,8'), 'name=packed')
  await upload(many, 'name=packed&currency=eur')
  await upload(`${many}broken`, 'name=packed')
  expect(await contents('packed')).toBe(4)
  // Nothing moved on either: a run of one must not be answered for the other, whose differences post elsewhere.
  const empty = await world.account()
  for (const code of ['bank', 'processor_clearing']) {
    const cut = await empty.api.post(`${PATH}/snapshot`, { name: 'idle', source: 'ledger', code })
    expect(cut.body).toMatchObject({ rows: 0 })
  }
  expect(await contents('idle')).toBe(2)
})

test.each([
  [{ source: 'ledger' }, 'parameter_missing', 'ledger_account_id'],
  [{ source: 'payouts', code: 'bank' }, 'parameter_invalid', 'code'],
  [{ source: 'books' }, 'parameter_invalid', 'source'],
  [{ source: 'payouts', currency: 'xxz' }, 'currency_unknown', 'currency'],
  [
    { source: 'payouts', from: '2026-02-01T00:00:00Z', to: '2026-01-01T00:00:00Z' },
    'parameter_invalid',
    'to',
  ],
  [
    { source: 'ledger', ledger_account_id: 'la_01jd3x0yfae4qa9vrf2kz5m8wt' },
    'resource_missing',
    'ledger_account_id',
  ],
])('a cut that cannot be is refused: %j', async (wanted, code, param) => {
  const { body } = await shop.api.post(`${PATH}/snapshot`, { name: 'x', ...wanted })
  expect([body.error.code, body.error.param]).toEqual([code, param])
})
