/** Endpoints as deliveries need them: read once a version, their secrets opened, ready to sign with. */
import { plainArray, type Queries } from '#db'
import type { Vault } from '#secrets'
import { openHeaders, openSecret } from '../secrets.ts'
import type { SigningSecret } from '../signing/secret.ts'
import type { EndpointConfig, LaneKey } from '../types.ts'

export interface Endpoint extends EndpointConfig {
  /** Scheme, host and port: endpoints of one origin fail together. */
  origin: string
  /** Newest first, each until when it signs (database's clock); null: without an end. */
  keys: readonly { secret: SigningSecret; expires_ms: number | null }[]
  /** Why nothing can be signed for it; null while all is well. */
  trouble: string | null
}

interface SecretRow {
  id: string
  kind: 'hmac' | 'ed25519'
  /** Base64. */
  sealed: string
  expires_ms: number | null
}

type Row = Omit<EndpointConfig, 'secrets'> & { secrets: SecretRow[]; headers_sealed: Uint8Array | null }

/** Those that are still there, as they are now. */
export async function readEndpoints(
  db: Queries,
  vault: Vault,
  keys: readonly LaneKey[],
): Promise<Endpoint[]> {
  if (keys.length === 0) return []
  const rows = await db.many<Row>`
    select
      endpoint.account_id, endpoint.livemode, endpoint.id as endpoint_id, endpoint.version, endpoint.url,
      endpoint.status, endpoint.payload, endpoint.signature, endpoint.max_per_second, endpoint.max_concurrency,
      endpoint.retry_schedule, endpoint.headers, endpoint.headers_sealed,
      (
        select coalesce(jsonb_agg(jsonb_build_object(
          'id', secret.id, 'kind', secret.kind, 'sealed', encode(secret.sealed, 'base64'),
          'expires_ms', extract(epoch from secret.expires_at) * 1000
        ) order by secret.id desc), '[]')
        from webhook_secrets as secret
        where secret.account_id = endpoint.account_id and secret.livemode = endpoint.livemode
          and secret.endpoint_id = endpoint.id and coalesce(secret.expires_at, 'infinity') > now()
      ) as secrets
    from unnest(
      ${plainArray(keys.map(key => key.account_id))}::uuid[],
      ${plainArray(keys.map(key => key.livemode))}::boolean[],
      ${plainArray(keys.map(key => key.endpoint_id))}::uuid[]
    ) as lane (account_id, livemode, id)
    join webhook_endpoints as endpoint
      on endpoint.account_id = lane.account_id and endpoint.livemode = lane.livemode and endpoint.id = lane.id`
  return rows.map(row => prepare(vault, row))
}

function prepare(vault: Vault, row: Row): Endpoint {
  const secrets = row.secrets.map(({ id, kind, sealed }) => ({
    id,
    kind,
    sealed: Buffer.from(sealed, 'base64'),
  }))
  const prepared = { ...row, secrets, origin: originOf(row.url) }
  try {
    const keys = row.secrets.map(({ expires_ms }, i) => ({
      secret: openSecret(vault, row, secrets[i] as (typeof secrets)[number]),
      expires_ms,
    }))
    const headers =
      row.headers_sealed === null
        ? row.headers
        : openHeaders(vault, { ...row, id: row.endpoint_id }, row.headers_sealed)
    return { ...prepared, headers, keys, trouble: keys.length === 0 ? 'it has no signing secret' : null }
  } catch {
    return {
      ...prepared,
      headers: {},
      keys: [],
      trouble: 'its signing secret cannot be opened by this installation',
    }
  }
}

const originOf = (url: string): string => (URL.canParse(url) ? new URL(url).origin : url)

export interface Endpoints {
  /** As the lanes were taken with: from memory when the version is the one that is known. */
  of(lanes: readonly (LaneKey & { version: bigint })[]): Promise<ReadonlyMap<string, Endpoint>>
  /** As they are now. */
  fresh(keys: readonly LaneKey[]): Promise<ReadonlyMap<string, Endpoint>>
}

/** Endpoints kept in memory: a few kilobytes each. */
const KEPT_MOST = 10_000

export function createEndpoints(db: Queries, vault: Vault): Endpoints {
  const kept = new Map<string, Endpoint>()
  async function fresh(keys: readonly LaneKey[]): Promise<Map<string, Endpoint>> {
    const read = await readEndpoints(db, vault, keys)
    for (const endpoint of read) {
      kept.delete(endpoint.endpoint_id)
      kept.set(endpoint.endpoint_id, endpoint)
    }
    for (const id of kept.keys()) {
      if (kept.size <= KEPT_MOST) break
      kept.delete(id)
    }
    return new Map(read.map(endpoint => [endpoint.endpoint_id, endpoint]))
  }
  return {
    fresh,
    async of(lanes) {
      const unknown = lanes.filter(lane => kept.get(lane.endpoint_id)?.version !== lane.version)
      const read = await fresh(unknown)
      return new Map(
        lanes.flatMap(({ endpoint_id }) => {
          const endpoint = read.get(endpoint_id) ?? kept.get(endpoint_id)
          return endpoint === undefined ? [] : [[endpoint_id, endpoint]]
        }),
      )
    },
  }
}
