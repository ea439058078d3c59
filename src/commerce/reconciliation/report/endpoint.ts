/**
 * The report of a run that is kept, as the command line writes it of files: one page that loads nothing and runs nothing. And
 * what it says beside the run's result, for whoever shows it by themselves.
 */
import { z } from 'zod'
import {
  type Context,
  endpoint,
  type Endpoint,
  id,
  integer,
  mayRead,
  nullable,
  object,
  pageEndpoint,
} from '#http'
import { findSucceeded, runPath } from '../runs/object.ts'
import { STATUSES } from '../rules.ts'
import { wideAmount } from '../wide-amount.ts'
import { hintsOf } from './kept-hints.ts'
import { reportOfKept } from './of-kept.ts'
import { reportPage } from './page.ts'

/** What waits in suspense is of other runs, and as secret as the decisions themselves. */
const lookingOf = (caller: Context['caller']) => ({
  may_read_decisions: mayRead(caller, 'reconciliation_decisions'),
})

export const showReport: Endpoint = pageEndpoint({
  route: 'GET /v1/reconciliation_runs/:id/report',
  summary: 'The report of a run as a page (HTML): totals, findings and what it was made from.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: z.strictObject({}),
  async run({ db, tenant, caller }, _params, { id }) {
    const run = await findSucceeded(db, tenant, id)
    const rest = 'the items of the run'
    return reportPage(await reportOfKept(db, run, lookingOf(caller)), {
      findings_file: rest,
      items_file: rest,
    })
  },
})

const ReconciliationHints = object('reconciliation_hints', null, {
  run_id: id('rec_'),
  turned: nullable(
    z.strictObject({
      ids: integer.describe('So many would agree if the signs of one side were turned.'),
      of: integer.describe('Of all ids that both sides know; of a sample, of the first that differ.'),
      is_sample: z.boolean(),
    }),
  ).describe(
    'Where one side looks written from the other side of the account: turn its signs, and run again.',
  ),
  matched_without_id: z
    .strictObject({ pairs: integer, is_all: z.boolean().describe('False: there are more.') })
    .describe('Pairs that met by amount, currency and date, without a common id.'),
  decided_since: z
    .strictObject({
      rows: z.array(z.strictObject({ status: z.enum(STATUSES), rows: integer })),
      is_all: z.boolean().describe('False: there are more.'),
    })
    .describe('Rows of the run that were decided after it, by the status that they have in it.'),
  suspense: nullable(
    z.array(
      z.strictObject({
        side: z.enum(['left', 'right']),
        row: z.int(),
        decision_id: id('rdc_').describe(
          'The suspense decision that a decision of the kind clear would name.',
        ),
        code: z.enum(['suspense_missing', 'suspense_unexpected']),
        open: wideAmount.describe('What waits for it, which is the amount of the row.'),
        currency: z.string(),
        date: nullable(z.string()).describe('The first day of the rows that were put in suspense.'),
      }),
    ),
  ).describe(
    'Rows without a counterpart that are worth what waits in suspense: of the first 1,000 of a side, for the 1,000 newest suspense decisions. Null for a restricted key that may not read reconciliation_decisions.',
  ),
})

export const showHints: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_runs/:id/hints',
  summary:
    'What to know before looking at single findings: turned signs, pairs without an id, what was decided since, rows that fit suspense.',
  resource: 'reconciliation_runs',
  path: runPath,
  params: z.strictObject({}),
  returns: ReconciliationHints,
  async run(context, _params, { id: run_id }) {
    const run = await findSucceeded(context.db, context.tenant, run_id)
    const { turned, without_id, fits, decided } = await hintsOf(context.db, run, lookingOf(context.caller))
    return context.answer({
      run_id,
      turned: turned && { ids: turned.ids, of: turned.of, is_sample: turned.is_sample ?? false },
      matched_without_id: without_id,
      decided_since: { rows: [...decided.rows], is_all: decided.is_all },
      suspense: fits && [...fits],
    })
  },
})
