/**
 * Answers over HTTP as a real day brings them: let a fault strike if one does, decide, wait for the disk, answer.
 * A request that no answer will reach still moves money where its fault says so; the book notes `answered: false`.
 */
import type { ServerResponse } from 'node:http'
import type { Book } from './book.ts'
import type { Fault, FaultOperation, Faults } from './faults.ts'
import { Refused } from './refused.ts'
import { sendError, sendJson } from './server.ts'

/** A dropped answer keeps its connection open, as a lost packet does; after this even the network gives up. */
const SILENCE_MS = 60_000
const SLOW_BODY_PIECES = 8

export interface Reply {
  status: number
  json: string
}

/**
 * Decides and answers how to reply once all is on the disk. `answered` false: the reply is dropped on purpose;
 * `is_told` false: it may not reach the caller. Throws `Refused` for what is not even kept.
 */
export type Work = (answered: boolean, is_told: boolean) => () => Reply

export interface Answering {
  /** `reference` undefined: nothing that could succeed late. */
  serve(response: ServerResponse, operation: FaultOperation, reference: string | undefined, work: Work): void
  /** Drops what is being kept silent and what would succeed late, so that closing does not wait for it. */
  close(): void
}

export function makeAnswering(book: Book, faults: Faults): Answering {
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

  function perform(response: ServerResponse, work: Work, fault: Fault | undefined) {
    let reply: () => Reply
    try {
      const is_answered = fault === undefined || fault.kind === 'delay' || fault.kind === 'slow_body'
      reply = work(is_answered, fault === undefined)
    } catch (error) {
      if (error instanceof Refused) return sendError(response, error)
      throw error
    }
    book.whenDurable(() => {
      const { status, json } = reply()
      if (fault === undefined) sendJson(response, status, json)
      else sendFaulty(response, status, json, fault)
    })
  }

  function succeedLate(reference: string, work: Work, ms: number) {
    if (late.has(reference)) return
    late.set(reference, [])
    const timer = setTimeout(() => {
      timers.delete(timer)
      const waiting = late.get(reference) ?? []
      late.delete(reference)
      try {
        work(false, false)
      } catch (error) {
        // Nobody is there to be told; whoever asks again under this reference is refused in the same words.
        if (!(error instanceof Refused)) throw error
      }
      for (const proceed of waiting) proceed()
    }, ms)
    timers.add(timer)
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

  return {
    serve(response, operation, reference, work) {
      const fault = faults.pick(operation)
      const waiting = reference === undefined ? undefined : late.get(reference)
      if (waiting !== undefined && fault === undefined) {
        waiting.push(() => perform(response, work, undefined))
        return
      }
      if (fault === undefined) return perform(response, work, undefined)
      if (fault.kind === 'drop_request') return keepSilent(response)
      if (fault.moment === 'before') {
        if (fault.kind === 'error') return sendFailure(response)
        if (fault.kind === 'reset') return reset(response)
      }
      if (fault.kind === 'late_success' && reference !== undefined) {
        keepSilent(response)
        return succeedLate(reference, work, fault.ms)
      }
      perform(response, work, fault)
    },
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
