/**
 * Writes `items.csv` of plain files, or a part of it: rows of the left file once more, each that was paired as a line
 * of its own, and for each that was left over the next line of what was decided of those, which has the same order.
 */
import { Out } from './out.ts'
import { type Piece, type Place, wholeLines } from './plain.ts'
import { amountAt, type Ends, findCells, keyOf, newEnds, type PlainFile } from './rows.ts'
import { type CurrencySum, Tally } from './tally.ts'
import { copy, putDigits, putNext, SPARE_BYTES } from './words.ts'

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
  const { file, partners } = task
  const rest = new Lines(task.others)
  const out = new Out(task.out, OUT_BYTES)
  const tally = new Tally()
  const loom = { file, partners, rest, out, tally, ends: newEnds() }
  let row = task.from.rows
  try {
    out.text(task.header)
    let is_header = task.from.at === 0
    for (const piece of wholeLines(file.path, task.from.at, task.to?.at)) {
      row = weaveRows(loom, piece, is_header ? piece.bytes.indexOf(LF) + 1 : 0, row)
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

interface Loom {
  file: PlainFile
  partners: Uint32Array
  rest: Lines
  out: Out
  tally: Tally
  ends: Ends
}

/** The rows of one piece, behind row number `row`. Answers the number of the last. */
function weaveRows(
  { file, partners, rest, out, tally, ends }: Loom,
  { bytes, view }: Piece,
  from: number,
  row: number,
): number {
  const { id, amount, currency, date, batch } = file.layout
  const shown = [id, amount, currency, date, batch]
  const line = out.view
  let number = row
  for (let at = from; at < bytes.length; ) {
    const start = at
    const cells = findCells(bytes, view, at, ends)
    at = (ends[cells + 1] as number) + 1
    number++
    const partner = partners[number]
    if (partner === undefined) throw new Error(`${file.path} has grown while it was read`)
    if (partner === 0) {
      if (!rest.writeNext(out)) throw new Error(`row ${number} has no home`)
      continue
    }
    let to = out.reserve(at - start + LINE_BYTES_MOST)
    const digits = to
    const digits_end = putDigits(line, to, number)
    line.setUint8(digits_end, COMMA)
    to = putNext(line, digits, digits_end, digits_end + 1, number)
    line.setUint8(to++, COMMA)
    const others = to
    const others_end = putDigits(line, to, partner)
    line.setUint8(others_end, COMMA)
    to = putNext(line, others, others_end, others_end + 1, partner)
    for (const cell of shown) {
      line.setUint8(to++, COMMA)
      if (cell !== -1) to = copy(view, (ends[cell] as number) + 1, ends[cell + 1] as number, line, to)
    }
    to = copy(MATCHED, 0, MATCHED_BYTES, line, to)
    to = copy(line, digits, digits_end, line, to)
    to = copy(NOTHING_SAID, 0, NOTHING_SAID_BYTES, line, to)
    out.filled(to)
    tally.add(
      keyOf(bytes, (ends[currency] as number) + 1),
      amountAt(bytes, (ends[amount] as number) + 1, ends[amount + 1] as number),
    )
  }
  return number
}

/** Words, and how many bytes they are. */
const wordsOf = (text: string): [DataView, number] => {
  const bytes = new Uint8Array(text.length + SPARE_BYTES)
  bytes.set(Buffer.from(text))
  return [new DataView(bytes.buffer), text.length]
}
const [MATCHED, MATCHED_BYTES] = wordsOf(',matched,id,l')
const [NOTHING_SAID, NOTHING_SAID_BYTES] = wordsOf(',,\n')
/** Of a line without what is of the row itself: five numbers, commas and words. */
const LINE_BYTES_MOST = 100

/** The lines of a file whose cells hold no line ends, one at a time. */
class Lines {
  readonly #pieces: Iterator<Piece>
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
      this.#piece = next.value.bytes
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
