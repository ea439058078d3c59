/** Pass 1 over tables: by the code of the specification, over the rows that decisions name. */
import type { Decision } from '../decision.ts'
import type { Home } from '../home.ts'
import type { Line, Side } from '../line.ts'
import { dayOf, replay } from '../matching/index.ts'
import { CHUNK_ROWS, type Duck } from './duck.ts'

const SIDES = ['left', 'right'] as const

export async function replayDecisions(duck: Duck, decisions: readonly Decision[]): Promise<void> {
  const named: Record<Side, Line[]> = { left: [], right: [] }
  for (const side of SIDES) {
    await keepNames(
      duck,
      side,
      decisions.flatMap(decision => decision[side]),
    )
    const found = await duck.rows<[number, number, string, bigint, string, string | null, string | null]>(`
      select a.row, a.line, a.id, a.amount, a.currency, a.date::varchar, a.batch
      from ${side}_all a
      join (select id, amount, currency, date, count(*) as times from named_${side} group by all) n
        on a.id = n.id and a.amount = n.amount and a.currency = n.currency
        and a.date is not distinct from n.date
      qualify row_number() over (
        partition by a.id, a.amount, a.currency, a.date
        order by a.batch nulls first, a.text nulls first, a.row) <= n.times`)
    for (const [row, line, id, amount, currency, date, batch] of found) {
      named[side].push({ row, line, id, amount, currency, date, batch, text: null })
    }
  }
  await takeHomes(duck, replay(named.left, named.right, decisions))
}

async function keepNames(duck: Duck, side: Side, names: readonly Decision['left'][number][]): Promise<void> {
  const table = `named_${side}`
  await duck.run(`create table ${table} (id varchar, amount bigint, currency varchar, date date)`)
  const { DuckDBDateValue } = await import('@duckdb/node-api')
  const appender = await duck.appender(table, ({ VARCHAR, BIGINT, DATE }) => [VARCHAR, BIGINT, VARCHAR, DATE])
  try {
    for (let at = 0; at < names.length; at += CHUNK_ROWS) {
      const piece = names.slice(at, at + CHUNK_ROWS)
      appender.append([
        piece.map(({ id }) => id),
        piece.map(({ amount }) => amount),
        piece.map(({ currency }) => currency),
        piece.map(({ date }) => (date === null ? null : new DuckDBDateValue(dayOf(date)))),
      ])
    }
  } finally {
    appender.close()
  }
}

async function takeHomes(duck: Duck, homes: readonly Home[]): Promise<void> {
  await duck.run(`create table replayed (side varchar, row integer, "group" integer, decision_id varchar)`)
  const appender = await duck.appender('replayed', ({ VARCHAR, INTEGER }) => [
    VARCHAR,
    INTEGER,
    INTEGER,
    VARCHAR,
  ])
  try {
    for (let at = 0; at < homes.length; at += CHUNK_ROWS) {
      const piece = homes.slice(at, at + CHUNK_ROWS)
      appender.append([
        piece.map(({ side }) => side),
        piece.map(({ row }) => row),
        piece.map(({ group }) => numberOf(group)),
        piece.map(({ decision_id }) => decision_id),
      ])
    }
  } finally {
    appender.close()
  }
  await duck.run(`
    insert into homes select side::side, row, 'manual', 'decisions', "group", null, decision_id from replayed`)
  await duck.run('drop table replayed')
}

/** As groups are kept: of the right below zero. */
const numberOf = (group: string): number => Number(group.slice(1)) * (group.startsWith('l') ? 1 : -1)
