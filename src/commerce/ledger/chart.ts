/**
 * The chart of accounts: what a ledger account may be. The books are the operator's, kept apart for each account of
 * Bursar's users: the processors owe the operator (assets), the operator owes the business (liabilities), and fees are
 * the operator's income. The same list stands in the table ledger_chart, where posting reads it; a test compares them.
 */

export type Side = 'debit' | 'credit'
export type AccountKind = 'asset' | 'liability' | 'equity' | 'income' | 'expense'

export interface ChartEntry {
  readonly kind: AccountKind
  /** The side that makes its balance grow. */
  readonly normal_side: Side
  /** What it holds, in one sentence. */
  readonly description: string
  /**
   * Bursar posts here by itself, after money has moved at a processor or a bank. That must always find its way into the
   * books, so accounts of this code are neither limited nor closed by hand.
   */
  readonly is_operated: boolean
}

const code =
  (kind: AccountKind, normal_side: Side) =>
  (description: string, is_operated = false): ChartEntry => ({ kind, normal_side, description, is_operated })
const asset = code('asset', 'debit')
const liability = code('liability', 'credit')
const income = code('income', 'credit')
const expense = code('expense', 'debit')
const equity = code('equity', 'credit')
const OPERATED = true

export const chart = {
  processor_clearing: asset(
    'What the processors owe: authorised (pending) and captured (posted), until they settle to the bank.',
    OPERATED,
  ),
  disputed_funds: asset(
    'Taken back by the processors for open disputes, until they are won or lost.',
    OPERATED,
  ),
  bank: asset('Money in the bank account.', OPERATED),
  receivables: asset('What a customer was invoiced and has not paid.'),
  merchant_pending: liability('What the business has earned and may not pay out yet.', OPERATED),
  merchant_available: liability('What the business may pay out now.', OPERATED),
  payouts_in_transit: liability('Paid out and not yet confirmed by the bank.', OPERATED),
  disputes: liability('Withheld for open disputes until they are won or lost.', OPERATED),
  orphan_captures: liability(
    'Taken by a processor against what we hold for true, and owed back to the customer until it is refunded.',
    OPERATED,
  ),
  tax_payable: liability('Tax collected and owed to authorities.'),
  customer_credit: liability('What is owed to a customer: credit notes and overpayments.'),
  processing_fees: income("Fees charged on payments: the operator's income, the business's cost.", OPERATED),
  dispute_fees: income('Fees charged on disputes.', OPERATED),
  revenue: income('Sales invoiced.'),
  refunds: expense('Refunds that the operator bears and not the business.'),
  write_offs: expense('Losses: debts given up and differences accepted.'),
  suspense_missing: asset('Money that a reconciliation missed outside, until somebody explains it.'),
  suspense_unexpected: liability(
    'Money that a reconciliation found outside and nobody expected, until somebody explains it.',
  ),
  adjustments: equity('The other side of corrections made by hand, each with reason and author.'),
} as const satisfies Record<string, ChartEntry>

export type AccountCode = keyof typeof chart
