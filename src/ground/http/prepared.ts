/** An endpoint as the runner has it: what would otherwise be found out at every request is found out once. */
import { hasSecrets } from './fingerprint.ts'
import type { Endpoint, EndpointAuth, Method } from './types.ts'

export interface PreparedEndpoint {
  readonly definition: Endpoint
  readonly method: Method
  /** `/v1/payment_intents/:id`. */
  readonly path: string
  readonly auth: EndpointAuth
  readonly resource: string
  readonly is_write: boolean
  /** `payment_intents.confirm`: the log line's name. */
  readonly name: `${string}.${string}`
  /** The parameters when some of them are secret; null when a body can be kept as it is. */
  readonly masked: Endpoint['params'] | null
}

export function prepare(definition: Endpoint): PreparedEndpoint {
  const [method, path] = definition.route.split(' ') as [Method, string]
  return {
    definition,
    method,
    path,
    auth: definition.auth ?? 'secret',
    resource: definition.resource,
    is_write: method !== 'GET',
    name: nameOf(definition, method, path),
    masked: hasSecrets(definition.params) ? definition.params : null,
  }
}

/** `payment_intents.confirm`, `balance.retrieve`: the reference and the SDKs call the operation the same. */
function nameOf({ returns }: Endpoint, method: Method, path: string): `${string}.${string}` {
  const segments = path.split('/').filter(segment => segment !== '' && segment !== 'v1')
  const names = segments.filter(segment => !segment.startsWith(':')).join('.')
  const last = segments.at(-1) ?? ''
  const is_list = returns.meta()?.id?.endsWith('_list') === true
  const is_action = !last.startsWith(':') && segments.some(segment => segment.startsWith(':'))
  if (is_action && !is_list) return names as `${string}.${string}`
  const verbs = {
    GET: is_list ? 'list' : 'retrieve',
    POST: last === ':id' ? 'update' : 'create',
    DELETE: 'delete',
  }
  return `${names}.${verbs[method]}`
}
