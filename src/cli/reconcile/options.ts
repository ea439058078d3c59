/** What the command line says of the two files and of the rules, checked before anything is read. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import {
  DATE_WINDOW_DAYS_MOST,
  DEFAULT_RULES,
  ENCODINGS,
  type FileSide,
  FORMATS,
  ID_SOURCES,
  type Mapping,
  type Rules,
  type SaidMapping,
  type Sayable,
  type Side,
  TOLERANCE_BASIS_POINTS_MOST,
} from '#reconciliation/files'

/** What can be said of both files, or of one of them: `--decimal comma`, `--left-decimal comma`. */
interface FileOptions {
  format?: string
  map?: Columns
  decimal?: Mapping['decimal']
  delimiter?: string
  dateFormat?: string
  encoding?: string
  currency?: string
  idFrom?: string[]
}
type OfSide<S extends Side> = {
  [Name in keyof FileOptions as `${S}${Capitalize<Name>}`]: FileOptions[Name]
}

export interface ReconcileOptions extends FileOptions, OfSide<'left'>, OfSide<'right'> {
  out?: string
  json?: boolean
  dateWindow?: number
  tolerance?: bigint
  toleranceBps?: number
  asOf?: string
  timingDays?: number
  allowEmpty?: boolean
  skipTotals?: boolean
  flip?: Side
  keep?: boolean
  decisions?: string
  carry?: string
}

type Columns = NonNullable<SaidMapping['columns']>

const OTHER_COLUMNS = ['amount', 'sign', 'debit', 'credit', 'currency', 'date', 'batch', 'text'] as const

export function declareOptions(command: Command): void {
  const ofFiles: readonly (readonly [string, string, ((text: string) => unknown)?])[] = [
    ['format <name>', 'csv, jsonl, camt053, mt940 or bai2; told from the file when left out'],
    ['map <columns>', 'which column is what: id=Ref,amount=Betrag,date=Datum (below)', columnsOf],
    ['decimal <word>', 'how amounts are written: point, comma, or minor (whole minor units)', decimalOf],
    ['delimiter <character>', 'what divides columns: , ; | tab', delimiterOf],
    ['date-format <format>', 'how dates are written: YYYY-MM-DD, DD.MM.YYYY'],
    ['encoding <name>', 'utf-8, utf-16le, utf-16be or windows-1252'],
    ['currency <code>', 'of rows that do not say it: eur', currencyOf],
    ['id-from <sources>', "where a bank's file has the id: end_to_end,customer_reference", listOf],
  ]
  for (const side of ['', 'left-', 'right-'] as const) {
    for (const [flags, description, parse] of ofFiles) {
      const option = new Option(`--${side}${flags}`, description)
      if (parse) option.argParser(parse)
      // Said once, and in words that each may be said of one file.
      command.addOption(option.hideHelp(side !== ''))
    }
  }
  command
    .option('--date-window <days>', 'how far apart dates of one thing may lie (3)', wholeNumber)
    .option('--tolerance <units>', 'by how many minor units amounts may differ (0)', minorUnits)
    .option('--tolerance-bps <number>', 'or by how many hundredths of a per cent (0)', wholeNumber)
    .option('--as-of <day>', 'the day to look from: what was booked just before may still come')
    .option('--timing-days <days>', 'how many days before that day are "just before" (3)', wholeNumber)
    .option('--carry <dir>', 'the --out of the run before: what was still to come there joins in')
    .option('--decisions <file>', 'what people decided, as JSON lines')
    .addOption(
      new Option(
        '--flip <side>',
        'turn every sign of this side, in whatever format: it shows the account from the other side',
      ).choices(['left', 'right']),
    )
    .option(
      '--skip-totals',
      'leave out rows of CSV that are named Total, Saldo and the like, and by nothing else',
    )
    .option('--allow-empty', 'take a file without rows for a day on which nothing happened')
    .option('--keep', 'have the server compare and keep them: both are uploaded; --carry is a run (rec_…)')
    .option(
      '--out <dir>',
      'keep the run there: report.html, findings.csv, findings.jsonl, items.csv, run.json',
    )
    .option('--json', 'print one JSON object instead of text')
}

function wholeNumber(text: string): number {
  if (!/^\d{1,6}$/.test(text)) throw new InvalidArgumentError('A whole number is wanted.')
  return Number(text)
}

function minorUnits(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('A whole number of minor units is wanted: 5.')
  return BigInt(text)
}

function decimalOf(text: string): Mapping['decimal'] {
  const known: Record<string, Mapping['decimal']> = {
    point: 'point',
    '.': 'point',
    comma: 'comma',
    ',': 'comma',
    minor: 'minor',
  }
  const found = known[text]
  if (found === undefined) throw new InvalidArgumentError('One of point, comma and minor is wanted.')
  return found
}

function delimiterOf(text: string): string {
  const delimiter = text === 'tab' || text === '\\t' ? '\t' : text
  if (delimiter.length !== 1) throw new InvalidArgumentError('One character is wanted, or "tab".')
  return delimiter
}

function currencyOf(text: string): string {
  if (!/^[a-z]{3}$/i.test(text)) throw new InvalidArgumentError('Three letters are wanted: eur.')
  return text.toLowerCase()
}

const listOf = (text: string): string[] => text.split(',').map(name => name.trim())

/** `id=Ref,id=Line,amount=Betrag`: two columns together make the id. A name with a comma needs JSON. */
function columnsOf(text: string): Columns {
  const id: string[] = []
  const others: Partial<Record<(typeof OTHER_COLUMNS)[number], string>> = {}
  for (const [what, name] of text.startsWith('{') ? pairsOfJson(text) : pairsOf(text)) {
    const other = OTHER_COLUMNS.find(known => known === what)
    if (what === 'id') id.push(name)
    else if (other === undefined) {
      throw new InvalidArgumentError(`"${what}" is none of id, ${OTHER_COLUMNS.join(', ')}.`)
    } else if (others[other] !== undefined) throw new InvalidArgumentError(`"${what}" is named twice.`)
    else others[other] = name
  }
  return { ...(id.length > 0 && { id }), ...others }
}

function pairsOf(text: string): [string, string][] {
  return text.split(',').map(pair => {
    const [what = '', ...name] = pair.split('=')
    if (name.join('=') === '') throw new InvalidArgumentError(`"${pair}" names no column: id=Ref is wanted.`)
    return [what.trim(), name.join('=')]
  })
}

function pairsOfJson(text: string): [string, string][] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new InvalidArgumentError('This is no JSON.')
  }
  return Object.entries(value as Record<string, unknown>).flatMap(([what, names]) =>
    [names].flat().map((name): [string, string] => {
      if (typeof name !== 'string') throw new InvalidArgumentError(`The column of "${what}" is a text.`)
      return [what, name]
    }),
  )
}

/** What is said of one file goes before what is said of both. */
export function sideOf(options: ReconcileOptions, side: Side, name: string): Omit<FileSide, 'path'> {
  const said = <Name extends keyof FileOptions>(name: Name): FileOptions[Name] => {
    const of_side = `${side}${name[0]?.toUpperCase()}${name.slice(1)}` as keyof ReconcileOptions
    return (options[of_side] as FileOptions[Name]) ?? options[name]
  }
  const format = said('format')
  if (format !== undefined && !FORMATS.some(known => known === format)) {
    throw new TypeError(`--format must be one of ${FORMATS.join(', ')}`)
  }
  const encoding = said('encoding')
  if (encoding !== undefined && !ENCODINGS.some(known => known === encoding)) {
    throw new TypeError(`--encoding must be one of ${ENCODINGS.join(', ')}`)
  }
  const id_from = said('idFrom')
  const unknown = id_from?.find(source => !ID_SOURCES.some(known => known === source))
  if (unknown !== undefined) throw new TypeError(`--id-from names ${ID_SOURCES.join(', ')}`)
  const mapping = {
    ...(said('map') && { columns: said('map') }),
    ...(said('decimal') && { decimal: said('decimal') }),
    ...(said('delimiter') && { delimiter: said('delimiter') }),
    ...(said('dateFormat') && { date_format: said('dateFormat') }),
    ...(encoding && { encoding }),
    ...(options.flip === side && { is_flipped: true }),
    ...(options.skipTotals && { skips_totals: true }),
  }
  return {
    name,
    ...(format && { format }),
    ...(Object.keys(mapping).length > 0 && { mapping }),
    ...(said('currency') && { currency: said('currency') }),
    ...(id_from && { id_from }),
    ...(options.allowEmpty && { is_empty_allowed: true }),
  } as Omit<FileSide, 'path'>
}

/** `--map` may be given in part, and rightly. */
const OPTIONS: Partial<Record<Sayable, readonly [keyof FileOptions, string]>> = {
  decimal: ['decimal', 'decimal'],
  delimiter: ['delimiter', 'delimiter'],
  date_format: ['dateFormat', 'date-format'],
  encoding: ['encoding', 'encoding'],
  currency: ['currency', 'currency'],
  id_from: ['idFrom', 'id-from'],
}

/** The option that was given for it, as it was given: of this side, or of both. Null where none was. */
export function saidOf(options: ReconcileOptions, side: Side, what: Sayable): string | null {
  const [name, flag] = OPTIONS[what] ?? []
  if (name === undefined) return null
  const of_side = options[`${side}${name[0]?.toUpperCase()}${name.slice(1)}` as keyof ReconcileOptions]
  const value = of_side ?? options[name]
  if (value === undefined) return null
  return `--${of_side === undefined ? '' : `${side}-`}${flag}${typeof value === 'string' ? ` ${value}` : ''}`
}

export function rulesOf(options: ReconcileOptions): Rules {
  const { dateWindow, tolerance, toleranceBps, asOf, timingDays } = options
  if (timingDays !== undefined && asOf === undefined) {
    throw new TypeError('--timing-days counts from a day: name it with --as-of')
  }
  if (asOf !== undefined && !/^\d{4}-\d\d-\d\d$/.test(asOf)) {
    throw new TypeError('--as-of is a day, written like 2026-11-21')
  }
  if (asOf !== undefined && !isDay(asOf)) throw new TypeError(`--as-of ${asOf} is not a day of the calendar`)
  const most = (value: number | undefined, limit: number, option: string) => {
    if (value !== undefined && value > limit) throw new TypeError(`${option} is at most ${limit}`)
  }
  most(dateWindow, DATE_WINDOW_DAYS_MOST, '--date-window')
  most(timingDays, DATE_WINDOW_DAYS_MOST, '--timing-days')
  most(toleranceBps, TOLERANCE_BASIS_POINTS_MOST, '--tolerance-bps')
  return {
    date_window_days: dateWindow ?? DEFAULT_RULES.date_window_days,
    tolerance: {
      amount: tolerance ?? DEFAULT_RULES.tolerance.amount,
      basis_points: toleranceBps ?? DEFAULT_RULES.tolerance.basis_points,
    },
    as_of: asOf ?? null,
    timing_days: timingDays ?? DEFAULT_RULES.timing_days,
  }
}

function isDay(text: string): boolean {
  const at = new Date(`${text}T00:00:00Z`)
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(text)
}
