/**
 * Writes `items.csv` of plain files: the left file once more from its beginning, each row that was paired as a line of
 * its own, and for each row that was left over the next line of what DuckDB wrote, which has them in the same order.
 */
import { Out } from './out.ts'
import { wholeLines } from './plain.ts'
import { amountAt, findCells, keyOf, newEnds, type PlainFile } from './rows.ts'
import { type CurrencySum, Tally } from './tally.ts'
import { ITEM_COLUMNS } from './write.ts'

const [LF, COMMA] = [0x0a, 0x2c]
/** A piece of the result. */
const OUT_BYTES = 1 << 20

/** Answers the sums of the rows that were paired: the same on both sides. */
export async function weave(
  { path, layout }: PlainFile,
  partners: Uint32Array,
  others: string,
  items: string,
): Promise<CurrencySum[]> {
  const rest = new Lines(others)
  const out = new Out(items, OUT_BYTES)
  const tally = new Tally()
  const ends = newEnds()
  const { id, amount, currency, date, batch } = layout
  const shown = [id, amount, currency, date, batch]
  let row = 0
  try {
    out.text(`${ITEM_COLUMNS}\n`)
    let is_header = true
    for await (const { piece } of wholeLines(path)) {
      for (let at = is_header ? piece.indexOf(LF) + 1 : 0; at < piece.length; ) {
        const cells = findCells(piece, at, ends)
        at = (ends[cells + 1] as number) + 1
        row++
        const partner = partners[row]
        if (partner === undefined) throw new Error(`${path} has grown while it was read`)
        if (partner === 0) {
          if (!rest.writeNext(out)) {
            await rest.more()
            if (!rest.writeNext(out)) throw new Error(`row ${row} has no home`)
          }
          continue
        }
        out.digits(row)
        out.byte(COMMA)
        out.digits(row + 1)
        out.byte(COMMA)
        out.digits(partner)
        out.byte(COMMA)
        out.digits(partner + 1)
        for (const cell of shown) {
          out.byte(COMMA)
          if (cell !== -1) out.write(piece, (ends[cell] as number) + 1, ends[cell + 1] as number)
        }
        out.write(MATCHED, 0, MATCHED.length)
        out.digits(row)
        out.write(NOTHING_SAID, 0, NOTHING_SAID.length)
        tally.add(
          keyOf(piece, (ends[currency] as number) + 1),
          amountAt(piece, (ends[amount] as number) + 1, ends[amount + 1] as number),
        )
      }
      is_header = false
    }
    if (row + 1 !== partners.length) throw new Error(`${path} has changed while it was read`)
    while (rest.writeNext(out) || (await rest.more())) continue
  } finally {
    out.close()
    await rest.close()
  }
  return tally.sums()
}

const MATCHED = Buffer.from(',matched,id,l')
const NOTHING_SAID = Buffer.from(',,\n')

/** The lines of a file whose cells hold no line ends, one at a time. */
class Lines {
  readonly #pieces: AsyncIterator<{ piece: Buffer }>
  #piece: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(path: string) {
    this.#pieces = wholeLines(path)[Symbol.asyncIterator]()
  }

  /** False when the piece at hand has none. */
  writeNext(out: Out): boolean {
    const end = this.#piece.indexOf(LF, this.#at)
    if (end === -1) return false
    out.write(this.#piece, this.#at, end + 1)
    this.#at = end + 1
    return true
  }

  /** False at the end of the file. */
  async more(): Promise<boolean> {
    const next = await this.#pieces.next()
    if (next.done === true) return false
    this.#piece = next.value.piece
    this.#at = 0
    return true
  }

  async close(): Promise<void> {
    await this.#pieces.return?.()
  }
}
