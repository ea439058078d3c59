/** The directory of a run: what is the result, what may be thrown away, and when it is whole. */
import { mkdir, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'

/**
 * Everything that is not the result is below it, so that one removal leaves nothing of a killed run. A name that nobody
 * gives to a folder of their own.
 */
export const WORKING_FOLDER = '.bursar-work'
/** Read back by this engine alone: hidden, because `findings.csv` is written from it for people. */
export const FINDINGS = '.bursar-findings.csv'
export const RESULTS = ['items.csv', FINDINGS] as const
const RUN = 'run.json'

export class Directory {
  readonly path: string

  constructor(path: string) {
    this.path = path
  }

  /** Makes room for a run: whatever an earlier one left unfinished is gone. */
  async clear(): Promise<void> {
    await makeFolder(this.path)
    await this.tidy()
    await makeFolder(join(this.path, WORKING_FOLDER))
    await makeFolder(this.work('spill'))
  }

  /** Takes back the working files. */
  async tidy(): Promise<void> {
    await rm(join(this.path, WORKING_FOLDER), { recursive: true, force: true })
  }

  work(name: string): string {
    return join(this.path, WORKING_FOLDER, name)
  }

  result(name: (typeof RESULTS)[number]): string {
    return join(this.path, name)
  }

  /** What the last whole run wrote; null when there is none, or not all of it is there. */
  async stored(): Promise<string | null> {
    try {
      const text = await readFile(join(this.path, RUN), 'utf8')
      for (const name of RESULTS) await stat(this.result(name))
      return text
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null
      throw error
    }
  }

  /**
   * Shows the result: the old `run.json` goes first and the new one comes last, so that at no instant it stands beside
   * files of another run. All is on disk before it is seen.
   */
  async commit(run: string): Promise<void> {
    const written = this.work(RUN)
    const file = await open(written, 'w')
    try {
      await file.writeFile(run)
    } finally {
      await file.close()
    }
    for (const name of [...RESULTS, RUN]) await flush(this.work(name))
    await rm(join(this.path, RUN), { force: true })
    for (const name of RESULTS) await rename(this.work(name), this.result(name))
    await flush(this.path)
    await rename(written, join(this.path, RUN))
    await flush(this.path)
    await this.tidy()
  }
}

/** Never what is above it: who removed that while the run was under way shall find nothing of it there again. */
async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  }
}

async function flush(path: string): Promise<void> {
  const file = await open(path, 'r')
  try {
    await file.sync()
  } finally {
    await file.close()
  }
}
