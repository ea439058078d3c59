/** The bank's 3-D Secure page: one question, two answers, then back to the shop. Plain HTML, no script. */
import type { Payment } from './state.ts'

const STYLE = `
:root { color-scheme: light dark; --ink: #16202c; --soft: #5b6877; --paper: #f3f5f8; --card: #fff; --line: #dbe1e8;
  --go: #1a5fd0; --go-ink: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e9eef5; --soft: #9aa8b8; --paper: #10161e; --card: #19212c;
  --line: #2c3846; --go: #6aa2ff; --go-ink: #0b1420 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 16px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 400px; background: var(--card); border: 1px solid var(--line); border-radius: 14px;
  padding: 28px 24px }
p { margin: 0 0 16px } small, .soft { color: var(--soft) }
h1 { font-size: 20px; line-height: 1.3; margin: 4px 0 12px }
.amount { font-size: 30px; font-weight: 650; letter-spacing: -.01em; font-variant-numeric: tabular-nums }
form { display: grid; gap: 10px; margin: 20px 0 }
button { font: inherit; font-weight: 600; min-height: 46px; border-radius: 9px; cursor: pointer;
  border: 1px solid var(--line); background: transparent; color: var(--ink) }
button.go { background: var(--go); border-color: var(--go); color: var(--go-ink) }
button:focus-visible { outline: 3px solid var(--go); outline-offset: 2px }`

const page = (title: string, content: string) => `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title><style>${STYLE}</style></head>
<body><main>${content}</main></body>
</html>
`

/** `amount` is already written out, in the currency's own units. */
export function challengePage(payment: Payment, amount: string): string {
  return page(
    'Confirm your payment',
    `<small>Test bank · 3-D Secure</small>
<h1>Is this payment yours?</h1>
<p class="amount">${escape(amount)}</p>
<p class="soft">This is a simulated challenge. No real money moves.</p>
<form method="post" action="/challenge/${escape(payment.id)}/complete">
<button class="go" type="submit">Complete</button></form>
<form method="post" action="/challenge/${escape(payment.id)}/fail">
<button type="submit">Fail</button></form>`,
  )
}

const RESULTS = {
  complete: ['Confirmed', 'Thank you. You may close this page and return to the shop.'],
  fail: ['Not confirmed', 'The bank could not confirm that it was you. Nothing was charged.'],
} as const

/** Shown when there is no shop to go back to, or the question was answered before. */
export function resultPage(payment: Payment): string {
  const [title, text] = RESULTS[payment.status === 'approved' ? 'complete' : 'fail']
  return page(title, `<small>Test bank · 3-D Secure</small><h1>${title}</h1><p class="soft">${text}</p>`)
}

const ESCAPES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}
const escape = (text: string) => text.replace(/[&<>"']/g, character => ESCAPES[character] ?? '')
