/** Secrets that must be read again: sealed at rest under keys derived from the installation's. */
export { createVault, type Vault } from './vault.ts'
