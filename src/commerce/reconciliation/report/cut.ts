/** A cut of our own books in words: whose rows they are, of which days, and up to where the books were read. */
interface Cut {
  source: string
  selection: Readonly<Record<string, unknown>> | null
}

/** What stands where files have their format. */
export const CUT = 'a cut of our own books'

const SOURCES: Readonly<Record<string, string>> = {
  balance_transactions: 'changes of the balance',
  payouts: 'payouts',
  ledger: 'entries of the ledger',
}

/** Pure: `entries of the ledger, account bank; from 2026-11-01 to before 2026-12-01 (UTC); read up to transaction 712`. */
export function cutInWords({ source, selection }: Cut): string | null {
  if (source === 'file') return null
  const { code, ledger_account_id, currency, from, to, watermark } = selection ?? {}
  const account = code ?? ledger_account_id
  const days = [
    ...(from === undefined ? [] : [`from ${instantInWords(from)}`]),
    ...(to === undefined ? [] : [`to before ${instantInWords(to)}`]),
  ]
  return [
    `${SOURCES[source] ?? source}${account === undefined ? '' : `, account ${said(account)}`}`,
    ...(currency === undefined ? [] : [`${said(currency)} alone`]),
    days.length === 0 ? 'all days' : `${days.join(' ')} (UTC)`,
    ...(watermark === undefined ? [] : [`read up to transaction ${said(watermark)}`]),
  ].join('; ')
}

/** A midnight is its day. */
const instantInWords = (instant: unknown): string => said(instant).replace(/T00:00:00(\.000)?Z$/, '')

/** Texts, as jsonb has them. */
const said = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))
