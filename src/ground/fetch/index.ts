/** HTTP to URLs that strangers chose: guarded where they lead, timed by phase, answered by a value whatever happens. */
export {
  createFetcher,
  type Fetcher,
  type FetcherOptions,
  type FetchResult,
  type PostRequest,
  type Trace,
} from './fetcher.ts'
export { RESPONSE_MOST_BYTES } from './exchange.ts'
export type { Failure } from './failures.ts'
