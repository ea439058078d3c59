/** How a file was understood, as a sentence: a guess that nobody sees is a guess that nobody corrects. */
import type { ReadAs } from '../reading/statement.ts'

/** `id from "Ref", amount from "Betrag"; amounts with a decimal comma; columns divided by semicolons; dates as DD.MM.YYYY`. */
export function mappingInWords(mapping: ReadAs | null): string | null {
  if (mapping === null) return null
  if (mapping.columns === undefined) return TURNED
  const otherwise = [...(mapping.is_flipped ? [TURNED] : []), ...(mapping.skips_totals ? [SKIPPED] : [])]
  if (mapping.preset === 'simulator') {
    return ["the simulator's settlement file, by its net amounts", ...otherwise].join('; ')
  }
  const { columns, delimiter, decimal, date_format, currency, encoding } = mapping
  const named = ROLES.flatMap(what => {
    const column = columns[what]
    return column === undefined ? [] : [[what, [column].flat()] as const]
  })
  const is_plain = named.every(([what, names]) => names.join() === what)
  const sources = named.map(([what, names]) => `${what} from ${names.map(name => `"${name}"`).join(' and ')}`)
  const written = { minor: 'in minor units', point: 'with a decimal point', comma: 'with a decimal comma' }[
    decimal
  ]
  return [
    (is_plain ? named.map(([what]) => what) : sources).join(', '),
    `amounts ${written}`,
    ...otherwise,
    ...(delimiter === null ? [] : [`columns divided by ${DELIMITERS[delimiter] ?? `"${delimiter}"`}`]),
    ...(date_format === null ? [] : [`dates as ${date_format}`]),
    ...(currency === null ? [] : [`currency ${currency}`]),
    ...(encoding === 'utf-8' ? [] : [encoding]),
  ].join('; ')
}

const TURNED = 'every sign turned'

const SKIPPED = 'totals left out'

const ROLES = ['id', 'amount', 'sign', 'debit', 'credit', 'currency', 'date', 'batch', 'text'] as const

const DELIMITERS: Readonly<Record<string, string>> = { ',': 'commas', ';': 'semicolons', '\t': 'tabs' }
