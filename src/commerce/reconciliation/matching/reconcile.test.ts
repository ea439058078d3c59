import { describe, expect, test } from 'vitest'
import { reconcile } from './reconcile.ts'

const usd = (id: string, amount: bigint | number, more: object = {}) => ({
  id,
  amount,
  currency: 'usd',
  ...more,
})

describe('reconcile', () => {
  test('answers for every row of both sides', () => {
    const ledger = [usd('a', 100n), usd('b', 1000), usd('c', 5), usd('e', 7), usd('e', 7)]
    const bank = [usd('b', 1200, { currency: 'EUR' }), usd('a', 100), usd('d', 9), usd('e', 7)]
    const answer = reconcile(ledger, bank)
    expect(answer.matched).toEqual([
      { id: 'a', ledger: ledger[0], bank: bank[1] },
      { id: 'e', ledger: ledger[3], bank: bank[3] },
    ])
    expect(answer.discrepant).toEqual([
      { id: 'b', ledger: ledger[1], bank: bank[0], reason: 'amount 1000 != 1200; currency usd != eur' },
    ])
    expect(answer.unmatched).toEqual([
      { side: 'ledger', ...ledger[2] },
      { side: 'bank', ...bank[2] },
    ])
    expect(answer.duplicates).toEqual([{ side: 'ledger', ...ledger[4], reason: 'id e appears 2 times' }])
    expect(answer.counts.ledger).toMatchObject({ matched: 2, discrepant: 1, unmatched: 1, duplicate: 1 })
    expect(answer.counts.bank).toMatchObject({ matched: 2, discrepant: 1, unmatched: 1, duplicate: 0 })
  })

  test('takes async iterables, of one side or of both', async () => {
    async function* rows() {
      yield usd('a', 1)
    }
    const expected = reconcile([usd('a', 1)], [usd('a', 1)])
    expect(await reconcile(rows(), rows())).toEqual(expected)
    expect(await reconcile([usd('a', 1)], rows())).toEqual(expected)
  })

  test('of empty sides has nothing to say', () => {
    expect(reconcile([], [])).toMatchObject({ matched: [], unmatched: [], suggestions: [] })
  })

  test.each([
    [
      'a fraction',
      usd('a', 1.5),
      'ledger row 1: amount 1.5 is not a whole number that is exact; use a bigint',
    ],
    ['not exact', usd('a', 2 ** 53), 'use a bigint'],
    ['not a number', usd('a', Number.NaN), 'use a bigint'],
    ['a text', usd('a', '1' as unknown as number), 'amount is neither a bigint nor a number'],
    ['beyond 64 bits', usd('a', 2n ** 63n), 'amount is beyond 64 bits'],
    ['without id', usd(' ', 1), 'id has not 1 to 512 bytes'],
    ['of no currency', usd('a', 1, { currency: 'xxz' }), 'currency is not one of ISO 4217'],
    ['of no day', usd('a', 1, { date: '2026-02-30' }), 'date is not a day as YYYY-MM-DD'],
  ])('refuses a row that is %s', (_, row, message) => {
    expect(() => reconcile([row], [])).toThrow(message)
  })

  test('matches a batch to its sum, and says what is missing of it', () => {
    const items = [usd('1', 400, { batch: 'po_1' }), usd('2', 500, { batch: 'po_1' })]
    expect(reconcile(items, [usd('po_1', 900)]).matched).toHaveLength(2)
    expect(reconcile([usd('po_1', 900)], items).matched).toHaveLength(2)
    expect(reconcile(items, [usd('po_1', 1000)]).discrepant).toMatchObject([
      { id: 'po_1', ledger: items[0], reason: 'batch po_1: 2 rows sum to 900 != 1000' },
      { id: 'po_1', ledger: items[1], reason: 'batch po_1: 2 rows sum to 900 != 1000' },
    ])
    expect(reconcile(items, [usd('po_1', 900, { currency: 'eur' })]).discrepant[0]?.reason).toBe(
      'batch po_1: 2 rows in usd != eur',
    )
  })

  test('carries what may still come, and not what lies in the future', () => {
    const ledger = ['01', '07', '10', '11'].map(day => usd(day, 1, { date: `2026-11-${day}` }))
    const { timing, unmatched } = reconcile(ledger, [], { as_of: '2026-11-10' })
    expect(timing.map(row => row.id)).toEqual(['07', '10'])
    expect(unmatched.map(row => row.id)).toEqual(['01', '11'])
  })

  test('suggests near ids, ids in texts, and small sums, and leaves their rows unmatched', () => {
    const ledger = [usd('PO-77', 5), usd('pi_1234', 6), usd('x1', 30), usd('x2', 12), usd('x3', 4)]
    const bank = [usd('po 77', 5), usd('T9', 6, { text: 'Payment PI 1234, thanks' }), usd('sum', 34)]
    const { suggestions, counts } = reconcile(ledger, bank)
    expect(suggestions).toEqual([
      {
        kind: 'text',
        ledger: [ledger[0]],
        bank: [bank[0]],
        reason: 'ids PO-77 and po 77 differ in case, spaces or punctuation',
      },
      {
        kind: 'text',
        ledger: [ledger[1]],
        bank: [bank[1]],
        reason: 'the text of the right row names pi_1234',
      },
      {
        kind: 'subset_sum',
        ledger: [ledger[2], ledger[4]],
        bank: [bank[2]],
        reason: '2 left rows sum to 34',
      },
    ])
    expect(counts.ledger.unmatched).toBe(5)
  })
})
