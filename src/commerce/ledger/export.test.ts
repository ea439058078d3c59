import { expect, test } from 'vitest'
import { type ExportPiece, exportBooks, exportHeader, exportLine, type ExportOptions } from './export.ts'
import { post, postByHand } from './post.ts'
import { newTenant, transferOf, useDatabase } from './testing.ts'

const db = useDatabase()

const LARGEST = 9_223_372_036_854_775_807n

async function exported(tenant: ReturnType<typeof newTenant>, options: ExportOptions) {
  const pieces: ExportPiece[] = []
  const count = await exportBooks(db(), tenant, options, async piece => void pieces.push(piece))
  const rows = pieces.flatMap(piece => piece.rows)
  expect(count).toBe(BigInt(rows.length))
  return rows
}

test('an export holds every transfer or every entry once, in the order of ids, of one tenant alone', async () => {
  const tenant = newTenant()
  const posts = Array.from({ length: 5_003 }, () => transferOf(tenant, { amount: 2n }))
  await post(db(), [...posts, transferOf(tenant, { kind: 'pending' })])
  await post(db(), [transferOf(newTenant())])
  const transfers = await exported(tenant, { what: 'transfers' })
  expect(transfers).toHaveLength(5_004)
  const ids = transfers.map(row => row.transfer_id as string)
  expect(ids).toEqual(ids.toSorted())
  expect(new Set(ids).size).toBe(5_004)
  const entries = await exported(tenant, { what: 'entries' })
  expect(entries).toHaveLength(10_006)
  const sum = (side: string) =>
    entries.reduce((all, row) => (row.side === side ? all + (row.amount as bigint) : all), 0n)
  expect([sum('debit'), sum('credit')]).toEqual([10_006n, 10_006n])
  expect(Object.keys(entries[0] ?? {}).join(',')).toBe(exportHeader('csv', 'entries').trim())
  expect(Object.keys(transfers[0] ?? {}).join(',')).toBe(exportHeader('csv', 'transfers').trim())
  expect(await exported(tenant, { what: 'entries' })).toEqual(entries)
})

test('an export is chosen by effective time and by ledger account', async () => {
  const tenant = newTenant()
  const at = (day: number) => new Date(Date.UTC(2026, 0, day))
  await post(
    db(),
    [1, 2, 3].map(day => transferOf(tenant, { effective_at: at(day), amount: BigInt(day) })),
  )
  const amounts = async (options: Partial<ExportOptions>) =>
    (await exported(tenant, { what: 'entries', ...options })).map(row => row.amount)
  expect(await amounts({ from: at(2), to: at(3) })).toEqual([2n, 2n])
  expect(await amounts({ from: at(3) })).toEqual([3n, 3n])
  const { id } = await db().one<{ id: string }>`
    select id from ledger_accounts where account_id = ${tenant.account_id} and code = 'merchant_pending'`
  expect(await amounts({ ledger_account_id: id })).toEqual([1n, 2n, 3n])
  await expect(amounts({ from: at(3), to: at(1) })).rejects.toThrow('"to" must not be before "from"')
})

test('amounts are exact at any size, in both formats', async () => {
  const tenant = newTenant()
  await post(db(), [transferOf(tenant, { amount: LARGEST })])
  const [row] = await exported(tenant, { what: 'entries' })
  expect(row).toBeDefined()
  if (row === undefined) return
  expect(exportLine('csv', row)).toContain(`,${LARGEST},${LARGEST},usd,`)
  expect(exportLine('jsonl', row)).toContain(`"amount":${LARGEST},"balance":${LARGEST}`)
})

test.each([
  ['plain', 'plain'],
  ['a, b', '"a, b"'],
  ['say "no"', '"say ""no"""'],
  ['two\nlines', '"two\nlines"'],
  ['=1+1', "'=1+1"],
  ['+1', "'+1"],
  ['-1', "'-1"],
  ['@sum(a1)', "'@sum(a1)"],
  ['\t=1', "'\t=1"],
  ['=a,"b"', '"\'=a,""b"""'],
])('a field of %j is written so that a spreadsheet reads it and runs nothing', (given, written) => {
  expect(exportLine('csv', { given, number: -5n, nothing: null })).toBe(`${written},-5,\r\n`)
})

test('reason and author of an adjustment are in the export', async () => {
  const tenant = newTenant()
  await postByHand(db(), [transferOf(tenant)], { reason: '=cmd()', author: 'Ada' })
  const [row] = await exported(tenant, { what: 'transfers' })
  expect(row).toMatchObject({ reason: '=cmd()', author: 'Ada' })
  expect(row && exportLine('csv', row).endsWith(",'=cmd(),Ada\r\n")).toBe(true)
})
