/** What banks, processors and bookkeepers call their columns. The more particular name stands first. */

export const ROLES = ['id', 'amount', 'sign', 'debit', 'credit', 'currency', 'date', 'batch', 'text'] as const
export type Role = (typeof ROLES)[number]

/** As `plainName` makes them: lower case, no accents, letters and digits alone. */
export const NAMES: Record<Role, readonly string[]> = {
  id: [
    'id',
    'endtoendid',
    'endtoendreference',
    'endtoendreferenz',
    'transactionid',
    'paymentid',
    'transactionreference',
    'paymentreference',
    'reference',
    'ref',
    'referenz',
    'referencia',
    'riferimento',
    'kundenreferenz',
    'kundenreferenzendtoend',
    'zahlungsreferenz',
    'referencenumber',
    'bankreference',
    'txid',
    'sourceid',
    'externalid',
  ],
  amount: [
    'amount',
    'netamount',
    'transactionamount',
    'betrag',
    'umsatz',
    'montant',
    'importe',
    'importo',
    'bedrag',
    'belop',
    'kwota',
    'value',
    'net',
  ],
  sign: [
    'sign',
    'creditdebit',
    'debitcredit',
    'creditdebitindicator',
    'debitcreditindicator',
    'cdtdbtind',
    'drcr',
    'crdr',
    'dc',
    'cd',
    'sollhaben',
    'habensoll',
    'sh',
    'sollhabenkennzeichen',
    'afbij',
  ],
  debit: [
    'debit',
    'debitamount',
    'soll',
    'belastung',
    'lastschrift',
    'withdrawal',
    'withdrawals',
    'paidout',
    'moneyout',
    'withdrawalamt',
  ],
  credit: [
    'credit',
    'creditamount',
    'haben',
    'gutschrift',
    'deposit',
    'deposits',
    'paidin',
    'moneyin',
    'depositamt',
  ],
  currency: [
    'currency',
    'currencycode',
    'ccy',
    'curr',
    'waehrung',
    'wahrung',
    'devise',
    'moneda',
    'divisa',
    'munt',
    'muntsoort',
    'valutacode',
  ],
  date: [
    'date',
    'bookingdate',
    'posteddate',
    'postingdate',
    'bookeddate',
    'buchungstag',
    'buchungsdatum',
    'transactiondate',
    'dateoperation',
    'valuedate',
    'valutadatum',
    'datum',
    'fecha',
    'data',
    'created',
    'createdat',
    'createdutc',
  ],
  batch: [
    'batch',
    'batchid',
    'payoutid',
    'payout',
    'settlementid',
    'settlementbatch',
    'settlement',
    'automaticpayoutid',
    'transferid',
  ],
  text: [
    'text',
    'description',
    'narrative',
    'verwendungszweck',
    'remittanceinformation',
    'purpose',
    'buchungstext',
    'libelle',
    'concepto',
    'causale',
    'details',
    'memo',
    'particulars',
    'narration',
  ],
}

/** `Währung ` and `waehrung` are the same word, `Amount (EUR)` and `amount` too. */
export function plainName(name: string): string {
  return name
    .replace(/\s*[([][^)\]]*[)\]]\s*$/, '')
    .normalize('NFKD')
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
}

/** The currency in `Amount (EUR)` or `Betrag in EUR`. */
export function currencyIn(name: string): string | null {
  const found = /[([]\s*([a-z]{3})\s*[)\]]\s*$|\s(?:in\s+)?([A-Z]{3})$/i.exec(name)
  return (found?.[1] ?? found?.[2])?.toLowerCase() ?? null
}
