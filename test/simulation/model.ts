/**
 * What may be true at the end of a purchase, told from its plan and from what its client was told, without knowing how
 * Bursar works inside. Every disagreement is a sentence.
 */
import { isDeepStrictEqual } from 'node:util'
import type { Json } from '../support/merchant.ts'
import type { Act, Story } from './client.ts'
import { CARDS } from './plan.ts'

/** What the API shows of one purchase when everything has healed. */
export interface Ending {
  intent: Json
  charges: Json[]
  refunds: Json[]
  disputes: Json[]
}

const TERMINAL = ['succeeded', 'canceled']

export function disagreements(story: Story, ending: Ending): string[] {
  return [
    ...heardAlike(story),
    ...neverBack(story, ending),
    ...moneyTaken(story, ending),
    ...moneyReturned(story, ending),
    ...disputed(story, ending),
  ].map(sentence => `${ending.intent.id} (${story.purchase.card}): ${sentence}`)
}

/** All copies of one key hear one answer, unless it was refused before it began and was never stored. */
function heardAlike({ acts }: Story): string[] {
  return acts.flatMap(act => {
    const stored = act.answers.filter(answer => answer.status === 200 || answer.status === 402)
    const texts = new Set(stored.map(answer => answer.text))
    return texts.size > 1 ? [`the copies of one ${act.name} heard ${texts.size} different answers`] : []
  })
}

/** What was seen as final stays so. */
function neverBack({ seen }: Story, { intent }: Ending): string[] {
  const final = seen.filter(status => TERMINAL.includes(status))
  return [...new Set(final)].flatMap(status =>
    status === intent.status ? [] : [`was seen ${status} and is ${intent.status} now`],
  )
}

function moneyTaken({ purchase, acts, passed }: Story, { intent, charges }: Ending): string[] {
  const problems: string[] = []
  const asked = (name: Act['name']) => acts.filter(act => act.name === name)
  const { takes } = CARDS[purchase.card]
  const was_confirmed = purchase.confirm_at_once || asked('confirm').length > 0
  const received = intent.amount_received as number

  if (received > 0) {
    if (!was_confirmed) problems.push('was charged and never confirmed')
    if (takes === 'never') problems.push('was charged to a card that is always refused')
    if (takes === 'when_passed' && !passed) problems.push('was charged, and its challenge was never passed')
    const asked_for = asked('capture').map(act => act.body.amount_to_capture ?? purchase.amount)
    const may_be = purchase.manual ? asked_for : [purchase.amount]
    if (!may_be.includes(received)) problems.push(`received ${received}, which nobody asked for`)
  }
  if (received > 0 !== (intent.status === 'succeeded')) {
    problems.push(`is ${intent.status} and received ${received}`)
  }
  // Nothing that could stop it: then no fault, crash or silence may have lost it.
  if (takes === 'always' && was_confirmed && asked('cancel').length === 0) {
    const may_be = purchase.manual ? ['requires_capture', 'succeeded'] : ['succeeded']
    if (!may_be.includes(intent.status)) problems.push(`is ${intent.status} although nothing refused it`)
  }
  // Whoever was told that it is done, was told the truth.
  for (const act of asked('capture')) {
    const told = act.answers.find(answer => answer.status === 200 && answer.body.status === 'succeeded')
    if (told && told.body.amount_received !== received) {
      problems.push(`a capture was answered with ${told.body.amount_received}, and ${received} was received`)
    }
  }
  const captured = charges.reduce((sum, charge) => sum + charge.amount_captured, 0)
  if (captured !== received) problems.push(`received ${received}, and its charges captured ${captured}`)
  return problems
}

/** How refunds of a card end, where it is not in success: a disputed payment may be disputed before we hear of it. */
const REFUNDS_END: Partial<Record<Story['purchase']['card'], string[]>> = {
  refundFail: ['failed'],
  createDispute: ['succeeded', 'failed'],
}

function moneyReturned({ purchase, acts }: Story, { intent, refunds, charges }: Ending): string[] {
  const problems: string[] = []
  const given_back = refunds.filter(refund => refund.status !== 'failed' && refund.status !== 'canceled')
  const total = given_back.reduce((sum, refund) => sum + refund.amount, 0)
  if (total > intent.amount_received) problems.push(`gave back ${total} of ${intent.amount_received}`)
  const shown = charges.reduce((sum, charge) => sum + charge.amount_refunded, 0)
  if (shown !== total) problems.push(`its charges show ${shown} refunded, and its refunds come to ${total}`)

  const accepted = acts
    .filter(act => act.name === 'refund')
    .flatMap(act => act.answers.filter(answer => answer.status === 200).slice(0, 1))
  if (accepted.length !== refunds.length) {
    problems.push(`${accepted.length} refunds were accepted, and there are ${refunds.length}`)
  }
  const ends_as = REFUNDS_END[purchase.card] ?? ['succeeded']
  for (const { body } of accepted) {
    const refund = refunds.find(({ id }) => id === body.id)
    if (refund === undefined) problems.push(`the refund ${body.id} was accepted and is gone`)
    else if (!ends_as.includes(refund.status)) problems.push(`the refund ${body.id} is ${refund.status}`)
    else if (refund.amount !== body.amount) problems.push(`the refund ${body.id} changed its amount`)
  }
  return problems
}

/** A card that is always disputed is disputed once, for what had not been given back when it came to that. */
function disputed({ purchase }: Story, { intent, disputes, charges }: Ending): string[] {
  if (purchase.card !== 'createDispute') {
    return disputes.length === 0 ? [] : [`has ${disputes.length} disputes, which nobody opened`]
  }
  if (disputes.length > 1) return [`was disputed ${disputes.length} times`]
  const [dispute] = disputes
  const left = charges.reduce((sum, charge) => sum + charge.amount_captured - charge.amount_refunded, 0)
  if (dispute === undefined) {
    return intent.amount_received > 0 && left > 0 ? ['is disputed at the bank, and nobody here knows'] : []
  }
  return isDeepStrictEqual([dispute.amount > 0, dispute.amount <= intent.amount_received], [true, true])
    ? []
    : [`is disputed for ${dispute.amount} of ${intent.amount_received}`]
}
