/**
 * A file that appears whole or not at all: it is written beside its place under another name, and moved there when it is on
 * the disk. What stood there before stays until then.
 */
import { open, rename, rm, stat } from 'node:fs/promises'

export type Write = (text: string) => Promise<void>

/** Only for its owner: it is the books. */
const OWNERS = 0o600
/** As the umask has it. */
export const BY_UMASK = 0o666

/** Writes a file that is there whole afterwards, or not at all, whatever stops it. */
export async function wholeFile<T>(
  path: string,
  work: (write: Write) => Promise<T>,
  mode = OWNERS,
): Promise<T> {
  // Nothing is put in the place of a pipe or a device: what is written there has arrived.
  const there = await stat(path).catch(() => undefined)
  if (there !== undefined && !there.isFile()) return straight(path, work)
  const unfinished = `${path}.${process.pid}.unfinished`
  const file = await open(unfinished, 'wx', mode)
  try {
    const result = await work(async text => {
      await file.writeFile(text)
    })
    await file.sync()
    await file.close()
    await rename(unfinished, path)
    return result
  } catch (error) {
    await file.close()
    await rm(unfinished, { force: true })
    throw error
  }
}

async function straight<T>(path: string, work: (write: Write) => Promise<T>): Promise<T> {
  const file = await open(path, 'w')
  try {
    return await work(async text => {
      await file.writeFile(text)
    })
  } finally {
    await file.close()
  }
}
