/**
 * Every type of event there is, in one table: endpoints subscribe to these, the reference lists them, and an event of
 * another type does not compile. `resource.what_happened`, Stripe's names where Stripe has the resource.
 */
export const eventTypes = {
  'payment_intent.created': 'A payment intent was created.',
  'payment_intent.updated': 'A payment intent was changed by its account.',
  'payment_intent.processing': 'A processor is asked about a payment intent.',
  'payment_intent.requires_action': "The customer must pass the bank's challenge.",
  'payment_intent.amount_capturable_updated': 'An authorized amount waits to be captured.',
  'payment_intent.succeeded': 'A payment succeeded.',
  'payment_intent.payment_failed': 'A payment was declined, or failed otherwise.',
  'payment_intent.canceled': 'A payment intent was canceled.',
  'charge.succeeded': 'A charge was authorized, or captured at once.',
  'charge.captured': 'A charge that was authorized before was captured.',
  'charge.failed': 'A charge was declined, or failed otherwise.',
  'charge.updated': 'A charge was changed: what pending refunds leave of it, or whether it is disputed.',
  'charge.refunded': 'A charge was refunded, in part or in full.',
  'charge.dispute.created': "The customer's bank contests a charge.",
  'charge.dispute.updated': 'A dispute was changed.',
  'charge.dispute.funds_withdrawn': 'A disputed amount was taken from the balance.',
  'charge.dispute.funds_reinstated': 'A disputed amount was given back to the balance.',
  'charge.dispute.closed': 'A dispute was decided.',
  'refund.created': 'A refund was created.',
  'refund.updated': 'A refund was changed, or succeeded.',
  'refund.failed': 'A refund failed, or was given back by the bank.',
  'customer.created': 'A customer was created.',
  'customer.updated': 'A customer was changed.',
  'customer.deleted': 'A customer was deleted.',
  'payment_method.created': 'A payment method was created.',
  'payment_method.attached': 'A payment method was attached to a customer.',
  'payment_method.detached': 'A payment method was detached from its customer.',
  'payout.created': 'A payout was created.',
  'payout.updated': 'A payout is on its way.',
  'payout.paid': 'A payout has arrived.',
  'payout.failed': 'A payout failed, or was given back by the bank.',
  'payout.canceled': 'A payout was canceled.',
  'orphan_capture.created':
    'A processor took money that no payment of ours accounts for; it is being given back.',
  'orphan_capture.updated': 'An orphan capture was changed.',
  'orphan_capture.voided': 'An orphan capture was given back before it was captured.',
  'orphan_capture.refunded': 'An orphan capture was given back by a refund.',
  'orphan_capture.failed': 'An orphan capture could not be given back; somebody must look at it.',
  'ledger_account.updated': 'The limits of a ledger account were changed.',
  'ledger_account.closed': 'A ledger account was closed.',
  'ledger_account.reopened': 'A ledger account was reopened.',
  'ledger_period.closed': 'The books were closed up to an instant.',
  'ledger_period.reopened': 'Closed books were reopened.',
  'reconciliation_run.created': 'A reconciliation run was asked for.',
  'reconciliation_run.succeeded':
    'A reconciliation run has ended: every row has its home. Its totals say how many.',
  'reconciliation_run.findings':
    'A reconciliation run has ended with rows that somebody must look at; once a run.',
  'reconciliation_run.failed': 'A reconciliation run could not be finished; it can be asked for again.',
  'webhook_endpoint.created': 'A webhook endpoint was created.',
  'webhook_endpoint.updated': 'A webhook endpoint was changed, or its secret was rotated.',
  'webhook_endpoint.deleted': 'A webhook endpoint was deleted.',
  'webhook_endpoint.enabled': 'A disabled webhook endpoint gets deliveries again.',
  'webhook_endpoint.disabled': 'A webhook endpoint gets no deliveries any more: its reason says why.',
  'webhook_endpoint.failing': 'Nothing has succeeded at a webhook endpoint for long: it will be disabled.',
  'webhook_endpoint.test': 'Sent to one endpoint on request, to try it.',
} as const

export type EventType = keyof typeof eventTypes

export const isEventType = (text: string): text is EventType => Object.hasOwn(eventTypes, text)
