/** Reading statements, and letting one go that no run names. */
import { z } from 'zod'
import { sql } from '#db'
import {
  endpoint,
  type Endpoint,
  expandOne,
  keyset,
  listOf,
  listParams,
  page,
  retrieveParams,
  text,
} from '#http'
import { enqueue } from '#jobs'
import { ApiError } from '#kernel'
import { forgetJob } from './forget.ts'
import {
  findStatement,
  ReconciliationStatement,
  shownStatement,
  statementColumns,
  statementPath,
  type StatementRow,
} from './object.ts'
import { NAME_LENGTH_MOST } from './upload.ts'

export const retrieveStatement: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_statements/:id',
  summary: 'Retrieve a statement: how it was read, its sums, its controls and its bad rows.',
  resource: 'reconciliation_statements',
  path: statementPath,
  params: retrieveParams,
  returns: ReconciliationStatement,
  async run(context, params, { id }) {
    const row = shownStatement(await findStatement(context.db, context.tenant, id))
    return context.answer(await expandOne(context, ReconciliationStatement, row, params.expand))
  },
})

export const listStatements: Endpoint = endpoint({
  route: 'GET /v1/reconciliation_statements',
  summary: 'List statements, newest first.',
  resource: 'reconciliation_statements',
  params: listParams({ filters: { name: text(NAME_LENGTH_MOST).optional() } }),
  returns: listOf(ReconciliationStatement),
  async run(context, params) {
    const { account_id, livemode } = context.tenant
    const at = keyset(ReconciliationStatement, context.tenant, params)
    const of_name = params.name === undefined ? sql`` : sql`and name = ${params.name}`
    const rows = await context.db.many<StatementRow>`
      select ${statementColumns}
      from (
        select id
        from reconciliation_statements
        where account_id = ${account_id} and livemode = ${livemode} ${of_name} and deleted_at is null and ${at.where}
        order by ${at.order_by}
        limit ${at.limit}
      ) as page
      join reconciliation_statements using (id)
      where account_id = ${account_id} and livemode = ${livemode}`
    return context.answer(await page(context, ReconciliationStatement, at, rows.map(shownStatement)))
  },
})

export const deleteStatement: Endpoint = endpoint({
  route: 'DELETE /v1/reconciliation_statements/:id',
  summary: 'Delete a statement that no run names, with its rows. What a run was made of stays.',
  resource: 'reconciliation_statements',
  path: statementPath,
  params: z.strictObject({}),
  returns: ReconciliationStatement,
  run: (context, _params, { id }) =>
    context.finish('deleted', async tx => {
      const { account_id, livemode } = context.tenant
      // Locked as a new run locks it by its foreign key: one of the two sees the other.
      const locked = await tx.maybe<{ id: string }>`
        select id
        from reconciliation_statements
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id} and deleted_at is null
        for update`
      const row = await findStatement(tx, context.tenant, locked?.id ?? id)
      const { is_named } = await tx.one<{ is_named: boolean }>`
        select exists (
          select
          from reconciliation_runs
          where account_id = ${account_id} and livemode = ${livemode}
            and (left_statement_id = ${id} or right_statement_id = ${id})
        ) as is_named`
      if (is_named) throw new ApiError('reconciliation_statement_in_use', { param: 'id' })
      await tx.run`
        update reconciliation_statements
        set deleted_at = ${context.clock.now()}
        where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`
      await enqueue(tx, forgetJob, { account_id, livemode, statement_id: id })
      return shownStatement(row)
    }),
})
