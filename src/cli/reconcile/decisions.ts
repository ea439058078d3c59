/** The file of decisions: one JSON object a line, in the shape of `Decision`. */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import type { Decision } from '#reconciliation/files'

/** A quarter's decisions of a large house; beyond it they belong in the platform, which keeps them in a table. */
const DECISIONS_MOST = 100_000

const INT64 = 2n ** 63n

const rowName = z.strictObject({
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
})

const decision = z
  .strictObject({
    id: z.string().min(1),
    kind: z.enum(['match', 'write_off', 'suspense']),
    left: z.array(rowName),
    right: z.array(rowName),
    author: z.string().trim().min(1, 'somebody decides'),
    reason: z.string().trim().min(1, 'a decision has a reason'),
  })
  .refine(({ left, right }) => left.length + right.length > 0, 'it names no row')

/** In the order of the file. What is wrong is told with its line, and then nothing of the file is used. */
export async function readDecisions(path: string): Promise<Decision[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new Error(
      `${path}: ${code === 'ENOENT' ? 'there is no such file' : code === 'EISDIR' ? 'this is a directory' : (code ?? 'it cannot be read')}`,
    )
  }
  const decisions: Decision[] = []
  const lines_of_ids = new Map<string, number>()
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue
    const where = `${path}:${i + 1}`
    let value: unknown
    try {
      value = JSON.parse(line)
    } catch {
      throw new Error(`${where}: this is no JSON object`)
    }
    const parsed = decision.safeParse(value)
    if (!parsed.success) {
      const [issue] = parsed.error.issues
      throw new Error(`${where}: ${issue?.path.join('.') || 'the decision'}: ${issue?.message}`)
    }
    const first = lines_of_ids.get(parsed.data.id)
    if (first !== undefined) {
      throw new Error(`${where}: the id "${parsed.data.id}" stands in line ${first} already`)
    }
    lines_of_ids.set(parsed.data.id, i + 1)
    decisions.push(parsed.data)
    if (decisions.length > DECISIONS_MOST) throw new Error(`${path}: more than ${DECISIONS_MOST} decisions`)
  }
  return decisions
}
