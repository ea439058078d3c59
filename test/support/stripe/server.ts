/**
 * A stand-in for Stripe: a server on this machine that answers the calls our connector makes, as Stripe does: forms in,
 * its shapes out, its idempotency, its refusals, its events. It keeps a book of what really moved, for the audit. It is
 * written from Stripe's documentation and its own package, and knows nothing of the connector.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { sleep } from '#kernel'
import { cardNamed } from './cards.ts'
import { closeDispute, disputeOf, escalateDispute, openDispute, updateDispute } from './disputes.ts'
import { missing, StripeRefusal } from './errors.ts'
import { createFaults, type Fault, operationOf } from './faults.ts'
import { listOf, type Params, parseForm, textsOf } from './form.ts'
import {
  answerChallenge,
  cancelIntent,
  captureIntent,
  createIntent,
  intentOf,
  retrieveMethod,
} from './payments.ts'
import { createPayout, createRefund, refundOf, settle } from './refunds.ts'
import { checkExpand, disputeJson, intentJson, payoutJson, refundJson } from './shapes.ts'
import { API_VERSION, type Movement, newStripeId, type State, type StripeEvent } from './state.ts'
import { eventOf, listEvents, pageOf, type SignedWebhook, webhookOf } from './telling.ts'

export type { Movement, StripeEvent } from './state.ts'
export { webhookOf } from './telling.ts'

export interface StripeStandIn {
  url: string
  secret_key: string
  book(): readonly Movement[]
  /** Oldest first. */
  events(): readonly StripeEvent[]
  /** Every request that came, without its body. */
  requests(): readonly { method: string; path: string; headers: IncomingMessage['headers']; body: string }[]
  fault(fault: Fault): void
  clearFaults(): void
  /** A payment method as Stripe's own form makes it; with a customer it may be charged again. */
  makeMethod(card: string, customer?: string): string
  dispute(payment_id: string, wanted?: { amount?: number; inquiry?: boolean }): string
  escalate(dispute_id: string): void
  settle(): void
  /** Sends every event from now on; what is not heard is not sent again. */
  tell(url: string, secrets: readonly string[]): void
  webhook(event: StripeEvent, secrets: readonly string[], at?: Date): SignedWebhook
  /** A key is forgotten after 24 hours: now. */
  forgetKeys(): void
  close(): Promise<void>
}

interface Answer {
  status: number
  body: unknown
}
/** What a key was used for, and what became of it; no answer: under way. */
interface Used {
  fingerprint: string
  request_id: string
  answer: Answer | null
}

export async function startStripe({ livemode = false } = {}): Promise<StripeStandIn> {
  const secret_key = `sk_${livemode ? 'live' : 'test'}_${randomUUID().replaceAll('-', '')}`
  const faults = createFaults()
  const keys = new Map<string, Used>()
  const requests: { method: string; path: string; headers: IncomingMessage['headers']; body: string }[] = []
  const sendings = new Set<Promise<void>>()
  let told: { url: string; secrets: readonly string[] } | undefined
  const state: State = {
    url: '',
    livemode,
    intents: new Map(),
    refunds: new Map(),
    disputes: new Map(),
    payouts: [],
    methods: new Map(),
    events: [],
    book: [],
    balance: new Map(),
    tell(type, object, reference) {
      const event = eventOf(type, object, livemode, reference ?? null)
      state.events.push(event)
      if (told) send(told.url, webhookOf(event, told.secrets))
    },
  }

  function send(url: string, { raw, headers }: SignedWebhook): void {
    // Whoever does not listen hears nothing: that is what the feed is for.
    const sending = fetch(url, { method: 'POST', headers, body: new Uint8Array(raw) }).then(
      async reply => {
        await reply.arrayBuffer()
      },
      () => undefined,
    )
    sendings.add(sending)
    void sending.finally(() => sendings.delete(sending))
  }

  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      void answer(request, response, Buffer.concat(chunks).toString())
    })
  })

  async function answer(request: IncomingMessage, response: ServerResponse, body: string): Promise<void> {
    const { method = 'GET', headers } = request
    const { pathname, search } = new URL(request.url ?? '/', state.url)
    requests.push({ method, path: `${pathname}${search}`, headers, body })
    const fault = faults.take(operationOf(method, pathname))
    if (fault?.kind === 'drop_request') return
    if (fault?.kind === 'reset_before') return void request.socket.resetAndDestroy()
    if (fault?.kind === 'error') return sendJson(response, failure())
    const work = () => handle(method, pathname, search.slice(1), headers, body, fault?.kind === 'error_kept')
    if (fault?.kind === 'late_success') {
      const release = reserve(method, pathname, headers, body)
      await sleep(fault.ms)
      release()
      work()
      return
    }
    const result = work()
    if (fault?.kind === 'drop_response') return
    if (fault?.kind === 'reset_after') return void request.socket.resetAndDestroy()
    if (fault?.kind === 'slow_body') return sendSlowly(response, result, fault.ms)
    sendJson(response, result)
  }

  const failure = (): Answer => ({
    status: 500,
    body: { error: { type: 'api_error', message: 'Something went wrong on our end.' } },
  })

  const fingerprintOf = (path: string, body: string) => `${path}?${body}`

  /** Marks a key as under way before anything is done. */
  function reserve(
    method: string,
    path: string,
    headers: IncomingMessage['headers'],
    body: string,
  ): () => void {
    const key = keyOf(method, headers)
    if (key === undefined || keys.has(key)) return () => undefined
    keys.set(key, { fingerprint: fingerprintOf(path, body), request_id: newStripeId('req'), answer: null })
    return () => keys.delete(key)
  }

  const keyOf = (method: string, headers: IncomingMessage['headers']): string | undefined => {
    const key = headers['idempotency-key']
    return method === 'POST' && typeof key === 'string' ? key : undefined
  }

  function handle(
    method: string,
    path: string,
    query: string,
    headers: IncomingMessage['headers'],
    body: string,
    fails: boolean,
  ): Answer & { headers?: Record<string, string> } {
    const request_id = newStripeId('req')
    if (headers.authorization !== `Bearer ${secret_key}`) {
      return {
        status: 401,
        body: { error: { type: 'invalid_request_error', message: 'Invalid API Key provided.' } },
      }
    }
    if (headers['stripe-version'] !== API_VERSION) {
      return {
        status: 400,
        body: { error: { type: 'invalid_request_error', message: 'Invalid Stripe API version.' } },
      }
    }
    const key = keyOf(method, headers)
    const fingerprint = fingerprintOf(path, body)
    const used = key === undefined ? undefined : keys.get(key)
    if (used) return replay(used, fingerprint, request_id)
    const mine: Used = { fingerprint, request_id, answer: null }
    if (key !== undefined) keys.set(key, mine)
    const { is_kept, ...done } = run(method, path, method === 'GET' ? query : body, key ?? request_id, fails)
    if (is_kept) mine.answer = done
    else if (key !== undefined) keys.delete(key)
    return {
      ...done,
      headers: { 'request-id': request_id, ...(key !== undefined && { 'original-request': request_id }) },
    }
  }

  function replay(
    used: Used,
    fingerprint: string,
    request_id: string,
  ): Answer & { headers?: Record<string, string> } {
    const refusal = (status: number, message: string, code?: string): Answer => ({
      status,
      body: { error: { type: 'idempotency_error', message, ...(code !== undefined && { code }) } },
    })
    if (used.fingerprint !== fingerprint) {
      return refusal(
        400,
        'Keys for idempotent requests can only be used with the same parameters they were first used with.',
      )
    }
    if (used.answer === null) {
      return refusal(
        409,
        'There is currently another in-progress request using this key.',
        'idempotency_key_in_use',
      )
    }
    return {
      ...used.answer,
      headers: {
        'request-id': request_id,
        'original-request': used.request_id,
        'idempotent-replayed': 'true',
      },
    }
  }

  function run(
    method: string,
    path: string,
    form: string,
    reference: string,
    fails: boolean,
  ): Answer & { is_kept: boolean } {
    if (fails) return { ...failure(), is_kept: true }
    try {
      return { status: 200, body: route(method, path, parseForm(form), reference), is_kept: true }
    } catch (error) {
      if (!(error instanceof StripeRefusal)) throw error
      return { status: error.status, body: error.body, is_kept: !error.is_validation }
    }
  }

  function route(method: string, path: string, params: Params, reference: string): object {
    const [, resource = '', id = '', action = ''] = /^\/v1\/(\w+)(?:\/([^/]+))?(?:\/(\w+))?$/.exec(path) ?? []
    const expand = method === 'GET' ? listOf(params, 'expand') : []
    checkExpand(expand)
    switch (`${method} ${resource}${id && '/:id'}${action && `/${action}`}`) {
      case 'POST payment_intents':
        return createIntent(state, params, reference)
      case 'GET payment_intents/:id':
        return intentJson(state, intentOf(state, id), expand)
      case 'POST payment_intents/:id/capture':
        return captureIntent(state, id, params, reference)
      case 'POST payment_intents/:id/cancel':
        return cancelIntent(state, id, params, reference)
      case 'GET payment_methods/:id':
        return retrieveMethod(state, id)
      case 'POST refunds':
        return createRefund(state, params, reference)
      case 'GET refunds/:id':
        return refundJson(refundOf(state, id))
      case 'POST payouts':
        return createPayout(state, params, reference)
      case 'GET payouts': {
        const since = Number(textsOf(params, 'created').gte ?? 0)
        const found = state.payouts.filter(payout => payout.created >= since)
        return pageOf('/v1/payouts', found, state.payouts, params, payout => payoutJson(state, payout))
      }
      case 'GET disputes/:id':
        return disputeJson(state, disputeOf(state, id), expand)
      case 'POST disputes/:id':
        return updateDispute(state, id, params)
      case 'POST disputes/:id/close':
        return closeDispute(state, id, params)
      case 'GET events':
        return listEvents(state.events, params)
      default:
        throw missing('route', `${method} ${path}`)
    }
  }

  function sendJson(
    response: ServerResponse,
    { status, body, headers }: Answer & { headers?: Record<string, string> },
  ): void {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify(body, null, 2))
  }

  async function sendSlowly(response: ServerResponse, { status, body }: Answer, ms: number): Promise<void> {
    const text = JSON.stringify(body)
    response.writeHead(status, { 'content-type': 'application/json' })
    response.write(text.slice(0, 10))
    await sleep(ms)
    response.end(text.slice(10))
  }

  /** The bank's page, apart from the API: it asks for no key. */
  const pages = createServer((request, response) => {
    const [, id, wish] = /^\/challenges\/(\w+)\/(complete|fail)$/.exec(request.url ?? '') ?? []
    if (id !== undefined) answerChallenge(state, id, wish === 'complete')
    response.writeHead(id === undefined ? 404 : 200).end()
  })

  server.listen(0, '127.0.0.1')
  pages.listen(0, '127.0.0.1')
  await Promise.all([once(server, 'listening'), once(pages, 'listening')])
  const urlOf = (one: typeof server) => `http://127.0.0.1:${(one.address() as AddressInfo).port}`
  state.url = urlOf(pages)

  return {
    url: urlOf(server),
    secret_key,
    book: () => state.book,
    events: () => state.events,
    requests: () => requests,
    fault: fault => faults.add(fault),
    clearFaults: () => faults.clear(),
    makeMethod(name, customer) {
      const card = cardNamed(name)
      if (!card) throw new Error(`no test card is called ${name}`)
      const id = newStripeId('pm')
      state.methods.set(id, { id, card, customer: customer ?? null })
      return id
    },
    dispute(payment_id, wanted = {}) {
      return openDispute(state, intentOf(state, payment_id), { reason: 'fraudulent', ...wanted }).id
    },
    escalate: dispute_id => escalateDispute(state, dispute_id),
    settle: () => settle(state),
    tell(url, secrets) {
      told = { url, secrets }
    },
    webhook: webhookOf,
    forgetKeys: () => keys.clear(),
    async close() {
      await Promise.all(sendings)
      for (const one of [server, pages]) {
        one.close()
        one.closeAllConnections()
      }
    },
  }
}
