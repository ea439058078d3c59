/** How a report speaks of statuses and rules: one place, so that page, console and documentation say the same. */
import type { LeftOut } from '../reading/statement.ts'
import { type Rules, STATUSES, type Status } from '../rules.ts'
import { counted, shownCount } from './amounts.ts'
import type { Turned } from './turned.ts'
import type { WithoutId } from './without-id.ts'

interface Words {
  label: string
  /** What it means, and what to do when there is something to do. */
  meaning: string
}

export const statusWords: Readonly<Record<Status, Words>> = {
  matched: { label: 'Matched', meaning: 'Both sides say the same.' },
  matched_with_tolerance: {
    label: 'Matched within the tolerance',
    meaning: 'The same thing, with amounts that differ by no more than the run allows.',
  },
  manual: {
    label: 'Decided by a person',
    meaning: 'Somebody decided this earlier, with a name and a reason.',
  },
  timing: {
    label: 'Expected soon',
    meaning: 'Booked so recently that the other side may not know it yet. The next run takes it along.',
  },
  discrepant: {
    label: 'Discrepant',
    meaning: 'Both sides know it and say different things of it. One of them is wrong.',
  },
  unmatched: {
    label: 'On one side only',
    meaning: 'The other side does not know it. Money is missing, or it came unexpectedly.',
  },
  duplicate: {
    label: 'Duplicate',
    meaning: 'Its id stands more than once on this side. One went on; this is another.',
  },
  ambiguous: {
    label: 'Ambiguous',
    meaning: 'Several rows could be its counterpart. Nothing was guessed: a person chooses.',
  },
}

/** What needs somebody first, then what does not. */
export const STATUSES_SHOWN: readonly Status[] = [
  'discrepant',
  'unmatched',
  'duplicate',
  'ambiguous',
  'timing',
  'manual',
  'matched_with_tolerance',
  'matched',
]

if (STATUSES_SHOWN.length !== STATUSES.length) throw new Error('every status is shown')

/**
 * Entries of a statement that are no movements, so that a clean run says what it did not look at: `3 entries left out:
 * 2 pending, 1 total`; null where there are none.
 */
export function leftOutInWords(left_out: LeftOut): string | null {
  if (left_out.length === 0) return null
  const all = left_out.reduce((sum, { entries }) => sum + entries, 0)
  const each = left_out.map(({ what, entries }) =>
    left_out.length === 1 ? what : `${shownCount(entries)} ${what}`,
  )
  return `${counted(all, 'entry', 'entries')} left out: ${each.join(', ')}`
}

export const turnedInWords = ({ ids, of, is_sample }: Turned): string =>
  is_sample
    ? `${shownCount(ids)} of the first ${counted(of, 'id')} that both sides know and say differently agree with the sign turned`
    : `${shownCount(ids)} of ${counted(of, 'id')} that both sides know agree with the sign turned`

/** `12 pairs`; of a run too large to be looked through, `12 pairs or more`, and where none is among its first rows, `some pairs`. */
export const withoutIdInWords = ({ pairs, is_all }: WithoutId): string =>
  pairs === 0 && !is_all ? 'some pairs' : `${counted(pairs, 'pair')}${is_all ? '' : ' or more'}`

/** The rules of a run as sentences. */
export function rulesInWords({ as_of, date_window_days, timing_days, tolerance }: Rules): string[] {
  const { amount, basis_points } = tolerance
  const percent = `${Math.floor(basis_points / 100)}.${String(basis_points % 100).padStart(2, '0')} %`
  const allowed = [
    ...(amount > 0n ? [`${amount} minor units`] : []),
    ...(basis_points > 0 ? [`${percent} of the left amount`] : []),
  ]
  return [
    `Dates of one thing lie at most ${date_window_days} days apart.`,
    allowed.length === 0
      ? 'Amounts must be equal.'
      : `Amounts may differ by ${allowed.join(' or ')}${allowed.length > 1 ? ', whichever is more' : ''}.`,
    as_of === null
      ? 'The run looks from no particular day, so nothing is waited for.'
      : `The run looks from ${as_of}: what was booked up to ${timing_days} days before may still come.`,
  ]
}
