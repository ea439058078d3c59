/**
 * Uploading a statement file. #http has it on disk, whole and hashed, before anything is asked of the database; it is read
 * once to see whether it is good as a whole, and once more into one transaction. A row that is bad alone is kept with its line.
 */
import { hash } from 'node:crypto'
import { z } from 'zod'
import { currency, type Endpoint, fileEndpoint, text, type Upload } from '#http'
import { ApiError, newId } from '#kernel'
import type { BadRow } from '../line.ts'
import { openStatement } from '../reading/open.ts'
import { MAPPING_DESCRIBED, readMapping, SAID_BY_API } from '../reading/said-mapping.ts'
import {
  type Batch,
  FORMATS,
  ID_SOURCES,
  type ReadOptions,
  type SaidMapping,
  type Statement,
  StatementError,
} from '../reading/statement.ts'
import { demandFewEnough, demandRoom, insertStatement, KEEPING, RowKeeper } from './keep.ts'
import { ReconciliationStatement, shownStatement, type StatementRow } from './object.ts'

/** Names are what people tell statements apart by: those of files. */
export const NAME_LENGTH_MOST = 200
/** What a person looks at and mends in the source; all are counted. */
const BAD_ROWS_KEPT_MOST = 1_000

const UploadParams = z.strictObject({
  name: text(NAME_LENGTH_MOST).min(1).describe('What it is called from now on: the name of the file.'),
  format: z.enum(FORMATS).optional().describe('Told from the first bytes, unless given.'),
  mapping: text(8_000).optional().describe(MAPPING_DESCRIBED),
  currency: currency.optional().describe('Of rows whose file does not say it.'),
  id_from: z.enum(ID_SOURCES).optional().describe('Which reference of a bank statement is the id.'),
  is_empty_allowed: z
    .boolean()
    .optional()
    .describe('A file of columns without rows is refused as a failed export, unless it is meant.'),
})

/** Throws `parameter_invalid`. */
function mappingOf(given: string | undefined): SaidMapping | undefined {
  if (given === undefined) return undefined
  const mapping = readMapping(given)
  if (typeof mapping !== 'string') return mapping
  throw new ApiError('parameter_invalid', { param: 'mapping', message: `mapping${mapping}` })
}

export const uploadStatement: Endpoint = fileEndpoint({
  route: 'POST /v1/reconciliation_statements',
  summary: 'Upload a statement file: read, checked and frozen whole, or refused with the line at fault.',
  resource: 'reconciliation_statements',
  takes_what: 'CSV, JSON lines, CAMT.053, MT940 or BAI2, as it is or packed with gzip; at most 1 GiB.',
  params: UploadParams,
  returns: ReconciliationStatement,
  async run(context, { params, file }) {
    const { tenant } = context
    const mapping = mappingOf(params.mapping)
    const options: ReadOptions = {
      name: params.name,
      ...(params.format !== undefined && { format: params.format }),
      ...(mapping !== undefined && { mapping }),
      ...(params.currency !== undefined && { currency: params.currency }),
      ...(params.id_from !== undefined && { id_from: [params.id_from] }),
      ...(params.is_empty_allowed !== undefined && { is_empty_allowed: params.is_empty_allowed }),
    }
    // Once for nothing: a tenth of the work, and a file that is bad at its end has written nothing that must be undone.
    await readAll(file, options, countingRows())
    const now = context.clock.now()
    const id = newId(now)
    return context.finish(
      'kept',
      async tx => {
        await demandRoom(tx, tenant)
        const keeper = new RowKeeper(tx, tenant, id)
        const bad: BadRow[] = []
        const statement = await readAll(file, options, async batch => {
          await keeper.take(batch.lines)
          bad.push(...batch.bad.slice(0, BAD_ROWS_KEPT_MOST - bad.length))
        })
        const { rows, sums, sha256: rows_sha256 } = await keeper.finish()
        const { bad_rows, left_out, controls } = statement.finish()
        const { format } = statement
        const used = statement.mapping && { ...statement.mapping }
        const row: StatementRow = {
          ...tenant,
          id,
          name: params.name,
          source: 'file',
          format,
          mapping: used,
          selection: null,
          sha256: file.sha256,
          content: contentOf([format, used, asked(params), rows_sha256, bad_rows, controls]),
          bytes: BigInt(file.bytes),
          rows,
          bad_rows,
          bad,
          left_out,
          controls,
          sums,
          created_at: now,
        }
        await insertStatement(tx, row)
        context.note({ statement_rows: rows, statement_bad_rows: bad_rows, statement_bytes: file.bytes })
        return shownStatement(row)
      },
      KEEPING,
    )
  },
})

/** Answers what can be said at the end. Throws `reconciliation_statement_invalid`. */
async function readAll(
  file: Upload,
  options: ReadOptions,
  take: (batch: Batch) => Promise<void>,
): Promise<Statement> {
  try {
    const statement = await openStatement(file.stream(), options)
    for await (const batch of statement.batches()) await take(batch)
    return statement
  } catch (error) {
    if (!(error instanceof StatementError)) throw error
    throw new ApiError('reconciliation_statement_invalid', {
      message: error.unsaid === null ? error.message : `${error.message}. ${SAID_BY_API[error.unsaid]}`,
      detail: { line: error.line },
    })
  }
}

/** Throws `reconciliation_statement_too_large`. */
function countingRows(): (batch: Batch) => Promise<void> {
  let rows = 0
  return async ({ lines }) => {
    rows += lines.length
    demandFewEnough(rows)
  }
}

/**
 * Of what was read and not of the bytes: a file and the same file packed are one. All that a run's answer depends on is in
 * it, and how the file was read, which another reading of the same rows may have been told otherwise.
 */
const contentOf = (read: unknown[]): string => hash('sha256', JSON.stringify(read), 'hex')

/** What was said of the reading beside what the mapping shows. */
const asked = ({ currency, id_from }: z.output<typeof UploadParams>) => [currency ?? null, id_from ?? null]
