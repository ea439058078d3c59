/** What is answered for an operation that another runner has settled, or is settling: the object as it is now. */
import { PaymentIntent } from '../payment-intents/object.ts'
import { Refund } from '../refunds/object.ts'
import { declineAnswer, type Operation, type Settlement } from './settle.ts'

export function concluded({ attempt, intent, charge, refund }: Operation): Settlement {
  if (refund) return { writes: {}, answer: Refund.encode(refund) }
  if (attempt.state !== 'declined' || !charge?.failure_code) {
    return { writes: {}, answer: PaymentIntent.encode(intent) }
  }
  const { failure_code: code, failure_message, decline_code } = charge
  const decline = { code, decline_code: decline_code ?? code, message: failure_message ?? '' }
  return { writes: {}, answer: declineAnswer(intent, decline) }
}
