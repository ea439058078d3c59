/** Days as files write them, to `YYYY-MM-DD`. What follows a day (a time, a zone) is left alone: the day is as written. */
import { quote } from './amounts.ts'

/** Longest first among those that begin alike. */
export const DATE_FORMATS = [
  'YYYY-MM-DD',
  'YYYYMMDD',
  'YYYY/MM/DD',
  'YYYY.MM.DD',
  'DD.MM.YYYY',
  'DD.MM.YY',
  'DD/MM/YYYY',
  'MM/DD/YYYY',
  'DD/MM/YY',
  'MM/DD/YY',
  'DD-MM-YYYY',
  'MM-DD-YYYY',
] as const
export type DateFormat = (typeof DATE_FORMATS)[number]

export const isDateFormat = (text: string): text is DateFormat =>
  (DATE_FORMATS as readonly string[]).includes(text)

interface Shape {
  pattern: RegExp
  order: readonly string[]
}

const shapes = new Map<DateFormat, Shape>(
  DATE_FORMATS.map(format => [
    format,
    {
      pattern: new RegExp(
        `^${format.replace(/[.]/g, '\\.').replace(/Y+|MM|DD/g, part => `(\\d{${part.length}})`)}(?:[T ].*)?$`,
      ),
      order: format.match(/Y+|MM|DD/g) ?? [],
    },
  ]),
)

/** The day, or undefined when the text is none in this format. */
export function readDate(text: string, format: DateFormat): string | undefined {
  const { pattern, order } = shapes.get(format) as Shape
  const found = pattern.exec(text)
  if (found === null) return undefined
  const part = (name: string) => Number(found[order.indexOf(name) + 1])
  const year = order.includes('YYYY') ? part('YYYY') : fullYear(part('YY'))
  return dayOf(year, part('MM'), part('DD'))
}

/** Two digits are of this century up to 79, as banks read them: statements are no older. */
export const fullYear = (two_digits: number) => two_digits + (two_digits < 80 ? 2_000 : 1_900)

const DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] as const

/** `2026-02-28`; undefined when there is no such day. */
export function dayOf(year: number, month: number, day: number): string | undefined {
  const is_leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  const most = month === 2 && is_leap ? 29 : (DAYS[month - 1] ?? 0)
  if (day < 1 || day > most || year < 1 || year > 9999) return undefined
  return `${`${year}`.padStart(4, '0')}-${`${month}`.padStart(2, '0')}-${`${day}`.padStart(2, '0')}`
}

export const notADate = (text: string, format: string) => `${quote(text)} is not a date: expected ${format}`

export type DateGuess =
  | { kind: 'found'; format: DateFormat }
  | { kind: 'none' }
  | { kind: 'unclear'; reason: string }

/**
 * The format that fits most of them, when no other fits one that it does not. Days that may be months in every row are
 * asked for.
 */
export function guessDateFormat(texts: readonly string[]): DateGuess {
  const [first] = texts
  const candidates = DATE_FORMATS.map(format => ({
    format,
    fits: texts.map(text => readDate(text, format) !== undefined),
  }))
    .map(candidate => ({ ...candidate, count: candidate.fits.filter(Boolean).length }))
    .filter(candidate => candidate.count > 0)
    .sort((a, b) => b.count - a.count)
  const [best, ...others] = candidates
  if (best === undefined || first === undefined) return { kind: 'none' }
  const rivals = others.filter(
    ({ count, fits }) => count === best.count || fits.some((fit, index) => fit && best.fits[index] === false),
  )
  if (rivals.length === 0) return { kind: 'found', format: best.format }
  const names = [best, ...rivals].map(({ format }) => format).join(' or ')
  return { kind: 'unclear', reason: `dates may be ${names}, as ${quote(first)}: say how they are written` }
}
