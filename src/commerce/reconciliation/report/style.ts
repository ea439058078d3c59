/** How the report looks: on a desk, on a phone, in the dark and on paper. Nothing is loaded from anywhere. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #17212b; --soft: #5a6776; --paper: #f4f6f8; --card: #fff; --line: #dde3e9;
  --faint: #f8fafb; --good: #12704a; --good-paper: #e7f5ee; --bad: #a3261b; --bad-paper: #fdeeec }
@media (prefers-color-scheme: dark) { :root { --ink: #e8edf3; --soft: #9dabba; --paper: #10161d; --card: #18202a;
  --line: #2d3945; --faint: #1d2731; --good: #6fd3a4; --good-paper: #14302540; --bad: #ff9d92; --bad-paper: #3a1b1855 } }
* { box-sizing: border-box }
html { -webkit-text-size-adjust: 100% }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue",
  Arial, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 32px 20px 56px }
h1 { overflow-wrap: anywhere; font-size: 26px; line-height: 1.25; letter-spacing: -.012em; margin: 2px 0 0 }
h2 { font-size: 18px; line-height: 1.35; margin: 0 }
h3 { overflow-wrap: anywhere; font-size: 13px; font-weight: 600; color: var(--soft); margin: 18px 0 6px }
p { margin: 6px 0 0 } small, .soft { color: var(--soft) } small { font-size: 13px }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 22px 24px;
  margin: 0 0 16px }
header.clean { border-top: 5px solid var(--good) } header.findings { border-top: 5px solid var(--bad) }
.verdict { display: inline-block; margin: 14px 0 0; padding: 7px 13px; border-radius: 8px; font-weight: 600 }
.clean .verdict { color: var(--good); background: var(--good-paper) }
.findings .verdict { color: var(--bad); background: var(--bad-paper) }
ul.counts { list-style: none; margin: 18px 0 0; padding: 0; display: grid; gap: 10px;
  grid-template-columns: repeat(auto-fit, minmax(132px, 1fr)) }
ul.counts a { display: block; height: 100%; padding: 10px 14px; border: 1px solid var(--line); border-radius: 9px;
  color: inherit; text-decoration: none; background: var(--faint) }
ul.counts a:hover { border-color: var(--soft) } ul.counts a:focus-visible { outline: 3px solid var(--soft) }
ul.counts b { display: block; font-size: 22px; line-height: 1.2; font-variant-numeric: tabular-nums }
ul.counts span { font-size: 13px; color: var(--soft) } ul.counts .open b { color: var(--bad) }
table { width: 100%; border-collapse: collapse; margin: 12px 0 0; font-variant-numeric: tabular-nums }
caption { text-align: left; font-weight: 600; padding: 0 0 4px }
th, td { text-align: left; vertical-align: top; padding: 7px 10px; border-top: 1px solid var(--line) }
th { font-size: 12.5px; font-weight: 600; color: var(--soft); vertical-align: bottom }
thead tr:first-child th { border-top: 0 }
th:first-child, td:first-child { padding-left: 0 } th:last-child, td:last-child { padding-right: 0 }
.n, .day { white-space: nowrap } .n { text-align: right } th.n.wrap { white-space: normal; overflow-wrap: anywhere }
tbody th { font-size: inherit; font-weight: 500; color: inherit; vertical-align: top }
tr.sum th, tr.sum td { font-weight: 650; border-top: 2px solid var(--soft) }
tr.open th { color: var(--bad) } tr.quiet th, tr.quiet td { color: var(--soft) }
.wrap { overflow-wrap: anywhere } td.line { white-space: nowrap; width: 6em }
.rows th.n, .rows td.n { padding-right: 10px }
.at { overflow-wrap: anywhere; max-width: 15em; font-size: 13px } .at span, .why span { white-space: nowrap }
.id { min-width: 12em; font-family: ui-monospace, "SF Mono", Menlo, Consolas, monospace; font-size: 13px; overflow-wrap: anywhere }
.text { margin: 2px 0 0; color: var(--soft); font: 13px/1.4 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
.why { min-width: 15em; max-width: 24em; overflow-wrap: anywhere } .why span { display: block }
.why .candidate { white-space: normal } .why .candidate span { display: inline } .candidate .soft { font-size: 13px } .hint { margin: 4px 0 0; font: italic 13px/1.4 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif }
.rows tbody + tbody { border-top: 1px solid var(--soft) }
.rows tbody tr + tr td { border-top: 1px dotted var(--line) }
.met { color: var(--good); font-weight: 600 } .unmet { color: var(--bad); font-weight: 600 }
.more { margin-top: 12px; color: var(--soft) }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 4px 18px; margin: 10px 0 0 }
dt { color: var(--soft) } dd { margin: 0; overflow-wrap: anywhere }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 0 32px }
footer { color: var(--soft); font-size: 13px; padding: 4px 4px 0 }
.scroll { overflow-x: auto }
@media (max-width: 720px) {
  main { padding: 12px 10px 40px } section, header { padding: 16px 15px; border-radius: 10px } h1 { font-size: 22px }
  .two { grid-template-columns: 1fr } dl { grid-template-columns: 1fr; gap: 0 } dd { margin: 0 0 8px }
  ul.counts { grid-template-columns: 1fr 1fr }
  .stacks thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  .stacks, .stacks tbody, .stacks tr, .stacks td, .stacks th { display: block; border: 0; padding: 0; max-width: none }
  .totals tr { padding: 9px 0; border-top: 1px solid var(--line) } .totals tr:first-child { border: 0 }
  .totals td.count { display: none } .totals tr.sum { border-top: 2px solid var(--soft) }
  .totals tr.sum th, .totals tr.sum td { border: 0 }
  .totals td { display: flex; justify-content: space-between; gap: 12px; white-space: normal }
  .totals td::before { content: attr(data-label); color: var(--soft); font-weight: 400; text-align: left;
    overflow-wrap: anywhere }
  .rows tbody { padding: 10px 0; border-top: 1px solid var(--line) } .rows tbody + tbody { border-top: 1px solid var(--line) }
  .rows tr { display: grid; grid-template-columns: 1fr auto; gap: 0 12px; padding: 4px 0 }
  .rows tbody tr + tr td { border: 0 } .rows td { min-width: 0 } .rows td.id { order: 1 } .rows td.n { order: 2; padding-right: 0 }
  .rows td.at { order: 3; color: var(--soft) } .rows td.day { order: 4; color: var(--soft); font-size: 13px }
  .rows td.day { text-align: right } .rows td.day:empty { display: none } .rows td.why { order: 5; grid-column: 1 / -1 } .rows td.more { grid-column: 1 / -1 }
}
@media print {
  :root { --ink: #000; --soft: #444; --paper: #fff; --card: #fff; --line: #bbb; --faint: #fff; --good: #064; --bad: #900;
    --good-paper: #fff; --bad-paper: #fff; color-scheme: light }
  @page { margin: 14mm } body { font-size: 10.5px } main { max-width: none; padding: 0 }
  section, header { border: 0; border-radius: 0; padding: 0; margin: 0 0 16px } .verdict { padding-left: 0 }
  header.clean, header.findings { border-top: 0 } h1 { font-size: 20px } h2 { font-size: 14px }
  thead { display: table-header-group } tr, tbody.pair, ul.counts, dl { break-inside: avoid } h2, h3 { break-after: avoid }
  .scroll { overflow: visible } ul.counts a { padding: 4px 8px } ul.counts b { font-size: 14px }
}`
