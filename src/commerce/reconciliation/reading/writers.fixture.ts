/** Statements written in each format, so that reading them back can be compared with what was written. */
import fc from 'fast-check'
import { currencies, type Currency, decimalAmount } from '#money'

export interface Written {
  id: string
  amount: bigint
  currency: Currency
  date: string
}

const ID_LETTERS = 'abcXYZ0189-_.'.split('')
const idText = fc
  .array(fc.constantFrom(...ID_LETTERS), { minLength: 1, maxLength: 14 })
  .map(letters => `R${letters.join('')}`)

const anyAmount = fc.oneof(
  fc.bigInt({ min: -100_000n, max: 100_000n }),
  fc.bigInt({ min: -(10n ** 14n), max: 10n ** 14n }),
)
const anyDate = fc
  .date({ min: new Date('1985-01-01T00:00:00Z'), max: new Date('2070-12-31T00:00:00Z'), noInvalidDate: true })
  .map(date => date.toISOString().slice(0, 10))

export const someCurrency = fc.constantFrom<Currency>(
  'usd',
  'eur',
  'jpy',
  'kwd',
  ...currencies.map(({ code }) => code),
)

export const written = (currency: fc.Arbitrary<Currency> = someCurrency): fc.Arbitrary<Written> =>
  fc.record({ id: idText, amount: anyAmount, currency, date: anyDate })

/** Rows of one account, and what it had before them. */
export const account = someCurrency.chain(currency =>
  fc.record({
    currency: fc.constant(currency),
    opening: anyAmount,
    rows: fc.array(written(fc.constant(currency)), { minLength: 1, maxLength: 12 }),
  }),
)
export type Account = typeof account extends fc.Arbitrary<infer Value> ? Value : never

export const sumOf = (rows: readonly Written[]) => rows.reduce((sum, { amount }) => sum + amount, 0n)
const size = (amount: bigint) => (amount < 0n ? -amount : amount)
const shortDay = (date: string) => date.replaceAll('-', '').slice(2)

/** How a spreadsheet in one country or another writes a number. */
export const numberStyles = {
  minor: { decimal: 'minor', group: null },
  plain: { decimal: 'point', group: null },
  american: { decimal: 'point', group: ',' },
  swiss: { decimal: 'point', group: "'" },
  indian: { decimal: 'point', group: 'indian' },
  german: { decimal: 'comma', group: '.' },
  french: { decimal: 'comma', group: ' ' },
} as const
export type NumberStyleName = keyof typeof numberStyles

export function styledAmount(amount: bigint, code: Currency, name: NumberStyleName): string {
  const { decimal, group } = numberStyles[name]
  if (decimal === 'minor') return `${amount}`
  const [whole = '', fraction] = decimalAmount(size(amount), code).split('.')
  const grouped =
    group === null
      ? whole
      : group === 'indian'
        ? whole.replace(/\B(?=(?:\d{2})*\d{3}$)/g, ',')
        : whole.replace(/\B(?=(?:\d{3})+$)/g, group)
  return `${amount < 0n ? '-' : ''}${grouped}${fraction === undefined ? '' : `${decimal === 'point' ? '.' : ','}${fraction}`}`
}

export interface CsvStyle {
  delimiter: ',' | ';' | '\t' | '|'
  line_end: '\n' | '\r\n' | '\r'
  numbers: NumberStyleName
  is_quoted: boolean
  has_line_end: boolean
  encoding: 'utf-8' | 'bom' | 'utf-16le' | 'utf-16be' | 'windows-1252'
}

export const csvStyle: fc.Arbitrary<CsvStyle> = fc.record({
  delimiter: fc.constantFrom(',', ';', '\t', '|'),
  line_end: fc.constantFrom('\n', '\r\n', '\r'),
  numbers: fc.constantFrom(...(Object.keys(numberStyles) as NumberStyleName[])),
  is_quoted: fc.boolean(),
  has_line_end: fc.boolean(),
  encoding: fc.constantFrom('utf-8', 'bom', 'utf-16le', 'utf-16be', 'windows-1252'),
})

export function csv(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  style: CsvStyle,
): Buffer {
  const cell = (text: string) =>
    style.is_quoted || /["\r\n,;\t|]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  const lines = [header, ...rows].map(row => row.map(cell).join(style.delimiter))
  const text = lines.join(style.line_end) + (style.has_line_end ? style.line_end : '')
  switch (style.encoding) {
    case 'utf-8':
      return Buffer.from(text)
    case 'bom':
      return Buffer.from(`\ufeff${text}`)
    case 'utf-16le':
      return Buffer.from(`\ufeff${text}`, 'utf16le')
    case 'utf-16be':
      return Buffer.from(`\ufeff${text}`, 'utf16le').swap16()
    case 'windows-1252':
      return Buffer.from(text, 'latin1')
  }
}

const escaped = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;')
const sided = (amount: bigint, code: Currency, tag = 'Amt') =>
  `<${tag} Ccy="${code.toUpperCase()}">${decimalAmount(size(amount), code)}</${tag}><CdtDbtInd>${amount < 0n ? 'DBIT' : 'CRDT'}</CdtDbtInd>`

/** All rows in one entry for each day they are of, when `is_batched`; else each its own. */
export function camt053(
  { currency, opening, rows }: Account,
  prefix: '' | 'n:',
  is_batched: boolean,
): string {
  const balance = (type: string, amount: bigint) =>
    `<Bal><Tp><CdOrPrtry><Cd>${type}</Cd></CdOrPrtry></Tp>${sided(amount, currency)}</Bal>`
  const transaction = ({ id, amount }: Written) =>
    `<TxDtls><Refs><EndToEndId>${escaped(id)}</EndToEndId></Refs>${sided(amount, currency)}</TxDtls>`
  const groups = is_batched ? [...Map.groupBy(rows, ({ date }) => date).values()] : rows.map(row => [row])
  const entries = groups.map(
    group =>
      `<Ntry>${sided(sumOf(group), currency)}<Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>${group[0]?.date}</Dt></BookgDt>` +
      `<NtryDtls>${group.map(transaction).join('')}</NtryDtls></Ntry>\n`,
  )
  const inside =
    `<BkToCstmrStmt><Stmt><Id>S</Id>${balance('OPBD', opening)}${balance('CLBD', opening + sumOf(rows))}\n` +
    `${entries.join('')}</Stmt></BkToCstmrStmt>`
  const named = prefix === '' ? 'xmlns' : 'xmlns:n'
  const document = `<Document ${named}="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08">${inside}</Document>`
  return prefix === '' ? document : document.replaceAll(/<(\/?)(?=[A-Z])/g, `<$1${prefix}`)
}

export function mt940(
  { currency, opening, rows }: Account,
  line_end: '\n' | '\r\n',
  is_framed: boolean,
): string {
  const digits = (amount: bigint) => {
    const [whole, fraction = ''] = decimalAmount(size(amount), currency).split('.')
    return `${whole},${fraction}`
  }
  const balance = (amount: bigint, day: string) =>
    `${amount < 0n ? 'D' : 'C'}${day}${currency.toUpperCase()}${digits(amount)}`
  const movements = rows.flatMap(({ id, amount, date }, index) => [
    `:61:${shortDay(date)}${index % 2 === 0 ? shortDay(date).slice(2) : ''}${amount < 0n ? 'D' : 'C'}${digits(amount)}NTRF${id}`,
    `:86:words of row ${index}`,
  ])
  return [
    is_framed ? '{1:F01TESTXX00AXXX0000000000}{2:I940TESTXX00XXXXN}{4:' : '',
    ':20:STATEMENT',
    ':25:ACCOUNT',
    ':28C:1/1',
    `:60F:${balance(opening, '260101')}`,
    ...movements,
    `:62F:${balance(opening + sumOf(rows), '261231')}`,
    is_framed ? '-}' : '-',
    '',
  ].join(line_end)
}

/** One group a day, since a transaction of BAI2 has the day of its group. */
export function bai2({ currency, rows }: Account): string {
  const days = [...Map.groupBy(rows, ({ date }) => date)]
  let total = 0n
  const groups = days.flatMap(([date, of_day]) => {
    const transactions = of_day.flatMap(({ id, amount }, index) => [
      `16,${amount < 0n ? '475' : '165'},${size(amount)},${index % 2 === 0 ? 'Z' : 'V,260101,0900'},,${id}${index % 3 === 0 ? ',words' : '/'}`,
      ...(index % 3 === 0 ? ['88,and more of them/'] : []),
    ])
    const sum = of_day.reduce((all, { amount }) => all + size(amount), 0n)
    total += sum
    const records = transactions.length + 2
    return [
      `02,US,BANK,1,${shortDay(date)},2359,${currency.toUpperCase()},2/`,
      '03,ACCOUNT,,015,,,/',
      ...transactions,
      `49,${sum},${records}/`,
      `98,${sum},1,${records + 2}/`,
    ]
  })
  return [
    '01,BANK,US,261121,0600,1,,,2/',
    ...groups,
    `99,${total},${days.length},${groups.length + 2}/`,
    '',
  ].join('\n')
}
