/**
 * CAMT.053 (ISO 20022 camt.053.001.08): one statement per currency, with opening and closing balance around the
 * entries, so that a reader can check opening + entries = closing before it matches anything. An entry's amount is
 * what the balance changed by; its details carry the gross amount and the charges.
 *
 * The same book and the same dates give the same bytes: the creation time is that of the last movement in it.
 */
import { type Currency, decimalAmount } from '#money'
import type { Movement } from './entry.ts'
import { type Settlement, settle } from './settlement.ts'

interface Totals {
  opening: bigint
  closing: bigint
}

export async function* camt053(readBook: () => AsyncIterable<Movement>, from: string, to: string) {
  const totals = new Map<string, Totals>()
  let last_at = from
  for await (const movement of readBook()) {
    const settled = settle(movement)
    if (settled === undefined || movement.at >= to) continue
    const total = totals.get(movement.currency) ?? { opening: 0n, closing: 0n }
    totals.set(movement.currency, total)
    total.closing += settled.net
    if (movement.at < from) total.opening += settled.net
    if (movement.at > last_at) last_at = movement.at
  }

  yield '<?xml version="1.0" encoding="UTF-8"?>\n' +
    '<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>\n' +
    `<GrpHdr><MsgId>SIMULATOR-${compact(last_at)}</MsgId><CreDtTm>${last_at}</CreDtTm></GrpHdr>\n`
  // One pass for each currency: the format wants balances before entries, and entries do not fit in memory.
  for (const [currency, total] of [...totals].sort(([a], [b]) => (a < b ? -1 : 1))) {
    yield header(currency as Currency, total, from, to, last_at)
    for await (const movement of readBook()) {
      if (movement.currency !== currency || movement.at < from || movement.at >= to) continue
      const settled = settle(movement)
      if (settled !== undefined) yield entry(movement, settled)
    }
    yield '</Stmt>\n'
  }
  yield '</BkToCstmrStmt></Document>\n'
}

function header(currency: Currency, { opening, closing }: Totals, from: string, to: string, at: string) {
  const code = currency.toUpperCase()
  return (
    `<Stmt><Id>SIMULATOR-${code}-${compact(at)}</Id><CreDtTm>${at}</CreDtTm>` +
    `<FrToDt><FrDtTm>${from}</FrDtTm><ToDtTm>${to}</ToDtTm></FrToDt>` +
    `<Acct><Id><Othr><Id>SIMULATOR-${code}</Id></Othr></Id><Ccy>${code}</Ccy></Acct>\n` +
    `${balance('OPBD', currency, opening, from)}${balance('CLBD', currency, closing, at)}`
  )
}

const balance = (type: string, currency: Currency, amount: bigint, at: string) =>
  `<Bal><Tp><CdOrPrtry><Cd>${type}</Cd></CdOrPrtry></Tp>${signed(amount, currency)}` +
  `<Dt><DtTm>${at}</DtTm></Dt></Bal>\n`

function entry(movement: Movement, { amount, fee, net }: Settlement): string {
  const currency = movement.currency as Currency
  const is_taken_back = movement.amount < 0n
  return (
    `<Ntry><NtryRef>${movement.seq}</NtryRef>${signed(net, currency)}` +
    (is_taken_back ? '<RvslInd>true</RvslInd>' : '') +
    `<Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>${movement.at}</DtTm></BookgDt>` +
    `<ValDt><DtTm>${movement.at}</DtTm></ValDt><AcctSvcrRef>${movement.processor_id}</AcctSvcrRef>` +
    `<BkTxCd><Prtry><Cd>${movement.type.toUpperCase()}</Cd></Prtry></BkTxCd>` +
    `<NtryDtls><TxDtls><Refs><AcctSvcrRef>${movement.processor_id}</AcctSvcrRef>` +
    `<EndToEndId>${escape(movement.reference)}</EndToEndId></Refs>${signed(net, currency)}` +
    `<AmtDtls><TxAmt>${unsigned(amount, currency)}</TxAmt></AmtDtls>` +
    `<Chrgs><TtlChrgsAndTaxAmt Ccy="${currency.toUpperCase()}">${decimalAmount(absolute(fee), currency)}` +
    '</TtlChrgsAndTaxAmt></Chrgs></TxDtls></NtryDtls></Ntry>\n'
  )
}

/** Amounts have no sign of their own in this format: the indicator beside them says which way. */
const signed = (amount: bigint, currency: Currency) =>
  `${unsigned(amount, currency)}<CdtDbtInd>${amount < 0n ? 'DBIT' : 'CRDT'}</CdtDbtInd>`

const unsigned = (amount: bigint, currency: Currency) =>
  `<Amt Ccy="${currency.toUpperCase()}">${decimalAmount(absolute(amount), currency)}</Amt>`

const absolute = (amount: bigint) => (amount < 0n ? -amount : amount)
const compact = (at: string) => at.replace(/[^0-9]/g, '').slice(0, 17)
const escape = (text: string) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
