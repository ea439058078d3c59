/** The file engine: two files and a directory in, every row with a home out. DuckDB is loaded by the first run. */
export {
  BAD_ROWS_SHOWN_MOST,
  type Control,
  type FileRun,
  type FileSide,
  type Item,
  type Progress,
  type RunFilesOptions,
  type SideSummary,
  STAGES,
  type StatusSum,
} from './face.ts'
export { openRun, RunFailed, runFiles } from './run-files.ts'
