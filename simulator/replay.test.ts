/**
 * Whatever happens, in whatever order, with answers dropped and the bank opened again in between: the statement is
 * what the book adds up to, and the feed tells again, byte for byte, what was told when it happened.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Bank, openBank } from './bank.ts'
import { MAGIC_DESTINATIONS } from './destinations.ts'
import { readPage } from './feed.ts'
import { MAGIC_CARDS } from './magic.ts'
import { readMovements } from './reading.ts'
import { Refused } from './refused.ts'
import { settle } from './settlement.ts'
import type { OperationRequest } from './state.ts'
import { statement } from './statement.ts'
import { openTokens } from './tokens.ts'

/** Every card, and more of those with which something happens later. */
const TOKENS = [
  ...MAGIC_CARDS.map(card => `pm_card_${card.names[0]}`),
  ...MAGIC_CARDS.flatMap(({ names, refund, dispute, decline }) =>
    Array.from({ length: refund ? 30 : dispute ? 12 : decline ? 0 : 2 }, () => `pm_card_${names[0]}`),
  ),
]
const DESTINATIONS = [null, ...Object.keys(MAGIC_DESTINATIONS)]
const EVIDENCE = ['winning_evidence', 'losing_evidence', 'escalate_inquiry_evidence', 'a letter']
const URL = 'http://simulator'

const on = fc.nat(12)
const amount = fc.bigInt(1n, 5_000n)
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('authorize' as const),
      token: fc.constantFrom(...TOKENS),
      capture: fc.boolean(),
      amount,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom('capture' as const, 'void' as const, 'refund' as const, 'refund' as const),
      on,
      amount,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('payout' as const),
      destination: fc.constantFrom(...DESTINATIONS),
      amount,
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reversal' as const), of: fc.nat(119) }) },
  fc.record({ do: fc.constant('challenge' as const), on, is_passed: fc.boolean() }),
  fc.record({
    do: fc.constant('dispute' as const),
    on,
    inquiry: fc.boolean(),
    amount: fc.option(amount, { nil: undefined }),
  }),
  fc.record({ do: fc.constant('evidence' as const), on, text: fc.constantFrom(...EVIDENCE) }),
  fc.record({ do: fc.constantFrom('give_up' as const, 'escalate' as const), on }),
  fc.record({ do: fc.constant('settle' as const) }),
  fc.record({ do: fc.constant('restart' as const) }),
)
const step = fc.record({ action, answered: fc.boolean() })

/** Refunded whole before the dispute of its own comes due, which comes to nothing then. */
const REFUNDED_BEFORE_ITS_DISPUTE = (
  [
    { do: 'authorize', token: 'pm_card_createDisputeProductNotReceived', capture: true, amount: 344n },
    { do: 'refund', on: 0, amount: 3_430n },
    { do: 'settle' },
    { do: 'restart' },
  ] as const
).map(action => ({ action, answered: false }))

test('statements add up to the book, and the feed tells what was told, after any history', {
  timeout: 120_000,
}, async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 120, size: 'max' }), async steps => {
      const folder = mkdtempSync(join(tmpdir(), 'bursar-replay-'))
      try {
        await check(folder, steps)
      } finally {
        rmSync(folder, { recursive: true })
      }
    }),
    { numRuns: 50, examples: [[REFUNDED_BEFORE_ITS_DISPUTE]] },
  )
})

async function check(
  folder: string,
  steps: readonly (typeof step extends fc.Arbitrary<infer T> ? T : never)[],
) {
  const path = join(folder, 'book.jsonl')
  const told: string[] = []
  const open = () =>
    openBank({
      path,
      tokens: openTokens(folder),
      // Nothing settles by itself here.
      settle_after_ms: 3_600_000,
      url: URL,
      listener: { wants: () => true, hear: event => told.push(event.body) },
      onBroken(error) {
        throw error
      },
    })

  let bank = open()
  for (const [index, { action, answered }] of steps.entries()) {
    if (action.do === 'restart') {
      const before = stateOf(bank)
      await bank.close()
      bank = open()
      expect(stateOf(bank)).toEqual(before)
    } else act(bank, action, `r${index}`, answered)
    neverTooMuch(bank)
  }
  await new Promise<void>(resolve => bank.book.whenDurable(resolve))

  expect(await fed(path, bank)).toEqual(told)
  expect(new Set(told.map(body => (JSON.parse(body) as { id: string }).id)).size).toBe(told.length)
  await addsUp(path, bank)
  await bank.close()
  bank = open()
  expect(await fed(path, bank)).toEqual(told)
  await bank.close()
}

type Action = Exclude<typeof action extends fc.Arbitrary<infer T> ? T : never, { do: 'restart' }>

/** A refusal is an answer like another. */
function act(bank: Bank, what: Action, reference: string, answered: boolean) {
  try {
    perform(bank, what, reference, answered)
  } catch (error) {
    if (!(error instanceof Refused)) throw error
  }
}

function perform(bank: Bank, what: Action, reference: string, answered: boolean) {
  const { world } = bank
  const nth = <T>(map: Map<string, T>, index: number): T | undefined =>
    [...map.values()][index % Math.max(1, map.size)]
  const ask = (request: OperationRequest) => bank.perform(request, answered)
  switch (what.do) {
    case 'authorize':
      return ask({
        kind: 'authorize',
        reference,
        amount: what.amount,
        currency: 'usd',
        payment_token: what.token,
        capture: what.capture,
        off_session: false,
        return_url: null,
        owner: { account_id: 'acct_1', payment_intent_id: `pi_${reference}` },
      })
    case 'payout': {
      const { amount, destination } = what
      return ask({
        kind: 'payout',
        reference,
        amount,
        currency: 'usd',
        destination,
        statement_descriptor: null,
      })
    }
    case 'reversal':
      // Mostly something that was asked before, now and then something that will be.
      return ask({ kind: 'reversal', reference, of: `r${what.of % (Number(reference.slice(1)) + 3)}` })
    case 'settle':
      return bank.settlePending()
    case 'evidence':
    case 'give_up':
    case 'escalate': {
      const dispute = nth(world.disputes, what.on)
      if (dispute === undefined) return
      if (what.do === 'evidence') return bank.submitEvidence(dispute, what.text)
      return what.do === 'give_up' ? bank.closeDispute(dispute) : bank.escalateDispute(dispute)
    }
    default: {
      // Rather one on which it can be done, while there is one.
      const fit = what.do === 'refund' || what.do === 'dispute' ? 'captured' : 'authorized'
      const fitting = [...world.payments].filter(([, payment]) => payment.state === fit)
      const payment = nth(
        fitting.length > 0 && what.do !== 'challenge' ? new Map(fitting) : world.payments,
        what.on,
      )
      if (payment === undefined) return
      if (what.do === 'challenge') return bank.finishChallenge(payment, what.is_passed)
      if (what.do === 'dispute') return bank.openDispute(payment, { ...what, reason: 'general' })
      // Small refunds leave something for what comes after them.
      const amount = what.do === 'refund' ? what.amount / 10n + 1n : what.amount
      return ask({ kind: what.do, reference, payment_id: payment.id, amount, currency: 'usd' })
    }
  }
}

function stateOf({ world }: Bank) {
  const { operations, payouts, reversals, tombstones, disputes, balances, next_seq, book_id, pending } = world
  return {
    operations: [...operations.values()].map(operation => ({ ...operation, payment: operation.payment.id })),
    states: [...world.payments.values()].map(payment => payment.state),
    disputes: [...disputes.values()].map(dispute => ({ ...dispute, payment: dispute.payment.id })),
    payouts: [...payouts],
    reversals: [...reversals],
    tombstones: [...tombstones],
    balances: [...balances],
    pending: [...pending.keys()].sort(),
    next_seq,
    book_id,
  }
}

function neverTooMuch({ world }: Bank) {
  for (const payment of world.payments.values()) {
    const { amount, captured_amount, refunded_amount, disputed_amount } = payment
    expect(captured_amount <= amount).toBe(true)
    expect(refunded_amount >= 0n && disputed_amount >= 0n).toBe(true)
    expect(refunded_amount + disputed_amount <= captured_amount).toBe(true)
    if (payment.state === 'reversed') expect(refunded_amount + disputed_amount).toBe(captured_amount)
  }
}

/** Everything the feed has, in pages of a few. */
async function fed(path: string, bank: Bank): Promise<string[]> {
  const bodies: string[] = []
  for (let after: string | null = null; ; ) {
    const page = await readPage(path, bank, { after, limit: 7 }, URL)
    const { events, next } = JSON.parse(page) as { events: unknown[]; next: string }
    if (events.length === 0) {
      expect(next === after || bodies.length === 0).toBe(true)
      return bodies
    }
    bodies.push(...events.map(event => JSON.stringify(event)))
    after = next
  }
}

async function addsUp(path: string, bank: Bank) {
  const read = () => readMovements(path, bank.book.durableBytes())
  let in_book = 0n
  let seq = 1
  for await (const movement of read()) {
    expect(movement.seq).toBe(seq++)
    in_book += settle(movement)?.net ?? 0n
  }
  let in_statement = 0n
  const all = { from: '0001-01-01', to: '9999-12-31', format: 'csv' } as const
  for await (const line of statement(read, all).lines) {
    const net = line.split(',')[5]
    if (net !== 'net') in_statement += BigInt(net as string)
  }
  expect(in_statement).toBe(in_book)
  expect(bank.world.balances.get('usd') ?? 0n).toBe(in_book)
}
