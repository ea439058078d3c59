/** What callers ask of the processor, as routes: operations by reference, payouts, reversals, disputes, events. */
import type { ServerResponse } from 'node:http'
import type { Answering, Reply } from './answering.ts'
import type { Bank } from './bank.ts'
import { readPage } from './feed.ts'
import { disputeJson, operationJson, payoutJson, reversalJson } from './json.ts'
import { Refused } from './refused.ts'
import {
  parseAuthorize,
  parseEventQuery,
  parseEvidence,
  parseFollowUp,
  parseNothing,
  parsePayout,
  parseReference,
  parseReversal,
} from './requests.ts'
import { REVERSED } from './rules.ts'
import { type Call, errorJson, type Route } from './server.ts'
import type { Dispute, FollowUpRequest, Known, OperationRequest } from './state.ts'

export function operationRoutes(bank: Bank, answering: Answering, path: string, url: string): Route[] {
  const { world } = bank

  function operate({ response }: Call, request: OperationRequest) {
    answering.serve(response, request.kind, request.reference, (answered, is_told) => {
      const known = bank.perform(request, answered, is_told)
      return () => replyOf(known)
    })
  }

  function replyOf(known: Known): Reply {
    return known.refusal === undefined
      ? { status: 200, json: jsonOf(known) }
      : { status: known.refusal.status, json: errorJson(known.refusal) }
  }

  function jsonOf(known: Known): string {
    if (known.kind === 'payout') return payoutJson(known)
    if (known.kind === 'reversal') return reversalJson(known)
    return operationJson(known, url)
  }

  function look(response: ServerResponse, find: () => string | undefined, absent: Refused) {
    answering.serve(response, 'lookup', undefined, () => () => {
      const json = find()
      return json === undefined ? { status: 404, json: errorJson(absent) } : { status: 200, json }
    })
  }

  /** Who looks for what was reversed before it came is told so: it never happened, and never will. */
  function findOperation(reference: string): string | undefined {
    const known: Known | undefined = world.operations.get(reference) ?? world.reversals.get(reference)
    if (known !== undefined) return jsonOf(known)
    if (!world.tombstones.has(reference)) return undefined
    return JSON.stringify({
      id: reference,
      type: 'reversed',
      status: 'refused',
      reference,
      refusal: REVERSED,
    })
  }

  function act(
    { response, path }: Call,
    operation: 'dispute' | 'lookup',
    change: (dispute: Dispute) => void,
  ) {
    answering.serve(response, operation, undefined, () => {
      const dispute = bank.dispute(path[0] as string)
      change(dispute)
      return () => ({ status: 200, json: disputeJson(dispute) })
    })
  }

  const followUp = (kind: FollowUpRequest['kind'], path: string): Route => ({
    method: 'POST',
    path,
    run: call => operate(call, parseFollowUp(kind, call.path[0] as string, call.body)),
  })

  return [
    { method: 'POST', path: '/v1/authorizations', run: call => operate(call, parseAuthorize(call.body)) },
    followUp('capture', '/v1/authorizations/:id/capture'),
    followUp('void', '/v1/authorizations/:id/void'),
    followUp('refund', '/v1/payments/:id/refund'),
    {
      method: 'GET',
      path: '/v1/operations/:reference',
      run({ path, response }) {
        const reference = parseReference(path[0])
        look(response, () => findOperation(reference), NO_OPERATION)
      },
    },
    { method: 'POST', path: '/v1/reversals', run: call => operate(call, parseReversal(call.body)) },
    { method: 'POST', path: '/v1/payouts', run: call => operate(call, parsePayout(call.body)) },
    {
      method: 'GET',
      path: '/v1/payouts/by_reference/:reference',
      run({ path, response }) {
        const reference = parseReference(path[0])
        const find = () => {
          const payout = world.payouts.get(reference)
          return payout === undefined ? undefined : payoutJson(payout)
        }
        look(response, find, NO_PAYOUT)
      },
    },
    {
      method: 'GET',
      path: '/v1/disputes/:id',
      run: call => act(call, 'lookup', () => undefined),
    },
    {
      method: 'POST',
      path: '/v1/disputes/:id/evidence',
      run(call) {
        const text = parseEvidence(call.body)
        act(call, 'dispute', dispute => bank.submitEvidence(dispute, text))
      },
    },
    {
      method: 'POST',
      path: '/v1/disputes/:id/close',
      run(call) {
        parseNothing(call.body)
        act(call, 'dispute', dispute => bank.closeDispute(dispute))
      },
    },
    {
      method: 'GET',
      path: '/v1/events',
      async run({ query, response }) {
        const page = await readPage(path, bank, parseEventQuery(query), url)
        answering.serve(response, 'events', undefined, () => () => ({ status: 200, json: page }))
      },
    },
  ]
}

const NO_OPERATION = new Refused(
  404,
  'operation_not_found',
  'No operation was received under this reference.',
)
const NO_PAYOUT = new Refused(404, 'payout_not_found', 'No payout was received under this reference.')
