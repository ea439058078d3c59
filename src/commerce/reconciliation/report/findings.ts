/** Rows of a report, those that belong together beside each other. */
import type { Item } from '../engine/face.ts'
import { shownAmount, shownCount } from './amounts.ts'
import { type NamedItem, unnamedOf } from './candidates.ts'
import { type Html, html } from './html.ts'
import type { Names, ReportedGroup, ReportedSuggestion } from './report.ts'

/** Three lines of what a bank's customer wrote: enough to recognise it, and the spreadsheet has all of it. */
const TEXT_SHOWN_MOST = 160

interface Columns {
  has_dates: boolean
  has_reasons: boolean
}

/** Rows that share a reason, or have each their own. */
interface Body {
  items: readonly NamedItem[]
  more: number
  reason: string | null
}

export function groupsTable(groups: readonly ReportedGroup[], names: Names): Html {
  const all = groups.flatMap(({ items }) => items)
  const columns = {
    has_dates: all.some(({ date }) => date !== null),
    has_reasons: all.some(({ reason }) => reason !== null),
  }
  const bodies = groups.flatMap(({ items, more }): Body[] => {
    const reasons = new Set(items.map(({ reason }) => reason))
    if (reasons.size <= 1) return [{ items, more, reason: items[0]?.reason ?? null }]
    return items.map((item, i) => ({
      items: [item],
      more: i === items.length - 1 ? more : 0,
      reason: item.reason,
    }))
  })
  return table(bodies, names, columns, 'what is wrong')
}

/** What may belong together: never decided here. */
export function suggestionsSection(suggestions: readonly ReportedSuggestion[], names: Names): Html {
  if (suggestions.length === 0) return html``
  const bodies = suggestions.map(({ items, reason }) => ({ items, reason, more: 0 }))
  return html`<section id="suggestions"><h2>May belong together <span class="soft">${suggestions.length}</span></h2>
<p class="soft">Nothing was decided: the rows stay where they are until somebody confirms it by a decision.</p>
${table(bodies, names, { has_dates: true, has_reasons: true }, 'why')}</section>
`
}

function table(bodies: readonly Body[], names: Names, columns: Columns, why: string): Html {
  return html`<table class="rows stacks"><thead><tr><th scope="col">where</th><th scope="col">id</th>
${columns.has_dates ? html`<th scope="col">date</th>` : ''}<th class="n" scope="col">amount</th>
${columns.has_reasons ? html`<th scope="col">${why}</th>` : ''}</tr></thead>
${bodies.map(body => rows(body, names, columns))}</table>`
}

function rows({ items, more, reason }: Body, names: Names, { has_dates, has_reasons }: Columns): Html {
  const why = html`<td class="why" rowspan="${items.length}">${reason}${difference(items, more)}${candidates(items, names)}${hints(items)}</td>`
  const width = 3 + Number(has_dates) + Number(has_reasons)
  return html`<tbody>${items.map(
    (item, i) =>
      html`<tr>${cells(item, names, has_dates, !has_reasons)}${has_reasons && i === 0 ? why : ''}</tr>`,
  )}${
    more === 0
      ? ''
      : html`<tr><td class="soft more" colspan="${width}">and ${shownCount(more)} more rows of it</td></tr>`
  }</tbody>
`
}

/** Hints stand with what is wrong; where nothing is, with the row, so that a column does not stay empty for one of many. */
function cells(item: NamedItem, names: Names, has_dates: boolean, has_hints: boolean): Html {
  const { side, line, id, date, amount, currency, text } = item
  const shown =
    text === null || text.length <= TEXT_SHOWN_MOST
      ? text
      : `${text.slice(0, TEXT_SHOWN_MOST).toWellFormed()}…`
  return html`<td class="at">${names[side]} <span class="soft">line ${line}</span></td>
<td class="id">${id}${shown === null ? '' : html`<p class="text">${shown}</p>`}${has_hints ? hints([item]) : ''}</td>${has_dates ? html`<td class="day">${date}</td>` : ''}
<td class="n">${shownAmount(amount, currency)} ${currency.toUpperCase()}</td>`
}

/** What an ambiguous row could belong to: rows of one file, which is named once. */
function candidates(items: readonly NamedItem[], names: Names): Html {
  return html`${items.map(item => {
    const named = item.candidates ?? []
    const [first] = named
    if (first === undefined) return ''
    const more = unnamedOf(item)
    return html`<span class="soft">in ${names[first.side]}:</span>${named.map(
      ({ line, id }) =>
        html`<span class="candidate"><span class="soft">line ${line}</span> <span class="id">${id}</span></span>`,
    )}${more === 0 ? '' : html`<span class="soft">and ${shownCount(more)} more</span>`}`
  })}`
}

/** What no status says: once, where the rows of a group say the same. */
function hints(items: readonly NamedItem[]): Html {
  const all = [...new Set(items.flatMap(item => item.hints ?? []))]
  return html`${all.map(hint => html`<p class="hint">${hint}</p>`)}`
}

/** By how much the sides of one thing differ, where that can be said. */
function difference(items: readonly Item[], more: number): Html | null {
  const currencies = new Set(items.map(({ currency }) => currency))
  const [currency = ''] = currencies
  if (more > 0 || currencies.size > 1 || new Set(items.map(({ side }) => side)).size < 2) return null
  const sum = items.reduce((all, { side, amount }) => all + (side === 'left' ? amount : -amount), 0n)
  return sum === 0n
    ? null
    : html` <span class="soft">difference ${shownAmount(sum, currency)} ${currency.toUpperCase()}</span>`
}
