/** Reads the request log across accounts, for a person at the command line; the API reads it for one account. */
import { type Db, sql } from '#db'
import { requestLogColumns, type RequestLogRow } from '#http'
import { decodeId, type Tenant } from '#kernel'

/** A request and whose it is. */
export interface RequestFound {
  tenant: Tenant
  row: RequestLogRow
}

type FoundRow = RequestLogRow & { account_id: string }

const found = (row: FoundRow): RequestFound => ({
  tenant: { account_id: row.account_id, livemode: row.livemode },
  row,
})

/** A request by the id its caller saw. */
export async function findRequest(db: Db, id: string): Promise<RequestFound | undefined> {
  const uuid = decodeId('req_', id)
  if (uuid === undefined) throw new Error(`"${id}" is not the id of a request, which begins with req_`)
  const row = await db.maybe<FoundRow>`
    select account_id, ${requestLogColumns}
    from request_logs
    where id = ${uuid}`
  return row && found(row)
}

export interface RequestQuestion {
  since_ms: number
  account_id: string | null
  status: [least: number, most: number]
  idempotency_key: string | null
  limit: number
}

/** Newest first. */
export async function findRequests(db: Db, question: RequestQuestion): Promise<RequestFound[]> {
  const { account_id, idempotency_key, status } = question
  const [least, most] = status
  const of_failures = least >= 400 ? sql`and status >= 400` : sql``
  const rows = await db.many<FoundRow>`
    select account_id, ${requestLogColumns}
    from request_logs
    where id >= uuid_floor(now() - ${question.since_ms} * interval '1 millisecond')
      and status between ${least} and ${most} ${of_failures}
      and (${account_id}::uuid is null or account_id = ${account_id})
      and (${idempotency_key}::text is null or idempotency_key = ${idempotency_key})
    order by id desc
    limit ${question.limit}`
  return rows.map(found)
}
