/** A bar on standard error, for whoever waits for a command that walks the books. */

/** How far it is: done, in all; `end` when nothing more comes. */
export interface Progress {
  update(done: bigint, total: bigint): void
  end(): void
}

/** `doing` and `of_what` are shown: "Checking the ledger … of 5000 rows". */
export async function progressBar(doing: string, of_what: string): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress')
  const bar = new cliProgress.SingleBar({
    format: `${doing}  {bar}  {percentage} %  {value} of {total} ${of_what}`,
    stream: process.stderr,
    clearOnComplete: true,
    hideCursor: true,
  })
  let is_started = false
  return {
    update(done, total) {
      if (!is_started) bar.start(Number(total), 0)
      is_started = true
      bar.update(Number(done))
    },
    end() {
      if (is_started) bar.stop()
    },
  }
}
