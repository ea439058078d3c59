/** The end of the day: what the ledger says of it beside the processor's own statement, row by row. */
import { createWriteStream } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { decodeId } from '#kernel'
import { DEFAULT_RULES, runFiles } from '#reconciliation/files'
import type { Credentials } from '../../main/first-start.ts'
import type { Settings } from '../../settings.ts'
import { withBooks } from '../ledger/books.ts'
import { writeSettlements } from '../ledger/settlements.ts'
import { openWorkplace } from '../reconcile/workplace.ts'
import { reach } from './client.ts'
import type { Check } from './day.ts'

/** Of everything since then, to the newest movement of either. */
export async function reconcileDay(
  settings: Settings,
  { account_id, simulator_url }: Credentials,
  from: Date,
): Promise<Check> {
  const account = decodeId('acct_', account_id)
  if (account === undefined) throw new Error(`"${account_id}" in the credentials is no id of an account`)
  const workplace = openWorkplace(undefined)
  try {
    await mkdir(workplace.inputs)
    const fileOf = (name: string) => ({ name, path: join(workplace.inputs, name), is_empty_allowed: true })
    const [left, right] = [fileOf('ledger.csv'), fileOf('statement.csv')]
    let ledger = ''
    await withBooks(settings, db =>
      writeSettlements(db, { account_id: account, livemode: false }, { format: 'csv', from }, async text => {
        ledger += text
      }),
    )
    await writeFile(left.path, ledger)
    const { body } = await reach(simulator_url, `/statement?from=${from.toISOString()}`)
    if (body === null) throw new Error(`the simulator at ${simulator_url} shows no statement`)
    await pipeline(body, createWriteStream(right.path))
    const { directory } = workplace
    const run = await runFiles({ left, right, rules: DEFAULT_RULES, decisions: [], directory })
    const { matched } = run.counts.left
    const others = run.left.rows + run.right.rows - matched - run.counts.right.matched
    return {
      name: "The processor's statement reconciles with the ledger",
      is_true: run.is_clean,
      detail: `${matched} movements on both sides, ${others} rows that differ`,
    }
  } finally {
    workplace.leave()
  }
}
