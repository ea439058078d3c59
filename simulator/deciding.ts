/** What a request comes to, as the line that is written of it: decided from the world as it is, changing nothing. */
import { newId, systemClock } from '#kernel'
import { payoutBehaviour } from './destinations.ts'
import type { Entry, MovementType, Refusal } from './entry.ts'
import { Refused } from './refused.ts'
import { decideReversal } from './reversals.ts'
import { decideAuthorize, holdMoves, refuse, wholeAmount } from './rules.ts'
import type {
  AuthorizeRequest,
  FollowUpRequest,
  OperationRequest,
  Payment,
  PayoutRequest,
  ReversalRequest,
} from './state.ts'
import type { Tokens } from './tokens.ts'
import type { World } from './world.ts'

export const NOTHING: readonly MovementType[] = []

export interface Deciding {
  decide: (request: OperationRequest, answered: boolean) => Entry
  /** What every line says. */
  said: (
    id: string,
    about: Pick<Payment, 'id' | 'currency'>,
    reference: string,
    amount: bigint,
    moves: readonly MovementType[],
    answered: boolean,
  ) => Said
}

type Said = Pick<
  Entry,
  'seq' | 'moves' | 'id' | 'payment_id' | 'reference' | 'amount' | 'currency' | 'at_ms' | 'answered'
>

export function makeDeciding(world: World, tokens: Tokens, settle_after_ms: number): Deciding {
  return { decide, said }

  function said(
    id: string,
    about: Pick<Payment, 'id' | 'currency'>,
    reference: string,
    amount: bigint,
    moves: readonly MovementType[],
    answered: boolean,
  ): Said {
    return {
      seq: moves.length === 0 ? 0 : world.next_seq,
      moves,
      id,
      payment_id: about.id,
      reference,
      amount,
      currency: about.currency,
      at_ms: systemClock.now().getTime(),
      answered,
    }
  }

  function decide(request: OperationRequest, answered: boolean): Entry {
    switch (request.kind) {
      case 'authorize':
        return authorize(request, answered)
      case 'capture':
      case 'void':
      case 'refund':
        return followUp(request, answered)
      case 'payout':
        return payOut(request, answered)
      case 'reversal':
        return reverse(request, answered)
    }
  }

  function authorize(request: AuthorizeRequest, answered: boolean): Entry {
    const behaviour = tokens.behaviour(request.payment_token)
    if (behaviour === undefined) {
      throw new Refused(400, 'invalid_payment_token', 'No such payment token.', 'payment_token')
    }
    const { status, decline } = decideAuthorize(behaviour, request.off_session)
    const id = makeId('pay')
    const moves = status === 'approved' ? holdMoves(request.capture) : NOTHING
    const payment = { id, currency: request.currency }
    return {
      op: 'authorize',
      ...said(id, payment, request.reference, request.amount, moves, answered),
      token: request.payment_token,
      capture: request.capture,
      off_session: request.off_session,
      return_url: request.return_url,
      owner: request.owner,
      status,
      ...(decline === undefined ? {} : { decline }),
    }
  }

  function followUp(request: FollowUpRequest, answered: boolean): Entry {
    const payment = world.payments.get(request.payment_id)
    if (payment === undefined) throw new Refused(404, 'payment_not_found', 'No such payment.', 'id')
    if (request.currency !== undefined && request.currency !== payment.currency) {
      throw new Refused(400, 'currency_mismatch', `The payment is in ${payment.currency}.`, 'currency')
    }
    const amount = request.amount ?? wholeAmount(request.kind, payment)
    const refusal = refuse(request.kind, payment, amount)
    const id = request.kind === 'refund' ? makeId('rfd') : payment.id
    const status =
      refusal !== undefined
        ? 'refused'
        : request.kind === 'refund' && payment.behaviour.refund === 'pending'
          ? 'pending'
          : 'approved'
    // An abandoned challenge held no money, so ending it moves none.
    const is_moving = status === 'approved' && payment.state !== 'requires_action'
    return {
      op: request.kind,
      ...said(id, payment, request.reference, amount, is_moving ? [request.kind] : NOTHING, answered),
      status,
      ...(refusal === undefined ? {} : { refusal }),
    }
  }

  /** As a real processor would: no more leaves than is there. */
  function payOut(request: PayoutRequest, answered: boolean): Entry {
    const { reference, amount, currency, destination, statement_descriptor } = request
    const balance = world.balances.get(currency) ?? 0n
    const refusal: Refusal | undefined =
      amount <= balance
        ? undefined
        : {
            status: 400,
            code: 'balance_insufficient',
            message: `The balance is ${balance} ${currency}.`,
            param: 'amount',
          }
    const moves: readonly MovementType[] = refusal === undefined ? ['payout'] : NOTHING
    const heading = said(makeId('po'), { id: '', currency }, reference, amount, moves, answered)
    const { waits } = payoutBehaviour(destination)
    return {
      op: 'payout',
      ...heading,
      destination,
      statement_descriptor,
      status: refusal === undefined ? 'in_transit' : 'refused',
      arrival_ms: heading.at_ms + settle_after_ms * waits,
      ...(refusal === undefined ? {} : { refusal }),
    }
  }

  function reverse({ reference, of }: ReversalRequest, answered: boolean): Entry {
    const what = world.known(of)
    const payment = what !== undefined && 'payment' in what ? what.payment : undefined
    const { did, moves, amount, refusal } = decideReversal(what)
    const about = { id: payment?.id ?? '', currency: payment?.currency ?? '' }
    return {
      op: 'reversal',
      ...said(makeId('rev'), about, reference, amount, moves, answered),
      of,
      did,
      status: refusal === undefined ? 'approved' : 'refused',
      ...(refusal === undefined ? {} : { refusal }),
    }
  }
}

export function makeId(prefix: string): string {
  return `${prefix}_${newId(systemClock.now()).replaceAll('-', '')}`
}
