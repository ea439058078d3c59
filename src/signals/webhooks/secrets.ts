/**
 * The secrets of endpoints at rest: made here, sealed for their own row, opened to sign; and the headers that an account
 * wants sent. A secret's text is shown once, in the answer that made it; a header's value never.
 */
import type { Queries } from '#db'
import { newId, type Tenant } from '#kernel'
import { createVault, type Vault } from '#secrets'
import { generateSecret, type SecretKind, type SigningSecret, signingSecret } from './signing/secret.ts'
import type { SealedSecret } from './types.ts'

/** Where the secrets of all endpoints are sealed and opened; made once in a process. */
export const secretsVault = (installation_secret: string): Vault =>
  createVault(installation_secret, 'webhook secrets')

const identityOf = ({ account_id, livemode }: Tenant, id: string): string =>
  `webhook_secrets ${account_id} ${livemode} ${id}`

/** Ready to sign with. Throws when the installation's secret is not the one it was sealed under. */
export const openSecret = (vault: Vault, tenant: Tenant, { id, sealed }: SealedSecret): SigningSecret =>
  signingSecret(vault.open(sealed, identityOf(tenant, id)))

const headersOf = ({ account_id, livemode, id }: Tenant & { id: string }): string =>
  `webhook_endpoints.headers ${account_id} ${livemode} ${id}`

/** Headers with their values, which may be secrets of somebody's gateway; null: there are none. */
export const sealHeaders = (
  vault: Vault,
  endpoint: Tenant & { id: string },
  headers: Readonly<Record<string, string>>,
): Uint8Array | null =>
  Object.keys(headers).length === 0 ? null : vault.seal(JSON.stringify(headers), headersOf(endpoint))

/** Throws when the installation's secret is not the one they were sealed under. */
export const openHeaders = (
  vault: Vault,
  endpoint: Tenant & { id: string },
  sealed: Uint8Array,
): Record<string, string> => JSON.parse(vault.open(sealed, headersOf(endpoint))) as Record<string, string>

/** What is shown of a new secret: `secret` only to those who share it. */
export interface NewSecret {
  readonly secret: string | null
  readonly public_key: string | null
}

/** Makes an endpoint's current secret; the one before must have got its end. In the caller's transaction. */
export async function addSecret(
  tx: Queries,
  vault: Vault,
  at: Date,
  endpoint: Tenant & { id: string },
  kind: SecretKind,
): Promise<NewSecret> {
  const { account_id, livemode } = endpoint
  const id = newId(at)
  const { text, public_key } = generateSecret(kind)
  await tx.run`
    insert into webhook_secrets (account_id, livemode, id, endpoint_id, kind, sealed, public_key, expires_at)
    values (
      ${account_id}, ${livemode}, ${id}, ${endpoint.id}, ${kind},
      ${vault.seal(text, identityOf(endpoint, id))}, ${public_key}, null
    )`
  // Whoever has the private half of a pair can sign: it stays here.
  return { secret: kind === 'hmac' ? text : null, public_key }
}
