/**
 * The ledger's other bars: verification of a million entries within ten seconds, and balances at past instants that cost
 * as much with a million entries on an account as with ten thousand. The books are written by a few statements, sealed as
 * the job would, and read through the module's own interface; sizes alternate, so that the machine's moods meet all alike.
 */
import { newId, systemClock } from '#kernel'
import { balancesAt, type Instants, seal, verify } from '#ledger'
import { benchDatabase } from './lib/database.ts'
import { writeLedgerPast } from './lib/ledger-past.ts'
import { asOwner } from './lib/owner.ts'
import { machine, measured, printTable, rounded, RUNS_LEAST, writeResult } from './lib/report.ts'

const is_quick = process.argv.includes('--quick')
const RUNS = RUNS_LEAST
const VERIFIED_TRANSFERS = is_quick ? 50_000 : 500_000
const CUSTOMERS = 1_000
/** Entries on the account that is read; the first is what the others are compared with. */
const SIZES = is_quick ? [1_000, 10_000, 50_000] : [10_000, 100_000, 1_000_000]
const READS = is_quick ? 200 : 1_000
const VERIFY_BAR_S = 10
const READ_BAR = 1.2

const id = (): string => newId(systemClock.now())

const before = machine()
const { db, url, postgresql, close } = await benchDatabase(4)
try {
  const progress = (text: string) => console.log(text)
  progress(`writing ${rounded(VERIFIED_TRANSFERS)} transfers`)
  await asOwner(url, client =>
    writeLedgerPast(client, { account_id: id(), transfers: VERIFIED_TRANSFERS, customers: CUSTOMERS }),
  )
  const sealing = performance.now()
  const { transfers } = await seal(db)
  const seal_rate = Number(transfers) / ((performance.now() - sealing) / 1000)
  progress(`sealed ${rounded(seal_rate)} transfers a second`)

  const seconds: number[] = []
  let entries = 0n
  for (let run = 0; run < RUNS; run++) {
    const started = performance.now()
    const verification = await verify(db)
    seconds.push((performance.now() - started) / 1000)
    if (!verification.ok) throw new Error(`the books are broken: ${verification.broken?.reason}`)
    if (verification.sealed.transfers !== BigInt(VERIFIED_TRANSFERS)) throw new Error('not all is sealed')
    entries = verification.checked.entries
  }
  const verified = measured(seconds)

  const books: { entries: number; account_id: string; ledger_account_id: string }[] = []
  for (const size of SIZES) {
    progress(`writing an account of ${rounded(size)} entries`)
    const account_id = id()
    const ledger_account_id = await asOwner(url, client =>
      writeLedgerPast(client, { account_id, transfers: size, customers: 1 }),
    )
    books.push({ entries: size, account_id, ledger_account_id })
    await seal(db)
  }
  await asOwner(url, client => client.query('vacuum analyze ledger_checkpoints'))

  /** Instants anywhere in the past of an account, which lies a tenth of a second an entry back. */
  const axes: Record<string, (past_ms: number) => Instants> = {
    recorded: past_ms => ({ as_recorded_at: someTimeAgo(past_ms) }),
    effective: past_ms => ({ at: someTimeAgo(past_ms) }),
    both: past_ms => ({ at: someTimeAgo(past_ms), as_recorded_at: someTimeAgo(past_ms) }),
  }
  const read = async (book: (typeof books)[number], instants: Instants) => {
    const tenant = { account_id: book.account_id, livemode: false }
    const options = { ...instants, ledger_account_ids: [book.ledger_account_id] }
    const [balance] = await balancesAt(db, tenant, options)
    if (balance === undefined) throw new Error('no balance')
  }
  const results = []
  for (const [axis, instantsOf] of Object.entries(axes)) {
    const times = books.map((): number[] => [])
    // The first round warms caches and plans.
    for (let run = -1; run < RUNS; run++) {
      for (const [i, book] of books.entries()) {
        const started = performance.now()
        for (let n = 0; n < READS; n++) await read(book, instantsOf(book.entries * 100))
        if (run >= 0) times[i]?.push((performance.now() - started) / READS)
      }
    }
    const milliseconds = times.map(measured)
    const least = milliseconds[0]?.median ?? Number.NaN
    results.push({
      axis,
      sizes: books.map(({ entries: of }, i) => ({
        entries: of,
        milliseconds: milliseconds[i],
        ratio: (milliseconds[i]?.median ?? Number.NaN) / least,
      })),
    })
  }

  printTable(
    `Ledger: verification (median of ${RUNS}, least to most)`,
    ['transfers', 'entries', 'seconds', `bar ${VERIFY_BAR_S} s`],
    [
      [
        rounded(VERIFIED_TRANSFERS),
        rounded(Number(entries)),
        spread(verified, 1),
        verified.median <= VERIFY_BAR_S ? 'met' : 'missed',
      ],
    ],
  )
  printTable(
    `Ledger: a balance at a past instant, milliseconds (median of ${RUNS}, least to most)`,
    ['axis', 'entries of the account', 'milliseconds', 'ratio', `bar ${READ_BAR} x`],
    results.flatMap(({ axis, sizes }) =>
      sizes.map(({ entries: of, milliseconds, ratio }) => [
        axis,
        rounded(of),
        milliseconds === undefined ? '' : spread(milliseconds, 2),
        `${ratio.toFixed(2)} x`,
        ratio <= READ_BAR ? 'met' : 'missed',
      ]),
    ),
  )
  if (!is_quick) {
    writeResult('ledger-proofs', {
      machine: before,
      postgresql,
      verify: { transfers: VERIFIED_TRANSFERS, entries: Number(entries), seconds: verified },
      seal: { transfers_a_second: seal_rate },
      balances_at: { reads_a_run: READS, results },
    })
  }
} finally {
  await close()
}

function someTimeAgo(past_ms: number): Date {
  return new Date(systemClock.now().getTime() - Math.random() * past_ms)
}

function spread({ median, least, most }: ReturnType<typeof measured>, digits: number): string {
  return `${median.toFixed(digits)} (${least.toFixed(digits)} to ${most.toFixed(digits)})`
}
