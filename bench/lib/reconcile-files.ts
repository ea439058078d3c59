/** Two files of rows in random order; the same whenever they are made. */
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api'

async function withDuck(work: (connection: DuckDBConnection) => Promise<unknown>): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { memory_limit: '1GB' })
  const connection = await instance.connect()
  await work(connection)
  connection.closeSync()
  instance.closeSync()
}

/**
 * Two sides without one common id, which is what costs most of each row: nothing agrees at once, so that all go through
 * every pass. `near`: the same amounts and days, so that rows match by date. `texts`: other amounts, and texts of 70
 * letters on each of what are findings then. `alike`: one amount and one day, so that each could be any.
 */
export const SHAPES = {
  near: ['(hash(i) % 1000000)::bigint + 1', 'day', "''"],
  texts: [
    '(hash(i, side) % 1000000)::bigint + 1',
    'day',
    "'invoice ' || hash(i + 5) || ' of customer ' || hash(i + 6)",
  ],
  alike: ['100', "'2026-01-01'", "''"],
} as const

export async function writeApart(
  shape: keyof typeof SHAPES,
  rows: number,
  left: string,
  right: string,
): Promise<void> {
  const [amount, date, text] = SHAPES[shape]
  await withDuck(async connection => {
    for (const [side, path] of Object.entries({ left, right })) {
      await connection.run(`
        copy (
          select side || '_' || printf('%012d', i) as id, ${amount} as amount, 'usd' as currency, ${date} as date,
            ${text} as text
          from (
            select i, '${side}' as side,
              strftime(date '2026-01-01' + (hash(i + 9) % 300)::integer, '%Y-%m-%d') as day
            from range(${rows}) t(i)
          )
          order by hash(i, side)
        ) to '${path}' (format csv, header, quote '')`)
    }
  })
}

/** Of three hundred rows one is missing, one has another amount, and one is of the other side alone. */
export async function writeFiles(rows: number, left: string, right: string): Promise<void> {
  await withDuck(async connection => {
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
  })
}
