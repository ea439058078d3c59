/** The five things a client asks that move money, each prepared up to the request that is going to be disturbed. */
import type { Address, Answer, Merchant } from '../support/merchant.ts'

export interface Work {
  /** What the processor is asked. */
  asks: 'authorize' | 'capture' | 'void' | 'refund'
  prepare(merchant: Merchant, at: Address): Promise<{ path: string; body: object }>
  /** What the answer says when nothing goes wrong for good. */
  status: string
}

export const paying = (more: object = {}) => ({
  amount: 1_000,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  ...more,
})

const create = async (merchant: Merchant, at: Address, more: object) =>
  (await merchant.post(at, '/v1/payment_intents', paying(more))).body

export const works: Record<string, Work> = {
  'create and confirm': {
    asks: 'authorize',
    prepare: async () => ({ path: '/v1/payment_intents', body: paying({ confirm: true }) }),
    status: 'succeeded',
  },
  confirm: {
    asks: 'authorize',
    prepare: async (merchant, at) => ({
      path: `/v1/payment_intents/${(await create(merchant, at, {})).id}/confirm`,
      body: {},
    }),
    status: 'succeeded',
  },
  capture: {
    asks: 'capture',
    async prepare(merchant, at) {
      const held = await create(merchant, at, { confirm: true, capture_method: 'manual' })
      return { path: `/v1/payment_intents/${held.id}/capture`, body: { amount_to_capture: 600 } }
    },
    status: 'succeeded',
  },
  cancel: {
    asks: 'void',
    async prepare(merchant, at) {
      const held = await create(merchant, at, { confirm: true, capture_method: 'manual' })
      return { path: `/v1/payment_intents/${held.id}/cancel`, body: {} }
    },
    status: 'canceled',
  },
  refund: {
    asks: 'refund',
    async prepare(merchant, at) {
      const paid = await create(merchant, at, { confirm: true })
      return { path: '/v1/refunds', body: { payment_intent_id: paid.id, amount: 400 } }
    },
    status: 'succeeded',
  },
}

export interface Started {
  name: string
  work: Work
  answer: Promise<Answer>
}

/** Prepares all five, then asks for all at once; `ready` is called in between. */
export async function startAll(
  merchant: Merchant,
  at: Address,
  ready: () => Promise<void>,
  names: readonly string[] = Object.keys(works),
): Promise<Started[]> {
  const prepared = await Promise.all(
    names.map(async name => {
      const work = works[name] as Work
      return { name, work, ...(await work.prepare(merchant, at)) }
    }),
  )
  await ready()
  return prepared.map(({ name, work, path, body }) => {
    const answer = merchant.post(at, path, body)
    // It is awaited after the crash; until then its failure is nobody's.
    answer.catch(() => undefined)
    return { name, work, answer }
  })
}
