/**
 * `bursar webhooks listen`: a receiver for whoever develops one. It makes an endpoint for itself through the API, proves
 * each delivery as a receiver should, prints it, hands it on when asked, and removes the endpoint at the end.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { VerifyingSecret } from '#webhooks'

export interface ListenOptions {
  port: string
  forwardTo?: string
  types: string[]
  standard?: boolean
  json?: boolean
}

/** Events are some kilobytes; ours are at most this large. */
const BODY_BYTES_MAX = 1_048_576
/** Less than what a delivery waits for its answer (15 s), so that a receiver that hangs is told apart from us. */
const FORWARD_MS = 12_000
/** Deliveries whose tries are counted; the oldest are forgotten, and would count from one again. */
const SEEN_MOST = 10_000
/** How the endpoint is known in lists. */
const DESCRIPTION = 'bursar webhooks listen'

interface Endpoint {
  id: string
  secret: string
}

/** What a receiver sees of an event, whatever its payload. */
interface Received {
  id: string
  type: string
  object_id: string
  object_version: number
  created_at: string
}

export async function listen(options: ListenOptions): Promise<void> {
  const [{ readSettings }, { demandCredentials }, { createClient, reach }] = await Promise.all([
    import('../../settings.ts'),
    import('../../main/first-start.ts'),
    import('../demo/client.ts'),
  ])
  const port = portOf(options.port)
  const forward_to = forwardOf(options.forwardTo)
  const { data_dir } = readSettings(process.env)
  const credentials = demandCredentials(data_dir)
  await reach(credentials.api_url, '/healthz')
  const client = createClient(credentials)
  const { promise: told_to_end, resolve: end } = Promise.withResolvers<void>()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => end())

  const secrets: VerifyingSecret[] = []
  const server = await serve(port, await receiver({ secrets, forward_to, is_json: options.json ?? false }))
  try {
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const endpoint = await client.post<Endpoint>('/v1/webhook_endpoints', {
      url,
      event_types: options.types,
      description: DESCRIPTION,
      signature: options.standard ? 'standard' : 'bursar',
    })
    const { verifyingSecret } = await import('#webhooks')
    secrets.push(verifyingSecret(endpoint.secret))
    try {
      tellBeginning(options, { url, endpoint, forward_to })
      await told_to_end
    } finally {
      await client.delete(`/v1/webhook_endpoints/${endpoint.id}`)
      if (!options.json) process.stdout.write(`\nRemoved ${endpoint.id}.\n`)
    }
  } finally {
    server.closeAllConnections()
    await new Promise(closed => server.close(closed))
  }
}

function tellBeginning(
  { json, types }: ListenOptions,
  { url, endpoint, forward_to }: { url: string; endpoint: Endpoint; forward_to: string | null },
): void {
  const { id, secret } = endpoint
  // A receiver under development proves what is handed to it with this secret, which ends with us.
  process.stdout.write(
    json
      ? `${JSON.stringify({ listening: { url, endpoint_id: id, secret, forward_to } })}\n`
      : [
          `Listening at ${url} for ${types.join(', ')} in test mode, as ${id}.`,
          `Signed with ${secret}`,
          ...(forward_to === null ? [] : [`Handing on to ${forward_to}`]),
          'Ctrl-C ends it and removes the endpoint.',
          '',
          '',
        ].join('\n'),
  )
}

async function serve(port: number, handle: (request: IncomingMessage, response: ServerResponse) => void) {
  const server = createServer(handle)
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen(port, '127.0.0.1', resolve)
  try {
    await listening
  } catch (error) {
    throw new Error(`port ${port} cannot be listened at: choose another with --port`, { cause: error })
  }
  return server satisfies Server
}

interface Handling {
  secrets: readonly VerifyingSecret[]
  forward_to: string | null
  is_json: boolean
}

/** Answers each request; what it could not prove it neither prints as an event nor hands on. */
async function receiver({ secrets, forward_to, is_json }: Handling) {
  const [{ disbeliefOf }, { systemClock }] = await Promise.all([import('#webhooks'), import('#kernel')])
  const seen = new Map<string, number>()

  async function receive(request: IncomingMessage): Promise<number> {
    const received_at = systemClock.now()
    const body = await bodyOf(request)
    if (body === null) return 413
    const headers = headersOf(request)
    const disbelief = disbeliefOf({ headers, body, secrets, received_at })
    if (disbelief !== null) {
      tell({ at: received_at.toISOString(), verified: false, reason: disbelief })
      return 400
    }
    const { id, type, object_id, object_version, created_at } = JSON.parse(body.toString()) as Received
    const tries = count(id)
    const forwarded = forward_to === null ? null : await forward(forward_to, headers, body)
    tell({
      at: received_at.toISOString(),
      verified: true,
      id,
      type,
      object_id,
      object_version,
      created_at,
      attempt: tries,
      forwarded,
    })
    return forwarded === null ? 200 : (forwarded.status ?? 502)
  }

  function count(id: string): number {
    const tries = (seen.get(id) ?? 0) + 1
    seen.delete(id)
    seen.set(id, tries)
    const [oldest] = seen.keys()
    if (seen.size > SEEN_MOST && oldest !== undefined) seen.delete(oldest)
    return tries
  }

  const tell = (told: Told) => process.stdout.write(is_json ? `${JSON.stringify(told)}\n` : lineOf(told))

  return (request: IncomingMessage, response: ServerResponse): void => {
    void receive(request)
      .catch((error: unknown) => {
        process.stderr.write(`bursar: ${error instanceof Error ? error.message : String(error)}\n`)
        return 500
      })
      .then(status => response.writeHead(status).end())
  }
}

type Told =
  | { at: string; verified: false; reason: string }
  | (Received & { at: string; verified: true; attempt: number; forwarded: Forwarded | null })

function lineOf(told: Told): string {
  const time = told.at.slice(11, 23)
  if (!told.verified) return `${time}  ✗ not from Bursar: ${told.reason}\n`
  const again = told.attempt === 1 ? '' : `  again (${told.attempt})`
  const forwarded =
    told.forwarded === null ? '' : `  → ${told.forwarded.status ?? `not handed on: ${told.forwarded.reason}`}`
  const object = `${told.object_id} v${told.object_version}`
  return `${time}  ✓ ${told.type.padEnd(36)}  ${object.padEnd(36)}  ${told.id}${again}${forwarded}\n`
}

/**
 * Null when it is too large. What is left of it is read and thrown away: who leaves a body unread closes the connection
 * on its sender, who then hears of that in place of the answer.
 */
async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length
    if (bytes <= BODY_BYTES_MAX) chunks.push(chunk)
  }
  return bytes > BODY_BYTES_MAX ? null : Buffer.concat(chunks)
}

const headersOf = ({ headers }: IncomingMessage): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))

interface Forwarded {
  /** Null: there was no answer. */
  status: number | null
  reason: string | null
}

/** Of one connection, and not of what is handed on. */
const HOP_HEADERS = ['host', 'connection', 'content-length', 'transfer-encoding', 'keep-alive']

/** The same bytes under the same signature, so that the receiver proves them as it will in production. */
async function forward(url: string, headers: Record<string, string>, body: Buffer): Promise<Forwarded> {
  const kept = Object.entries(headers).filter(([name]) => !HOP_HEADERS.includes(name))
  try {
    const answer = await fetch(url, {
      method: 'POST',
      headers: kept as [string, string][],
      body: new Uint8Array(body),
      redirect: 'manual',
      signal: AbortSignal.timeout(FORWARD_MS),
    })
    await answer.body?.cancel()
    return { status: answer.status, reason: null }
  } catch (error) {
    const { message, cause } = error as Error
    return { status: null, reason: cause instanceof Error ? cause.message || message : message }
  }
}

function portOf(text: string): number {
  const port = Number(text)
  if (/^\d{1,5}$/.test(text) && port <= 65_535) return port
  throw new Error('--port must be a whole number from 0 to 65535 (0: any free port)')
}

function forwardOf(text: string | undefined): string | null {
  if (text === undefined) return null
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text
  throw new Error('--forward-to must be a URL like http://127.0.0.1:3000/webhooks')
}
