/** What the system says of a file in words that somebody can act upon. */

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'it was there and is gone: start the run again when nobody moves it',
  ENOTDIR: 'a file stands where a folder is wanted',
  EISDIR: 'a folder stands where a file is wanted',
  EACCES: 'this account may not read or write it',
  EPERM: 'this account may not read or write it',
  EROFS: 'this disk can only be read',
  ENOSPC: 'no space is left on its disk',
  EDQUOT: 'no space is left on its disk',
  EFBIG: 'no space is left on its disk',
  EIO: 'its disk does not answer',
  EMFILE: 'this process may open no more files: raise the limit, ulimit -n',
}

/** The message of what was thrown; of the system's own errors a sentence that names the file. */
export function sentenceOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, path, syscall } = error as NodeJS.ErrnoException
  if (code === undefined || syscall === undefined) return error.message
  const words = WORDS[code]
  if (words === undefined) return error.message
  return path === undefined ? `${words} (${code}, ${syscall})` : `${path}: ${words}`
}
