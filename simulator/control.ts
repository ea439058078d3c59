/** What a test or an operator makes happen: time passing, disputes, faults, disorder among webhooks. */
import type { Bank } from './bank.ts'
import type { Faults } from './faults.ts'
import { disputeJson } from './json.ts'
import { Refused } from './refused.ts'
import { type DisputeWish, parseDispute, parseNothing } from './requests.ts'
import { type Route, sendJson } from './server.ts'
import type { Payment } from './state.ts'
import type { Webhooks } from './webhooks.ts'

export function controlRoutes(bank: Bank, faults: Faults, webhooks: Webhooks): Route[] {
  function paymentOf({ payment_id, reference }: DisputeWish): Payment {
    const payment =
      payment_id === undefined
        ? bank.world.operations.get(reference as string)?.payment
        : bank.world.payments.get(payment_id)
    if (payment === undefined) throw new Refused(404, 'payment_not_found', 'No such payment.', 'payment_id')
    return payment
  }

  return [
    {
      method: 'POST',
      path: '/settle',
      run({ response }) {
        const settled = bank.settlePending()
        bank.book.whenDurable(() => sendJson(response, 200, `{"settled":${settled}}`))
      },
    },
    {
      method: 'POST',
      path: '/disputes',
      run({ response, body }) {
        const wish = parseDispute(body)
        const dispute = bank.openDispute(paymentOf(wish), wish)
        bank.book.whenDurable(() => sendJson(response, 201, disputeJson(dispute)))
      },
    },
    {
      method: 'POST',
      path: '/disputes/:id/escalate',
      run({ response, path, body }) {
        parseNothing(body)
        const dispute = bank.dispute(path[0] as string)
        bank.escalateDispute(dispute)
        bank.book.whenDurable(() => sendJson(response, 200, disputeJson(dispute)))
      },
    },
    {
      method: 'POST',
      path: '/faults',
      run: ({ response, body }) => sendJson(response, 201, JSON.stringify(faults.add(body))),
    },
    {
      method: 'GET',
      path: '/faults',
      run: ({ response }) => sendJson(response, 200, JSON.stringify({ data: faults.list() })),
    },
    {
      method: 'DELETE',
      path: '/faults',
      run: ({ response }) => sendJson(response, 200, `{"removed":${faults.clear()}}`),
    },
    {
      method: 'GET',
      path: '/webhooks',
      run: ({ response }) => sendJson(response, 200, JSON.stringify(webhooks.state())),
    },
    {
      method: 'POST',
      path: '/webhooks',
      run({ response, body }) {
        webhooks.change(body)
        sendJson(response, 200, JSON.stringify(webhooks.state()))
      },
    },
  ]
}
