/** Taking a deleted statement's rows away, a page at a time, and the statement last. */
import { z } from 'zod'
import type { Queries } from '#db'
import { defineJob } from '#jobs'
import { failpoint } from '#kernel'

/** Some hundred milliseconds of deleting. */
const PAGE = 10_000

const payload = z.object({ account_id: z.uuid(), livemode: z.boolean(), statement_id: z.uuid() })
type Payload = z.output<typeof payload>

export const forgetJob = defineJob({
  name: 'reconciliation.forget_statement',
  payload,
  async run(context, statement) {
    let deleted = 0
    for (;;) {
      const count = await deletePage(context.db, statement)
      deleted += count
      context.note({ statement_id: statement.statement_id, deleted })
      if (count < PAGE) break
      await failpoint('job.batch', 'reconciliation.forget_statement')
      // Thrown, so that it is run again: what is deleted stays deleted.
      context.signal.throwIfAborted()
    }
    await deleteStatement(context.db, statement)
  },
})

const deletePage = (db: Queries, { account_id, livemode, statement_id }: Payload): Promise<number> => db.run`
  delete from reconciliation_rows
  where account_id = ${account_id} and livemode = ${livemode} and statement_id = ${statement_id}
    and row = any(array(
      select row
      from reconciliation_rows
      where account_id = ${account_id} and livemode = ${livemode} and statement_id = ${statement_id}
      order by row
      limit ${PAGE}
    ))`

const deleteStatement = (
  db: Queries,
  { account_id, livemode, statement_id }: Payload,
): Promise<number> => db.run`
  delete from reconciliation_statements
  where account_id = ${account_id} and livemode = ${livemode} and id = ${statement_id} and deleted_at is not null`
