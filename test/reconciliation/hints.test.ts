/** What a file leaves open is asked for in the words of the command line, and saying it in those words settles it. */
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
