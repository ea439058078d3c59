/** What a run is told beside its two sides. Rules are data: they are stored with the run and are part of its key. */

/** Raised whenever the same sides and rules would give another result. Part of every run's key. */
export const RULES_VERSION = 2

export interface Rules {
  /** How many days apart two bookings of one thing may lie. Weekends and one bank holiday are three days. */
  date_window_days: number
  /** How far amounts of one thing may differ: the larger of both. Of the left amount, rounded down. */
  tolerance: { amount: bigint; basis_points: number }
  /**
   * The day the run looks from. A row without counterpart that is booked at most `timing_days` before it may still
   * meet it: it is `timing`, carried to the next run. Absent: nothing is carried.
   */
  as_of: string | null
  timing_days: number
}

/**
 * Pure: why a run may not be carried to one that looks from an earlier day, as a sentence behind its name; null when it may.
 * What waits on one day had not been booked on an earlier one.
 */
export function carriedBack(earlier: Pick<Rules, 'as_of'>, { as_of }: Pick<Rules, 'as_of'>): string | null {
  if (earlier.as_of === null || as_of === null || as_of >= earlier.as_of) return null
  return `looks from ${earlier.as_of}, and this run from ${as_of}: what waits is carried to the same day or a later one`
}

export const DEFAULT_RULES: Rules = {
  date_window_days: 3,
  tolerance: { amount: 0n, basis_points: 0 },
  as_of: null,
  timing_days: 3,
}

/** A quarter: whoever looks further apart is matching different things. */
export const DATE_WINDOW_DAYS_MOST = 92
/** Ten per cent: above it a tolerance hides what a run is there to find. */
export const TOLERANCE_BASIS_POINTS_MOST = 1_000

/** Where a row of either side ends. Every row has exactly one. */
export const STATUSES = [
  'matched',
  'matched_with_tolerance',
  'manual',
  'timing',
  'discrepant',
  'unmatched',
  'duplicate',
  'ambiguous',
] as const
export type Status = (typeof STATUSES)[number]

/** What nobody has to look at. A run is clean when every row is here and none was bad. */
export const CLEAN_STATUSES: readonly Status[] = ['matched', 'matched_with_tolerance', 'manual', 'timing']

/** The pass that decided, in their order. Each consumes rows of both sides exclusively. */
export const PASSES = ['decisions', 'duplicates', 'id', 'batch', 'window', 'tolerance', 'rest'] as const
export type Pass = (typeof PASSES)[number]
