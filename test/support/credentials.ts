/** The file by which the command line finds a server and its key: what `bursar serve` writes, for a server of a test. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { type Credentials, credentialsFile } from '../../src/main/first-start.ts'

const UNUSED = 'unused'

/** Makes the folder where it is missing. */
export function writeCredentials(
  data_dir: string,
  used: Pick<Credentials, 'api_url'> & Partial<Credentials>,
): void {
  const credentials: Credentials = {
    account_id: UNUSED,
    secret_key: UNUSED,
    publishable_key: UNUSED,
    dashboard_url: UNUSED,
    dashboard_email: UNUSED,
    dashboard_password: UNUSED,
    simulator_url: UNUSED,
    ...used,
  }
  mkdirSync(data_dir, { recursive: true })
  writeFileSync(credentialsFile(data_dir), JSON.stringify(credentials))
}
