/**
 * Decides the rows of two plain files that were left over: by the specification itself while they are few, else by
 * DuckDB. Both write the same bytes.
 */
import { readFile } from 'node:fs/promises'
import type { Line, Side } from '../line.ts'
import type { Crew } from './crew.ts'
import type { Rest } from './decided.ts'
import { Duck } from './duck.ts'
import type { RunFilesOptions } from './face.ts'
import { Few } from './few.ts'
import { loadLeftover } from './load.ts'
import { match } from './match.ts'
import { append } from './out.ts'
import type { Peeled } from './peel.ts'
import type { Layout, PlainFile } from './rows.ts'
import { suggestions, sumUp, writeFindings, writeItems } from './write.ts'

/** Rows of both sides: one in a hundred of five million. They take 100 MB, and less time than starting DuckDB. */
export const FEW_ROWS_MOST = 100_000

export async function decideLeftovers(
  { left, right }: Peeled['leftovers'],
  files: Record<Side, PlainFile>,
  { rules, decisions, few_rows_most = FEW_ROWS_MOST }: RunFilesOptions,
  crew: Crew,
  work: (name: string) => string,
): Promise<Rest> {
  if (left.count + right.count <= few_rows_most) {
    const lines = async (side: Side) => linesOf((side === 'left' ? left : right).files, files[side].layout)
    return new Few(await lines('left'), await lines('right'), rules, decisions)
  }
  await crew.close()
  const duck = await Duck.open(work('spill'))
  try {
    const columns = {
      left: await loadLeftover(duck, 'left', left.files, files.left.layout),
      right: await loadLeftover(duck, 'right', right.files, files.right.layout),
    }
    await match(duck, columns, rules, decisions, crew, work)
  } catch (error) {
    await duck.close()
    throw error
  }
  return {
    is_large: true,
    async writeOthers(rows, [first, second]) {
      await writeItems(duck, 'left', first, false, `a.row <= ${rows}`)
      await writeItems(duck, 'left', second, false, `a.row > ${rows}`)
      const rights = `${second}-right`
      await writeItems(duck, 'right', rights, false)
      await append(second, rights)
    },
    writeFindings: async path => writeFindings(duck, path),
    sums: async () => sumUp(duck),
    suggestions: async () => suggestions(duck, rules),
    close: async () => duck.close(),
  }
}

/** In their order. */
async function linesOf(files: readonly string[], layout: Layout): Promise<Line[]> {
  const lines: Line[] = []
  for (const file of files) {
    for (const text of (await readFile(file, 'utf8')).split('\n')) {
      if (text === '') continue
      const [row, ...cells] = text.split(',')
      const or = (place: number) => cells[place] || null
      const { id, amount, currency, date, batch } = layout
      lines.push({
        row: Number(row),
        line: Number(row) + 1,
        id: cells[id] ?? '',
        amount: BigInt(cells[amount] ?? ''),
        currency: cells[currency] ?? '',
        date: or(date),
        batch: or(batch),
        text: or(layout.text),
      })
    }
  }
  return lines.sort((a, b) => a.row - b.row)
}
