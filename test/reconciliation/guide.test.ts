/**
 * The guide, tried: docs/reconciliation.md is read as somebody reads it who types what it says. Its files are written, its
 * commands run in its order, and what they print is what stands there.
 */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { CLI, makeFolder } from './command.fixture.ts'

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
      if (next?.language === 'text') expect(printed).toBe(next.text)
    }
    expect(commands).toBeGreaterThan(4)
  },
  GUIDE_MS,
)

test(
  'the script for every night runs on the first one, after a missed one and again, and tells who must know',
  () => {
    const nights = makeFolder()
    try {
      const bin = join(nights.path, 'bin')
      mkdirSync(bin)
      const program = (name: string, text: string) =>
        chmodSync(join(nights.path, nights.write(join('bin', name), `#!/bin/sh\n${text}\n`)), 0o755)
      program('bursar', `exec '${process.execPath}' '${CLI}' "$@"`)
      program('mail', `echo "$3: $2" >> mails; cat > /dev/null`)
      nights.write('mails', '')
      nights.write('nightly.sh', blocks.find(({ file }) => file === 'nightly.sh')?.text ?? '')
      const night = (day: string, ledger: string[], statement: string[] | null) => {
        const entries = statement?.map(
          id => `<Ntry><Amt Ccy="USD">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts>BOOK</Sts>
            <BookgDt><Dt>${day}</Dt></BookgDt><AcctSvcrRef>${id}</AcctSvcrRef></Ntry>`,
        )
        const rows = ledger.map(id => `${id},100,usd,${day}\n`).join('')
        nights.write(`ledger-${day}.csv`, `id,amount,currency,date\n${rows}`)
        if (entries !== undefined) {
          nights.write(
            `statement-${day}.xml`,
            `<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.02"><BkToCstmrStmt><Stmt><Id>${day}</Id>
              <Acct><Id><IBAN>XX00TEST0000000001</IBAN></Id><Ccy>USD</Ccy></Acct>${entries.join('')}
              </Stmt></BkToCstmrStmt></Document>`,
          )
        }
        return again(day)
      }
      const again = (day: string, command = 'bursar') => {
        const env = {
          ...process.env,
          PATH: `${bin}${delimiter}${process.env.PATH}`,
          BURSAR: join(bin, command),
          TMPDIR: nights.path,
        }
        const { status } = spawnSync('sh', ['nightly.sh', day], { cwd: nights.path, env })
        expect(status).toBe(0)
        return { mails: nights.read('mails').trim().split('\n'), said: nights.read(`runs/${day}.json`) }
      }
      const first = night('2026-11-20', ['a', 'b'], ['a'])
      expect(first.mails).toEqual([''])
      expect(JSON.parse(first.said)).toMatchObject({ matched: 1, timing: 1 })
      const missed = night('2026-11-21', ['c'], null)
      expect(missed.mails).toEqual(['oncall@example.com: Reconciliation 2026-11-21 did not run'])
      const third = night('2026-11-22', ['d'], ['b', 'd'])
      expect(third.mails).toHaveLength(1)
      expect(JSON.parse(third.said)).toMatchObject({ matched: 2, is_clean: true })
      expect(again('2026-11-22')).toEqual(third)
      const absent = again('2026-11-22', 'moved')
      expect(absent.mails.slice(1)).toEqual(['oncall@example.com: Reconciliation 2026-11-22 did not run'])
      const last = night('2026-11-23', ['e'], ['e', 'x', 'x'])
      expect(last.mails.slice(2)).toEqual(['finance@example.com: Reconciliation 2026-11-23: findings'])
    } finally {
      nights.remove()
    }
  },
  GUIDE_MS,
)
