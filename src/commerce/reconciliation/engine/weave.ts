/**
 * Writes `items.csv` of plain files, or a part of it: rows of the left file once more, each that was paired as a line
 * of its own, and for each that was left over the next line of what was decided of those, which has the same order.
 */
import { Out, putDigits } from './out.ts'
import { type Place, wholeLines } from './plain.ts'
import { amountAt, findCells, keyOf, newEnds, type PlainFile } from './rows.ts'
import { type CurrencySum, Tally } from './tally.ts'

const [LF, COMMA] = [0x0a, 0x2c]
/** A piece of the result. */
const OUT_BYTES = 1 << 20

export interface WeaveTask {
  name: 'weave'
  file: PlainFile
  /** The rows from one place to another; null is the end of the file. */
  from: Place
  to: Place | null
  partners: Uint32Array
  /** The lines of those that were left over, and of the right rows behind them. */
  others: string
  /** Written in front, where it is the first part. */
  header: string
  out: string
}

/** Answers the sums of the rows that were paired: the same on both sides. */
export function weave(task: WeaveTask): { rows: number; sums: CurrencySum[] } {
  const { path, layout } = task.file
  const { partners } = task
  const rest = new Lines(task.others)
  const out = new Out(task.out, OUT_BYTES)
  const tally = new Tally()
  const ends = newEnds()
  const { id, amount, currency, date, batch } = layout
  const shown = [id, amount, currency, date, batch]
  let row = task.from.rows
  try {
    out.text(task.header)
    let is_header = task.from.at === 0
    for (const { piece } of wholeLines(path, task.from.at, task.to?.at)) {
      for (let at = is_header ? piece.indexOf(LF) + 1 : 0; at < piece.length; ) {
        const start = at
        const cells = findCells(piece, at, ends)
        at = (ends[cells + 1] as number) + 1
        row++
        const partner = partners[row]
        if (partner === undefined) throw new Error(`${path} has grown while it was read`)
        if (partner === 0) {
          if (!rest.writeNext(out)) throw new Error(`row ${row} has no home`)
          continue
        }
        const { buffer } = out
        let to = out.reserve(at - start + LINE_BYTES_MOST)
        to = putDigits(buffer, to, row)
        buffer[to++] = COMMA
        to = putDigits(buffer, to, row + 1)
        buffer[to++] = COMMA
        to = putDigits(buffer, to, partner)
        buffer[to++] = COMMA
        to = putDigits(buffer, to, partner + 1)
        for (const cell of shown) {
          buffer[to++] = COMMA
          if (cell === -1) continue
          const end = ends[cell + 1] as number
          for (let from = (ends[cell] as number) + 1; from < end; from++) buffer[to++] = piece[from] as number
        }
        for (let from = 0; from < MATCHED.length; from++) buffer[to++] = MATCHED[from] as number
        to = putDigits(buffer, to, row)
        for (let from = 0; from < NOTHING_SAID.length; from++) buffer[to++] = NOTHING_SAID[from] as number
        out.filled(to)
        tally.add(
          keyOf(piece, (ends[currency] as number) + 1),
          amountAt(piece, (ends[amount] as number) + 1, ends[amount + 1] as number),
        )
      }
      is_header = false
    }
    while (rest.writeNext(out)) continue
    out.flush()
  } finally {
    out.close()
    rest.close()
  }
  return { rows: row - task.from.rows, sums: tally.sums() }
}

const MATCHED = Buffer.from(',matched,id,l')
/** Of a line without what is of the row itself: five numbers, commas and words. */
const LINE_BYTES_MOST = 100
const NOTHING_SAID = Buffer.from(',,\n')

/** The lines of a file whose cells hold no line ends, one at a time. */
class Lines {
  readonly #pieces: Iterator<{ piece: Buffer }>
  #piece: Buffer = Buffer.alloc(0)
  #at = 0

  constructor(path: string) {
    this.#pieces = wholeLines(path)[Symbol.iterator]()
  }

  /** False at the end of the file. */
  writeNext(out: Out): boolean {
    if (this.#at === this.#piece.length) {
      const next = this.#pieces.next()
      if (next.done === true) return false
      this.#piece = next.value.piece
      this.#at = 0
    }
    const end = this.#piece.indexOf(LF, this.#at) + 1
    out.write(this.#piece, this.#at, end)
    this.#at = end
    return true
  }

  close(): void {
    this.#pieces.return?.()
  }
}
