/**
 * Sealing: once a minute, whatever no running transaction can add to any more is put under a hash that also covers the
 * seal before. The work is one SQL function, all or nothing: a crash at any point leaves the chain as it was. Who seals
 * has the new transfers at hand, so the accounts' checkpoints are written on the way.
 */
import { z } from 'zod'
import type { Db, Queries } from '#db'
import { defineJob, type Job } from '#jobs'
import { failpoint } from '#kernel'
import { gauge } from '#metrics'

/** Where the chain stands. Whoever keeps `head` elsewhere can prove everything up to it, whatever happens here. */
export interface SealHead {
  /** Of the newest seal; 0 before the first. */
  readonly number: bigint
  /** 64 hex digits. */
  readonly head: string
  /** Null before the first seal. */
  readonly sealed_at: Date | null
}

export interface Sealed {
  readonly seals: number
  readonly transfers: bigint
  readonly head: SealHead
}

/**
 * Batches in one run: with 65,536 transfers each more than an hour of posting at full speed. What is left is sealed by
 * the next run, so that one which is called off has done a piece and not nothing.
 */
const SEALS_MOST = 1_000

const sealed_number = gauge({
  name: 'bursar_ledger_seal_number',
  help: 'Number of the newest seal of the ledger',
})

/** Seals what there is to seal, in batches. Sealers take turns. `db` must see every account. */
export async function seal(db: Db, options: { signal?: AbortSignal } = {}): Promise<Sealed> {
  let seals = 0
  let transfers = 0n
  while (seals < SEALS_MOST && options.signal?.aborted !== true) {
    const made = await sealBatch(db)
    if (made === undefined) break
    seals += 1
    transfers += made.transfers
    await failpoint('job.batch', 'ledger.seal')
    await writeCheckpoints(db, made)
  }
  const head = await sealHead(db)
  sealed_number.set(undefined, Number(head.number))
  return { seals, transfers, head }
}

export interface Batch {
  readonly number: bigint
  readonly transfers: bigint
  readonly from_xid: bigint
  readonly until_xid: bigint
}

/** One batch; undefined when there was nothing to seal. `most` is how many transfers it shall hold. */
export function sealBatch(db: Db, most: number = 65_536): Promise<Batch | undefined> {
  return db.transaction(async tx => {
    // One batch takes a second; one transaction that posted millions makes a batch of millions.
    await tx.run`set local statement_timeout = 0`
    return tx.maybe<Batch>`
      select number, transfers, from_xid, until_xid from ledger_seal(${most}::integer)`
  })
}

/** Checkpoints of the accounts that a batch posted to, in pieces of some seconds at most. */
async function writeCheckpoints(db: Db, { from_xid, until_xid }: Batch): Promise<void> {
  for (;;) {
    const { made } = await db.one<{ made: bigint }>`
      select ledger_checkpoint(${from_xid}::bigint, ${until_xid}::bigint) as made`
    if (made === 0n) return
  }
}

export async function sealHead(db: Queries): Promise<SealHead> {
  return db.one<SealHead>`
    select h.number, encode(h.head, 'hex') as head, s.sealed_at
    from ledger_seal_head h
    left join ledger_seals s on s.number = h.number`
}

export const sealJob: Job = defineJob({
  name: 'ledger.seal',
  payload: z.object({}),
  async run(context) {
    const { seals, transfers, head } = await seal(context.db, { signal: context.signal })
    // The log is kept elsewhere than the books: a head that stands in it anchors them.
    context.note({ seals, transfers: Number(transfers), seal: Number(head.number), head: head.head })
  },
})
