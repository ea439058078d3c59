/** `bursar ledger …`: seals the books and proves them, beside a running server or alone. */
import type { Command } from 'commander'
import * as seal from './ledger/seal.ts'
import * as verify from './ledger/verify.ts'

export function declare(command: Command): void {
  command.addHelpText('after', '\nExamples:\n  bursar ledger verify\n  bursar ledger head')
  for (const verb of [verify, seal]) verb.declare(command)
}
