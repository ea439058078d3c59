/** The HTTP API: endpoints as data, keys, idempotency phases, one shape of errors, one listener. */
export { type FinishedKey, type OpenSubjects, unfinishedSubjects } from './idempotency.ts'
export { type Completer, type CompleterOptions, createCompleter, startCompleter } from './completer.ts'
export { referencePages } from './docs.ts'
export { mayRead } from './auth.ts'
export { encodeAnswer, encoderOf, facts, JsonText, type SchemaFacts } from './encoder.ts'
export { endpoint, fileEndpoint, pageEndpoint, rawEndpoint } from './declare.ts'
export {
  type Account,
  type ApiKey,
  createAccount,
  createApiKey,
  createUser,
  type KeyKind,
  listApiKeys,
  revokeApiKey,
  setPassword,
} from './keys.ts'
export {
  expandMany,
  expandOne,
  type Expansions,
  loads,
  parseExpand,
  type Reader,
  retrieveParams,
} from './expand.ts'
export { type ApiInfo, type OpenApiDocument, openapi } from './openapi.ts'
export { type Keyset, keyset, listOf, listParams, page } from './list.ts'
export {
  type ConflictQuestion,
  type ConflictRate,
  conflictRates,
  type ReusedKey,
  reusedKeys,
} from './request-log/conflicts.ts'
export { type Comparison, compareRequests, RequestComparison } from './request-log/comparison.ts'
export { RequestLog, requestLogColumns, type RequestLogRow } from './request-log/object.ts'
export { mergeMetadata, type MetadataChange, metadataChange } from './metadata.ts'
export { maintainRequestLogs, requestLogJobs } from './request-log/partitions.ts'
export { requestLogEndpoints } from './request-log/read.ts'
export { type RequestLog as RequestLogWriter, startRequestLog } from './request-log/write.ts'
export {
  amount,
  amountOrZero,
  type AnyObject,
  chargeLimits,
  currency,
  expandable,
  id,
  integer,
  metadata,
  nullable,
  object,
  type ObjectOf,
  type ObjectSchema,
  refuse,
  type RowOf,
  secret,
  signedAmount,
  text,
  timestamp,
} from './schema.ts'
export {
  createServer,
  type InjectedRequest,
  type InjectedResponse,
  type Page,
  type PageContent,
  type Server,
  type ServerOptions,
} from './server.ts'
export {
  type Answer,
  type Caller,
  type Claim,
  type Context,
  type Endpoint,
  type EndpointDefinition,
  type Fence,
  FencedError,
  type FileEndpointDefinition,
  type FileRequest,
  KeyTakenError,
  type Method,
  type RawEndpointDefinition,
  type RawRequest,
  type Route,
} from './types.ts'
export type { Upload } from './upload.ts'
export { parseParams, type ParamSource } from './validate.ts'
export { type Version, type VersionChange, versions } from './versions.ts'
