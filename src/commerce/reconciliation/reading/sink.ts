/** Where readers put what they read, until the driver hands it on. */
import { INT64_MAX } from '#money'
import { type BadRow, ID_BYTES_MOST, type Line, TEXT_LENGTH_MOST } from '../line.ts'
import { FLIPPED_TOO_FAR } from './amounts.ts'
import { isPlaceholder } from './references.ts'
import { type Control, type SaidMapping, type Sayable, StatementError } from './statement.ts'

/**
 * A file of ten thousand statements whose every control fails is one finding, not forty thousand; what is beyond is
 * counted in a control of its own.
 */
const CONTROLS_MOST = 1_000

/** The end of a path says most; at three bytes each there is room in an id for the rest. */
const NAMELESS_FILE_MOST = 120

export interface NewLine {
  line: number
  id: string
  amount: bigint
  currency: string
  date: string | null
  batch: string | null
  text: string | null
}

export class Sink {
  readonly file: string
  readonly #is_flipped: boolean
  readonly #skips_totals: boolean
  rows = 0
  bad_rows = 0
  /** Of the bad rows, or left out. */
  totals = 0
  /** Of our own form: a row without an id is a bad one, and gets none from `nameOf`. */
  is_id_promised = false
  #lines: Line[] = []
  #bad: BadRow[] = []
  #first_bad: (BadRow & { about: Sayable | null }) | null = null
  readonly #controls: Control[] = []
  #controls_beyond = 0
  /** The line of the last row that had no id, and how many such rows stood in it: XML may be one line. */
  #nameless_line = 0
  #nameless_in_line = 0
  readonly #left_out = new Map<string, number>()

  /** Of the caller's mapping: of `is_flipped` every row is turned, and no balance and no total. */
  constructor(
    file: string,
    { is_flipped, skips_totals }: Pick<SaidMapping, 'is_flipped' | 'skips_totals'> = {},
  ) {
    this.file = file
    this.#is_flipped = is_flipped === true
    this.#skips_totals = skips_totals === true
  }

  /** The amount as it is compared; a text that says why it cannot be turned. */
  turned(amount: bigint): bigint | string {
    if (!this.#is_flipped) return amount
    return -amount > INT64_MAX ? FLIPPED_TOO_FAR : -amount
  }

  /** The fields are of the reader's making, save for the id, batch and text, which are what the file says. */
  add(line: number, id: string, amount: bigint, currency: string, date: string | null): Line {
    this.rows += 1
    const added: Line = { row: this.rows, line, id, amount, currency, date, batch: null, text: null }
    this.#lines.push(added)
    return added
  }

  /** `about` is what would have to be said otherwise if other rows were like this one. */
  bad(line: number, reason: string, about: Sayable | null = null) {
    this.bad_rows += 1
    this.#bad.push({ line, reason })
    this.#first_bad ??= { line, reason, about }
  }

  /** A row that is a total and can be nothing else: a bad one, unless the caller knows of it. */
  total(line: number, reason: string) {
    this.totals += 1
    if (this.#skips_totals) {
      this.leaveOut('total')
      return
    }
    this.bad_rows += 1
    this.#bad.push({ line, reason })
  }

  /**
   * A file of which no row at all was read was read in a wrong way, and says nothing of its rows; of totals alone it is
   * empty. `isSaid`: what the caller said. Throws `StatementError`.
   */
  demandReadable(isSaid: (what: Sayable) => boolean, is_empty_allowed: boolean) {
    if (this.rows > 0) return
    const first = this.#first_bad
    if (first !== null) {
      const { about, line, reason } = first
      const of =
        this.bad_rows === 1
          ? 'the only row cannot be read'
          : `none of ${this.bad_rows} rows can be read, the first for this`
      this.fail(line, `${of}: ${reason}`, about !== null || isSaid('columns') ? (about ?? 'columns') : null)
    }
    if (this.totals > 0 && !is_empty_allowed) {
      this.fail(
        null,
        'there is a total and no row above it: an export that failed, or a day without movements',
        'is_empty_allowed',
      )
    }
  }

  /**
   * The id of a row, or what stands for it: a bank's fee has no reference, and is a row all the same. It says where the
   * row stands and what it is, so it is the same whenever the file is read, and no other row's, on either side.
   */
  nameOf(line: number, id: string, amount: bigint, currency: string, date: string | null): string {
    if (id !== '' || this.is_id_promised) return id
    this.#nameless_in_line = line === this.#nameless_line ? this.#nameless_in_line + 1 : 1
    this.#nameless_line = line
    const place = this.#nameless_in_line === 1 ? `${line}` : `${line}.${this.#nameless_in_line}`
    const file = this.file.slice(-NAMELESS_FILE_MOST).replaceAll('\0', '').toWellFormed()
    return `(none) ${file}:${place} ${amount} ${currency}${date === null ? '' : ` ${date}`}`
  }

  /** A row as a format of banks gives it: its id and its texts are checked here. Whether it was good. */
  addChecked({ line, id, amount: said, currency, date, batch, text }: NewLine): boolean {
    const amount = this.turned(said)
    if (typeof amount === 'string') {
      this.bad(line, amount)
      return false
    }
    const name = this.nameOf(line, id, amount, currency, date)
    const trouble = idTrouble(name)
    if (trouble !== null) {
      this.bad(line, trouble)
      return false
    }
    const added = this.add(line, name, amount, currency, date)
    added.batch = batch === null ? null : batchOf(batch)
    added.text = shortText(text)
    return true
  }

  leaveOut(what: string) {
    this.#left_out.set(what, (this.#left_out.get(what) ?? 0) + 1)
  }

  control(
    name: string,
    expected: bigint | number | string,
    found: bigint | number | string,
    line: number | null,
  ) {
    const control = {
      name,
      expected: `${expected}`,
      found: `${found}`,
      is_met: `${expected}` === `${found}`,
      line,
    }
    if (this.#controls.length < CONTROLS_MOST) this.#controls.push(control)
    else if (!control.is_met) this.#controls_beyond += 1
  }

  /** `unsaid` is what the caller can say about it, `choices` what of it is possible. */
  fail(
    line: number | null,
    reason: string,
    unsaid: Sayable | null = null,
    choices: readonly string[] = [],
  ): never {
    throw new StatementError(this.file, line, reason, unsaid, choices)
  }

  take(): { lines: Line[]; bad: BadRow[] } {
    const taken = { lines: this.#lines, bad: this.#bad }
    this.#lines = []
    this.#bad = []
    return taken
  }

  get controls(): Control[] {
    if (this.#controls_beyond === 0) return this.#controls
    const name = `controls that failed beyond the first ${CONTROLS_MOST}`
    return [
      ...this.#controls,
      { name, expected: '0', found: `${this.#controls_beyond}`, is_met: false, line: null },
    ]
  }

  get left_out() {
    return [...this.#left_out].map(([what, entries]) => ({ what, entries }))
  }
}

/** A character is at most 3 bytes of UTF-8 for each unit of UTF-16: below this nothing has to be counted. */
const SURELY_SHORT = Math.floor(ID_BYTES_MOST / 3)

/** Why this cannot be an id; null when it can. PostgreSQL holds no NUL, UTF-8 no half of a surrogate pair. */
export function idTrouble(id: string): string | null {
  if (id === '') return 'the row has no id'
  if (id.length > SURELY_SHORT && Buffer.byteLength(id) > ID_BYTES_MOST) {
    return `the id is longer than ${ID_BYTES_MOST} bytes`
  }
  if (id.includes('\0') || !id.isWellFormed()) return 'the id has a character that no text may have'
  return null
}

/** The name of a batch; null for a text that can be none. */
export const batchOf = (text: string): string | null =>
  idTrouble(text) !== null || isPlaceholder(text) ? null : text

/** What a person would read, cut where no suggestion would look. */
export function shortText(text: string | null): string | null {
  if (text === null) return null
  const short = text.slice(0, TEXT_LENGTH_MOST).trim().replaceAll('\0', '').toWellFormed()
  return short === '' ? null : short
}
