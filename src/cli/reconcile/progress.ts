/** How far a run is, or a file on its way to the server, for whoever waits at a terminal. */
import type { Progress } from '#reconciliation/files'

/** What comes through a pipe is kept before it is read; how much will come nobody knows. */
export interface Receiving {
  stage: 'receive'
  done: number
  total: null
}

/** What the server does with files that are kept: a digest is made of each, it is sent, read there, and compared. */
export interface Keeping {
  stage: 'digest' | 'send' | 'keep' | 'compare'
  done: number
  total: number | null
}

export type Heard = Progress | Receiving | Keeping

const IN_BYTES: readonly Heard['stage'][] = ['read', 'receive', 'digest', 'send']

export interface Watching {
  hear(progress: Heard): void
  end(): void
}

const DOING: Readonly<Record<Heard['stage'], string>> = {
  receive: 'Receiving',
  read: 'Reading',
  match: 'Matching',
  write: 'Writing',
  done: 'Done',
  digest: 'Reading',
  send: 'Sending',
  keep: 'The server reads',
  compare: 'The server compares',
}
const MEGABYTE = 1_000_000

/** A bar that begins anew with each stage. */
export async function watchRun(): Promise<Watching> {
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar({
    format: '{doing}  {bar}  {percentage} %  {detail}',
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  let stage: Heard['stage'] | undefined
  const detailOf = ({ stage: of, done, total }: Heard): string => {
    if (!IN_BYTES.includes(of)) return total === null ? '' : `${done} of ${total} rows`
    const megabytes = (bytes: number) => (bytes / MEGABYTE).toFixed(1)
    return total === null ? `${megabytes(done)} MB` : `${megabytes(done)} of ${megabytes(total)} MB`
  }
  return {
    hear(progress) {
      const { done, total } = progress
      const shown = { doing: DOING[progress.stage], detail: detailOf(progress) }
      // An unknown total is a bar that stays where it is rather than one that lies.
      if (progress.stage !== stage) bar.start(total ?? Math.max(1, done), 0, shown)
      stage = progress.stage
      bar.update(total === null ? 0 : done, shown)
    },
    end() {
      if (stage !== undefined) bar.stop()
      stage = undefined
    },
  }
}
