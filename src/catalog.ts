/**
 * The table of contents: every endpoint, job and command, one line each. A new one is a line here; a test compares
 * these lists with what the rooms have. Rooms are loaded when they are asked for, so that `bursar --help` loads none.
 */
import type { Endpoint, Route } from '#http'
import type { Inbound } from '#inbound'
import type { Job, Schedule } from '#jobs'
import type { Mailer } from '#mail'
import type { Payments } from '#payments'
import type { Webhooks } from '#webhooks'

/** Every route that answers, by room. */
export const routes = [
  // #payments: one payment from its creation to success or cancellation
  'POST /v1/payment_intents',
  'GET /v1/payment_intents',
  'GET /v1/payment_intents/:id',
  'POST /v1/payment_intents/:id',
  'POST /v1/payment_intents/:id/confirm',
  'POST /v1/payment_intents/:id/capture',
  'POST /v1/payment_intents/:id/cancel',
  'GET /v1/charges',
  'GET /v1/charges/:id',
  'POST /v1/refunds',
  'GET /v1/refunds',
  'GET /v1/refunds/:id',
  'POST /v1/refunds/:id',
  // #payments: what the customer's bank contests
  'GET /v1/disputes',
  'GET /v1/disputes/:id',
  'POST /v1/disputes/:id',
  'POST /v1/disputes/:id/close',
  // #payments: what is open or went against what we say
  'GET /v1/payment_attempts',
  'GET /v1/payment_attempts/:id',
  'GET /v1/orphan_captures',
  'GET /v1/orphan_captures/:id',
  // #payments: whom the account charges, and with what
  'POST /v1/customers',
  'GET /v1/customers',
  'GET /v1/customers/:id',
  'POST /v1/customers/:id',
  'DELETE /v1/customers/:id',
  'POST /v1/payment_methods',
  'GET /v1/payment_methods',
  'GET /v1/payment_methods/:id',
  'POST /v1/payment_methods/:id/attach',
  'POST /v1/payment_methods/:id/detach',
  // #payments: what it earned, and sending that to the bank
  'GET /v1/balance',
  'GET /v1/balance_transactions',
  'GET /v1/balance_transactions/:id',
  'POST /v1/payouts',
  'GET /v1/payouts',
  'GET /v1/payouts/:id',
  'POST /v1/payouts/:id/cancel',
  // #ledger: the books
  'GET /v1/ledger/accounts',
  'GET /v1/ledger/accounts/:id',
  'POST /v1/ledger/accounts/:id',
  'POST /v1/ledger/accounts/:id/close',
  'POST /v1/ledger/accounts/:id/reopen',
  'GET /v1/ledger/accounts/:id/entries',
  'GET /v1/ledger/accounts/:id/balance',
  'POST /v1/ledger/transfers',
  'GET /v1/ledger/transfers',
  'GET /v1/ledger/transfers/:id',
  'GET /v1/ledger/trial_balance',
  'POST /v1/ledger/closings',
  'GET /v1/ledger/acts',
  // #reconciliation: statements of both sides
  'POST /v1/reconciliation_statements',
  'POST /v1/reconciliation_statements/snapshot',
  'GET /v1/reconciliation_statements',
  'GET /v1/reconciliation_statements/:id',
  'DELETE /v1/reconciliation_statements/:id',
  // #reconciliation: what became of every row, and what people decided about it
  'POST /v1/reconciliation_runs',
  'GET /v1/reconciliation_runs',
  'GET /v1/reconciliation_runs/:id',
  'GET /v1/reconciliation_runs/:id/items',
  'GET /v1/reconciliation_runs/:id/suggestions',
  'GET /v1/reconciliation_runs/:id/report',
  'GET /v1/reconciliation_runs/:id/hints',
  'GET /v1/reconciliation_runs/:id/candidates',
  'POST /v1/reconciliation_runs/:id/decisions',
  'GET /v1/reconciliation_runs/:id/decisions',
  'GET /v1/reconciliation_runs/:id/replayed_decisions',
  'GET /v1/reconciliation_decisions',
  'GET /v1/reconciliation_decisions/:id',
  'POST /v1/reconciliation_decisions/:id/withdraw',
  // #events: what happened
  'GET /v1/events',
  'GET /v1/events/:id',
  // #webhooks: where it is sent, what became of each delivery, and sending it again
  'POST /v1/webhook_endpoints',
  'GET /v1/webhook_endpoints',
  'GET /v1/webhook_endpoints/:id',
  'POST /v1/webhook_endpoints/:id',
  'DELETE /v1/webhook_endpoints/:id',
  'POST /v1/webhook_endpoints/:id/rotate_secret',
  'POST /v1/webhook_endpoints/:id/enable',
  'POST /v1/webhook_endpoints/:id/disable',
  'POST /v1/webhook_endpoints/:id/test',
  'POST /v1/webhook_endpoints/:id/replay',
  'GET /v1/webhook_deliveries',
  'GET /v1/webhook_deliveries/:id',
  'GET /v1/webhook_deliveries/:id/attempts',
  'POST /v1/webhook_deliveries/:id/retry',
  'GET /v1/webhook_replays',
  'GET /v1/webhook_replays/:id',
  'POST /v1/webhook_replays/:id/cancel',
  // #http: what was asked and answered
  'GET /v1/request_logs',
  'GET /v1/request_logs/:id',
  'GET /v1/request_logs/:id/comparison',
  // #inbound: what processors tell by themselves
  'POST /v1/webhooks/:processor',
] as const satisfies readonly Route[]

/** Every job, by room. */
export const jobNames = [
  'payment_intents.expire_holds',
  'balance_transactions.release',
  'events.maintain_partitions',
  'request_logs.maintain_partitions',
  'ledger.void_expired',
  'inbound.catch_up',
  'inbound.forget',
  'webhooks.replay',
  'webhooks.resume_replays',
  'webhooks.cancel_replay',
  'webhooks.remove_endpoint',
  'webhooks.forget',
  'ledger.maintain_partitions',
  'ledger.seal',
  'ledger.verify',
  'webhooks.send_notice',
  'reconciliation.run',
  'reconciliation.forget_statement',
] as const

/** The endpoints themselves. */
export async function endpoints(
  payments: Payments,
  inbound: Inbound,
  webhooks: Webhooks,
): Promise<Endpoint[]> {
  const [
    { ledgerSourcesOf, paymentsEndpoints },
    { ledgerEndpoints },
    { eventsEndpoints },
    { requestLogEndpoints },
    { webhookEndpoints },
    { demandAdjustable, reconciliationEndpoints },
  ] = await Promise.all([
    import('#payments'),
    import('#ledger'),
    import('#events'),
    import('#http'),
    import('#webhooks'),
    import('#reconciliation'),
  ])
  return [
    ...paymentsEndpoints(payments),
    ...ledgerEndpoints(ledgerSourcesOf, demandAdjustable),
    ...reconciliationEndpoints(),
    ...eventsEndpoints(),
    ...inbound.endpoints,
    ...webhookEndpoints(webhooks),
    ...requestLogEndpoints(),
  ]
}

/** The jobs themselves, and when the clock asks for them. */
export async function jobs(
  payments: Payments,
  inbound: Inbound,
  { request_log_days, mailer = null }: { request_log_days: number; mailer?: Mailer | null },
): Promise<{ jobs: Job[]; schedules: Schedule[] }> {
  const [
    { paymentsJobs },
    { eventsJobs },
    { ledgerJobs },
    { requestLogJobs },
    { noticeJob, webhookJobs },
    { reconciliationJobs },
  ] = await Promise.all([
    import('#payments'),
    import('#events'),
    import('#ledger'),
    import('#http'),
    import('#webhooks'),
    import('#reconciliation'),
  ])
  const rooms = [
    paymentsJobs(payments),
    eventsJobs(),
    inbound.jobs,
    webhookJobs(),
    ledgerJobs(payments.clock, payments.db),
    reconciliationJobs(),
    requestLogJobs(request_log_days),
    { jobs: [noticeJob(mailer)], schedules: [] },
  ]
  return { jobs: rooms.flatMap(room => room.jobs), schedules: rooms.flatMap(room => room.schedules) }
}

/** Commands of `bursar`; each is a file in src/cli. */
export const verbs = {
  serve: 'Start the server, with all it needs, and serve until Ctrl-C.',
  simulator: 'Run the simulator alone: the card network and the bank.',
  migrate: 'Bring the database to what this version expects.',
  config: 'Print the effective settings, secrets masked.',
  keys: 'Make, list and revoke API keys.',
  demo: 'Play a day of payments against a running server and check every cent.',
  attempts: 'See the operations whose outcome nobody knows yet, and have one looked at now.',
  inbound: 'List, show and replay what processors told by themselves.',
  consumers: 'See how far each reader of the events is, and let one read again.',
  webhooks: 'See webhook endpoints and deliveries, send again, and listen while developing a receiver.',
  requests: 'Read the request log, and see which clients reuse Idempotency-Keys.',
  id: 'Tell what an id names, and how the database and the API write it.',
  ledger: 'Read, adjust, export, seal and prove the books.',
  reconcile: 'Compare two files, the ledger and a statement, and say what became of every row.',
} as const
export type VerbName = keyof typeof verbs
