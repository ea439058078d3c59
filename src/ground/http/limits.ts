/**
 * Every limit of the listener in one place, each with its reason. A caller who exceeds one hears a JSON error that
 * names it; nothing is cut silently and no socket is left hanging.
 */

/** The largest honest body is a list of invoice lines of a few hundred kilobytes. */
export const BODY_BYTES_MOST = 1_048_576

/** Node's own default: ten times what a browser with many cookies sends. */
export const HEADER_BYTES_MOST = 16_384

/** Our deepest parameter has six levels. Nothing that walks a body (parsing, hashing, storing) can run out of stack. */
export const BODY_DEPTH_MOST = 32

/** A path parameter is an id of at most 40 characters; longer text is not looked up. */
export const PATH_PARAMETER_LENGTH_MOST = 200

/** Headers fit into a few packets: a client that needs longer is broken, or holds connections on purpose. */
export const HEADERS_TIMEOUT_MS = 10_000

/** Headers and a full body over a line of 35 kB/s. */
export const REQUEST_TIMEOUT_MS = 30_000

/** How late a slow request may be noticed: Node looks at its connections this often. */
export const CONNECTIONS_CHECK_INTERVAL_MS = 1_000

/** Longer than the 60 s for which the usual load balancers keep an idle connection, so that they close it, not we. */
export const KEEP_ALIVE_TIMEOUT_MS = 65_000

/** A connection on which nothing moves for two minutes has a peer that does not read: answers end long before. */
export const IDLE_SOCKET_TIMEOUT_MS = 120_000

/**
 * By then every request is answered, with 503 if need be. Longer than a processor's deadlines (15 s) followed by the
 * longest statement (30 s), shorter than the 100 s after which common proxies answer with a page of their own.
 */
export const ANSWER_DEADLINE_MS = 60_000

/**
 * A statement of ten million rows of a hundred bytes. What is larger has more rows than are kept in one piece, or should
 * come packed.
 */
export const UPLOAD_BYTES_MOST = 1_073_741_824

/** That file over a line of 3 Mbit/s. One on which nothing moves is given up much sooner (IDLE_SOCKET_TIMEOUT_MS). */
export const UPLOAD_DEADLINE_MS = 3_600_000

/**
 * From its last byte to its answer: ten million rows are read and kept in some minutes. The caller's connection is held
 * open meanwhile; whoever gives up sooner asks again with the same key.
 */
export const UPLOAD_ANSWER_DEADLINE_MS = 900_000

/** Files being received or read in one process: each may hold a gigabyte of disk and one connection to the database. */
export const UPLOADS_MOST = 4

/** Of these of one account: who sends slowly, or often, leaves room for others. */
export const UPLOADS_OF_ACCOUNT_MOST = 2

/** By then a file has begun to arrive in earnest, over whatever line. */
export const UPLOAD_GRACE_MS = 30_000

/** After that it is as fast as other bodies on average, or it is given up: a trickle would keep its place for an hour. */
export const UPLOAD_BYTES_PER_SECOND_LEAST = 35_000

/** Who goes on sending a file that was refused is cut off after this, having had the time to read why. */
export const REFUSED_UPLOAD_LINGER_MS = 5_000

/** Requests under way in one process. Beyond it a new one is refused at once: it would be answered too late anyway. */
export const REQUESTS_MOST = 10_000

/** A limit of the API (docs/api.md). */
export const IDEMPOTENCY_KEY_LENGTH_MOST = 255

/** How long a twin of a running request waits for the first to finish. */
export const JOIN_WAIT_MS = 2_000

/** The first look comes soon, because most first uses finish within milliseconds; the last ones cost little. */
export const JOIN_POLL = { first_ms: 10, factor: 1.6, most_ms: 250, jitter: 0.3 }

/** Each try follows a change of owner or a lost commit; more in one request means something is deeply wrong. */
export const OWNERSHIP_TRIES_MOST = 6

/** Parameters named in a conflict; a caller needs the first few to see the mistake. */
export const CONFLICT_PARAMS_MOST = 20
