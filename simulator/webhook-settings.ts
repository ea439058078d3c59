/** How webhooks go out, changed at runtime: where to, which ones, and how badly. */
import { Refused } from './refused.ts'
import { type Body, parseUrl, unknownParameter } from './requests.ts'

export interface WebhookSettings {
  /** Null: none are sent. */
  url: string | null
  /** What they are signed with. */
  secret: string
  /** `unanswered`: only what the caller was not told in an answer. */
  notify: 'all' | 'unanswered'
  /** How often an event is sent twice, 0 to 1. */
  duplicate_rate: number
  /** How often an event is never sent, 0 to 1; the feed still has it. */
  drop_rate: number
  /** Every event waits this long before its first attempt. */
  late_ms: number
  /** Every event waits a random moment more, so that neighbours overtake each other. */
  out_of_order: boolean
}

/** Ten minutes: longer than anyone watches. */
const MAX_LATE_MS = 600_000
const MAX_SECRET_CHARS = 255

const PARSERS: { [Name in keyof WebhookSettings]: (value: unknown, param: string) => WebhookSettings[Name] } =
  {
    url: parseUrl,
    secret: parseSecret,
    notify: parseNotify,
    duplicate_rate: rate,
    drop_rate: rate,
    late_ms: lateness,
    out_of_order: truth,
  }

/** Only what is named changes. */
export function parseWebhookSettings(body: Body): Partial<WebhookSettings> {
  const changed: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(body)) {
    if (!Object.hasOwn(PARSERS, name)) throw unknownParameter(name)
    changed[name] = PARSERS[name as keyof WebhookSettings](value, name)
  }
  return changed
}

export function parseNotify(value: unknown, param: string): WebhookSettings['notify'] {
  if (value === 'all' || value === 'unanswered') return value
  throw invalid(param, `${param} is all or unanswered.`)
}

function parseSecret(value: unknown, param: string): string {
  if (typeof value === 'string' && value.length <= MAX_SECRET_CHARS) return value
  throw invalid(param, `${param} is text of at most ${MAX_SECRET_CHARS} characters.`)
}

function rate(value: unknown, param: string): number {
  if (typeof value === 'number' && value >= 0 && value <= 1) return value
  throw invalid(param, `${param} is a number from 0 to 1.`)
}

function lateness(value: unknown, param: string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_LATE_MS) return value
  throw invalid(param, `${param} is a whole number from 0 to ${MAX_LATE_MS}.`)
}

function truth(value: unknown, param: string): boolean {
  if (typeof value === 'boolean') return value
  throw invalid(param, `${param} is true or false.`)
}

const invalid = (param: string, message: string) => new Refused(400, 'parameter_invalid', message, param)
