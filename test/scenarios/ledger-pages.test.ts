/**
 * The pages of docs/ledger show what each business event posts, with the amounts of an example. Every example is played
 * here, and what stands in its tables is compared with what is in the ledger: the pages cannot say anything else.
 *
 * @every-postgresql every kind of posting, once.
 */
import { globSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { decodeId } from '#kernel'
import { applyProcessorEvent, type News } from '#payments'
import { trialBalance } from '#ledger'
import { disputeNewsOf, eventOf, newsOf, payoutNewsOf } from '../support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const PAGES = join(import.meta.dirname, '..', '..', 'docs', 'ledger')

let world: World
beforeAll(async () => {
  world = await startWorld({ settles: 'never' })
})
afterEach(() => world.clearFaults())
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const tell = (news: News) => applyProcessorEvent(world.payments, 'simulator', eventOf(news))

async function pay({ api }: TestAccount, method: string, more: object = {}): Promise<Json> {
  const paying = { amount: 10_000, currency: 'usd', payment_method_id: method, confirm: true, ...more }
  return (await api.post('/v1/payment_intents', paying)).body
}

const VISA = 'pm_card_visa'

/** Makes funds fall due, and releases them. */
async function release({ account_id }: TestAccount): Promise<void> {
  await world.db.run`
    update balance_transactions set available_on = now() where account_id = ${account_id} and status = 'pending'`
  await world.releaseFunds()
}

/** A payout of 60.00 whose outcome the simulator leaves open for long enough. */
async function payOut(account: TestAccount): Promise<Json> {
  const asked = { amount: 6_000, currency: 'usd', destination: 'btok_us_slow' }
  const { body } = await account.api.post('/v1/payouts', asked)
  expect(body.status).toBe('in_transit')
  return body
}

async function dispute(account: TestAccount, statuses: readonly DisputeStatus[]): Promise<void> {
  const { body } = await account.api.get('/v1/payment_intents')
  for (const status of statuses) await tell(await disputeNewsOf(world, body.data[0].id, { status }))
}
type Sides<Of> = Record<'left' | 'right', Of>

/** A run over two statements of these rows, and a decision about these of them. */
async function decide(
  account: TestAccount,
  rows: Sides<string>,
  { kind = 'suspense', ...picked }: Partial<Sides<number[]>> & { kind?: string; clears?: string[] },
): Promise<Json> {
  const { api, account_id, livemode } = account
  const keep = async (name: string, row: string): Promise<string> => {
    const at = `/v1/reconciliation_statements?name=${name}.csv&is_empty_allowed=true`
    const { status, text, body } = await api.upload(at, `id,amount,currency\n${row}\n`)
    expect(status, text).toBe(200)
    return body.id
  }
  const asked = {
    left_statement_id: await keep('left', rows.left),
    right_statement_id: await keep('right', rows.right),
  }
  const { body: run } = await api.post('/v1/reconciliation_runs', asked)
  await world.runJob('reconciliation.run', { account_id, livemode, run_id: decodeId('rec_', run.id) })
  const { status, text, body } = await api.post(`/v1/reconciliation_runs/${run.id}/decisions`, {
    kind,
    ...picked,
    ...(kind === 'suspense' && { ledger_code: 'bank' }),
    ...ASKED,
  })
  expect(status, text).toBe(200)
  return body
}
const ASKED = { reason: 'Asked the bank on 4 March', author: 'Ada' }

/** The newest decision that put something in suspense. */
const suspended = async ({ api }: TestAccount): Promise<string> =>
  (await api.get('/v1/reconciliation_decisions?kind=suspense')).body.data[0].id

type DisputeStatus = Extract<News, { kind: 'dispute' }>['status']

const DECLINED = { code: 'card_declined', decline_code: 'account_closed', message: 'No.' }

interface Example {
  /** What was there before. */
  before?: (account: TestAccount) => Promise<unknown>
  play: (account: TestAccount) => Promise<unknown>
}

const paid: Example['before'] = account => pay(account, VISA)
const available: Example['before'] = async account => {
  await pay(account, VISA)
  await release(account)
}
const held: Example['before'] = account => pay(account, VISA, { capture_method: 'manual' })
const followUp =
  (verb: string, body: object = {}): Example['play'] =>
  async ({ api }) => {
    const { data } = (await api.get('/v1/payment_intents')).body
    expect((await api.post(`/v1/payment_intents/${data[0].id}/${verb}`, body)).status).toBe(200)
  }
const refund: Example['play'] = async ({ api }) => {
  const { data } = (await api.get('/v1/payment_intents')).body
  expect((await api.post('/v1/refunds', { payment_intent_id: data[0].id, amount: 4_000 })).status).toBe(200)
}

/** By page, by the heading over its tables. */
const examples: Record<string, Record<string, Example>> = {
  payment: { Example: { play: account => pay(account, VISA) } },
  decline: { Example: { play: account => pay(account, 'pm_card_chargeDeclined') } },
  'manual-capture': {
    'The hold': { play: account => pay(account, VISA, { capture_method: 'manual' }) },
    'Captured in part': { before: held, play: followUp('capture', { amount_to_capture: 7_000 }) },
    'Canceled, or expired': { before: held, play: followUp('cancel') },
  },
  release: { Example: { before: paid, play: release } },
  refund: {
    'The refund succeeds': { before: paid, play: refund },
    'The bank refuses it': {
      before: account => pay(account, 'pm_card_pendingRefund'),
      async play(account) {
        await refund(account)
        const news = await newsOf(world, account, 'refund')
        await tell({
          ...news,
          outcome: { kind: 'declined', processor_id: news.processor_id, decline: DECLINED },
        })
      },
    },
    'It counts against what is available': {
      before: async account => {
        await available(account)
        await refund(account)
      },
      play: release,
    },
  },
  'refund-failure': {
    Example: {
      before: async account => {
        await pay(account, VISA)
        await refund(account)
      },
      async play(account) {
        const news = await newsOf(world, account, 'refund')
        await tell({
          ...news,
          outcome: { kind: 'declined', processor_id: news.processor_id, decline: DECLINED },
        })
      },
    },
  },
  dispute: {
    'It is opened': { before: paid, play: account => dispute(account, ['needs_response']) },
    'It is won': {
      before: async account => {
        await pay(account, VISA)
        await dispute(account, ['needs_response'])
      },
      play: account => dispute(account, ['won']),
    },
    'It is lost': {
      before: async account => {
        await pay(account, VISA)
        await dispute(account, ['needs_response'])
      },
      play: account => dispute(account, ['lost']),
    },
  },
  inquiry: {
    'It is opened, and closed': {
      before: paid,
      play: account => dispute(account, ['warning_needs_response', 'warning_closed']),
    },
    'It becomes a dispute': {
      before: async account => {
        await pay(account, VISA)
        await dispute(account, ['warning_needs_response'])
      },
      play: account => dispute(account, ['needs_response']),
    },
  },
  payout: {
    'It arrives': {
      before: available,
      async play(account) {
        await tell(payoutNewsOf(await payOut(account), { status: 'paid' }))
      },
    },
    'The processor refuses it': {
      before: available,
      async play({ api }) {
        const { body } = await api.post('/v1/payouts', {
          amount: 6_000,
          currency: 'usd',
          destination: 'no bank account',
        })
        expect(body.status).toBe('failed')
      },
    },
  },
  'payout-failure': {
    'On its way': {
      before: available,
      async play(account) {
        await tell(payoutNewsOf(await payOut(account), { status: 'failed' }))
      },
    },
    'Sent back by the bank': {
      before: available,
      async play(account) {
        const payout = await payOut(account)
        await tell(payoutNewsOf(payout, { status: 'paid' }))
        await tell(payoutNewsOf(payout, { status: 'returned' }))
      },
    },
  },
  adjustment: {
    Example: {
      before: paid,
      async play(account) {
        const books = await world.accountant(account)
        const { status, text } = await books.post('/v1/ledger/transfers', ADJUSTMENT)
        expect(status, text).toBe(200)
      },
    },
  },
  suspense: {
    'Found outside': {
      play: account => decide(account, { left: 'a,500,usd', right: 'a,700,usd' }, { left: [1], right: [1] }),
    },
    Missed: {
      play: account => decide(account, { left: 'b,70,usd', right: '' }, { left: [1] }),
    },
    'It comes after all': {
      before: account => decide(account, { left: 'b,70,usd', right: '' }, { left: [1] }),
      play: async account => {
        const clears = [await suspended(account)]
        await decide(account, { left: '', right: 'wire,50,usd' }, { kind: 'clear', right: [1], clears })
      },
    },
    'Whose it is': {
      before: account => decide(account, { left: '', right: 'c,700,usd' }, { right: [1] }),
      async play(account) {
        const books = await world.accountant(account)
        const moved = {
          debit_code: 'suspense_unexpected',
          credit_code: 'merchant_available',
          amount: 700,
          currency: 'usd',
          source_id: await suspended(account),
        }
        const { status, text } = await books.post('/v1/ledger/transfers', { ...ASKED, transfers: [moved] })
        expect(status, text).toBe(200)
        const open = await account.api.get('/v1/reconciliation_decisions?status=open')
        expect(open.body.data).toEqual([])
      },
    },
    'A mistake': {
      before: account => decide(account, { left: '', right: 'c,700,usd' }, { right: [1] }),
      async play(account) {
        const at = `/v1/reconciliation_decisions/${await suspended(account)}/withdraw`
        expect((await account.api.post(at, ASKED)).status).toBe(200)
      },
    },
  },
  'orphan-capture': {
    Example: {
      async play(account) {
        await world.fault({ operation: 'authorize', kind: 'error', moment: 'after', count: 1 })
        await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
        await pay(account, VISA)
        const news = await newsOf(world, account, 'authorize')
        await tell({ ...news, outcome: { kind: 'declined', processor_id: null, decline: DECLINED } })
        await tell(news)
        await world.resolve()
      },
    },
  },
}

const ADJUSTMENT = {
  reason: 'Goodwill for the outage of 3 March',
  author: 'Ada',
  transfers: [{ debit_code: 'write_offs', credit_code: 'merchant_available', amount: 500, currency: 'usd' }],
}

interface Entry {
  transfer: string
  debit: string
  credit: string
  amount: string
}

const money = (amount: bigint): string => {
  const digits = String(amount < 0n ? -amount : amount).padStart(3, '0')
  return `${amount < 0n ? '−' : ''}${digits.slice(0, -2)}.${digits.slice(-2)}`
}

async function transfersOf({ account_id }: TestAccount): Promise<Entry[]> {
  const rows = await world.db.many<Omit<Entry, 'amount'> & { amount: bigint }>`
    select transfer.kind as transfer, debit.code as debit, credit.code as credit, transfer.amount
    from ledger_transfers as transfer
    join ledger_accounts as debit
      on debit.account_id = transfer.account_id and debit.livemode = transfer.livemode and debit.id = transfer.debit_account_id
    join ledger_accounts as credit
      on credit.account_id = transfer.account_id and credit.livemode = transfer.livemode and credit.id = transfer.credit_account_id
    where transfer.account_id = ${account_id}
    order by transfer.recorded_at, transfer.id`
  return rows.map(row => ({ ...row, amount: money(row.amount) }))
}

async function balancesOf({ account_id, livemode }: TestAccount): Promise<Record<string, string>> {
  const lines = await trialBalance(world.db, { account_id, livemode })
  return Object.fromEntries(lines.map(line => [line.code, money(line.posted)]))
}

type Row = Record<string, string>

/** The tables under each `##` heading of a page, each row by its header. */
function tablesOf(page: string): Record<string, Row[][]> {
  const text = readFileSync(join(PAGES, `${page}.md`), 'utf8')
  return Object.fromEntries(
    text
      .split(/^## /m)
      .slice(1)
      .map(section => {
        const heading = section.slice(0, section.indexOf('\n'))
        const tables = section.match(/(?:^\|.*\|\n)+/gm) ?? []
        return [heading, tables.map(readTable)] as const
      })
      .filter(([, tables]) => tables.length > 0),
  )
}

function readTable(table: string): Row[] {
  const [header = [], , ...rows] = table
    .trim()
    .split('\n')
    .map(line =>
      line
        .split('|')
        .slice(1, -1)
        .map(cell => cell.trim().replaceAll('`', '')),
    )
  return rows.map(cells => Object.fromEntries(header.map((name, i) => [name, cells[i] ?? ''])))
}

const cases = Object.entries(examples).flatMap(([page, plays]) =>
  Object.entries(plays).map(([heading, example]) => ({ page, heading, example })),
)

describe('a page shows what is posted', () => {
  test.each(cases)('$page: $heading', async ({ page, heading, example }) => {
    const account = await world.account()
    await example.before?.(account)
    const known = (await transfersOf(account)).length
    const before = await balancesOf(account)
    await example.play(account)
    const posted = (await transfersOf(account)).slice(known)
    const after = await balancesOf(account)
    if (process.env.LEDGER_PAGES) console.log(JSON.stringify({ page, heading, posted, before, after }))

    const [transfers, balances] = tablesOf(page)[heading] ?? []
    expect(
      transfers?.map(row => ({
        transfer: row.Transfer,
        debit: row.Debit,
        credit: row.Credit,
        amount: row.Amount,
      })),
    ).toEqual(posted)
    const touched = Object.keys({ ...before, ...after }).filter(
      code => (before[code] ?? '0.00') !== after[code],
    )
    expect(new Map(balances?.map(row => [row.Account, [row.Before, row.After]]))).toEqual(
      new Map(touched.map(code => [code, [before[code] ?? '0.00', after[code]]])),
    )
  })
})

test('every page is played, and the ledger’s page leads to it', () => {
  const pages = globSync('*.md', { cwd: PAGES }).map(file => basename(file, '.md'))
  expect(pages.sort()).toEqual(Object.keys(examples).sort())
  const index = readFileSync(join(PAGES, '..', 'ledger.md'), 'utf8')
  for (const page of pages) {
    expect(index).toContain(`(ledger/${page}.md)`)
    expect([page, Object.keys(tablesOf(page)).sort()]).toEqual([
      page,
      Object.keys(examples[page] ?? {}).sort(),
    ])
  }
})
