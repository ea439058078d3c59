/**
 * Operations over HTTP: parse, let a fault strike if one does, decide, wait for the disk, answer.
 * A request that no answer will reach still moves money where its fault says so; the book notes `answered: false`.
 */
import type { ServerResponse } from 'node:http'
import type { Bank } from './bank.ts'
import type { OperationKind } from './entry.ts'
import type { Fault, Faults } from './faults.ts'
import { Refused } from './refused.ts'
import { parseAuthorize, parseFollowUp, parseReference } from './requests.ts'
import { type Call, errorJson, type Route, sendError, sendJson } from './server.ts'
import type { Operation, OperationRequest } from './state.ts'

/** A dropped answer keeps its connection open, as a lost packet does; after this even the network gives up. */
const SILENCE_MS = 60_000
const SLOW_BODY_PIECES = 8

export interface Operations {
  routes: Route[]
  /** Drops what is being kept silent and what would succeed late, so that closing does not wait for it. */
  close(): void
}

export function makeOperations(bank: Bank, faults: Faults, url: string): Operations {
  const silent = new Set<ServerResponse>()
  /** References whose success comes late, and who else asks for the same in the meantime. */
  const late = new Map<string, (() => void)[]>()
  const timers = new Set<NodeJS.Timeout>()

  function keepSilent(response: ServerResponse) {
    silent.add(response)
    const timer = setTimeout(() => response.destroy(), SILENCE_MS)
    response.on('close', () => {
      clearTimeout(timer)
      silent.delete(response)
    })
  }

  function operate(call: Call, request: OperationRequest) {
    const { response } = call
    const fault = faults.pick(request.kind)
    const waiting = late.get(request.reference)
    if (waiting !== undefined && fault === undefined) {
      waiting.push(() => perform(response, request, undefined))
      return
    }
    if (fault === undefined) return perform(response, request, undefined)
    if (fault.kind === 'drop_request') return keepSilent(response)
    if (fault.moment === 'before') {
      if (fault.kind === 'error') return sendFailure(response)
      if (fault.kind === 'reset') return reset(response)
    }
    if (fault.kind === 'late_success') {
      keepSilent(response)
      succeedLate(request, fault.ms)
      return
    }
    perform(response, request, fault)
  }

  function perform(response: ServerResponse, request: OperationRequest, fault: Fault | undefined) {
    let operation: Operation
    try {
      const is_answered = fault === undefined || fault.kind === 'delay' || fault.kind === 'slow_body'
      operation = bank.perform(request, is_answered)
    } catch (error) {
      if (error instanceof Refused) return sendError(response, error)
      throw error
    }
    bank.book.whenDurable(() => answer(response, operation, fault))
  }

  function succeedLate(request: OperationRequest, ms: number) {
    if (late.has(request.reference)) return
    late.set(request.reference, [])
    const timer = setTimeout(() => {
      timers.delete(timer)
      const waiting = late.get(request.reference) ?? []
      late.delete(request.reference)
      try {
        bank.perform(request, false)
      } catch (error) {
        // Nobody is there to be told; whoever asks again under this reference is refused in the same words.
        if (!(error instanceof Refused)) throw error
      }
      for (const proceed of waiting) proceed()
    }, ms)
    timers.add(timer)
  }

  function answer(response: ServerResponse, operation: Operation, fault: Fault | undefined) {
    const { refusal } = operation
    const status = refusal?.status ?? 200
    const json = refusal === undefined ? operationJson(operation, url) : errorJson(refusal)
    if (fault === undefined) sendJson(response, status, json)
    else sendFaulty(response, status, json, fault)
  }

  function sendFaulty(response: ServerResponse, status: number, json: string, fault: Fault) {
    switch (fault.kind) {
      case 'delay':
        setTimeout(() => sendJson(response, status, json), fault.ms)
        return
      case 'slow_body':
        return sendSlowly(response, status, json, fault.ms)
      case 'error':
        return sendFailure(response)
      case 'reset':
        return reset(response)
      case 'drop_request':
      case 'drop_response':
      case 'late_success':
        return keepSilent(response)
    }
  }

  const followUp = (kind: Exclude<OperationKind, 'authorize'>, path: string): Route => ({
    method: 'POST',
    path,
    run: call => operate(call, parseFollowUp(kind, call.path[0] as string, call.body)),
  })

  return {
    routes: [
      { method: 'POST', path: '/v1/authorizations', run: call => operate(call, parseAuthorize(call.body)) },
      followUp('capture', '/v1/authorizations/:id/capture'),
      followUp('void', '/v1/authorizations/:id/void'),
      followUp('refund', '/v1/payments/:id/refund'),
      {
        method: 'GET',
        path: '/v1/operations/:reference',
        run({ path, response }) {
          const reference = parseReference(path[0])
          const fault = faults.pick('lookup')
          if (fault?.kind === 'drop_request') return keepSilent(response)
          bank.book.whenDurable(() => {
            const operation = bank.find(reference)
            const status = operation === undefined ? 404 : 200
            const json =
              operation === undefined
                ? errorJson({
                    code: 'operation_not_found',
                    message: 'No operation was received under this reference.',
                  })
                : operationJson(operation, url)
            if (fault === undefined) sendJson(response, status, json)
            else sendFaulty(response, status, json, fault)
          })
        },
      },
    ],
    close() {
      for (const timer of timers) clearTimeout(timer)
      for (const response of silent) response.destroy()
    },
  }
}

function sendFailure(response: ServerResponse) {
  sendError(response, new Refused(500, 'fault_injected', 'The simulator was told to fail here.'))
}

function reset(response: ServerResponse) {
  response.socket?.resetAndDestroy()
}

function sendSlowly(response: ServerResponse, status: number, json: string, ms: number) {
  const bytes = Buffer.from(json)
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length })
  const piece_bytes = Math.ceil(bytes.length / SLOW_BODY_PIECES)
  let from = 0
  const timer = setInterval(() => {
    response.write(bytes.subarray(from, from + piece_bytes))
    from += piece_bytes
    if (from < bytes.length) return
    clearInterval(timer)
    response.end()
  }, ms / SLOW_BODY_PIECES)
  response.on('close', () => clearInterval(timer))
}

/** An operation as its caller, a lookup and a webhook see it. Ids and codes need no escaping. */
export function operationJson(operation: Operation, url: string): string {
  const { kind, status, payment, decline, refusal } = operation
  let json =
    `{"id":"${operation.id}","type":"${kind}","status":"${status}",` +
    `"reference":${JSON.stringify(operation.reference)},"amount":${operation.amount},` +
    `"currency":"${operation.currency}","payment_id":"${payment.id}","payment_state":"${payment.state}"`
  if (payment.owner !== null) json += `,"owner":${JSON.stringify(payment.owner)}`
  if (kind === 'authorize') json += `,"captured":${status === 'approved' && payment.capture}`
  if (status === 'requires_action') json += `,"redirect_url":"${url}/challenge/${payment.id}"`
  if (payment.behaviour.funds_available_at_once) json += ',"funds_available_at_once":true'
  if (decline !== undefined) json += `,"decline":${JSON.stringify(decline)}`
  if (refusal !== undefined) json += `,"refusal":${JSON.stringify(refusal)}`
  return `${json},"at":"${new Date(operation.at_ms).toISOString()}"}`
}
