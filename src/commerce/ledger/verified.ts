/**
 * Verification by the clock: once a night, when there is room, the books are proven as `bursar ledger verify` proves
 * them. What it found is kept in one row, so that the gauges tell it whichever process is asked, also after a restart.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { defineJob, type Job } from '#jobs'
import { encodeId } from '#kernel'
import { gauge } from '#metrics'
import { type Verification, verify } from './verify.ts'
import type { Broken } from './verify-walk.ts'

/**
 * A million entries must be proven within ten seconds (docs/benchmarks.md), so there is room for hundreds of millions;
 * and the queue frees jobs that have held their place for four hours.
 */
const TIMEOUT_MS = 3 * 3_600_000

/** Each try walks all the books, and the next night tries anyhow: only a database that went away is worth another. */
const TRIES = 3

export const verifyJob: Job = defineJob({
  name: 'ledger.verify',
  payload: z.object({}),
  max_attempts: TRIES,
  timeout_ms: TIMEOUT_MS,
  async run(context) {
    const { db, signal } = context
    // Called after each piece, so a run that is called off ends there.
    const result = await verify(db, { onProgress: () => signal.throwIfAborted() })
    await keep(db, result)
    const { ok, checked, sealed, broken } = result
    context.note({
      ok,
      transfers: Number(checked.transfers),
      entries: Number(checked.entries),
      accounts: Number(checked.accounts),
      seals: Number(checked.seals),
      head: sealed.head,
      ...(broken && { broken: inWords(broken) }),
    })
  },
})

/** That the books are broken is a finding, and no failure of the job: trying again would find the same. */
const keep = (db: Db, { ok, broken }: Verification): Promise<number> => db.run`
  update ledger_verified
  set ended_at = now(),
      holds = ${ok},
      broken = ${broken ? inWords(broken) : null}`

/** As `bursar ledger verify` names it. */
function inWords({ table, account_id, id, reason }: Broken): string {
  const named = table === 'ledger_seals' ? id : encodeId(PREFIXES[table], id)
  const whose = account_id === null ? '' : ` of ${encodeId('acct_', account_id)}`
  return `${table} ${named}${whose}: ${reason}`
}

const PREFIXES = {
  ledger_accounts: 'la_',
  ledger_checkpoints: 'la_',
  ledger_transfers: 'tr_',
  ledger_entries: 'tr_',
} as const

interface Kept {
  holds: boolean | null
  age_s: number
}

let source: Db | undefined

/** The database whose verification the gauges tell, in a process that runs jobs. */
export function tellVerificationOf(db: Db): void {
  source = db
}

async function kept(): Promise<Kept | undefined> {
  const db = source
  if (db === undefined) return undefined
  return db.maybe<Kept>`
    select holds, extract(epoch from now() - ended_at)::float8 as age_s
    from ledger_verified`
}

gauge({
  name: 'bursar_ledger_verified',
  help: '1: the last verification of the books by the clock found that they hold; 0: that they do not',
  async collect(set) {
    const last = await kept()
    if (typeof last?.holds === 'boolean') set(undefined, last.holds ? 1 : 0)
  },
})

gauge({
  name: 'bursar_ledger_verification_age_seconds',
  help: 'Since the last verification of the books by the clock ended; a day at most while all is well',
  async collect(set) {
    const last = await kept()
    if (last) set(undefined, last.age_s)
  },
})
