/** Where readers put what they read, until the driver hands it on. */
import { type BadRow, ID_BYTES_MOST, type Line, TEXT_LENGTH_MOST } from '../line.ts'
import { type Control, StatementError } from './statement.ts'

/**
 * A file of ten thousand statements whose every control fails is one finding, not forty thousand; what is beyond is
 * counted in a control of its own.
 */
const CONTROLS_MOST = 1_000

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
  rows = 0
  bad_rows = 0
  #lines: Line[] = []
  #bad: BadRow[] = []
  readonly #controls: Control[] = []
  #controls_beyond = 0
  readonly #left_out = new Map<string, number>()

  constructor(file: string) {
    this.file = file
  }

  /** The fields are of the reader's making, save for the id, batch and text, which are what the file says. */
  add(line: number, id: string, amount: bigint, currency: string, date: string | null): Line {
    this.rows += 1
    const added: Line = { row: this.rows, line, id, amount, currency, date, batch: null, text: null }
    this.#lines.push(added)
    return added
  }

  bad(line: number, reason: string) {
    this.bad_rows += 1
    this.#bad.push({ line, reason })
  }

  /** A row as a format of banks gives it: its id and its texts are checked here. Whether it was good. */
  addChecked({ line, id, amount, currency, date, batch, text }: NewLine): boolean {
    const trouble = idTrouble(id)
    if (trouble !== null) {
      this.bad(line, trouble)
      return false
    }
    const added = this.add(line, id, amount, currency, date)
    added.batch = batch === null || idTrouble(batch) !== null ? null : batch
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

  fail(line: number | null, reason: string): never {
    throw new StatementError(this.file, line, reason)
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

/** What a person would read, cut where no suggestion would look. */
export function shortText(text: string | null): string | null {
  if (text === null) return null
  const short = text.slice(0, TEXT_LENGTH_MOST).trim().replaceAll('\0', '').toWellFormed()
  return short === '' ? null : short
}
