/** Two files of rows in random order that differ in one row of a hundred; the same whenever they are made. */
import { DuckDBInstance } from '@duckdb/node-api'

/** Of three hundred rows one is missing, one has another amount, and one is of the other side alone. */
export async function writeFiles(rows: number, left: string, right: string): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { memory_limit: '1GB' })
  const connection = await instance.connect()
  const said = `'pay_' || printf('%012d', i) as id, (hash(i) % 1000000)::bigint + 1 as amount, 'usd' as currency`
  const to = (path: string) => `to '${path}' (format csv, header, quote '')`
  await connection.run(`
    copy (select id, amount, currency from (select ${said}, i from range(${rows}) t(i)) order by hash(i * 7 + 1))
    ${to(left)}`)
  await connection.run(`
    copy (
      select id, amount, currency from (
        select id, case when hash(i + 3) % 300 = 0 then amount + 7 else amount end as amount, currency, i
        from (select ${said}, i from range(${rows}) t(i)) where hash(i + 2) % 300 <> 0
        union all
        select 'extra_' || id, amount, currency, i
        from (select ${said}, i from range(${rows}) t(i)) where hash(i + 1) % 300 = 0
      ) order by hash(i * 11 + 5)
    ) ${to(right)}`)
  connection.closeSync()
  instance.closeSync()
}
