/** What both ways of deciding a rest answer: in memory (few.ts), and in DuckDB (leftovers.ts). */
import type { Suggestion } from '../home.ts'
import type { StatusSum } from './face.ts'

/** What became of the rows. */
export interface Rest {
  /** Lines of `items.csv`: of left rows up to a number into the first file, of all others into the second. */
  writeOthers(rows: number, paths: readonly [string, string]): Promise<void>
  /** It takes memory that the threads of a run must not take at the same time. */
  is_large: boolean
  writeFindings(path: string): Promise<void>
  sums(): Promise<StatusSum[]>
  suggestions(): Promise<Suggestion[]>
  close(): Promise<void>
}
