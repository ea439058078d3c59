/** A refusal in Stripe's form. */
export class StripeRefusal extends Error {
  readonly status: number
  readonly body: Record<string, unknown>
  /** Refused before execution began: such an answer is not kept under its key. */
  readonly is_validation: boolean

  constructor(
    status: number,
    error: { type?: string; message: string; [more: string]: unknown },
    is_validation = false,
  ) {
    super(error.message)
    this.status = status
    this.body = { error: { type: status === 402 ? 'card_error' : 'invalid_request_error', ...error } }
    this.is_validation = is_validation
  }
}

export const invalid = (code: string, message: string, param?: string, more: object = {}): StripeRefusal =>
  new StripeRefusal(400, { code, message, ...(param !== undefined && { param }), ...more })

/** Refused for its parameters alone. */
export const malformed = (code: string, message: string, param: string): StripeRefusal =>
  new StripeRefusal(400, { code, message, param }, true)

export const missing = (what: string, id: string, param = 'id', status = 404): StripeRefusal =>
  new StripeRefusal(status, { code: 'resource_missing', message: `No such ${what}: '${id}'`, param })
