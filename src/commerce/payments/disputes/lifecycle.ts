/**
 * A dispute's states, in the order of their ranks. News of a dispute comes twice, late and in any order, so it moves the
 * dispute to a state of a higher rank and never back: whatever the order, the end is the highest that was told. An
 * inquiry, also one that was closed, may become a dispute; a bank may take one that was won to arbitration.
 */
import { lifecycle } from '#kernel'

export const disputeLifecycle = lifecycle({
  warning_needs_response: {
    close: 'warning_closed',
    escalate: 'needs_response',
    review: 'under_review',
    win: 'won',
    lose: 'lost',
  },
  warning_closed: { escalate: 'needs_response', review: 'under_review', win: 'won', lose: 'lost' },
  needs_response: { review: 'under_review', win: 'won', lose: 'lost' },
  under_review: { win: 'won', lose: 'lost' },
  won: { lose: 'lost' },
  lost: {},
})

export type DisputeStatus = (typeof disputeLifecycle.states)[number]

export const disputeRank = (status: DisputeStatus): number => disputeLifecycle.states.indexOf(status)

/** While the account may still have its say. */
export const awaitsResponse = (status: DisputeStatus): boolean =>
  status === 'warning_needs_response' || status === 'needs_response'

/** An inquiry is only a question: no money has moved. */
export const isInquiry = (status: DisputeStatus): boolean =>
  status === 'warning_needs_response' || status === 'warning_closed'

export const isClosed = (status: DisputeStatus): boolean =>
  status === 'warning_closed' || status === 'won' || status === 'lost'
