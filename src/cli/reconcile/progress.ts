/** How far a run is, for whoever waits at a terminal. */
import type { Progress } from '#reconciliation/files'

/** What comes through a pipe is kept before it is read; how much will come nobody knows. */
export interface Receiving {
  stage: 'receive'
  done: number
  total: null
}

type Heard = Progress | Receiving

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
    if (of !== 'read' && of !== 'receive') return total === null ? '' : `${done} of ${total} rows`
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
