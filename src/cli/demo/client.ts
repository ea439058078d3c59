/** The demo's client: HTTP as any program would speak it, and the few fields of the API that the demo looks at. */
import { randomUUID } from 'node:crypto'
import type { Credentials } from '../../main/first-start.ts'

export interface PaymentIntent {
  id: string
  amount: number
  amount_received: number
  currency: string
  status: string
  customer_id: string | null
  latest_charge_id: string | null
  next_action: { redirect_to_url: { url: string } } | null
  last_payment_error: { decline_code: string | null } | null
  description: string | null
}
export interface Charge {
  id: string
  amount_captured: number
  amount_refunded: number
  currency: string
  status: string
}
export interface Refund {
  id: string
  amount: number
  currency: string
  status: string
}
export interface BalanceTransaction {
  id: string
  amount: number
  fee: number
  net: number
}
export type Funds = { amount: number; currency: string }[]
export interface Balance {
  pending: Funds
  available: Funds
}
export interface List<Item> {
  data: Item[]
  has_more: boolean
  next_cursor: string | null
}
interface ErrorBody {
  error: { code: string; message: string; decline_code?: string; payment_intent?: PaymentIntent }
}

export interface Answer<Body> {
  status: number
  /** As it came, to compare bytes. */
  text: string
  body: Body
  is_replayed: boolean
}

export interface Client {
  get<Body>(path: string): Promise<Body>
  /** Throws one sentence unless the answer is a success. */
  post<Body>(path: string, params: object): Promise<Body>
  /** Throws one sentence unless the answer is a success. */
  delete<Body>(path: string): Promise<Body>
  /** Whatever the answer is, under a key of the caller's choice. */
  ask<Body = ErrorBody>(path: string, params: object, key?: string): Promise<Answer<Body>>
  /** Every item of a list, page after page. */
  list<Item>(path: string, page_size: number, pages_most: number): Promise<Item[]>
}

/** A demo's request takes milliseconds; one that takes longer than the server's own deadline has no server behind it. */
const TIMEOUT_MS = 65_000

export function createClient({ api_url, secret_key }: Credentials): Client {
  async function call<Body>(
    path: string,
    init: { method?: string; body?: string; headers?: Record<string, string> },
  ): Promise<Answer<Body>> {
    const response = await reach(api_url, path, {
      ...init,
      headers: { ...init.headers, authorization: `Bearer ${secret_key}` },
    })
    const text = await response.text()
    return {
      status: response.status,
      text,
      body: JSON.parse(text) as Body,
      is_replayed: response.headers.get('idempotent-replayed') === 'true',
    }
  }
  const success = <Body>(what: string, { status, body }: Answer<Body>): Body => {
    if (status < 400) return body
    const { code, message } = (body as unknown as ErrorBody).error
    throw new Error(`${what} was answered with ${status} ${code}: ${message}`)
  }
  const client: Client = {
    get: async <Body>(path: string) => success(`GET ${path}`, await call<Body>(path, {})),
    post: async <Body>(path: string, params: object) =>
      success(`POST ${path}`, await client.ask<Body>(path, params)),
    delete: async <Body>(path: string) =>
      success(
        `DELETE ${path}`,
        await call<Body>(path, { method: 'DELETE', headers: { 'idempotency-key': randomUUID() } }),
      ),
    ask: (path, params, key = randomUUID()) =>
      call(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify(params),
      }),
    async list<Item>(path: string, page_size: number, pages_most: number) {
      const items: Item[] = []
      let cursor = ''
      for (let page = 0; page < pages_most; page++) {
        const separator = path.includes('?') ? '&' : '?'
        const answer = await client.get<List<Item>>(`${path}${separator}limit=${page_size}${cursor}`)
        items.push(...answer.data)
        if (answer.next_cursor === null || !answer.has_more) break
        cursor = `&cursor=${encodeURIComponent(answer.next_cursor)}`
      }
      return items
    },
  }
  return client
}

/** A request to the server or the simulator; says what to do when nobody answers. */
export async function reach(base_url: string, path: string, init: RequestInit = {}): Promise<Response> {
  try {
    return await fetch(`${base_url}${path}`, { ...init, signal: AbortSignal.timeout(TIMEOUT_MS) })
  } catch (error) {
    throw new Error(`nobody answers at ${base_url}: start the server with "npm start" and try again`, {
      cause: error,
    })
  }
}
