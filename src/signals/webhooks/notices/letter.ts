/**
 * The letter about an endpoint that fails or was disabled, as text and as simple HTML. Pure: facts in, letter out. It
 * says what is wrong since when, what waits, what happens next and when, and how to mend it, with commands to copy.
 */
import { failureWords } from './failure-words.ts'

/** `failing`: a warning; `failed`: disabled after days without a success; `gone`: disabled because it answered 410. */
export const noticeKinds = ['failing', 'failed', 'gone'] as const
export type NoticeKind = (typeof noticeKinds)[number]

export interface NoticeFacts {
  kind: NoticeKind
  /** When what it is about happened. */
  at: Date
  account_name: string
  livemode: boolean
  endpoint_id: string
  url: string
  description: string | null
  /** Since when nothing was accepted; null when that is not known. */
  failing_since: Date | null
  /** Of a warning: when it is disabled, unless something is accepted before. */
  disables_at: Date | null
  last_failure: { failure: keyof typeof failureWords; message: string | null; at: Date } | null
  /** Deliveries that wait, or were set aside when the endpoint was disabled. */
  waiting: number
  /** There are more than were counted. */
  is_waiting_cut: boolean
  oldest_waiting_at: Date | null
  /** How long events can be replayed. */
  kept_days: number
}

export interface Letter {
  subject: string
  text: string
  html: string
}

/** A part of the letter: a heading, sentences, and lines to copy as they are. */
interface Part {
  heading: string
  sentences: string[]
  commands?: string[]
}

export function letterOf(facts: NoticeFacts): Letter {
  const parts = [whatFails(facts), whatWaits(facts), whatNext(facts), whatToDo(facts)]
  return { subject: subjectOf(facts), text: asText(facts, parts), html: asHtml(facts, parts) }
}

function subjectOf({ kind, url, livemode, disables_at }: NoticeFacts): string {
  const mode = livemode ? '' : 'Test mode: '
  const host = new URL(url).host
  if (kind === 'failing') {
    const until = disables_at === null ? '' : `, and stop on ${day(disables_at)} if nothing changes`
    return `${mode}Webhooks to ${host} fail${until}`
  }
  return `${mode}Webhooks to ${host} have stopped`
}

const greeting = ({ kind, account_name, livemode }: NoticeFacts): string => {
  const whose = `the account “${account_name}”${livemode ? '' : ' (test mode)'}`
  return kind === 'failing'
    ? `an endpoint to which we send the events of ${whose} has not accepted any for a while.`
    : `we no longer send the events of ${whose} to one of its endpoints.`
}

function whatFails({ kind, at, failing_since, last_failure }: NoticeFacts): Part {
  const since = failing_since === null ? [] : [`Nothing has been accepted since ${instant(failing_since)}.`]
  if (kind === 'gone') {
    return {
      heading: 'What happened',
      sentences: [
        `On ${instant(at)} ${failureWords.gone.what}. It asks us to stop, so we did.`,
        failureWords.gone.help,
      ],
    }
  }
  if (last_failure === null) return { heading: 'What is wrong', sentences: since }
  const { what, help } = failureWords[last_failure.failure]
  const said = last_failure.message === null ? '' : ` ${last_failure.message}`
  return {
    heading: 'What is wrong',
    sentences: [...since, `The last try, on ${instant(last_failure.at)}, failed: ${what}.${said}`, help],
  }
}

function whatWaits({ kind, waiting, is_waiting_cut, oldest_waiting_at, kept_days }: NoticeFacts): Part {
  const kept = `Nothing is lost: events can be sent again for ${kept_days} days after they happened.`
  if (waiting === 0) return { heading: 'What waits', sentences: ['No delivery waits just now.', kept] }
  const many = `${is_waiting_cut ? 'More than ' : ''}${waiting.toLocaleString('en-GB')}`
  const oldest = oldest_waiting_at === null ? '' : `, the oldest since ${instant(oldest_waiting_at)}`
  const what =
    kind === 'failing'
      ? `${many} ${waiting === 1 ? 'delivery waits' : 'deliveries wait'}${oldest}.`
      : `${many} ${waiting === 1 ? 'delivery was' : 'deliveries were'} set aside${oldest}.`
  return { heading: 'What waits', sentences: [what, kept] }
}

function whatNext({ kind, disables_at }: NoticeFacts): Part {
  if (kind !== 'failing') {
    return {
      heading: 'What happens next',
      sentences: [
        'Nothing is sent to this endpoint until somebody enables it. Events that happen meanwhile are kept, and can be replayed.',
      ],
    }
  }
  const until = disables_at === null ? 'within days' : `until ${instant(disables_at)}`
  return {
    heading: 'What happens next',
    sentences: [
      'We go on trying, at growing intervals. The first delivery that is accepted ends this, and what waits follows by itself, slowly at first.',
      `If nothing is accepted ${until}, the endpoint is disabled, and we write once more.`,
    ],
  }
}

function whatToDo({ kind, endpoint_id, failing_since, at }: NoticeFacts): Part {
  const deliveries = [
    '# What was tried, and what came back:',
    `GET /v1/webhook_deliveries?webhook_endpoint_id=${endpoint_id}`,
    `bursar webhooks deliveries --endpoint ${endpoint_id}`,
  ]
  if (kind === 'failing') {
    return {
      heading: 'What you can do',
      sentences: ['Mend the receiver: one answer with 2xx is enough. Each try is kept with what came back:'],
      commands: deliveries,
    }
  }
  const from = (failing_since ?? at).toISOString()
  return {
    heading: 'What you can do',
    sentences: ['Mend the receiver, enable the endpoint, then have sent again what it missed:'],
    commands: [
      ...deliveries,
      '',
      '# Enable it:',
      `POST /v1/webhook_endpoints/${endpoint_id}/enable`,
      '',
      '# Send again what did not arrive:',
      `POST /v1/webhook_endpoints/${endpoint_id}/replay  {"created_from": "${from}"}`,
      `bursar webhooks replay ${endpoint_id} --from ${from} --watch`,
    ],
  }
}

const SIGNED = 'Bursar'
const WHY_YOU = 'You get this because the endpoint names this address as its notification_email.'

function asText(facts: NoticeFacts, parts: readonly Part[]): string {
  const about = [`  ${shownUrl(facts.url)}`, `  ${facts.endpoint_id}`]
  if (facts.description !== null) about.push(`  ${facts.description}`)
  const sections = parts.map(({ heading, sentences, commands = [] }) =>
    [
      heading,
      ...sentences.map(sentence => wrapped(sentence)),
      ...(commands.length > 0 ? ['', ...commands.map(line => `  ${line}`.trimEnd())] : []),
    ].join('\n'),
  )
  return [
    'Hello,',
    wrapped(greeting(facts)),
    about.join('\n'),
    ...sections,
    `${SIGNED}\n\n${wrapped(WHY_YOU)}`,
  ]
    .join('\n\n')
    .concat('\n')
}

/** As wide as mail programs show text without breaking it themselves. */
const WIDTH = 72

function wrapped(text: string): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= WIDTH) lines[lines.length - 1] += ` ${word}`
    else lines.push(word)
  }
  return lines.join('\n')
}

/** One column, styles within: mail programs drop style sheets, scripts and pictures. */
function asHtml(facts: NoticeFacts, parts: readonly Part[]): string {
  const p = (text: string, style = '') => `<p style="margin:0 0 8px;${style}">${escaped(text)}</p>`
  const about = `<div style="margin:0 0 20px;padding:12px 16px;border-left:4px solid ${facts.kind === 'failing' ? '#d97706' : '#b91c1c'};background:#f6f7f9;overflow-wrap:anywhere">
<strong>${escaped(shownUrl(facts.url))}</strong><br>
<span style="color:#5b6472">${escaped(facts.endpoint_id)}${facts.description === null ? '' : `<br>${escaped(facts.description)}`}</span></div>`
  const sections = parts.map(({ heading, sentences, commands = [] }) => {
    const code =
      commands.length === 0
        ? ''
        : `<pre style="margin:8px 0;padding:12px 16px;background:#f6f7f9;border-radius:6px;font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere">${escaped(commands.join('\n'))}</pre>`
    return `<h2 style="margin:24px 0 8px;font-size:16px;line-height:1.3">${escaped(heading)}</h2>
${sentences.map(sentence => p(sentence)).join('\n')}${code}`
  })
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>${escaped(subjectOf(facts))}</title></head>
<body style="margin:0;background:#ffffff;color:#1c2430;font:15px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<div style="max-width:620px;margin:0 auto;padding:24px 20px">
${p('Hello,')}
${p(greeting(facts), 'margin-bottom:16px')}
${about}
${sections.join('\n')}
${p(SIGNED, 'margin-top:24px')}
<p style="margin:16px 0 0;padding-top:12px;border-top:1px solid #e3e6ea;color:#5b6472;font-size:13px">${escaped(WHY_YOU)}</p>
</div></body></html>
`
}

const escaped = (text: string): string =>
  text.replace(/[&<>"']/g, character => `&#${character.codePointAt(0)};`)

/** Without its query, in which some receivers have a secret. */
function shownUrl(url: string): string {
  const { origin, pathname } = new URL(url)
  return `${origin}${pathname}`
}

const instants = new Intl.DateTimeFormat('en-GB', {
  dateStyle: 'long',
  timeStyle: 'short',
  timeZone: 'UTC',
})
const days = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'long', timeZone: 'UTC' })
const instant = (at: Date): string => `${instants.format(at)} UTC`
const day = (at: Date): string => days.format(at)
