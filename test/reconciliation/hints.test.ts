/** What a file leaves open is asked for in the words of the command line, and saying it in those words settles it. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder } from './command.fixture.ts'

const TEST_MS = 120_000

const folder = makeFolder()
afterAll(() => folder.remove())

beforeAll(() => {
  folder.write('plain.csv', 'id,amount,currency\na,100,eur\n')
  folder.write('thousands.csv', 'Ref;Betrag\na;1.234\nb;2.000\n')
  folder.write('whole.csv', 'Ref,Amount\na,100\n')
  folder.write('colon.csv', 'Ref:Amount\na:1.00\n')
  folder.write('unknown.csv', 'Kunde,Wert\na,1.00\n')
  folder.write('days.csv', 'Ref,Amount,Date\na,1.00,01/02/2026\n')
  folder.write('nothing.csv', 'id,amount,currency\n')
  folder.write('mixed.csv', Buffer.from('id,amount,currency\n\xe4,1,eur\n\xc3\xa4,1,eur\n', 'latin1'))
  folder.write('unmarked.csv', Buffer.from('id,amount,currency\na,100,eur\n', 'utf16le'))
})

test.each([
  ['thousands.csv', '--right-decimal comma', ['--right-decimal', 'comma', '--right-currency', 'eur']],
  ['whole.csv', '--right-decimal comma, point, or minor', ['--decimal', 'minor', '--currency', 'eur']],
  ['whole.csv', '--right-currency eur', ['--right-currency', 'eur', '--right-decimal', 'minor']],
  ['colon.csv', '--right-delimiter ";"', ['--right-delimiter', ':', '--right-currency', 'eur']],
  [
    'unknown.csv',
    '--right-map id=…,amount=…',
    ['--right-map', 'id=Kunde,amount=Wert', '--right-currency', 'eur'],
  ],
  [
    'days.csv',
    '--right-date-format DD/MM/YYYY',
    ['--right-date-format', 'MM/DD/YYYY', '--right-currency', 'eur'],
  ],
  ['nothing.csv', '--allow-empty', ['--allow-empty']],
  ['mixed.csv', '--right-encoding windows-1252', ['--right-encoding', 'windows-1252']],
  ['unmarked.csv', '--right-encoding windows-1252, utf-16le', ['--right-encoding', 'utf-16le']],
])(
  '%s: %s',
  async (file, hint, said) => {
    // Everything but what the hint is about.
    const without = said.filter((_, i) => hint.startsWith('--allow') || !isOf(hint, said, i))
    const asked = hint === '--allow-empty' ? [] : without
    const refused = await folder.run('reconcile', 'plain.csv', file, ...asked)
    expect(refused.code).toBe(2)
    expect(refused.err).toContain(hint)
    expect((await folder.run('reconcile', 'plain.csv', file, ...said)).code).not.toBe(2)
  },
  TEST_MS,
)

/** Whether the word is the option that the hint names, or its value. */
function isOf(hint: string, said: readonly string[], i: number): boolean {
  const option = hint.split(' ')[0] ?? ''
  const same = (word: string | undefined) => word === option || word === option.replace('--right-', '--')
  return same(said[i]) || same(said[i - 1])
}

test(
  'the hint is of the side that the file is on, and a script reads it apart from the message',
  async () => {
    const ran = await folder.run(
      'reconcile',
      'thousands.csv',
      'plain.csv',
      '--left-currency',
      'eur',
      '--json',
    )
    expect(JSON.parse(ran.out)).toEqual({
      error: {
        message:
          'thousands.csv:2: "1.234" may be thousands or decimals, and no other row says which: say how amounts are written',
        hint: 'Say it with --left-decimal comma, point, or minor (whole minor units).',
        file: 'thousands.csv',
        line: 2,
      },
    })
    // One column alone can be said; the others are guessed.
    folder.write('two.csv', 'Ref,Amount,What\na,1.00,EUR\n')
    const one = await folder.run('reconcile', 'plain.csv', 'two.csv', '--right-map', 'currency=What')
    expect(one).toMatchObject({ code: 0, err: '' })
  },
  TEST_MS,
)

test.each([
  [
    '--right-decimal point',
    /none of 2 rows can be read, the first for this: "1\.234" has more decimals than eur/,
  ],
  [
    '--date-format YYYY-MM-DD',
    /none of 2 rows can be read, the first for this: "21\.11\.2026" is not a date/,
  ],
])(
  'a file of which no row can be read by %s is refused, names the option and keeps no result',
  async (option, sentence) => {
    folder.write('unread.csv', 'Ref;Betrag;Datum\na;1.234;21.11.2026\nb;2.001;21.11.2026\n')
    folder.write('books.csv', 'id,amount,currency\na,123400,eur\n')
    const args = ['--right-currency', 'eur', '--right-decimal', 'comma', ...option.split(' ')]
    const ran = await folder.run('reconcile', 'books.csv', 'unread.csv', ...args, '--out', 'unread')
    expect(ran).toMatchObject({ code: 2, out: '' })
    expect(ran.err).toMatch(sentence)
    expect(ran.err).toContain(
      `\n        ${option} was given: leave it away to have it told from the file, or say it as the file is.\n`,
    )
    expect(existsSync(join(folder.path, 'unread'))).toBe(false)
  },
  TEST_MS,
)

test(
  'a date that may be two is asked for with both, and two ways of writing it are shown without an option that reads one',
  async () => {
    folder.write('books.csv', 'id,amount,currency\na,123400,eur\n')
    folder.write('two.csv', 'Ref,Amount,Date\na,1.00,21.11.2026\nb,1.00,24.11.26\n')
    const hint = async (name: string) =>
      (await folder.run('reconcile', 'books.csv', name, '--right-currency', 'eur')).err
    expect(await hint('days.csv')).toContain(
      '\n        Say it with --right-date-format DD/MM/YYYY or MM/DD/YYYY.\n',
    )
    expect(await hint('two.csv')).toBe(
      'bursar: two.csv:3: dates are written in two ways, "21.11.2026" in line 2 (DD.MM.YYYY) and "24.11.26" in line 3 ' +
        '(DD.MM.YY), and no one format reads both: have them written in one way\n',
    )
  },
  TEST_MS,
)
