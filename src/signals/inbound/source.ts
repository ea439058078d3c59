/** What a room that talks to a processor gives this one, and what it is given back: the two sides of the face. */

/** What a body says of itself, once it is proven. */
export interface Identity {
  /** The processor's own id of the news: the same however often it is told. */
  id: string
  /** In its words. */
  type: string
  /** News of one subject is handled in turn. */
  subject: string
}

export interface FeedPage {
  events: ({ body: unknown } & Identity)[]
  /** Where to go on; the same as was asked after when there is no more. */
  next: string
}

/** A processor that tells by itself what happens. */
export interface InboundSource {
  /** Stands in the path of its webhooks, and in every row. */
  name: string
  /**
   * Null when the signature proves these bytes, sent within five minutes of their receipt; else one word for why not.
   * `unsigned`, `stale` and `no_secret` have error codes of their own. Compares in constant time.
   */
  refusal(
    raw: Uint8Array,
    headers: Readonly<Record<string, string | undefined>>,
    received_at: Date,
  ): string | null
  /** Undefined: no event of this processor. */
  identify(body: unknown): Identity | undefined
  /** Its feed of what happened, if it has one: what a lost webhook would have told. Null: from the start. */
  events?(after: string | null, deadline_ms: number): Promise<FeedPage | { kind: 'unknown'; reason: string }>
  /** The ids of a page that tell something new; all of them, when left out. One question to the database at most. */
  worthKeeping?(events: FeedPage['events']): Promise<ReadonlySet<string>>
}

/** News as its handler gets it. */
export interface StoredEvent {
  processor: string
  event_id: string
  type: string
  subject: string
  /** Parsed. */
  body: unknown
  received_at: Date
}

/**
 * Does what follows from a piece of news: at least once, in any order, also long after it was overtaken. One at a time
 * for each subject, as long as it ends in time. What it throws means: try again later.
 */
export type InboundHandler = (event: StoredEvent) => Promise<'applied' | 'already' | 'ignored'>
