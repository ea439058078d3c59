/**
 * The ledger as a few maps: what the rules say, without tables, locks or batches. Differential tests run the same
 * transfers through it and through the database; where they differ, one of them is wrong.
 */
import { finalRefusals, type Refusal, type Result, type Transfer } from './transfer.ts'

export interface Totals {
  debits_pending: bigint
  debits_posted: bigint
  credits_pending: bigint
  credits_posted: bigint
  debits_limited: boolean
}

const nameOf = (account: Transfer['debit'], currency: string | undefined) =>
  `${account?.code}/${account?.owner_id ?? ''}/${currency}`

const isFinal = (word: Result): boolean => (finalRefusals as readonly Result[]).includes(word)

export class ModelLedger {
  readonly totals = new Map<string, Totals>()
  readonly #transfers = new Map<string, Transfer>()
  readonly #sources = new Set<string>()
  readonly #resolved = new Set<string>()
  readonly #final = new Map<string, Result>()
  readonly #limited_code: string

  /** Accounts of `limited_code` must keep debits at or below credits. */
  constructor(limited_code: string) {
    this.#limited_code = limited_code
  }

  /** Applies a batch. Groups are adjacent transfers of one linked_id. */
  post(batch: readonly Transfer[]): Result[] {
    const results: Result[] = []
    for (let from = 0; from < batch.length; ) {
      let until = from + 1
      const linked_id = batch[from]?.linked_id
      while (linked_id !== undefined && batch[until]?.linked_id === linked_id) until += 1
      results.push(...this.#postGroup(batch.slice(from, until)))
      from = until
    }
    return results
  }

  #postGroup(group: readonly Transfer[]): Result[] {
    const undo: (() => void)[] = []
    const results: Result[] = []
    let has_failed = false
    for (const [i, transfer] of group.entries()) {
      const word = this.#objection(transfer)
      if (word === undefined && has_failed) results[i] = 'linked_failed'
      else if (word === undefined) {
        undo[i] = this.#apply(transfer)
        results[i] = 'posted'
      } else {
        results[i] = word
        if (isFinal(word)) this.#final.set(transfer.id, word)
        if (word === 'exists' || transfer.linked_id === undefined || has_failed) continue
        // Taken back at once: what follows meets the ledger as if the group had not begun.
        has_failed = true
        for (let k = i - 1; k >= 0; k--) {
          if (undo[k] === undefined) continue
          undo[k]?.()
          results[k] = 'linked_failed'
        }
      }
    }
    return results
  }

  #objection(transfer: Transfer): Refusal | 'exists' | undefined {
    const existing = this.#transfers.get(transfer.id)
    if (existing !== undefined) return existing === transfer ? 'exists' : 'id_already_used'
    const final = this.#final.get(transfer.id)
    if (final !== undefined) return final as Refusal
    const is_used = this.#sources.has(`${transfer.source_id}/${transfer.step}`)
    if (transfer.amount !== undefined && transfer.amount <= 0n) return 'amount_invalid'
    if (transfer.pending_id !== undefined) {
      const pending = this.#transfers.get(transfer.pending_id)
      if (pending === undefined || pending.kind !== 'pending') return 'pending_not_found'
      if (this.#resolved.has(transfer.pending_id)) return 'pending_already_resolved'
      if ((transfer.amount ?? 0n) > (pending.amount ?? 0n)) return 'exceeds_pending'
      if (
        transfer.kind === 'void_pending' &&
        transfer.amount !== undefined &&
        transfer.amount !== pending.amount
      )
        return 'amount_invalid'
      return is_used ? 'source_already_used' : undefined
    }
    if (nameOf(transfer.debit, '') === nameOf(transfer.credit, '')) return 'accounts_must_differ'
    if (is_used) return 'source_already_used'
    const debit = this.#account(transfer.debit, transfer.currency)
    if (
      debit.debits_limited &&
      debit.debits_pending + debit.debits_posted + (transfer.amount ?? 0n) > debit.credits_posted
    )
      return 'exceeds_credits'
    return undefined
  }

  /** Answers how to undo it. */
  #apply(transfer: Transfer): () => void {
    const pending = transfer.pending_id === undefined ? undefined : this.#transfers.get(transfer.pending_id)
    const { debit, credit, currency } = pending ?? transfer
    const amount = transfer.amount ?? pending?.amount ?? 0n
    const moved = transfer.kind === 'post' || transfer.kind === 'post_pending' ? amount : 0n
    const reserved = transfer.kind === 'pending' ? amount : -(pending?.amount ?? 0n)
    const source = `${transfer.source_id}/${transfer.step}`
    const change = (sign: bigint) => {
      const [debited, credited] = [this.#account(debit, currency), this.#account(credit, currency)]
      debited.debits_posted += sign * moved
      debited.debits_pending += sign * reserved
      credited.credits_posted += sign * moved
      credited.credits_pending += sign * reserved
    }
    change(1n)
    this.#transfers.set(transfer.id, transfer)
    this.#sources.add(source)
    if (transfer.pending_id !== undefined) this.#resolved.add(transfer.pending_id)
    return () => {
      change(-1n)
      this.#transfers.delete(transfer.id)
      this.#sources.delete(source)
      if (transfer.pending_id !== undefined) this.#resolved.delete(transfer.pending_id)
    }
  }

  #account(account: Transfer['debit'], currency: string | undefined): Totals {
    const name = nameOf(account, currency)
    let totals = this.totals.get(name)
    if (totals === undefined) {
      totals = {
        debits_pending: 0n,
        debits_posted: 0n,
        credits_pending: 0n,
        credits_posted: 0n,
        debits_limited: account?.code === this.#limited_code,
      }
      this.totals.set(name, totals)
    }
    return totals
  }
}
