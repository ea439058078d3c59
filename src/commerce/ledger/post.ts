/**
 * Posting from the process. `post` is one call of the SQL function in the caller's transaction; `poster` lets callers
 * that wait at the same moment share a transaction, so that a commit and a round trip are paid once for hundreds.
 */
import { createGroup, type Db, type Fragment, type Queries, sql } from '#db'
import type { Result, Transfer } from './transfer.ts'

/** Callers that share a transaction: accounts named twice are updated once. Beyond it the first would wait for 0.2 s. */
const TRANSFERS_MOST = 2_000

/** What the SQL accepts in one call; beyond it locks would be held for seconds. */
const CALL_MOST = 10_000

/**
 * Posts transfers in their order, all in the caller's transaction (`tx`) or one of their own (`db`). A refused one does
 * not sink the others, so read every result. Throws when the database fails, on more than 10,000 transfers, and on a
 * transfer of an account that `tx` does not see.
 */
export async function post(db: Queries, transfers: readonly Transfer[]): Promise<Result[]> {
  if (transfers.length === 0) return []
  if (transfers.length > CALL_MOST) throw new RangeError(`post() takes at most ${CALL_MOST} transfers`)
  return answered(db, transfers, sql`ledger_post(${postingsLiteral(transfers)}::ledger_posting[])`)
}

/** Why a transfer is made by hand, and by whom. */
export interface Note {
  readonly reason: string
  readonly author: string
}

/** As `post`, for transfers made by hand: each is kept with the reason and the author. */
export async function postByHand(
  db: Queries,
  transfers: readonly Transfer[],
  { reason, author }: Note,
): Promise<Result[]> {
  const batch = postingsLiteral(transfers)
  return answered(db, transfers, sql`ledger_adjust(${batch}::ledger_posting[], ${reason}, ${author})`)
}

/** Calls a posting function. Nearly all transfers are posted, so only the others are named in its answer. */
async function answered(db: Queries, transfers: readonly Transfer[], call: Fragment): Promise<Result[]> {
  const answer = await db.one<{ count: number; items: number[] | null; words: Result[] | null }>`
    select count(*)::integer as count,
      array_agg(posted.item) filter (where posted.result <> 'posted') as items,
      array_agg(posted.result) filter (where posted.result <> 'posted') as words
    from ${call} posted`
  if (answer.count !== transfers.length) {
    throw new Error(`${transfers.length} transfers got ${answer.count} results`)
  }
  const results = Array<Result>(answer.count).fill('posted')
  answer.items?.forEach((item, i) => {
    results[item] = answer.words?.[i] as Result
  })
  return results
}

export interface Poster {
  /** Posts transfers that belong together in their order; resolves when they are durable. */
  post(transfers: readonly Transfer[]): Promise<Result[]>
}

/** The grouped form, for callers who post nothing else in their transaction. */
export function poster(db: Db, options: { lanes?: number } = {}): Poster {
  const group = createGroup<readonly Transfer[], readonly Result[]>({
    ...options,
    most_items: TRANSFERS_MOST,
    async run(lists) {
      const results = await post(db, lists.flat())
      let from = 0
      return lists.map(list => results.slice(from, (from += list.length)))
    },
  })
  return {
    async post(transfers) {
      return [...(await group.submit(transfers))]
    },
  }
}

/**
 * Transfers as the text of a ledger_posting[], for a statement that hands them to ledger_post() itself. It is
 * the array of composites as PostgreSQL reads it: on 1,500 transfers parsed in half the time of jsonb. Field order is
 * that of the type ledger_posting.
 */
export function postingsLiteral(
  transfers: readonly Transfer[],
  itemOf: (index: number) => number = index => index,
): string {
  return `{${transfers.map((transfer, i) => `"(${postingFields(transfer, itemOf(i))})"`).join(',')}}`
}

function postingFields(transfer: Transfer, item: number): string {
  const { debit, credit } = transfer
  const who = `${plain(transfer.account_id)},${transfer.livemode ? 't' : 'f'},${plain(transfer.id)},${transfer.kind}`
  const sides = `${plain(debit?.code)},${plain(debit?.owner_id)},${plain(credit?.code)},${plain(credit?.owner_id)}`
  const what = `${transfer.amount ?? ''},${plain(transfer.currency)},${plain(transfer.pending_id)}`
  const source = `${plain(transfer.source_type)},${plain(transfer.source_id)},${plain(transfer.step)}`
  const times = `${transfer.effective_at?.toISOString() ?? ''},${transfer.expires_at?.toISOString() ?? ''}`
  return `${item},${who},${sides},${what},${source},${times},${plain(transfer.linked_id)}`
}

/** Everything in the literal is of these characters; anything else would be read as syntax, so it is refused. */
const PLAIN = /^[A-Za-z0-9_.:-]+$/

function plain(value: string | undefined): string {
  if (value === undefined) return ''
  if (!PLAIN.test(value))
    throw new TypeError('ids, codes, currencies and steps hold letters, digits, _ . : - only')
  return value
}
