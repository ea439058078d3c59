/**
 * The rows that every payment has, on their way to payments_record(): arrays of composite types, as PostgreSQL reads
 * them. The order of fields is that of the types recorded_… in the migration, after `item`.
 */
import { assert } from '#kernel'
import type { Writes } from './writes.ts'

type RowOf<Section extends keyof Writes> =
  NonNullable<Writes[Section]> extends readonly (infer Row)[] ? Row : never

const INTENT_FIELDS = [
  'account_id',
  'livemode',
  'id',
  'amount',
  'amount_capturable',
  'amount_received',
  'currency',
  'status',
  'capture_method',
  'off_session',
  'setup_future_usage',
  'customer_id',
  'payment_method_id',
  'latest_charge_id',
  'client_secret',
  'description',
  'statement_descriptor',
  'return_url',
  'next_action',
  'last_payment_error',
  'metadata',
  'capture_before',
  'canceled_at',
  'cancellation_reason',
  'version',
  'created_at',
] as const

const FIELDS = {
  payment_methods: [
    'account_id',
    'livemode',
    'id',
    'customer_id',
    'type',
    'brand',
    'last4',
    'exp_month',
    'exp_year',
    'fingerprint',
    'processor',
    'processor_token',
    'metadata',
    'version',
    'created_at',
  ],
  payment_intents: INTENT_FIELDS,
  payment_intent_updates: INTENT_FIELDS,
  payment_attempts: [
    'account_id',
    'livemode',
    'id',
    'payment_intent_id',
    'charge_id',
    'refund_id',
    'operation',
    'state',
    'amount',
    'currency',
    'processor',
    'target_processor_id',
    'processor_id',
    'hold_transfer_id',
    'idempotency_key',
    'request_id',
    'reason',
    'sent_at',
    'next_check_at',
    'checks',
    'created_at',
  ],
  payment_attempt_updates: [
    'account_id',
    'livemode',
    'id',
    'state',
    'from_states',
    'charge_id',
    'processor_id',
    'reason',
    'check_after',
    'checks',
  ],
  charges: [
    'account_id',
    'livemode',
    'id',
    'payment_intent_id',
    'amount',
    'amount_captured',
    'amount_refunded',
    'currency',
    'status',
    'captured',
    'disputed',
    'customer_id',
    'payment_method_id',
    'payment_method_details',
    'balance_transaction_id',
    'failure_code',
    'failure_message',
    'decline_code',
    'description',
    'statement_descriptor',
    'processor',
    'processor_id',
    'hold_transfer_id',
    'version',
    'created_at',
  ],
  balance_transactions: [
    'account_id',
    'livemode',
    'id',
    'type',
    'amount',
    'fee',
    'net',
    'currency',
    'source_id',
    'status',
    'available_on',
    'version',
    'created_at',
  ],
  events: [
    'account_id',
    'livemode',
    'id',
    'type',
    'object_id',
    'object_version',
    'request_id',
    'body',
    'created_at',
  ],
} as const satisfies { [Section in keyof Writes]?: readonly (keyof RowOf<Section>)[] }

/** The array literal of one kind of row, each row marked with the request of `all` that it belongs to. */
export function rowsLiteral(all: readonly Writes[], section: keyof typeof FIELDS): string {
  const fields = FIELDS[section]
  let text = ''
  for (let item = 0; item < all.length; item++) {
    const rows = all[item]?.[section]
    if (rows === undefined) continue
    for (const row of rows) {
      text += `${text === '' ? '' : ','}"(${item}`
      for (const field of fields)
        text += `,${fieldLiteral((row as unknown as Record<string, unknown>)[field])}`
      text += ')"'
    }
  }
  return `{${text}}`
}

/** Text of these characters alone has no meaning of its own in either literal. */
const PLAIN = /^[\w.:+-]+$/

/** One field of a row of an array: quoted twice, once for the row and once for the array. Nothing is null. */
function fieldLiteral(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return PLAIN.test(value) ? value : quoted(value)
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'number':
      assert(Number.isSafeInteger(value), 'a number in a row is a safe integer')
      return String(value)
    default:
      if (value === null || value === undefined) return ''
      if (value instanceof Date) return value.toISOString()
      if (Array.isArray(value)) return quoted(`{${value.join(',')}}`)
      return quoted(JSON.stringify(value))
  }
}

/** In the row a quote is doubled and a backslash too; in the array each of those is escaped once more. */
const quoted = (text: string): string =>
  `\\"${text.replace(/["\\]/g, special => (special === '"' ? '\\"\\"' : '\\\\\\\\'))}\\"`
