/** Own books whose signs are the bank's turned around: told in one line, and mended by one option. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder } from './command.fixture.ts'

const TEST_MS = 120_000

const folder = makeFolder()
afterAll(() => folder.remove())

beforeAll(() => {
  const books = (i: number) =>
    `21.11.2026;R-${i};${i % 3 === 0 ? '' : `${i},50`};${i % 3 === 0 ? `${i},50` : ''}`
  const bank = (i: number) => `R-${i},${i % 3 === 0 ? '-' : ''}${i}.50,EUR,2026-11-21`
  const rows = Array.from({ length: 150 }, (_, i) => i + 1)
  const books_file = ['Datum;Beleg;Soll EUR;Haben EUR', ...rows.map(books)].join('\n')
  // Two of them agree as they are; two ids the bank does not know.
  const odd = (i: number) => `R-${i},${i % 3 === 0 ? '' : '-'}${i}.50,EUR,2026-11-21`
  const bank_rows = rows.slice(0, 148).map(i => (i < 3 ? odd(i) : bank(i)))
  folder.write('books.csv', `${books_file}\n`)
  folder.write('bank.csv', `${['id,amount,currency,date', ...bank_rows].join('\n')}\n`)
})

test(
  'when nearly all ids agree with the sign turned, the option is named, and it helps',
  async () => {
    const args = ['reconcile', 'books.csv', 'bank.csv', '--right-decimal', 'point']
    const hint = '146 of 148 ids that both sides know agree with the sign turned'
    const turned = await folder.run(...args, '--out', 'turned')
    expect(turned.code).toBe(1)
    expect(turned.out).toContain(`  ${hint}: add --flip left\n`)
    expect(folder.read('turned/report.html')).toContain(hint)
    const script = JSON.parse((await folder.run(...args, '--json')).out)
    expect(script).toMatchObject({ discrepant: 146, hint: `${hint}: add --flip left` })

    for (const side of ['left', 'right']) {
      const mended = await folder.run(...args, '--flip', side, '--json')
      expect(JSON.parse(mended.out)).toMatchObject({ matched: 146, discrepant: 2, unmatched_left: 2 })
      expect(mended.out).not.toContain('hint')
      const shown = await folder.run(...args, '--flip', side)
      expect(shown.out).toContain('every sign turned')
    }
    expect((await folder.run(...args, '--flip', 'both')).code).toBe(2)
    // Turned where nothing was to be turned.
    const again = await folder.run(
      'reconcile',
      'bank.csv',
      'bank.csv',
      '--decimal',
      'point',
      '--flip',
      'right',
    )
    expect(again.out).toContain('agree with the sign turned: leave --flip right away\n')
  },
  TEST_MS,
)

test(
  'a few opposite amounts among many that agree are findings and no hint',
  async () => {
    const rows = Array.from({ length: 30 }, (_, i) => `r${i},${i + 1},eur`)
    folder.write('l.csv', `id,amount,currency\n${rows.join('\n')}\n`)
    folder.write(
      'r.csv',
      `id,amount,currency\n${rows.map((row, i) => (i < 5 ? row.replace(',', ',-') : row)).join('\n')}\n`,
    )
    const ran = await folder.run('reconcile', 'l.csv', 'r.csv')
    expect(ran.out).toContain('10 discrepant')
    expect(ran.out).not.toContain('sign turned')
  },
  TEST_MS,
)
