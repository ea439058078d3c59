/**
 * Files as banks, processors and people send them, written for this project (test/reconciliation/statements): each
 * reads as the `.expected` beside it says, in pieces of any size, packed or not.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import { NAME, readWhole } from './reading.fixture.ts'
import { StatementError } from './statement.ts'

const CORPUS = join(import.meta.dirname, '../../../../test/reconciliation/statements')
const files = readdirSync(CORPUS).filter(name => !name.endsWith('.expected'))

async function told(bytes: Uint8Array, piece_bytes?: number): Promise<string> {
  try {
    const { format, mapping, lines, bad, summary } = await readWhole(bytes, {}, piece_bytes)
    const { rows, bad_rows, left_out, encoding, controls } = summary
    return [
      format,
      ...(mapping === null ? [] : [JSON.stringify(mapping)]),
      ...lines.map(({ row, line, id, amount, currency, date, batch, text }) =>
        [row, `line ${line}`, JSON.stringify(id), amount, currency, date, batch, JSON.stringify(text)].join(
          ' | ',
        ),
      ),
      ...bad.map(({ line, reason }) => `bad: line ${line}: ${reason}`),
      ...controls.map(
        ({ name, expected, found, is_met, line }) =>
          `${is_met ? 'met' : 'NOT MET'}: line ${line}: ${name}: ${expected}${is_met ? '' : `, found ${found}`}`,
      ),
      ...left_out.map(({ what, entries }) => `left out: ${what}: ${entries}`),
      `${rows} rows, ${bad_rows} bad, ${encoding}`,
      '',
    ].join('\n')
  } catch (error) {
    if (error instanceof StatementError) return `${error.message.replace(NAME, 'refused')}\n`
    throw error
  }
}

test.each(files)('%s reads as expected', async name => {
  const bytes = readFileSync(join(CORPUS, name))
  const whole = await told(bytes)
  await expect(whole).toMatchFileSnapshot(join(CORPUS, `${name}.expected`))
  expect(await told(gzipSync(bytes))).toBe(whole)
  for (const piece_bytes of [1, 2, 3, 5, 64, 1_000]) expect(await told(bytes, piece_bytes)).toBe(whole)
})

test.each(files)('%s reads the same wherever its bytes are parted, over the whole of it', async name => {
  const bytes = readFileSync(join(CORPUS, name))
  const whole = await told(bytes)
  const step = Math.max(1, Math.floor(bytes.length / 60))
  for (let cut = 1; cut < bytes.length; cut += step) expect(await told(bytes, cut)).toBe(whole)
})
