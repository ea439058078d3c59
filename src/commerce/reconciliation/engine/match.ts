/**
 * The passes over the tables of both sides. Passes 1 to 4 are set-based here and say letter by letter what the
 * specification in `matching/` says; what they leave goes in sorted buckets through the code they share.
 *
 * Where a row ended is kept without the row: `pair_rows` has the numbers of rows that met by id, most of which say the
 * same and need no more, and `homes` has every other row, by its number. What a row says stays in the table it was
 * read into until the result is written, so that memory holds it once.
 */
import type { Decision } from '../decision.ts'
import type { Side } from '../line.ts'
import { PASSES, type Rules, STATUSES } from '../rules.ts'
import type { Crew } from './crew.ts'
import { type Duck, quoted } from './duck.ts'
import { type Columns, tableOf } from './load.ts'
import { replayDecisions } from './replay.ts'
import { placeRest } from './rest.ts'

/** How rows of one id compare. Two rows that say the same share one line of the result. */
export const KIND = { same: 0, matched: 1, tolerance: 2, discrepant: 3, left: 4, right: 5 } as const

export const SIDES = ['left', 'right'] as const

export interface Sides {
  left: Columns
  right: Columns
}

/** The columns of a row of a side, whatever its table lacks. */
export function rowsOf(side: Side, columns: Columns): string {
  const row = columns.row ? 'row' : '(rowid + 1)::integer as row'
  const line = columns.line ? 'line' : 'row + 1 as line'
  const or = (name: 'date' | 'batch' | 'text', type: string) =>
    columns[name] ? name : `null::${type} as ${name}`
  return `select ${row}, ${line}, id, amount, currency, ${or('date', 'date')},
    ${or('batch', 'varchar')}, ${or('text', 'varchar')}
    from ${tableOf(side)}`
}

const enumOf = (values: readonly string[]) => `enum (${values.map(quoted).join(', ')})`

/** The number of a row of the left is its group's, that of a row of the right below zero. */
export const GROUP_TEXT = `(case when "group" > 0 then 'l' else 'r' end) || abs("group")`

export async function match(
  duck: Duck,
  columns: Sides,
  rules: Rules,
  decisions: readonly Decision[],
  crew: Crew,
  work: (name: string) => string,
): Promise<void> {
  await duck.run(`create type side as ${enumOf(SIDES)}`)
  await duck.run(`create type status as ${enumOf(STATUSES)}`)
  await duck.run(`create type pass as ${enumOf(PASSES)}`)
  await duck.run(`create table homes (side side, row integer, status status, pass pass, "group" integer,
    reason varchar, decision_id varchar)`)
  for (const side of SIDES) {
    await duck.run(`create view ${side}_all as ${rowsOf(side, columns[side])}`)
    await duck.run(`create table twins_${side} (row integer, id varchar, times bigint, twin integer)`)
  }
  if (decisions.length > 0) await replayDecisions(duck, decisions)
  await setDuplicatesAside(duck)
  await matchIds(duck, columns, rules)
  if (await has(duck, 'left', 'batch')) await matchBatches(duck, 'left')
  if (await has(duck, 'right', 'batch')) await matchBatches(duck, 'right')
  const has_dates = (await has(duck, 'left', 'date')) && (await has(duck, 'right', 'date'))
  await placeRest(duck, rules, has_dates, crew, work)
  await placeTwins(duck)
  // From here on rows meet what was said of them, which is narrow: that side is kept in memory, the second of a join as
  // it is written, and rows pass by. Left to itself DuckDB would as often keep the rows.
  await duck.run(`set disabled_optimizers = 'join_order,build_side_probe_side'`)
}

async function has(duck: Duck, side: Side, column: 'batch' | 'date'): Promise<boolean> {
  const [row] = await duck.rows<[bigint]>(`select count(${column}) from ${side}_all`)
  return row?.[0] !== 0n
}

const other = (side: Side): Side => (side === 'left' ? 'right' : 'left')

/** Pass 2. */
async function setDuplicatesAside(duck: Duck): Promise<void> {
  await seeFree(duck)
  for (const side of SIDES) {
    await duck.run(`
      create table twice_${side} as
      select id, count(*) as times from ${side}_free group by id having count(*) > 1`)
  }
  for (const side of SIDES) {
    // An aggregate, for a window would hold all rows of one id at once. What is absent comes first.
    await duck.run(`
      insert into twins_${side}
      with copies as (
        select f.row, f.id, f.amount, f.currency, f.date, f.batch, f.text, t.times
        from ${side}_free f join twice_${side} t on t.id = f.id
      ),
      counterparts as (
        select distinct f.id, f.amount, f.currency
        from ${other(side)}_free f where f.id in (select id from twice_${side})
      ),
      firsts as (
        select c.id, arg_min(c.row, row(p.id is null, c.amount, c.currency, c.date is not null, c.date,
          c.batch is not null, c.batch, c.text is not null, c.text, c.row)) as twin
        from copies c
        left join counterparts p on p.id = c.id and p.amount = c.amount and p.currency = c.currency
        group by c.id
      )
      select c.row, c.id, c.times, f.twin
      from copies c join firsts f on f.id = c.id
      where c.row <> f.twin`)
  }
  // Only now: until here each side must see the other whole.
  await seeFree(duck)
}

/** Views of what nothing has taken yet; where nothing was taken at all they cost nothing. */
async function seeFree(duck: Duck): Promise<void> {
  for (const side of SIDES) {
    const taken = `select row from homes where side = '${side}' union all select row from twins_${side}`
    const [count] = await duck.rows<[bigint]>(`select count(*) from (${taken})`)
    const unless = count?.[0] === 0n ? '' : `where row not in (${taken})`
    await duck.run(`create or replace view ${side}_free as
      select row, line, id, amount, currency, date, batch, text from ${side}_all ${unless}`)
  }
}

/** Pass 3. */
async function matchIds(duck: Duck, columns: Sides, rules: Rules): Promise<void> {
  const apart = areDatesApart(rules, 'l.date', 'r.date')
  await duck.run(`
    create table pair_rows as
    select left_row, right_row, ${columns.right.line ? 'right_line' : 'right_row + 1 as right_line'}, kind,
      case when kind in (${KIND.tolerance}, ${KIND.discrepant}) then reason end as reason
    from (
      select l.row as left_row, r.row as right_row, r.line as right_line,
        (case
          when r.row is null then ${KIND.left}
          when l.row is null then ${KIND.right}
          when l.currency <> r.currency or ${apart} then ${KIND.discrepant}
          when l.amount = r.amount then
            case when l.date is not distinct from r.date and l.batch is not distinct from r.batch
              then ${KIND.same} else ${KIND.matched} end
          when ${isNearSql(rules, 'l.amount', 'r.amount')} then ${KIND.tolerance}
          else ${KIND.discrepant}
        end)::tinyint as kind,
        concat_ws('; ',
          case when l.amount <> r.amount then 'amount ' || l.amount || ' != ' || r.amount end,
          case when l.currency <> r.currency then 'currency ' || l.currency || ' != ' || r.currency end,
          case when ${apart} then 'date ' || l.date || ' != ' || r.date end) as reason
      from left_free l full join right_free r on l.id = r.id
    )`)
  for (const side of SIDES) {
    await duck.run(`
      insert into homes
      select '${side}', ${side}_row,
        case kind when ${KIND.matched} then 'matched' when ${KIND.tolerance} then 'matched_with_tolerance'
          else 'discrepant' end,
        'id', left_row, reason, null
      from pair_rows where kind in (${KIND.matched}, ${KIND.tolerance}, ${KIND.discrepant})`)
  }
  const alone = (side: Side) => `
    select '${side}'::side as side, a.row, a.id, a.amount, a.currency, a.date, a.batch
    from ${side}_all a
    where a.row in (select ${side}_row from pair_rows where kind = ${KIND[side]})
      and a.row not in (select row from homes where side = '${side}' and pass = 'batch')`
  await duck.run(`create view alone as ${alone('left')} union all ${alone('right')}`)
}

const areDatesApart = (rules: Rules, left: string, right: string) =>
  `coalesce(abs(${left} - ${right}) > ${rules.date_window_days}, false)`

/** As `isNear`; in 128 bits, because the difference of two amounts may need 65. */
function isNearSql({ tolerance }: Rules, left: string, right: string): string {
  if (tolerance.amount === 0n && tolerance.basis_points === 0) return `${left} = ${right}`
  return `(${left} = ${right} or sign(${left}) * sign(${right}) = 1
    and abs(${left}::hugeint - ${right}) <= greatest(${tolerance.amount}::hugeint,
      abs(${left}::hugeint) * ${tolerance.basis_points} // 10000))`
}

/** Pass 4, one way. */
async function matchBatches(duck: Duck, many: Side): Promise<void> {
  const named = `(case rows when 1 then ' row' else ' rows' end)`
  await duck.run(`
    create or replace table batches as
    with many as (
      select batch, count(*) as rows, sum(amount) as total, min(row) as first_row,
        string_agg(distinct currency, ', ' order by currency) as currencies
      from alone where side = '${many}' and batch is not null
      group by batch
    )
    select one.row, many.batch,
      case when currencies = one.currency and total = one.amount then 'matched' else 'discrepant' end as status,
      ${many === 'left' ? 'first_row' : 'one.row'} as "group",
      case
        when currencies <> one.currency then
          'batch ' || many.batch || ': ' || rows || ${named} || ' in ' || currencies || ' != ' || one.currency
        when total <> one.amount then
          'batch ' || many.batch || ': ' || rows || ${named} || ' ' || (case rows when 1 then 'sums' else 'sum' end)
            || ' to ' || total || ' != ' || one.amount
      end as reason
    from many
    join alone one on one.side = '${other(many)}' and one.id = many.batch`)
  await duck.run(`
    insert into homes
    select '${many}', f.row, b.status, 'batch', b."group", b.reason, null
    from alone f join batches b on f.side = '${many}' and b.batch = f.batch
    union all
    select '${other(many)}', b.row, b.status, 'batch', b."group", b.reason, null
    from batches b`)
}

/** A duplicate is in the group of the row that went on, wherever that ended. */
async function placeTwins(duck: Duck): Promise<void> {
  for (const side of SIDES) {
    await duck.run(`
      insert into homes
      select '${side}', t.row, 'duplicate', 'duplicates', coalesce(h."group", p.left_row),
        'id ' || t.id || ' appears ' || t.times || ' times', null
      from twins_${side} t
      left join homes h on h.side = '${side}' and h.row = t.twin
      left join pair_rows p on p.kind = ${KIND.same} and p.${side}_row = t.twin`)
  }
}
