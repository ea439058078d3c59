/**
 * The OpenAPI 3.1 document, made from the same endpoints that serve: what validates a request describes it. SDKs, the
 * reference and the dashboard's client are made from it in turn. The same endpoints give the same text.
 *
 * All schemas are described as they are on the wire, which to zod is their input. Parameters are closed, because
 * unknown ones are refused; answers are open, because a client must not mind a field that a later version adds.
 */
import { z } from 'zod'
import { assert } from '#kernel'
import { assertExpansionsLoad } from './expand.ts'
import { ErrorAnswer } from './matches.ts'
import type { Endpoint, Method } from './types.ts'

export type Json = string | number | boolean | null | Json[] | { [name: string]: Json }
type JsonObject = { [name: string]: Json }

export interface ApiInfo {
  title: string
  /** The newest dated version of the API. */
  version: string
  description?: string
  /** Where it runs; empty means "where this document came from". */
  servers?: readonly string[]
}

export interface OpenApiDocument {
  openapi: '3.1.0'
  info: { title: string; version: string; [name: string]: Json }
  servers: Json[]
  tags: Json[]
  paths: { [path: string]: { [method: string]: JsonObject } }
  components: { schemas: JsonObject; [kind: string]: JsonObject }
}

const COMPONENTS = '#/components/schemas/'

/**
 * Throws when two endpoints or two schemas claim one name, because one of them would be described wrongly, and when a
 * field is expandable to what is not declared, not loaded or in no scope.
 */
export function openapi(endpoints: readonly Endpoint[], info: ApiInfo): OpenApiDocument {
  assertExpansionsLoad(endpoints)
  const schemas = new SchemaCollector()
  const paths: OpenApiDocument['paths'] = {}
  const operation_ids = new Set<string>()
  for (const endpoint of endpoints) {
    const { method, path } = splitRoute(endpoint.route)
    const operation = describe(endpoint, method, path, schemas)
    const operation_id = operation['operationId'] as string
    assert(!operation_ids.has(operation_id), `one endpoint is named ${operation_id}`)
    operation_ids.add(operation_id)
    const template = path.replaceAll(/:(\w+)/g, '{$1}')
    const operations = (paths[template] ??= {})
    assert(!operations[method.toLowerCase()], `one endpoint answers ${endpoint.route}`)
    operations[method.toLowerCase()] = operation
  }
  const error = schemas.reference(ErrorAnswer, 'answer')
  return {
    openapi: '3.1.0',
    info: {
      title: info.title,
      version: info.version,
      ...(info.description && { description: info.description }),
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: (info.servers ?? ['/']).map(url => ({ url })),
    tags: [...new Set(endpoints.map(({ resource }) => resource))].map(name => ({ name })),
    paths,
    components: {
      schemas: schemas.all(),
      parameters: sharedParameters,
      headers: sharedHeaders,
      responses: { error: { description: 'What went wrong, in the one shape of errors.', ...asJson(error) } },
      securitySchemes: securitySchemes,
    },
  }
}

const asJson = (schema: JsonObject) => ({
  headers: { 'Request-Id': { $ref: '#/components/headers/request_id' } },
  content: { 'application/json': { schema } },
})

const sharedParameters: JsonObject = {
  idempotency_key: {
    name: 'Idempotency-Key',
    in: 'header',
    required: true,
    description:
      'Makes the request safe to repeat: the same key with the same request gives the first answer again.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
    example: 'order-6735-payment-1',
  },
  version: {
    name: 'Bursar-Version',
    in: 'header',
    required: false,
    description: 'Pins the behaviour of a dated version of the API. Without it the newest answers.',
    schema: { type: 'string', format: 'date' },
  },
}

const sharedHeaders: JsonObject = {
  request_id: {
    description: 'Names this request in logs, traces, events and errors.',
    schema: { type: 'string' },
  },
  version: { description: 'The version of the API that answered.', schema: { type: 'string' } },
  idempotent_replayed: {
    description: 'Present when the answer was stored by an earlier request with the same key.',
    schema: { type: 'string', const: 'true' },
  },
}

const securitySchemes: JsonObject = {
  secret_key: {
    type: 'http',
    scheme: 'bearer',
    description: 'A secret key (sk_…), or a restricted one (rk_…) with the scope of the resource.',
  },
  secret_key_basic: {
    type: 'http',
    scheme: 'basic',
    description: 'The same key as user name, without a password.',
  },
  publishable_key: {
    type: 'http',
    scheme: 'bearer',
    description: 'A publishable key (pk_…), from a browser.',
  },
}

/** A role in the words of OpenAPI: which one it is, the resource of the operation tells. */
const SCOPE_NAMED = 'write scope of the resource, named by a restricted key'

const securityOf: Record<NonNullable<Endpoint['auth']>, Json[]> = {
  secret: [{ secret_key: [] }, { secret_key_basic: [] }],
  publishable: [{ secret_key: [] }, { secret_key_basic: [] }, { publishable_key: [] }],
  scoped: [{ secret_key: [SCOPE_NAMED] }, { secret_key_basic: [SCOPE_NAMED] }],
  none: [],
}

/** What a sender signs is described where the sender is documented. */
const SIGNED_BYTES: JsonObject = {
  type: 'object',
  description: "The sender's own words, with its signature in a header of its own.",
}

function describe(endpoint: Endpoint, method: Method, path: string, schemas: SchemaCollector): JsonObject {
  const auth = endpoint.auth ?? 'secret'
  const is_write = method !== 'GET'
  const is_keyed = is_write && auth !== 'none'
  const parameters: Json[] = [...pathParameters(endpoint, path, schemas)]
  if (is_keyed) parameters.push({ $ref: '#/components/parameters/idempotency_key' })
  parameters.push({ $ref: '#/components/parameters/version' })
  const params = endpoint.takes === 'bytes' ? SIGNED_BYTES : schemas.inline(endpoint.params, 'params')
  const takes_file = endpoint.takes === 'file'
  if (!is_write || takes_file) parameters.push(...queryParameters(params))
  const returns = schemas.reference(endpoint.returns, 'answer')
  const has_body =
    params === SIGNED_BYTES ||
    (is_write && !takes_file && Object.keys((params['properties'] ?? {}) as JsonObject).length > 0)
  const must_have_body = params === SIGNED_BYTES || ((params['required'] ?? []) as Json[]).length > 0
  return {
    operationId: operationIdOf(endpoint, method, path, returns),
    summary: endpoint.summary,
    tags: [endpoint.resource],
    parameters,
    ...(takes_file && {
      requestBody: {
        required: true,
        description: endpoint.takes_what ?? 'A file.',
        content: { 'application/octet-stream': {} },
      },
    }),
    ...(has_body && {
      requestBody: { required: must_have_body, content: { 'application/json': { schema: params } } },
    }),
    responses: {
      [endpoint.status ?? 200]: {
        description: 'Done.',
        headers: {
          'Request-Id': { $ref: '#/components/headers/request_id' },
          'Bursar-Version': { $ref: '#/components/headers/version' },
          ...(is_keyed && { 'Idempotent-Replayed': { $ref: '#/components/headers/idempotent_replayed' } }),
        },
        content: { [endpoint.shows === 'page' ? 'text/html' : 'application/json']: { schema: returns } },
      },
      ...errorResponses(auth, is_keyed, path.includes('/:')),
      default: { $ref: '#/components/responses/error' },
    },
    security: securityOf[auth],
  }
}

/** The refusals an endpoint is sure to know; what the resource adds (402, further codes) has the same shape. */
function errorResponses(auth: string, is_keyed: boolean, names_object: boolean): JsonObject {
  const statuses = [400, 429]
  if (auth !== 'none') statuses.push(401, 403)
  if (names_object) statuses.push(404)
  if (is_keyed) statuses.push(409, 428)
  return Object.fromEntries(
    statuses.sort((a, b) => a - b).map(status => [status, { $ref: '#/components/responses/error' }]),
  )
}

function pathParameters(endpoint: Endpoint, path: string, schemas: SchemaCollector): Json[] {
  const names = [...path.matchAll(/:(\w+)/g)].map(match => match[1] as string)
  if (names.length === 0) return []
  assert(endpoint.path, `${endpoint.route} declares its path parameters`)
  const { properties } = schemas.inline(endpoint.path, 'params') as { properties?: JsonObject }
  return names.map(name => {
    const schema = properties?.[name]
    assert(schema, `${endpoint.route} declares its path parameter ${name}`)
    return { name, in: 'path', required: true, schema }
  })
}

/** Objects are written `created_at[gte]=…`, lists `expand[]=…`. */
function queryParameters(params: JsonObject): Json[] {
  const required = (params['required'] ?? []) as Json[]
  return Object.entries((params['properties'] ?? {}) as { [name: string]: JsonObject }).map(
    ([name, { description, ...schema }]) => ({
      name: schema['type'] === 'array' ? `${name}[]` : name,
      in: 'query',
      required: required.includes(name),
      ...(description !== undefined && { description }),
      ...(schema['type'] === 'object' && { style: 'deepObject', explode: true }),
      ...(schema['type'] === 'array' && { style: 'form', explode: true }),
      schema,
    }),
  )
}

function splitRoute(route: Endpoint['route']): { method: Method; path: string } {
  const space = route.indexOf(' ')
  return { method: route.slice(0, space) as Method, path: route.slice(space + 1) }
}

/**
 * `payment_intents.create`, `.list`, `.retrieve`, `.update`, `.delete`, and for anything after an id its own last name:
 * `payment_intents.confirm`, `ledger.accounts.balance`.
 */
function operationIdOf(endpoint: Endpoint, method: Method, path: string, returns: JsonObject): string {
  const segments = path.split('/').filter(segment => segment !== '' && segment !== 'v1')
  const names = segments.filter(segment => !segment.startsWith(':'))
  const last = segments.at(-1) ?? ''
  const reference = returns['$ref']
  const is_list = typeof reference === 'string' && reference.endsWith('_list')
  const is_action = !last.startsWith(':') && segments.length > names.length
  if (is_action && !(method === 'GET' && is_list)) return names.join('.')
  const verbs: Record<Method, string> = {
    GET: is_list ? 'list' : 'retrieve',
    POST: last === ':id' ? 'update' : 'create',
    DELETE: 'delete',
  }
  assert(names.length > 0, `${endpoint.route} names a resource`)
  return [...names, verbs[method]].join('.')
}

type Side = 'params' | 'answer'

/** Turns zod schemas into JSON Schema and gathers those with a name as components. */
class SchemaCollector {
  readonly #components = new Map<string, JsonObject>()

  /** The schema as a reference when it has a name, else in place. */
  reference(schema: z.ZodType, side: Side): JsonObject {
    // As a property, because zod writes out the schema it starts from, named or not.
    const wrapped = z.toJSONSchema(z.object({ it: schema }), { io: 'input' })
    const { $defs = {}, properties } = tidy(wrapped as Json, side) as {
      $defs?: { [name: string]: JsonObject }
      properties: { it: JsonObject }
    }
    for (const [name, definition] of Object.entries($defs)) this.#add(name, definition)
    return properties.it
  }

  /** The schema written out, for parameters, whose members are looked at. */
  inline(schema: z.ZodType, side: Side): JsonObject {
    const found = this.reference(schema, side)
    const name = typeof found['$ref'] === 'string' ? found['$ref'].slice(COMPONENTS.length) : undefined
    return name === undefined ? found : (this.#components.get(name) as JsonObject)
  }

  #add(name: string, definition: JsonObject): void {
    const known = this.#components.get(name)
    assert(
      !known || JSON.stringify(known) === JSON.stringify(definition),
      `one schema is named ${name}, and it stands on one side`,
    )
    this.#components.set(name, definition)
  }

  all(): JsonObject {
    return Object.fromEntries([...this.#components].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}

/** References point at components, and the objects of answers are open. */
function tidy(value: Json, side: Side): Json {
  if (Array.isArray(value)) return value.map(element => tidy(element, side))
  if (typeof value !== 'object' || value === null) return value
  const members: [string, Json][] = []
  for (const [name, member] of Object.entries(value)) {
    if (name === 'additionalProperties' && member === false && side === 'answer') continue
    if (name === '$ref' && typeof member === 'string') {
      members.push([name, member.replace('#/$defs/', COMPONENTS)])
    } else members.push([name, tidy(member, side)])
  }
  return Object.fromEntries(members)
}
