/**
 * The passes over the tables of both sides. Passes 1 to 4 are set-based here and say letter by letter what the
 * specification in `matching/` says; what they leave goes in sorted buckets through the code they share.
 *
 * `pairs` is the full outer join of both sides by id, all columns beside each other, so that texts are compared and
 * carried once. Most of it is of kind SAME and goes to the result as it is; everything else becomes `others`.
 */
import type { Decision } from '../decision.ts'
import type { Side } from '../line.ts'
import type { Rules } from '../rules.ts'
import type { Duck } from './duck.ts'
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

export async function match(
  duck: Duck,
  columns: Sides,
  rules: Rules,
  decisions: readonly Decision[],
): Promise<void> {
  for (const side of SIDES) await duck.run(`create view ${side}_all as ${rowsOf(side, columns[side])}`)
  await duck.run(`create table taken (side varchar, row integer, status varchar, pass varchar, "group" varchar,
    reason varchar, decision_id varchar, twin integer)`)
  if (decisions.length > 0) await replayDecisions(duck, decisions)
  await setDuplicatesAside(duck)
  await matchIds(duck, columns, rules)
  await matchBatches(duck, 'left')
  await matchBatches(duck, 'right')
  await placeRest(duck, rules)
  await gatherOthers(duck)
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
    await duck.run(`
      create table twins_${side} as
      with copies as (
        select f.row, f.id, f.amount, f.currency, f.date, f.batch, f.text, t.times
        from ${side}_free f join twice_${side} t on t.id = f.id
      ),
      counterparts as (
        select distinct f.id, f.amount, f.currency
        from ${other(side)}_free f where f.id in (select id from twice_${side})
      )
      select c.row, c.id, c.times,
        first_value(c.row) over (
          partition by c.id
          order by p.id is null, c.amount, c.currency, c.date nulls first, c.batch nulls first,
            c.text nulls first, c.row) as twin
      from copies c
      left join counterparts p on p.id = c.id and p.amount = c.amount and p.currency = c.currency`)
  }
  // Only now: until here each side must see the other whole.
  for (const side of SIDES) {
    await duck.run(`
      insert into taken
      select '${side}', row, 'duplicate', 'duplicates', null, 'id ' || id || ' appears ' || times || ' times',
        null, twin
      from twins_${side} where row <> twin`)
  }
  await seeFree(duck)
}

/** Views of what nothing has taken yet; where nothing was taken at all they cost nothing. */
async function seeFree(duck: Duck): Promise<void> {
  for (const side of SIDES) {
    const [count] = await duck.rows<[bigint]>(`select count(*) from taken where side = '${side}'`)
    const unless = count?.[0] === 0n ? '' : `where row not in (select row from taken where side = '${side}')`
    await duck.run(`create or replace view ${side}_free as
      select row, line, id, amount, currency, date, batch, text from ${side}_all ${unless}`)
  }
}

/** Pass 3. */
async function matchIds(duck: Duck, columns: Sides, rules: Rules): Promise<void> {
  const has = (name: 'line' | 'date' | 'batch') => columns.left[name] || columns.right[name]
  const beside = (name: 'line' | 'date' | 'batch') =>
    has(name) ? `, l.${name} as left_${name}, r.${name} as right_${name}` : ''
  await duck.run(`
    create table pair_rows as
    select l.row as left_row, r.row as right_row, coalesce(l.id, r.id) as id,
      l.amount as left_amount, r.amount as right_amount, l.currency as left_currency, r.currency as right_currency
      ${beside('line')} ${beside('date')} ${beside('batch')},
      (case
        when r.row is null then ${KIND.left}
        when l.row is null then ${KIND.right}
        when l.currency <> r.currency or ${areDatesApart(rules, 'l.date', 'r.date')} then ${KIND.discrepant}
        when l.amount = r.amount then
          case when l.date is not distinct from r.date and l.batch is not distinct from r.batch
            then ${KIND.same} else ${KIND.matched} end
        when ${isNearSql(rules, 'l.amount', 'r.amount')} then ${KIND.tolerance}
        else ${KIND.discrepant}
      end)::tinyint as kind
    from left_free l full join right_free r on l.id = r.id`)
  const or = (side: Side, name: 'line' | 'date' | 'batch', otherwise: string) =>
    has(name) ? `${side}_${name}` : `${otherwise} as ${side}_${name}`
  const both = (name: 'line' | 'date' | 'batch', otherwise: (side: Side) => string) =>
    SIDES.map(side => or(side, name, otherwise(side))).join(', ')
  await duck.run(`
    create view pairs as
    select left_row, right_row, id, left_amount, right_amount, left_currency, right_currency,
      ${both('line', side => `${side}_row + 1`)}, ${both('date', () => 'null::date')},
      ${both('batch', () => 'null::varchar')}, kind
    from pair_rows`)
  await duck.run(`
    create table alone as
    select 'left' as side, left_row as row, left_line as line, id, left_amount as amount,
      left_currency as currency, left_date as date, left_batch as batch
    from pairs where kind = ${KIND.left}
    union all
    select 'right', right_row, right_line, id, right_amount, right_currency, right_date, right_batch
    from pairs where kind = ${KIND.right}`)
  await duck.run(`create table others (left_row integer, left_line integer, right_row integer, right_line integer,
    id varchar, amount bigint, currency varchar, date date, batch varchar, status varchar, pass varchar,
    "group" varchar, reason varchar, decision_id varchar)`)
  const apart = areDatesApart(rules, 'left_date', 'right_date')
  const found = `from pairs where kind in (${KIND.matched}, ${KIND.tolerance}, ${KIND.discrepant})`
  const said = `
    case kind when ${KIND.matched} then 'matched' when ${KIND.tolerance} then 'matched_with_tolerance'
      else 'discrepant' end,
    'id', 'l' || left_row,
    nullif(concat_ws('; ',
      case when left_amount <> right_amount then 'amount ' || left_amount || ' != ' || right_amount end,
      case when left_currency <> right_currency then 'currency ' || left_currency || ' != ' || right_currency end,
      case when ${apart} then 'date ' || left_date || ' != ' || right_date end), ''),
    null`
  await duck.run(`
    insert into others
    select left_row, left_line, null, null, id, left_amount, left_currency, left_date, left_batch, ${said} ${found}`)
  await duck.run(`
    insert into others
    select null, null, right_row, right_line, id, right_amount, right_currency, right_date, right_batch, ${said}
    ${found}`)
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

/** Pass 4, one way. `placed` is what passes 4 to 7 decide of the rows in `alone`. */
async function matchBatches(duck: Duck, many: Side): Promise<void> {
  if (many === 'left') {
    await duck.run(`create table placed (side varchar, row integer, status varchar, pass varchar,
      "group" varchar, reason varchar)`)
  }
  const free = (side: Side) =>
    `(select row, id, amount, currency, batch from alone where side = '${side}'
      and row not in (select row from placed where side = '${side}'))`
  const named = `(case rows when 1 then ' row' else ' rows' end)`
  await duck.run(`
    create or replace table batches as
    with many as (
      select batch, count(*) as rows, sum(amount) as total, min(row) as first_row,
        string_agg(distinct currency, ', ' order by currency) as currencies
      from ${free(many)} where batch is not null
      group by batch
    )
    select one.row, many.batch,
      case when currencies = one.currency and total = one.amount then 'matched' else 'discrepant' end as status,
      ${many === 'left' ? `'l' || first_row` : `'l' || one.row`} as "group",
      case
        when currencies <> one.currency then
          'batch ' || many.batch || ': ' || rows || ${named} || ' in ' || currencies || ' != ' || one.currency
        when total <> one.amount then
          'batch ' || many.batch || ': ' || rows || ${named} || ' ' || (case rows when 1 then 'sums' else 'sum' end)
            || ' to ' || total || ' != ' || one.amount
      end as reason
    from many
    join ${free(other(many))} one on one.id = many.batch`)
  await duck.run(`
    insert into placed
    select '${many}', f.row, b.status, 'batch', b."group", b.reason
    from ${free(many)} f join batches b on b.batch = f.batch
    union all
    select '${other(many)}', b.row, b.status, 'batch', b."group", b.reason
    from batches b`)
}

/** Everything that is no pair of kind SAME, as lines of the result. */
async function gatherOthers(duck: Duck): Promise<void> {
  const place = (side: Side) => (row: string, line: string) =>
    side === 'left' ? `${row}, ${line}, null, null` : `null, null, ${row}, ${line}`
  for (const side of SIDES) {
    await duck.run(`
      insert into others
      select ${place(side)('a.row', 'a.line')}, a.id, a.amount, a.currency, a.date, a.batch,
        p.status, p.pass, p."group", p.reason, null
      from alone a join placed p on p.side = a.side and p.row = a.row
      where a.side = '${side}'`)
  }
  for (const side of SIDES) {
    // A duplicate is in the group of the row that went on, wherever that ended.
    await duck.run(`
      insert into others
      select ${place(side)('a.row', 'a.line')}, a.id, a.amount, a.currency, a.date, a.batch,
        t.status, t.pass, coalesce(t."group", o."group", 'l' || p.left_row), t.reason, t.decision_id
      from taken t
      join ${side}_all a on a.row = t.row
      left join others o on o.${side}_row = t.twin
      left join (select left_row, right_row from pairs
        where kind = ${KIND.same} and ${side}_row in (select twin from taken where side = '${side}')) p
        on p.${side}_row = t.twin
      where t.side = '${side}'`)
  }
  await duck.run('drop table alone')
  await duck.run('drop table placed')
}
