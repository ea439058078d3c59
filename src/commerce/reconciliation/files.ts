/** #reconciliation/files: reconciliation of two files, and its report, for programs that need no database. */
import type { RunFiles } from './engine/face.ts'

export { type Decision, DECISION_ROWS_MOST } from './decision.ts'
export { WORKING_FOLDER } from './engine/directory.ts'
export type { FileRun, FileSide, Item, Progress, SideSummary, StatusSum } from './engine/face.ts'
export type { Side } from './line.ts'
export {
  ENCODINGS,
  FORMATS,
  ID_SOURCES,
  isOwnForm,
  type Mapping,
  type ReadAs,
  type SaidMapping,
  type Sayable,
  StatementError,
} from './reading/statement.ts'
export { RunFailed } from './engine/trouble.ts'
export { counted, shownAmount, shownCount } from './report/amounts.ts'
export { type NamedItem, unnamedOf } from './report/candidates.ts'
export { visible } from './report/html.ts'
export { isTotalReason } from './reading/csv/totals.ts'
export {
  absentInWords,
  badRowLines,
  findingLine,
  findingsHeader,
  NOT_READABLE,
} from './report/findings-csv.ts'
export { mappingInWords } from './report/mapping.ts'
export { reportOf, runIdOf } from './report/of-run.ts'
export { isClean, reportPage } from './report/page.ts'
export {
  namesOf,
  shortNames,
  type Names,
  type ReportedGroup,
  type ReportedRun,
  rowsOf,
} from './report/report.ts'
export { shownControl } from './report/controls.ts'
export { CUT, cutInWords } from './report/cut.ts'
export { type Decided, decidedByInWords, decidedInWords } from './report/decided.ts'
export { fitInWords, type Fit } from './report/fit.ts'
export type { Turned } from './report/turned.ts'
export { isNameless, withTotalHint } from './report/totals.ts'
export { BY_DATE, sayingHow } from './report/without-id.ts'
export {
  leftOutInWords,
  STATUSES_SHOWN,
  statusWords,
  turnedInWords,
  withoutIdInWords,
} from './report/words.ts'
export {
  CLEAN_STATUSES,
  DATE_WINDOW_DAYS_MOST,
  DEFAULT_RULES,
  type Rules,
  type Pass,
  STATUSES,
  type Status,
  TOLERANCE_BASIS_POINTS_MOST,
} from './rules.ts'

/** Its engine is native code, loaded only for a run: whoever asks for help waits for nothing. */
export const runFiles: RunFiles = async options => (await import('./engine/run-files.ts')).runFiles(options)
