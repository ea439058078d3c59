/** Records of BAI2: a code and fields between commas, ended by a slash, continued by records of code 88. */

/**
 * A summary of an account with every type code there is has some hundreds of lines; text of a transaction, a few.
 */
export const CONTINUATIONS_MOST = 1_000

export interface BaiRecord {
  code: string
  line: number
  /** Physical records: itself and its continuations. */
  lines: number
  /** Behind the code. What text there is may be cut at its commas: `textOf` mends it. */
  fields: string[]
  /** No slash: the last field is text, and goes on in the next line. */
  is_open: boolean
}

export function readRecord(text: string, line: number): BaiRecord {
  const code = text.slice(0, 2)
  const { body, is_open } = bodyOf(text)
  return { code, line, lines: 1, fields: body.split(','), is_open }
}

export function continueRecord(record: BaiRecord, text: string) {
  const { body, is_open } = bodyOf(text)
  record.lines += 1
  const fields = body.split(',')
  if (record.is_open && isInText(record)) {
    const last = record.fields.pop() as string
    record.fields.push(`${last} ${fields.shift() ?? ''}`.trimEnd())
  }
  record.fields.push(...fields)
  record.is_open = is_open
}

/** Only the text of a transaction goes on without a slash; some banks leave it out everywhere. */
function isInText({ code, fields }: BaiRecord): boolean {
  if (code !== '16') return false
  const funds = readFunds(fields, 2)
  return typeof funds !== 'string' && fields.length >= 2 + funds.fields + 3
}

function bodyOf(text: string): { body: string; is_open: boolean } {
  const trimmed = text.trimEnd()
  const is_open = !trimmed.endsWith('/')
  return { body: trimmed.slice(3, is_open ? undefined : -1), is_open }
}

export interface Funds {
  /** How many fields it took, its own code among them. */
  fields: number
  /** `YYMMDD` of type V. */
  value_date: string | null
  /** Of type S: what is available when, which must sum to the amount. */
  parts: readonly string[]
}

/** Behind an amount: when the money can be used. S has three amounts, V a day and a time, D as many pairs as it says. */
export function readFunds(fields: readonly string[], at: number): Funds | string {
  const type = fields[at] ?? ''
  switch (type.toUpperCase()) {
    case '':
    case 'Z':
    case '0':
    case '1':
    case '2':
      return { fields: 1, value_date: null, parts: [] }
    case 'V':
      return { fields: 3, value_date: fields[at + 1] ?? '', parts: [] }
    case 'S':
      return { fields: 4, value_date: null, parts: fields.slice(at + 1, at + 4) }
    case 'D': {
      const count = Number(fields[at + 1])
      if (!Number.isInteger(count) || count < 0 || at + 2 + 2 * count > fields.length) {
        return 'its distribution of funds (D) does not have as many days as it says'
      }
      const parts = Array.from({ length: count }, (_, each) => fields[at + 3 + 2 * each] ?? '')
      return { fields: 2 + 2 * count, value_date: null, parts }
    }
    default:
      return `its type of funds is ${JSON.stringify(type.slice(0, 10))}: expected 0, 1, 2, V, S, D or Z`
  }
}

/** Whether money came in: by the hundreds of the type code, as BAI2 has them. Null for what is no movement. */
export function directionOf(type: string): 1 | -1 | null | undefined {
  if (!/^\d{3}$/.test(type)) return undefined
  const code = Number(type)
  if (code === 890) return null
  if (code >= 100 && code <= 399) return 1
  if (code >= 400 && code <= 699) return -1
  if ((code >= 720 && code <= 759) || (code >= 920 && code <= 959)) return 1
  if ((code >= 760 && code <= 799) || (code >= 960 && code <= 999)) return -1
  return undefined
}
