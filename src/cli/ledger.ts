/** `bursar ledger …`: reads, adjusts, exports, seals and proves the books, beside a running server or alone. */
import type { Command } from 'commander'
import * as adjust from './ledger/adjust.ts'
import * as exporting from './ledger/export.ts'
import * as proof from './ledger/proof.ts'
import * as seal from './ledger/seal.ts'
import * as statement from './ledger/statement.ts'
import * as suspense from './ledger/suspense.ts'
import * as trialBalance from './ledger/trial-balance.ts'
import * as verify from './ledger/verify.ts'

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nExamples:\n  bursar ledger trial-balance\n  bursar ledger verify\n  bursar ledger head',
  )
  for (const verb of [statement, trialBalance, suspense, exporting, adjust, verify, seal, proof])
    verb.declare(command)
}
