/** Where CAMT.053 says what: the elements of an entry and of a transaction that are read. All others pass by. */
import { addText, type Entry, type Sum, type Transaction } from './entry.ts'

export function readEntryField(entry: Entry, path: string, text: string, sum: () => Sum): void {
  switch (path) {
    case 'Ntry/Amt':
      entry.amount = sum()
      break
    case 'Ntry/CdtDbtInd':
      entry.direction = text
      break
    case 'Ntry/RvslInd':
      entry.is_reversal = text === 'true' || text === '1'
      break
    // Text before version .08, a code within it since.
    case 'Ntry/Sts':
    case 'Ntry/Sts/Cd':
      if (text !== '') entry.status = text
      break
    case 'Ntry/BookgDt/Dt':
    case 'Ntry/BookgDt/DtTm':
      entry.booked = text
      break
    case 'Ntry/ValDt/Dt':
    case 'Ntry/ValDt/DtTm':
      entry.valued = text
      break
    case 'Ntry/AcctSvcrRef':
      entry.references.bank_reference = text
      break
    case 'Ntry/NtryRef':
      entry.references.entry_reference = text
      break
    case 'Ntry/BkTxCd/Prtry/Cd':
      entry.code = text
      break
    case 'Ntry/NtryDtls/Btch/MsgId':
      entry.batch ??= text || null
      break
    // The nearer name: a message may hold several batches.
    case 'Ntry/NtryDtls/Btch/PmtInfId':
      entry.batch = text || entry.batch
      break
    case 'Ntry/NtryDtls/Btch/NbOfTxs':
      entry.batch_size = (entry.batch_size ?? 0) + Number(text)
      break
    case 'Ntry/AddtlNtryInf':
      addText(entry, text)
      break
    default:
  }
}

export function readTransactionField(
  transaction: Transaction,
  path: string,
  text: string,
  sum: () => Sum,
): void {
  const { references } = transaction
  switch (path) {
    case 'TxDtls/Amt':
      transaction.amount = sum()
      break
    case 'TxDtls/AmtDtls/TxAmt/Amt':
      transaction.other_amount = sum()
      break
    case 'TxDtls/AmtDtls/CntrValAmt/Amt':
      transaction.other_amount ??= sum()
      break
    case 'TxDtls/CdtDbtInd':
      transaction.direction = text
      break
    case 'TxDtls/Refs/EndToEndId':
      references.end_to_end = text
      break
    case 'TxDtls/Refs/InstrId':
      references.instruction = text
      break
    case 'TxDtls/Refs/TxId':
      references.transaction = text
      break
    case 'TxDtls/Refs/AcctSvcrRef':
      references.bank_reference = text
      break
    case 'TxDtls/Refs/PmtInfId':
      transaction.batch = text || transaction.batch
      break
    case 'TxDtls/RtrInf':
      transaction.is_return = true
      break
    case 'TxDtls/RmtInf/Ustrd':
    case 'TxDtls/RmtInf/Strd/CdtrRefInf/Ref':
    case 'TxDtls/RmtInf/Strd/AddtlRmtInf':
    case 'TxDtls/AddtlTxInf':
    case 'TxDtls/RltdPties/Dbtr/Nm':
    case 'TxDtls/RltdPties/Dbtr/Pty/Nm':
    case 'TxDtls/RltdPties/Cdtr/Nm':
    case 'TxDtls/RltdPties/Cdtr/Pty/Nm':
      addText(transaction, text)
      break
    default:
  }
}
