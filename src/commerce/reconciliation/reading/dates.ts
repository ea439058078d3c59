/** Days as files write them, to `YYYY-MM-DD`. What follows a day (a time, a zone) is left alone: the day is as written. */
import { quote } from './amounts.ts'
import type { Fail } from './statement.ts'

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
  /** `formats`: those of which one is meant; none where no one of them reads all rows. */
  | { kind: 'unclear'; line: number; reason: string; formats: readonly DateFormat[] }

export interface SampleDate {
  line: number
  text: string
}

/**
 * The format that fits most of them, when no other fits one that it does not. Days that may be months in every row are
 * asked for; where rows are written in two ways, no answer would read both.
 */
export function guessDateFormat(dates: readonly SampleDate[]): DateGuess {
  const [first] = dates
  const candidates = DATE_FORMATS.map(format => ({
    format,
    fits: dates.map(({ text }) => readDate(text, format) !== undefined),
  }))
    .map(candidate => ({ ...candidate, count: candidate.fits.filter(Boolean).length }))
    .filter(candidate => candidate.count > 0)
    .sort((a, b) => b.count - a.count)
  const [best, ...others] = candidates
  if (best === undefined || first === undefined) return { kind: 'none' }
  const otherwise = dates.findIndex((_, i) => best.fits[i] === false && others.some(({ fits }) => fits[i]))
  if (otherwise !== -1) {
    const example = (at: number) => {
      const { line, text } = dates[at] as SampleDate
      const names = candidates.filter(({ fits }) => fits[at]).map(({ format }) => format)
      return `${quote(text)} in line ${line} (${names.join(' or ')})`
    }
    const both = `${example(best.fits.indexOf(true))} and ${example(otherwise)}`
    return {
      kind: 'unclear',
      line: (dates[otherwise] as SampleDate).line,
      reason: `dates are written in two ways, ${both}, and no one format reads both: have them written in one way`,
      formats: [],
    }
  }
  // Whatever fits as many fits the same ones.
  const formats = candidates.filter(({ count }) => count === best.count).map(({ format }) => format)
  if (formats.length === 1) return { kind: 'found', format: best.format }
  const reason = `dates may be ${formats.join(' or ')}, as ${quote(first.text)}: say how they are written`
  return { kind: 'unclear', line: first.line, reason, formats }
}

/** What is said about it settles it only where one format reads all rows. */
export function failUndated({ line, reason, formats }: DateGuess & { kind: 'unclear' }, fail: Fail): never {
  return formats.length === 0 ? fail(line, reason) : fail(line, reason, 'date_format', formats)
}
