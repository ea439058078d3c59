/** Whose data: an account in one of its two modes. Every tenant row, key and query is scoped by both. */
export interface Tenant {
  readonly account_id: string
  readonly livemode: boolean
}
