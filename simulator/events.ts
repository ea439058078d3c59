/**
 * What the bank tells by itself. An event is made of one line of the book and of what never changes about the things
 * it names, so the feed makes the same event again, byte for byte, after any restart; its id is that line's place.
 */
import type { Entry, FraudWarningEntry } from './entry.ts'
import { disputeJson, isoTime, operationNewsJson, payoutJson, reversalJson } from './json.ts'
import type { MagicDecline } from './magic.ts'
import { REFUND_FAILED } from './rules.ts'
import type { Dispute, Operation } from './state.ts'
import { idEnd, known, type World } from './world.ts'

export interface BankEvent {
  id: string
  type: string
  /** The byte of the book at which its line begins. */
  place: number
  body: string
}

/** Places with equal digits sort as text as they do as numbers: a book of a terabyte has 13. */
const PLACE_DIGITS = 13

/** `url` is where challenge pages are. */
export function eventOf(entry: Entry, place: number, world: World, url: string): BankEvent {
  const told = tell(entry, world, url)
  // The end of an id keeps the events of two books apart, when one is thrown away and another begun.
  const id = `sev_${String(place).padStart(PLACE_DIGITS, '0')}_${idEnd(entry.id)}`
  const body =
    `{"id":"${id}","type":"${told.type}","created_at":"${isoTime(entry.at_ms)}",` +
    `"data":{"object":${told.object}}}`
  return { id, type: told.type, place, body }
}

interface Told {
  type: string
  object: string
}

function tell(entry: Entry, world: World, url: string): Told {
  const operation = (type: string, then: Pick<Operation, 'status' | 'decline' | 'refusal'>): Told => {
    const now = known(world.operations.get(entry.reference))
    return { type, object: operationNewsJson({ ...now, ...then }, url) }
  }
  const dispute = (type: string, then: Partial<Dispute>): Told => ({
    type,
    object: disputeJson({ ...known(world.disputes.get(entry.id)), ...then }),
  })
  const paid = (capture: boolean) => (capture ? 'payment.captured' : 'payment.authorized')
  const approved = { status: 'approved', decline: undefined, refusal: undefined } as const
  const declined = (decline: MagicDecline) => ({ status: 'declined', decline, refusal: undefined }) as const

  switch (entry.op) {
    case 'authorize':
      if (entry.decline !== undefined) return operation('payment.failed', declined(entry.decline))
      if (entry.status === 'approved') return operation(paid(entry.capture), approved)
      return operation('payment.requires_action', { ...approved, status: entry.status })
    case 'challenge':
      if (entry.decline !== undefined) return operation('payment.failed', declined(entry.decline))
      return operation(paid(entry.moves.includes('capture')), approved)
    case 'capture':
    case 'void':
    case 'refund': {
      const { op, status, refusal } = entry
      const type = status === 'refused' ? 'operation.refused' : FOLLOW_UP_TYPES[op]
      return operation(type, { status, decline: undefined, refusal })
    }
    case 'refund_settled':
      return operation('refund.updated', entry.succeeded ? approved : declined(REFUND_FAILED))
    case 'dispute':
      return dispute('dispute.created', {
        status: entry.inquiry ? 'warning_needs_response' : 'needs_response',
        amount: entry.amount,
        due_ms: entry.due_ms,
      })
    case 'dispute_review':
      return dispute('dispute.updated', { status: 'under_review' })
    case 'dispute_escalated':
      return dispute('dispute.updated', { status: 'needs_response' })
    case 'dispute_closed':
      return dispute('dispute.closed', {})
    case 'fraud_warning':
      return { type: 'fraud_warning.created', object: fraudWarningJson(entry) }
    case 'payout':
    case 'payout_settled': {
      const payout = known(world.payouts.get(entry.reference))
      const { status } = entry
      const failure_code = entry.op === 'payout' ? (entry.refusal?.code ?? null) : entry.failure_code
      return { type: PAYOUT_TYPES[status], object: payoutJson({ ...payout, status, failure_code }) }
    }
    case 'reversal':
      return { type: 'reversal.created', object: reversalJson(known(world.reversals.get(entry.reference))) }
  }
}

const FOLLOW_UP_TYPES = { capture: 'payment.captured', void: 'payment.voided', refund: 'refund.updated' }
const PAYOUT_TYPES = {
  in_transit: 'payout.created',
  paid: 'payout.paid',
  failed: 'payout.failed',
  returned: 'payout.returned',
  refused: 'payout.failed',
}

function fraudWarningJson({ id, payment_id, reference, amount, currency }: FraudWarningEntry): string {
  return JSON.stringify({
    id,
    type: 'fraud_warning',
    payment_id,
    reference,
    amount: Number(amount),
    currency,
  })
}
