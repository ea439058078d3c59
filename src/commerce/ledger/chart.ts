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
}

const asset = (description: string): ChartEntry => ({ kind: 'asset', normal_side: 'debit', description })
const liability = (description: string): ChartEntry => ({
  kind: 'liability',
  normal_side: 'credit',
  description,
})
const income = (description: string): ChartEntry => ({ kind: 'income', normal_side: 'credit', description })
const expense = (description: string): ChartEntry => ({ kind: 'expense', normal_side: 'debit', description })
const equity = (description: string): ChartEntry => ({ kind: 'equity', normal_side: 'credit', description })

export const chart = {
  processor_clearing: asset(
    'What the processors owe: authorised (pending) and captured (posted), until they settle to the bank.',
  ),
  bank: asset('Money in the bank account.'),
  disputed_funds: asset('Taken back by the processors for open disputes, until they are won or lost.'),
  receivables: asset('What a customer was invoiced and has not paid.'),
  merchant_pending: liability('What the business has earned and may not pay out yet.'),
  merchant_available: liability('What the business may pay out now.'),
  payouts_in_transit: liability('Paid out and not yet confirmed by the bank.'),
  disputes: liability('Withheld for open disputes until they are won or lost.'),
  tax_payable: liability('Tax collected and owed to authorities.'),
  customer_credit: liability('What is owed to a customer: credit notes and overpayments.'),
  processing_fees: income("Fees charged on payments: the operator's income, the business's cost."),
  dispute_fees: income('Fees charged on disputes.'),
  revenue: income('Sales invoiced.'),
  refunds: expense('Refunds that the operator bears and not the business.'),
  write_offs: expense('Losses: debts given up and differences accepted.'),
  adjustments: equity('The other side of corrections made by hand, each with reason and author.'),
} as const satisfies Record<string, ChartEntry>

export type AccountCode = keyof typeof chart
