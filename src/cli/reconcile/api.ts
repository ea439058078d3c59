/** The server that keeps statements and runs, reached with the keys of credentials.json. */
import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import type { FileRun, ReadAs, Side, Status } from '#reconciliation/files'
import type { Client } from '../demo/client.ts'

/** A gigabyte at a few megabytes a second, and then it is read and kept. */
const UPLOAD_MS = 1_800_000

/** JSON has no bigint: beyond 2^53 an amount is a text. */
export type Amount = number | string

export interface KeptStatement {
  id: string
  name: string
  source: string
  format: string | null
  mapping: ReadAs | null
  /** Of a cut of the books. */
  selection: Record<string, unknown> | null
  sha256: string
  rows: number
  bad_rows: number
  bad: { line: number; reason: string }[]
  left_out: FileRun['left']['left_out']
  controls: FileRun['left']['controls']
}

export interface KeptRun {
  id: string
  key: string
  status: 'queued' | 'running' | 'succeeded' | 'failed'
  stage: string
  rules: Omit<FileRun['rules'], 'tolerance'> & { tolerance: { amount: Amount; basis_points: number } }
  left_statement: KeptStatement
  right_statement: KeptStatement
  counts: FileRun['counts'] | null
  sums: { side: Side; status: Status; currency: string; rows: number; amount: Amount }[] | null
  is_clean: boolean | null
  failure: string | null
  /** The rows that have their home, and how far the stage has come. */
  progress: { rows_done: number; rows_total: number; stage_percent: number }
  created_at: string
}

export interface Server extends Client {
  /** `onBytes` hears how many bytes are on their way, of how many. */
  upload(
    query: URLSearchParams,
    path: string,
    key: string,
    onBytes: (done: number, total: number) => void,
  ): Promise<KeptStatement>
  /** A page as it comes. */
  page(path: string): Promise<string>
}

/** A run with its statements beside it. */
export const WITH_SIDES = 'expand[]=left_statement&expand[]=right_statement'

/** Throws one sentence when there are no keys or nobody answers. */
export async function openServer(): Promise<Server> {
  const [{ readSettings }, { demandCredentials }, { createClient, reach }] = await Promise.all([
    import('../../settings.ts'),
    import('../../main/first-start.ts'),
    import('../demo/client.ts'),
  ])
  const { data_dir } = readSettings(process.env)
  const credentials = demandCredentials(data_dir)
  const { api_url, secret_key } = credentials
  await reach(api_url, '/healthz')
  const authorization = `Bearer ${secret_key}`
  const textOf = async (response: Response): Promise<string> => {
    const text = await response.text()
    if (response.status < 400) return text
    throw new Error((JSON.parse(text) as { error: { message: string } }).error.message)
  }
  return {
    ...createClient(credentials),
    async upload(query, path, key, onBytes) {
      const { size } = await stat(path)
      const response = await fetch(`${api_url}/v1/reconciliation_statements?${query.toString()}`, {
        method: 'POST',
        headers: {
          authorization,
          'idempotency-key': key,
          'content-type': 'application/octet-stream',
          // So that a file that is too large is refused before it was sent.
          'content-length': String(size),
        },
        body: ReadableStream.from(piecesOf(path, done => onBytes(done, size))),
        duplex: 'half',
        signal: AbortSignal.timeout(UPLOAD_MS),
      }).catch((error: unknown) => {
        throw brokenOff(api_url, error)
      })
      return JSON.parse(await textOf(response)) as KeptStatement
    },
    // In the server's words alone: nobody typed the address.
    get: async <Body>(path: string) =>
      JSON.parse(await textOf(await reach(api_url, path, { headers: { authorization } }))) as Body,
    page: async path => textOf(await reach(api_url, path, { headers: { authorization } })),
  }
}

/** What fetch says of a connection that breaks is two words; why stands behind them. */
function brokenOff(api_url: string, error: unknown): Error {
  const { cause, message } = error as Error
  const why = cause instanceof Error ? cause.message : message
  return new Error(`sending to ${api_url} broke off: ${why}`, { cause: error })
}

/** A piece is asked for when the one before was taken: what is counted has left. */
async function* piecesOf(path: string, onBytes: (done: number) => void): AsyncIterable<Uint8Array> {
  let done = 0
  for await (const piece of createReadStream(path)) {
    yield piece as Uint8Array
    onBytes((done += (piece as Uint8Array).length))
  }
}
