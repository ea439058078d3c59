/**
 * The guide, tried: docs/reconciliation.md is read as somebody reads it who types what it says. Its files are written, its
 * commands run in its order, and what they print is what stands there.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { makeFolder } from './command.fixture.ts'

const GUIDE_MS = 120_000
const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'reconciliation.md'), 'utf8')

const folder = makeFolder()
afterAll(() => folder.remove())

const blocks = [...page.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', file = '', text = '']) => ({ language, file, text }),
)

/** `npx bursar reconcile a b    # exits with 1`: the words of a command, and how it ends. */
function commandsIn(text: string) {
  return [...text.matchAll(/^npx bursar (.*?)\s+# exits with (\d)$/gm)].map(([, line = '', code]) => ({
    words: line.split(' '),
    code: Number(code),
  }))
}

/** The number of a run is of its content, and changes with the version of the rules. */
const anyRun = (text: string) => text.replaceAll(/run_[0-9a-f]{24}/g, 'run_')

test(
  'what the guide shows is what happens',
  async () => {
    for (const { file, text } of blocks.filter(({ file }) => file !== '')) folder.write(file, text)
    let commands = 0
    for (const [i, { language, text }] of blocks.entries()) {
      if (language !== 'sh') continue
      let printed = ''
      for (const { words, code } of commandsIn(text)) {
        commands += 1
        const ran = await folder.run(...words)
        expect({ words, code: ran.code, err: ran.err }).toEqual({ words, code, err: '' })
        printed += ran.out
      }
      const next = blocks[i + 1]
      if (next?.language === 'text') expect(anyRun(printed)).toBe(anyRun(next.text))
    }
    expect(commands).toBeGreaterThan(4)
  },
  GUIDE_MS,
)
