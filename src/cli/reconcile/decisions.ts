/** The file of decisions: one JSON object a line, in the shape of `Decision`. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { type Decision, DECISION_ROWS_MOST } from '#reconciliation/files'

/** A quarter's decisions of a large house; beyond it they belong in the platform, which keeps them in a table. */
const DECISIONS_MOST = 100_000

const INT64 = 2n ** 63n

/** Of a sha256: two files of one house never share so many. */
const STATEMENT_DIGITS_LEAST = 12

const rowName = z
  .strictObject({
    id: z.string().min(1),
    /** Beyond 2^53 as a text: JSON's numbers would round it. */
    amount: z
      .union([z.int(), z.string().regex(/^-?\d{1,19}$/, 'a whole number of minor units is wanted')])
      .transform(BigInt)
      .refine(amount => amount < INT64 && amount >= -INT64, 'the amount is beyond int64'),
    currency: z.string().regex(/^[a-z]{3}$/, 'three lower-case letters are wanted'),
    date: z
      .string()
      .regex(/^\d{4}-\d\d-\d\d$/, 'a day like 2026-11-21 is wanted')
      .nullable(),
    statement: z
      .string()
      .regex(
        new RegExp(`^[0-9a-f]{${STATEMENT_DIGITS_LEAST},64}$`),
        `the first ${STATEMENT_DIGITS_LEAST} or more digits of a sha256 are wanted`,
      )
      .optional(),
  })
  .refine(({ date, statement }) => date !== null || statement !== undefined, {
    error: `a row without a date is known by its file: add "statement", the first ${STATEMENT_DIGITS_LEAST} or more digits of the file's sha256`,
    path: ['statement'],
  })
  .transform(({ statement, ...name }) => (statement === undefined ? name : { ...name, statement }))

const rowNames = z
  .array(rowName)
  .max(DECISION_ROWS_MOST, `a decision names at most ${DECISION_ROWS_MOST} rows of a side`)

const id = z.string().min(1)
const said = {
  author: z.string().trim().min(1, 'somebody decides'),
  reason: z.string().trim().min(1, 'a decision has a reason'),
}

const decision = z
  .strictObject({
    id,
    kind: z.enum(['match', 'write_off', 'suspense']),
    left: rowNames,
    right: rowNames,
    ...said,
  })
  .refine(({ left, right }) => left.length + right.length > 0, 'it names no row')

const clearing = z
  .strictObject({
    id,
    kind: z.literal('clear'),
    left: rowNames,
    right: rowNames,
    clears: z.array(z.string()).min(1, 'it names no decision'),
    ...said,
  })
  .refine(({ left, right }) => left.length + right.length > 0, 'it names no row')

const withdrawal = z.strictObject({ id, kind: z.literal('withdraw'), withdraws: z.string(), ...said })

const line = z.discriminatedUnion('kind', [decision, clearing, withdrawal])

/**
 * Those that stand, in the order of the file. What is wrong is told with its line, and then nothing of the file is used.
 * A decision that a later line withdraws is left out; both lines stay in the file, so that it says who did what.
 */
export async function readDecisions(path: string): Promise<Decision[]> {
  const decisions = new Map<string, Decision>()
  const clears = new Map<string, readonly string[]>()
  const lines_of_ids = new Map<string, number>()
  for (const [i, text] of (await linesOf(path)).entries()) {
    if (text.trim() === '') continue
    const where = `${path}:${i + 1}`
    const read = parse(text, where)
    const first = lines_of_ids.get(read.id)
    if (first !== undefined) throw new Error(`${where}: the id "${read.id}" stands in line ${first} already`)
    lines_of_ids.set(read.id, i + 1)
    if (lines_of_ids.size > DECISIONS_MOST) throw new Error(`${path}: more than ${DECISIONS_MOST} decisions`)
    if (read.kind === 'withdraw') {
      const by = [...clears].find(([id, cleared]) => decisions.has(id) && cleared.includes(read.withdraws))
      if (by !== undefined) {
        throw new Error(`${where}: withdraws: "${by[0]}" clears "${read.withdraws}": withdraw that first`)
      }
      if (!decisions.delete(read.withdraws)) {
        throw new Error(`${where}: withdraws: no decision "${read.withdraws}" stands above this line`)
      }
      continue
    }
    if (read.kind === 'clear') {
      clears.set(read.id, read.clears)
      const unknown = read.clears.find(id => decisions.get(id)?.kind !== 'suspense')
      if (unknown !== undefined) {
        throw new Error(`${where}: clears: no decision "${unknown}" of kind suspense stands above this line`)
      }
    }
    const { id, kind, left, right, author, reason } = read
    decisions.set(id, { id, kind, left, right, author, reason })
  }
  return [...decisions.values()]
}

function parse(text: string, where: string): z.output<typeof line> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Error(`${where}: this is no JSON object`)
  }
  const parsed = line.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new Error(`${where}: ${issue?.path.join('.') || 'the decision'}: ${issue?.message}`)
}

async function linesOf(path: string): Promise<string[]> {
  try {
    return (await readFile(path, 'utf8')).split(/\r?\n/)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(
      `${path}: ${code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'this is a directory' : (code ?? 'it cannot be read')}`,
    )
  }
}
