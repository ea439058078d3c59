/** What the bank remembers after a restart is what it knew before, whatever happened to it in between. */
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { type Bank, openBank } from './bank.ts'
import { readPage } from './feed.ts'
import { operationJson } from './json.ts'
import { MAGIC_CARDS } from './magic.ts'
import { Refused } from './refused.ts'
import type { OperationRequest } from './state.ts'
import { openTokens } from './tokens.ts'

const TOKENS = MAGIC_CARDS.map(card => `pm_card_${card.names[0]}`)

function open(folder: string, max_operations?: number): Bank {
  return openBank({
    path: join(folder, 'book.jsonl'),
    tokens: openTokens(folder),
    // Nothing settles by itself here: the test decides when.
    settle_after_ms: 3_600_000,
    ...(max_operations === undefined ? {} : { max_operations }),
    url: 'http://simulator',
    onBroken(error) {
      throw error
    },
  })
}

async function withFolder<T>(run: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'bursar-bank-'))
  try {
    return await run(folder)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

/** A refusal is an answer like another. */
function perform(bank: Bank, request: OperationRequest) {
  try {
    return bank.perform(request, true)
  } catch (error) {
    if (error instanceof Refused) return undefined
    throw error
  }
}

const authorize = (reference: string, payment_token: string, capture: boolean, amount: bigint) =>
  ({
    kind: 'authorize',
    reference,
    amount,
    currency: 'usd',
    payment_token,
    capture,
    off_session: false,
    return_url: null,
    owner: null,
  }) as const

const action = fc.oneof(
  fc.record({
    do: fc.constant('authorize' as const),
    token: fc.constantFrom(...TOKENS),
    capture: fc.boolean(),
    amount: fc.bigInt(1n, 1_000n),
  }),
  fc.record({
    do: fc.constantFrom('capture' as const, 'void' as const, 'refund' as const),
    on: fc.nat(20),
    amount: fc.bigInt(1n, 1_000n),
  }),
  fc.record({ do: fc.constant('challenge' as const), on: fc.nat(20), is_passed: fc.boolean() }),
  fc.record({ do: fc.constant('settle' as const) }),
)

test('a replayed book gives the same answers, and no payment ever gives back more than it took', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 60 }), async actions => {
      await withFolder(async folder => {
        const bank = open(folder)
        const references: string[] = []
        const payment_ids: string[] = []
        for (const [index, act] of actions.entries()) {
          const reference = `r${index}`
          if (act.do === 'settle') {
            bank.settlePending()
            continue
          }
          if (act.do === 'authorize') {
            const operation = perform(bank, authorize(reference, act.token, act.capture, act.amount))
            if (operation !== undefined) payment_ids.push(operation.id)
          } else {
            const payment_id = payment_ids[act.on % Math.max(1, payment_ids.length)]
            if (payment_id === undefined) continue
            const payment = bank.world.payments.get(payment_id)
            if (act.do === 'challenge') {
              if (payment !== undefined) bank.finishChallenge(payment, act.is_passed)
              continue
            }
            perform(bank, { kind: act.do, reference, payment_id, amount: act.amount, currency: 'usd' })
          }
          references.push(reference)
        }
        const known = (from: Bank) =>
          references.map(reference => {
            const operation = from.world.operations.get(reference)
            return operation === undefined ? null : operationJson(operation, 'http://simulator')
          })
        const before = known(bank)
        for (const id of payment_ids) {
          const payment = bank.world.payments.get(id)
          if (payment === undefined) throw new Error('a payment was forgotten')
          expect(payment.captured_amount).toBeLessThanOrEqual(payment.amount)
          expect(payment.refunded_amount).toBeLessThanOrEqual(payment.captured_amount)
          expect(payment.refunded_amount).toBeGreaterThanOrEqual(0n)
        }
        await bank.close()
        const again = open(folder)
        expect(known(again)).toEqual(before)
        await again.close()
      })
    }),
    { numRuns: 60 },
  )
})

test('a book from before there were owners and due days is read as it was', async () => {
  await withFolder(async folder => {
    const said = '"currency":"usd","at_ms":1750000000000,"answered":true'
    const lines = [
      `{"op":"authorize","seq":1,"moves":["authorize","capture"],"id":"pay_1","payment_id":"pay_1","reference":"old","amount":1000,${said},"token":"pm_card_visa","capture":true,"off_session":false,"return_url":null,"status":"approved"}`,
      `{"op":"dispute","seq":3,"moves":["dispute"],"id":"dsp_1","payment_id":"pay_1","reference":"old","amount":1000,${said},"reason":"fraudulent","inquiry":false}`,
      `{"op":"dispute_closed","seq":4,"moves":["dispute"],"id":"dsp_1","payment_id":"pay_1","reference":"old","amount":-1000,${said},"won":true}`,
    ]
    writeFileSync(join(folder, 'book.jsonl'), `${lines.join('\n')}\n`)
    const bank = open(folder)
    expect(bank.world.payments.get('pay_1')).toMatchObject({ owner: null, disputed_amount: 0n })
    expect(bank.dispute('dsp_1')).toMatchObject({ status: 'won', due_ms: undefined })
    // 1000 less the fee of 59; the dispute took 2500 and gave it back.
    expect(bank.world.balances.get('usd')).toBe(941n)
    const page = await readPage(
      join(folder, 'book.jsonl'),
      bank,
      { after: null, limit: 10 },
      'http://simulator',
    )
    const { events } = JSON.parse(page) as { events: { type: string }[] }
    expect(events.map(event => event.type)).toEqual(['payment.captured', 'dispute.created', 'dispute.closed'])
    expect(bank.perform(authorize('old', 'pm_card_visa', true, 1000n), true).id).toBe('pay_1')
    await bank.close()
  })
})

test('a full book refuses new references, and still answers the old ones', async () => {
  await withFolder(async folder => {
    const bank = open(folder, 2)
    const first = bank.perform(authorize('one', 'pm_card_visa', true, 5n), true)
    bank.perform(authorize('two', 'pm_card_visa', true, 5n), true)
    expect(() => bank.perform(authorize('three', 'pm_card_visa', true, 5n), true)).toThrow(
      expect.objectContaining({ status: 503, code: 'book_full' }),
    )
    expect(bank.perform(authorize('one', 'pm_card_visa', true, 5n), true)).toBe(first)
    await bank.close()
  })
})

test('nothing is durable before the disk has it, and everything appended together becomes durable together', async () => {
  await withFolder(async folder => {
    const bank = open(folder)
    const order: string[] = []
    bank.perform(authorize('one', 'pm_card_visa', true, 5n), true)
    bank.book.whenDurable(() => order.push('one'))
    bank.perform(authorize('two', 'pm_card_visa', true, 5n), true)
    bank.book.whenDurable(() => order.push('two'))
    expect(bank.book.durableBytes()).toBe(0)
    const done = new EventTarget()
    const waiting = once(done, 'durable')
    bank.book.whenDurable(() => done.dispatchEvent(new Event('durable')))
    await waiting
    expect(order).toEqual(['one', 'two'])
    expect(bank.book.durableBytes()).toBeGreaterThan(0)
    await bank.close()
  })
})
