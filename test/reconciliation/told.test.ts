/** What the command line says so that nobody has to guess: of addresses, days, totals, and of rows that met without an id. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { makeFolder } from './command.fixture.ts'

const TEST_MS = 120_000

const folder = makeFolder()
afterAll(() => folder.remove())

const reconcile = (...args: string[]) => folder.run('reconcile', ...args)

const MT940 = [
  ':20:S',
  ':25:1',
  ':60F:C261120EUR10,00',
  ':61:2611211121D12,50NTRFR-1',
  ':61:2611211121C20,00NTRFR-2',
  ':61:2611211121D1,00NTRFR-3',
  ':62F:C261121EUR16,50',
  '',
].join('\n')

beforeAll(() => {
  folder.write('bank.sta', MT940)
  folder.write(
    'books.csv',
    'id,amount,currency,date\nR-1,1250,eur,2026-11-21\nR-2,-2000,eur,2026-11-21\nR-3,100,eur,2026-11-21\n',
  )
})

test(
  'the signs of a bank’s own format can be turned, its balances hold, and the report says so',
  async () => {
    const as_it_is = await reconcile('books.csv', 'bank.sta')
    expect(as_it_is.out).toContain(
      '3 of 3 ids that both sides know agree with the sign turned: add --flip left',
    )
    for (const side of ['left', 'right']) {
      const turned = await reconcile('books.csv', 'bank.sta', '--flip', side, '--out', `turned-${side}`)
      expect(turned).toMatchObject({ code: 0, err: '' })
      expect(turned.out).toContain('every sign turned')
    }
    expect(folder.read('turned-right/report.html')).toContain('<dt>Read as</dt><dd>every sign turned</dd>')
    const left = await reconcile('bank.sta', 'books.csv', '--flip', 'left', '--json')
    expect(JSON.parse(left.out)).toMatchObject({ matched: 3, left: { mapping: { is_flipped: true } } })
    const twice = await reconcile('bank.sta', 'bank.sta', '--flip', 'left')
    expect(twice.out).toContain('agree with the sign turned: leave --flip left away')
  },
  TEST_MS,
)

test(
  'an address is named whole, and a day that no calendar has is told apart from no day',
  async () => {
    const url = 'https://bank.example/statements/2026/bank.csv?day=21'
    for (const args of [
      ['books.csv', url],
      [url, 'books.csv'],
      ['--keep', 'books.csv', url],
    ]) {
      expect(await reconcile(...args)).toEqual({
        code: 2,
        out: '',
        err: `bursar: ${url}: this is an address and no file: fetch it first, or give it as <(curl -fsS …)\n`,
      })
    }
    const day = async (text: string) => (await reconcile('books.csv', 'bank.sta', '--as-of', text)).err
    expect(await day('2026-02-30')).toBe('bursar: --as-of 2026-02-30 is not a day of the calendar\n')
    expect(await day('30.02.2026')).toBe('bursar: --as-of is a day, written like 2026-11-21\n')
  },
  TEST_MS,
)

test(
  'rows that met by amount and date are counted as that, on the terminal, for scripts and in the report',
  async () => {
    folder.write(
      'ours.csv',
      'id,amount,currency,date\no1,900,eur,2026-11-21\no2,800,eur,2026-11-21\nc,5,eur,2026-11-21\n',
    )
    folder.write(
      'theirs.csv',
      'id,amount,currency,date\nt1,900,eur,2026-11-22\nt2,802,eur,2026-11-21\nc,5,eur,2026-11-21\n',
    )
    const ran = await reconcile('ours.csv', 'theirs.csv', '--tolerance', '5', '--out', 'met')
    expect(ran).toMatchObject({ code: 0, err: '' })
    expect(ran.out).toContain('✓ Clean.\n  2 pairs matched by amount and date, not by id\n')
    const page = folder.read('met/report.html')
    expect(page).toContain('Matched by amount and date, not by id <span class="soft">2 pairs</span>')
    // Once of the pair within the tolerance; those that agree whole have a list of their own.
    expect(page.split('<p class="hint">matched by amount and date, not by id</p>')).toHaveLength(2)
    const script = JSON.parse((await reconcile('ours.csv', 'theirs.csv', '--tolerance', '5', '--json')).out)
    expect(script).toMatchObject({ is_clean: true, matched: 2, matched_without_id: 2 })
    folder.write('same.csv', folder.read('books.csv'))
    expect((await reconcile('books.csv', 'same.csv')).out).not.toContain('not by id')
  },
  TEST_MS,
)

test(
  'a total that no date tells from a row is compared as one, and the finding says what it looks like',
  async () => {
    folder.write('rows.csv', 'Ref,Amount\na,1.00\nb,2.50\n')
    folder.write('total.csv', 'Ref,Amount\na,1.00\nb,2.50\nTotal,3.50\n')
    const ran = await reconcile('rows.csv', 'total.csv', '--currency', 'eur', '--out', 'totals')
    expect(ran.code).toBe(1)
    const hint = 'this is probably a total and no movement: it reads "Total", and all other rows'
    expect(ran.out).toContain(`  unmatched  total.csv:4 Total 3.50 EUR: not in rows.csv\n      ${hint}`)
    expect(folder.read('totals/report.html')).toContain('this is probably a total and no movement')
    expect(folder.read('totals/findings.csv')).toContain(hint.replaceAll('"', '""'))
    expect(JSON.parse(folder.read('totals/findings.jsonl')).hints[0]).toContain(hint)
    const { findings } = JSON.parse(
      (await reconcile('rows.csv', 'total.csv', '--currency', 'eur', '--json')).out,
    )
    expect(findings).toMatchObject([{ status: 'unmatched', hints: [expect.stringContaining(hint)] }])
  },
  TEST_MS,
)

test(
  'a file whose date was not found says so where rows are left on both sides, and naming it lets them meet',
  async () => {
    folder.write('tags.csv', 'Ref;Tag;Betrag\nx;21.11.2026;9,00\nR-3;21.11.2026;1,00\n')
    folder.write('dated.csv', 'Ref,Date,Amount\ny,2026-11-21,9.00\nR-3,2026-11-21,1.00\n')
    const args = ['tags.csv', 'dated.csv', '--currency', 'eur'] as const
    const hint =
      'tags.csv has no column known to be the date, so nothing met by amount and date: --left-map date=…'
    expect((await reconcile(...args)).out).toContain(`unmatched.\n  ${hint}\n  unmatched`)
    const named = await reconcile(...args, '--left-map', 'date=Tag')
    expect(named).toMatchObject({
      code: 0,
      out: expect.stringContaining('1 pair matched by amount and date'),
    })
    expect(named.out).not.toContain('known to be the date')
  },
  TEST_MS,
)

test(
  'help is asked for by the word too, of every verb',
  async () => {
    const help = await folder.run('help', 'reconcile', 'show')
    expect(help).toEqual(await folder.run('reconcile', 'show', '--help'))
    expect(help.out).toContain('Usage: bursar reconcile show')
    const all = await folder.run('help')
    expect(all).toEqual(await folder.run('--help'))
    expect(all).toMatchObject({ code: 0, err: '' })
  },
  TEST_MS,
)
