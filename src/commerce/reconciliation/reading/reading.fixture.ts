/** Reading whole files for tests: everything at once, from text or bytes, in pieces of any size. */
import { Readable } from 'node:stream'
import type { BadRow, Line } from '../line.ts'
import { openStatement } from './open.ts'
import { type ReadAs, type ReadOptions, StatementError, type Summary } from './statement.ts'

export interface ReadWhole {
  format: string
  mapping: ReadAs | null
  lines: Line[]
  bad: BadRow[]
  summary: Summary
}

export const NAME = 'statement.txt'

export async function readWhole(
  content: string | Uint8Array,
  options: Partial<ReadOptions> = {},
  piece_bytes?: number,
): Promise<ReadWhole> {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  const input = bytes.length === 0 ? Readable.from([]) : Readable.from([bytes])
  const statement = await openStatement(input, { name: NAME, ...options }, piece_bytes)
  const lines: Line[] = []
  const bad: BadRow[] = []
  for await (const batch of statement.batches()) {
    lines.push(...batch.lines)
    bad.push(...batch.bad)
  }
  return { format: statement.format, mapping: statement.mapping, lines, bad, summary: statement.finish() }
}

/** How a file is refused: `line: reason`. Anything but a `StatementError` is a failure of the test. */
export async function refusal(
  content: string | Uint8Array,
  options: Partial<ReadOptions> = {},
  piece_bytes?: number,
): Promise<string> {
  try {
    await readWhole(content, options, piece_bytes)
  } catch (error) {
    if (error instanceof StatementError) return `${error.line}: ${error.reason}`
    throw error
  }
  return 'was read'
}

/** Rows in short: `id amount currency`. */
export const short = ({ lines }: ReadWhole) =>
  lines.map(({ id, amount, currency }) => `${id} ${amount} ${currency}`)

export const amounts = ({ lines }: ReadWhole) => lines.map(({ amount }) => amount)
