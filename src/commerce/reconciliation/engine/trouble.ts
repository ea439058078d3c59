/** A run that could not be kept, in words that somebody can act upon. */

/** No result was written: the disk is full, or may not be written to. The directory holds nothing half. */
export class RunFailed extends Error {
  override readonly name = 'RunFailed'
}

const FULL = /no space left|ENOSPC|EDQUOT|EFBIG|file too large|disk quota|max_temp_directory_size/i
const DENIED = /EACCES|EROFS|EPERM|permission denied|read-only/i

/** What a person can do something about, in words. */
export function failure(error: unknown): unknown {
  if (!(error instanceof Error)) return error
  const told = `${(error as NodeJS.ErrnoException).code ?? ''} ${error.message}`
  if (FULL.test(told)) {
    return new RunFailed('no space is left on the disk of the run: nothing of its result was kept', {
      cause: error,
    })
  }
  if (error.name !== 'StatementError' && DENIED.test(told)) {
    return new RunFailed('the directory of the run may not be written to', { cause: error })
  }
  return error
}
