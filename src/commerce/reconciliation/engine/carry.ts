/**
 * What an earlier run may hand on: what waits there joins other files, of the same day or a later one. The row of a file that
 * was read already would meet itself, and be told to be a duplicate.
 */
import type { Side } from '../line.ts'
import { carriedBack } from '../rules.ts'
import type { FileRun, RunFilesOptions, SideSummary } from './face.ts'
import { RunFailed } from './trouble.ts'

/** Before anything is read. Throws `RunFailed`. */
export function demandLater({ carried, rules }: RunFilesOptions, earlier: FileRun): void {
  const why = carriedBack(earlier.rules, rules)
  if (why !== null) throw new RunFailed(`${carried} ${why}`)
}

/** Two days on which nothing happened have the same nothing. Throws `RunFailed`. */
export function demandOtherFiles(
  { carried }: RunFilesOptions,
  earlier: FileRun,
  sides: Record<Side, SideSummary>,
): void {
  const before = [earlier.left, earlier.right].filter(({ rows }) => rows > 0).map(({ sha256 }) => sha256)
  const again = [sides.left, sides.right].find(({ sha256 }) => before.includes(sha256))
  if (again === undefined) return
  throw new RunFailed(
    `${carried} must be a run of other files: the rows of ${again.name} were in it already, and would meet themselves`,
  )
}
