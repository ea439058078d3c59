/**
 * What `:86:` says, in the dialects of banks: subfields behind a question mark (`166?00SEPA?20EREF+…`), codes between
 * slashes (`/EREF/…/REMI/…`), or plain text. Lines of it are one text that was cut every 65 characters.
 */
import { TEXT_LENGTH_MOST } from '../../line.ts'

export interface Details {
  end_to_end: string | undefined
  /** The bank's or the customer's name of the batch it was booked with. */
  batch: string | undefined
  text: string
  is_return: boolean
}

/** A code of three digits and the sign that stands before each subfield. */
const SUBFIELDS = /^(\d{3})([?<>+@|~])(?=\d\d)/

/** Words of SEPA in front of what they name, in the text of subfields and in plain text. */
const WORDS = /(EREF|KREF|MREF|CRED|DEBT|COAM|OAMT|SVWZ|ABWA|ABWE|IBAN|BIC|PURP|RTRN)[+:]/

const CODES =
  /(?:^|\/)(EREF|KREF|IREF|PREF|MARF|CNTP|REMI|TRTP|NAME|IBAN|BIC|CSID|ORDP|BENM|RTRN|PURP|ISDT|SVCL|ADDR|CREF|TRCD|ULTB|ULTC|ULTD|UDTR|UCRD|EXCH|CHGS|OCMT|BUSP)\//

export function readDetails(field: string): Details {
  const subfields = SUBFIELDS.exec(field)
  if (subfields !== null) return ofSubfields(field.replaceAll('\n', ''), subfields[2] as string)
  const joined = field.replaceAll('\n', '')
  if (new RegExp(`^\\s*${CODES.source}`).test(joined)) return ofCodes(joined)
  const named = namedParts(joined, WORDS)
  return { ...ofNames(named), text: short(field.replaceAll('\n', ' ')) }
}

/** 20 to 29 and 60 to 63 are the text, 32 and 33 the name of the other side. */
function ofSubfields(field: string, sign: string): Details {
  let purpose = ''
  let name = ''
  for (const part of field.slice(3).split(sign)) {
    const number = Number(part.slice(0, 2))
    const text = part.slice(2)
    if ((number >= 20 && number <= 29) || (number >= 60 && number <= 63)) purpose += text
    else if (number === 32 || number === 33) name += text
  }
  const named = namedParts(purpose, WORDS)
  return { ...ofNames(named), text: short(`${name} ${named.get('SVWZ') ?? purpose}`) }
}

function ofCodes(field: string): Details {
  const named = namedParts(field, CODES)
  const clean = new Map([...named].map(([name, text]) => [name, text.replace(/\/+$/, '')]))
  const words = [clean.get('NAME') ?? clean.get('CNTP'), clean.get('REMI')].filter(text => text !== undefined)
  return { ...ofNames(clean), text: short(words.join(' ') || field) }
}

function ofNames(named: ReadonlyMap<string, string>): Omit<Details, 'text'> {
  return {
    end_to_end: named.get('EREF'),
    batch: named.get('PREF') ?? named.get('KREF'),
    is_return: named.has('RTRN'),
  }
}

/** What stands behind each word, up to the next. The first of a name counts. */
function namedParts(text: string, words: RegExp): Map<string, string> {
  const parts = text.split(words)
  const named = new Map<string, string>()
  for (let at = 1; at < parts.length; at += 2) {
    const name = parts[at] as string
    if (!named.has(name)) named.set(name, (parts[at + 1] ?? '').trim())
  }
  return named
}

const short = (text: string) => text.trim().slice(0, TEXT_LENGTH_MOST)
