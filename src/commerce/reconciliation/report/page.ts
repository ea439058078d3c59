/**
 * The report of a run as one HTML file: totals first, then what somebody must look at, then what the run was made from.
 * It needs no script and loads nothing, so it can be mailed, archived and printed.
 */
import type { StatusSum } from '../engine/face.ts'
import type { Side } from '../line.ts'
import { CLEAN_STATUSES, type Status } from '../rules.ts'
import { counted, shownAmount, shownCount } from './amounts.ts'
import { shownControl } from './controls.ts'
import { decidedInWords } from './decided.ts'
import { groupsTable, suggestionsSection } from './findings.ts'
import { type Html, html } from './html.ts'
import {
  type Names,
  namesOf,
  type ReportedGroup,
  type ReportedRun,
  type ReportedSide,
  rowsOf,
  shortNames,
} from './report.ts'
import { STYLE } from './style.ts'
import {
  leftOutInWords,
  rulesInWords,
  STATUSES_SHOWN,
  statusWords,
  turnedInWords,
  withoutIdInWords,
} from './words.ts'

export interface PageOptions {
  /** Where all findings are, and all rows, for what does not fit the page. */
  findings_file: string
  items_file: string
}

export function reportPage(run: ReportedRun, files: PageOptions): string {
  const names = namesOf(run)
  const short = shortNames(names)
  const page = html`<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="robots" content="noindex"><meta name="bursar-run" content="${run.key}"><title>Reconciliation: ${names.left} and ${names.right}</title>
<style>${{ markup: STYLE }}</style></head>
<body><main>
${head(run, names)}
<div id="totals">${currenciesOf(run).map(currency => totalsSection(run, short, currency))}</div>
${turnedSigns(run)}
${badRows(run, names)}
${controlsFailed(run, names)}
${STATUSES_SHOWN.map(status => statusSection(run, short, status, files))}
${withoutId(run, short, files)}
${suggestionsSection(run.suggestions, short)}
${inputs(run, names)}
<footer>Run ${run.id}. Amounts are exact: they were read as text and added as whole numbers. ${
    run.decided === null
      ? 'The same inputs and rules give this page again, to the byte.'
      : `What was decided since${run.knows_suspense ? ', and what may clear suspense,' : ''} is as it was when this page was made; all else is the same for the same inputs and rules.`
  }</footer>
</main></body>
</html>
`
  return page.markup
}

/** Whether anything needs somebody. */
export const isClean = ({ sums, left, right }: Pick<ReportedRun, 'sums' | 'left' | 'right'>): boolean =>
  sums.every(({ status, count }) => count === 0 || CLEAN_STATUSES.includes(status)) &&
  [left, right].every(side => side.bad_rows === 0 && side.controls.every(control => control.is_met))

const currenciesOf = ({ sums }: ReportedRun): string[] =>
  [...new Set(sums.map(({ currency }) => currency))].sort()

function head(run: ReportedRun, names: Names): Html {
  const is_clean = isClean(run)
  const { left, right, rules, sums } = run
  const bad_rows = left.bad_rows + right.bad_rows
  const controls = [...left.controls, ...right.controls].filter(({ is_met }) => !is_met).length
  const open = STATUSES_SHOWN.filter(status => !CLEAN_STATUSES.includes(status))
  const rows = open.reduce((sum, status) => sum + rowsOf(sums, status), 0) + bad_rows
  const decided = decidedInWords(run.decided, rows, open)
  const verdict = is_clean
    ? `✓ Clean: every row of both sides is explained.`
    : `✗ ${rows === 0 ? '' : `${counted(rows, 'row needs', 'rows need')} somebody${decided && `, ${decided}`}`}${
        controls === 0
          ? ''
          : `${rows === 0 ? '' : ', and '}${counted(controls, 'control fails', 'controls fail')}`
      }.`
  const shown = [...open, ...CLEAN_STATUSES].filter(
    status => status === 'matched' || rowsOf(sums, status) > 0,
  )
  return html`<header class="${is_clean ? 'clean' : 'findings'}">
<small>Reconciliation${rules.as_of === null ? '' : ` as of ${rules.as_of}`}</small>
<h1>${names.left} <span class="soft">and</span> ${names.right}</h1>
<p class="verdict">${verdict}</p>
<ul class="counts">${shown.map(status => {
    const is_open = !CLEAN_STATUSES.includes(status)
    return html`<li${is_open ? html` class="open"` : ''}><a href="#${status === 'matched' ? 'totals' : status}"><b>${
      is_open
        ? shownCount(rowsOf(sums, status))
        : `${shownCount(rowsOf(sums, status, 'left'))} + ${shownCount(rowsOf(sums, status, 'right'))}`
    }</b><span>${statusWords[status].label}${is_open ? '' : ', left + right'}</span></a></li>`
  })}${
    bad_rows === 0
      ? ''
      : html`<li class="open"><a href="#bad_rows"><b>${shownCount(bad_rows)}</b><span>Not readable</span></a></li>`
  }</ul>
</header>`
}

/** What each status makes of the difference between both sides: the bridge from the one total to the other. */
function totalsSection(run: ReportedRun, names: Names, currency: string): Html {
  const sums = run.sums.filter(sum => sum.currency === currency)
  const statuses = STATUSES_SHOWN.filter(status =>
    sums.some(sum => sum.status === status && sum.count > 0),
  ).toReversed()
  const row = (label: string, of: readonly StatusSum[], kind: string) => {
    const left = sumOf(of, 'left')
    const right = sumOf(of, 'right')
    return html`<tr class="${kind}"><th scope="row">${label}</th>${cells(left, names.left)}${cells(right, names.right)}
<td class="n" data-label="difference">${shownAmount(left.sum - right.sum, currency)}</td></tr>
`
  }
  const cells = (
    { rows, sum }: Summed,
    name: string,
  ) => html`<td class="n count">${rows === 0 ? '–' : shownCount(rows)}</td>
<td class="n" data-label="${name}, ${counted(rows, 'row')}">${rows === 0 ? '–' : shownAmount(sum, currency)}</td>`
  return html`<section><h2>Totals in ${currency.toUpperCase()}</h2>
<div class="scroll"><table class="totals stacks">
<thead><tr><th scope="col"></th><th class="n wrap" scope="colgroup" colspan="2">${names.left}</th>
<th class="n wrap" scope="colgroup" colspan="2">${names.right}</th><th class="n"></th></tr>
<tr><th scope="col">What became of them</th><th class="n" scope="col">rows</th><th class="n" scope="col">amount</th>
<th class="n" scope="col">rows</th><th class="n" scope="col">amount</th><th class="n" scope="col">difference</th></tr></thead>
<tbody>${statuses.map(status =>
    row(
      statusWords[status].label,
      sums.filter(sum => sum.status === status),
      CLEAN_STATUSES.includes(status) ? '' : 'open',
    ),
  )}${row('All rows', sums, 'sum')}</tbody></table></div></section>
`
}

interface Summed {
  rows: number
  sum: bigint
}

function sumOf(sums: readonly StatusSum[], side: Side): Summed {
  const of_side = sums.filter(sum => sum.side === side)
  return {
    rows: of_side.reduce((all, { count }) => all + count, 0),
    sum: of_side.reduce((all, { sum }) => all + sum, 0n),
  }
}

/** Of what only one side has each side is a list of its own: they are two different questions. */
function statusSection(run: ReportedRun, names: Names, status: Status, files: PageOptions): Html {
  const rows = rowsOf(run.sums, status)
  if (status === 'matched' || rows === 0) return html``
  const groups = run.samples.get(status) ?? []
  const file = CLEAN_STATUSES.includes(status) ? files.items_file : files.findings_file
  const { label, meaning } = statusWords[status]
  const decided = decidedInWords(run.decided, rows, [status])
  const lists: { title: string | null; rows: number; groups: readonly ReportedGroup[] }[] =
    status === 'unmatched'
      ? (['left', 'right'] as const).map(side => ({
          title: `Only in ${names[side]}`,
          rows: rowsOf(run.sums, status, side),
          groups: groups.filter(({ items }) => items[0]?.side === side),
        }))
      : [{ title: null, rows, groups }]
  return html`<section id="${status}"><h2>${label} <span class="soft">${counted(rows, 'row')}${decided && `, ${decided}`}</span></h2>
<p class="soft">${meaning}</p>
${lists
  .filter(list => list.rows > 0)
  .map(list => {
    const shown = list.groups.reduce((sum, group) => sum + group.items.length, 0)
    return html`${list.title === null ? '' : html`<h3>${list.title}: ${counted(list.rows, 'row')}</h3>`}
${shown === 0 ? '' : groupsTable(list.groups, names)}
${shown < list.rows ? html`<p class="more">${shownCount(list.rows - shown)}${shown === 0 ? '' : ' more'} in ${file}, under the status ${status}.</p>` : ''}`
  })}</section>
`
}

/** Matched, and worth a look: what the ids of one side are, the other does not say. */
function withoutId({ without_id, samples }: ReportedRun, names: Names, { items_file }: PageOptions): Html {
  if (without_id.pairs === 0 && without_id.is_all) return html``
  const groups = samples.get('matched') ?? []
  const has_more = without_id.pairs > groups.length || !without_id.is_all
  return html`<section id="without_id"><h2>Matched by amount and date, not by id <span class="soft">${withoutIdInWords(without_id)}</span></h2>
<p class="soft">Their ids differ, and nothing else on either side could be meant. Nobody needs to act; whoever doubts a
match finds it here.</p>
${groups.length === 0 ? '' : groupsTable(groups, names)}
${has_more ? html`<p class="more">All of them are in ${items_file}, by the passes window and tolerance.</p>` : ''}</section>
`
}

function turnedSigns({ turned }: ReportedRun): Html {
  if (turned === null) return html``
  return html`<section id="turned"><h2>${turnedInWords(turned)}</h2>
<p class="soft">What one side calls money that came in, the other calls money that left. Run it again with the signs of one side
turned before looking at any finding.</p></section>
`
}

function badRows({ left, right }: ReportedRun, names: Names): Html {
  if (left.bad_rows + right.bad_rows === 0) return html``
  const list = (side: ReportedSide, name: string) =>
    side.bad_rows === 0
      ? ''
      : html`<h3>${name}: ${counted(side.bad_rows, 'row')}</h3><table><tbody>${side.bad.map(
          ({ line, reason }) =>
            html`<tr><td class="line soft">line ${line}</td><td class="why">${reason}</td></tr>`,
        )}</tbody></table>
${side.bad.length < side.bad_rows ? html`<p class="more">${shownCount(side.bad_rows - side.bad.length)} more.</p>` : ''}`
  return html`<section id="bad_rows"><h2>Not readable <span class="soft">${counted(
    left.bad_rows + right.bad_rows,
    'row',
  )}</span></h2>
<p class="soft">These rows took part in nothing above. The run is not clean until they are.</p>
${list(left, names.left)}${list(right, names.right)}</section>
`
}

function controlsFailed({ sums, ...run }: ReportedRun, names: Names): Html {
  const failed = (['left', 'right'] as const).flatMap(side =>
    run[side].controls
      .filter(control => !control.is_met)
      .map(control => ({ ...shownControl(control, side, sums), file: names[side] })),
  )
  if (failed.length === 0) return html``
  return html`<section id="controls"><h2>Controls that fail</h2>
<p class="soft">A statement says of itself what it must add up to. Where it does not, rows are missing from it, or it is not
the one that was sent.</p>
<div class="scroll"><table><thead><tr><th scope="col">file</th><th scope="col">control</th><th class="n" scope="col">expected</th>
<th class="n" scope="col">found</th></tr></thead><tbody>${failed.map(
    control => html`<tr><td class="wrap">${control.file}</td><td>${control.name}</td><td class="n">${control.expected}</td>
<td class="n unmet">${control.found}</td></tr>`,
  )}</tbody></table></div></section>
`
}

function inputs(run: ReportedRun, names: Names): Html {
  const side = (
    which: Side,
    { format, mapping, sha256, rows, carried_rows, bad_rows, left_out, controls }: ReportedSide,
    name: string,
  ) => {
    const beside = leftOutInWords(left_out)
    return html`<div>
<h3>${name}</h3><dl><dt>Format</dt><dd>${format}</dd>${
      mapping === null ? '' : html`<dt>Read as</dt><dd>${mapping}</dd>`
    }<dt>Rows</dt><dd>${shownCount(rows)}${carried_rows === 0 ? '' : `, and ${shownCount(carried_rows)} from the run before`}${bad_rows === 0 ? '' : `, and ${shownCount(bad_rows)} not readable`}</dd>${
      beside === null ? '' : html`<dt>Beside them</dt><dd>${beside}</dd>`
    }
<dt>SHA-256</dt><dd class="id">${sha256}</dd>${
      controls.length === 0
        ? ''
        : html`<dt>Controls</dt><dd>${controls
            .map(control => shownControl(control, which, run.sums))
            .map(
              ({ name: control, is_met, expected, found }) =>
                html`<span class="${is_met ? 'met' : 'unmet'}">${is_met ? '✓' : '✗'}</span> ${control}: ${
                  is_met ? found : `${found} and not ${expected}`
                }<br>`,
            )}</dd>`
    }</dl></div>`
  }
  return html`<section id="inputs"><h2>What it was made from</h2>
<div class="two">${side('left', run.left, names.left)}${side('right', run.right, names.right)}</div>
<h3>Rules</h3>${rulesInWords(run.rules).map(sentence => html`<p>${sentence}</p>`)}
<h3>Key of the run</h3><p class="id soft">${run.key}</p></section>
`
}
