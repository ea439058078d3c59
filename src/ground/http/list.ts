/**
 * Lists: newest first, keyset and never offset, both directions. Ids are ordered by creation, so one index on the id
 * serves the order, the cursor and `created_at` ranges alike. A resource writes its own SQL around three fragments:
 *
 * ```ts
 * const at = keyset(Charge, context.tenant, params)
 * const rows = await context.db.many<ChargeRow>`
 *   select ${chargeColumns}
 *   from (
 *     select id
 *     from charges
 *     where account_id = ${account_id} and livemode = ${livemode} and ${at.where}
 *     order by ${at.order_by}
 *     limit ${at.limit}
 *   ) as page
 *   join charges using (id)
 *   where account_id = ${account_id} and livemode = ${livemode}`
 * return context.answer(await page(context, Charge, at, rows))
 * ```
 * The inner select reads only the index; the rows of one page are joined to it, in any order.
 */
import { z } from 'zod'
import { type Fragment, raw, sql } from '#db'
import { idRangeFloor, type Tenant } from '#kernel'
import { CURSOR_LENGTH, type CursorScope, decodeCursor, type Direction, encodeCursor } from './cursor.ts'
import { JsonText } from './encoder.ts'
import { type Expansions, expandMany, expandParam, parseExpand, type Reader } from './expand.ts'
import { type AnyObject, integer, type ObjectOf, timestamp } from './schema.ts'

/** what a person scans, and what a page costs at most. */
const LIMIT_DEFAULT = 20
const LIMIT_MAX = 100

const createdAt = z
  .strictObject({
    gt: timestamp.optional(),
    gte: timestamp.optional(),
    lt: timestamp.optional(),
    lte: timestamp.optional(),
  })
  .describe('Only what was created then: `created_at[gte]=2026-01-01T00:00:00Z`.')

const paging = {
  limit: integer.min(1).max(LIMIT_MAX).default(LIMIT_DEFAULT).describe('How many objects a page holds.'),
  cursor: z
    .string()
    // A longer text is no cursor either way; this only spares us looking at it.
    .max(CURSOR_LENGTH * 2)
    .optional()
    .describe('A next_cursor or prev_cursor of this list, used with the same filters.'),
  created_at: createdAt.optional(),
  expand: expandParam,
}

/** The parameters of a list: paging, `created_at`, `expand` and the resource's own filters (all optional). */
export function listParams<Filters extends z.ZodRawShape>(options: { filters: Filters }) {
  return z.strictObject({ ...paging, ...options.filters })
}

interface ListParams {
  limit: number
  cursor?: string | undefined
  created_at?: z.output<typeof createdAt> | undefined
  expand?: string[] | undefined
}

/** A page of objects, as the reference shows it and tests check it. */
export function listOf<Object extends AnyObject>(object: Object) {
  return z
    .strictObject({
      data: z.array(object).describe('Newest first.'),
      has_more: z
        .boolean()
        .describe('Whether the list goes on in the direction asked for: older, or newer with a prev_cursor.'),
      next_cursor: z.nullable(z.string()).describe('Leads to the next, older page; null when there is none.'),
      prev_cursor: z.nullable(z.string()).describe('Leads back to newer objects; null when there are none.'),
    })
    .meta({ id: `${object.name}_list` })
}

export interface Keyset {
  /** A condition on `id`, never empty. */
  readonly where: Fragment
  /** `id desc`, or `id asc` on the way back. */
  readonly order_by: Fragment
  /** One more than the page holds: whether it is there says whether the list goes on. */
  readonly limit: number
  readonly direction: Direction
  /** The bounds of `where`, both exclusive: for a list whose places are something other than ids, written as uuids. */
  readonly above: string
  readonly below: string
  /** Whether the caller came by a cursor, so that there is a page behind. */
  readonly is_first: boolean
  readonly scope: CursorScope
  readonly expansions: Expansions
}

const LOWEST = '00000000-0000-0000-0000-000000000000'
const HIGHEST = 'ffffffff-ffff-ffff-ffff-ffffffffffff'

/** Where a page lies. Throws `invalid_cursor` and `expand_invalid`, before anything is read. */
export function keyset(object: AnyObject, tenant: Tenant, params: ListParams): Keyset {
  const { limit, cursor: text, expand, ...filters } = params
  const expansions = parseExpand(object, expand)
  const { account_id, livemode } = tenant
  const scope: CursorScope = { account_id, livemode, resource: object.name, filters }
  const cursor = text === undefined ? undefined : decodeCursor(scope, text)
  const direction = cursor?.direction ?? 'older'
  let [above, below] = idRange(params.created_at)
  // Lower-case uuids compare as text exactly as PostgreSQL compares them as bytes.
  if (cursor?.direction === 'older' && cursor.id < below) below = cursor.id
  if (cursor?.direction === 'newer' && cursor.id > above) above = cursor.id
  return {
    // Both bounds always, so that each list has two SQL texts and not one for every mix of filters.
    where: sql`id > ${above}::uuid and id < ${below}::uuid`,
    order_by: direction === 'older' ? raw('id desc') : raw('id asc'),
    limit: limit + 1,
    direction,
    above,
    below,
    is_first: cursor === undefined,
    scope,
    expansions,
  }
}

/**
 * Creation times as exclusive bounds on ids. The floor of an instant is an id that is never made (it has no version),
 * so `id > floor(t)` is `created_at >= t`, and the next millisecond's floor tells `>` from `>=`.
 */
function idRange(created_at: ListParams['created_at']): [above: string, below: string] {
  const floor = (at: Date, plus_ms: number) => idRangeFloor(new Date(at.getTime() + plus_ms))
  const { gt, gte, lt, lte } = created_at ?? {}
  const lower = [gte && floor(gte, 0), gt && floor(gt, 1)].filter(bound => bound !== undefined)
  const upper = [lt && floor(lt, 0), lte && floor(lte, 1)].filter(bound => bound !== undefined)
  return [lower.sort().at(-1) ?? LOWEST, upper.sort()[0] ?? HIGHEST]
}

/**
 * The list answer for the rows that the keyset's fragments selected, in any order. A cursor is null where, at the
 * time of asking, nothing lay beyond.
 */
export async function page<Row extends { id: string }>(
  reader: Reader,
  object: ObjectOf<NoInfer<Row>>,
  at: Keyset,
  rows: readonly Row[],
): Promise<JsonText> {
  const newest_first = [...rows].sort((a, b) => (a.id < b.id ? 1 : -1))
  const has_more = rows.length === at.limit
  // The row too many lies at the far end: below when going to older ones, above on the way back.
  if (has_more && at.direction === 'older') newest_first.pop()
  else if (has_more) newest_first.shift()
  const texts = await expandMany(reader, object, newest_first, at.expansions)
  const first = newest_first[0]
  const last = newest_first.at(-1)
  const has_older = at.direction === 'older' ? has_more : true
  const has_newer = at.direction === 'newer' ? has_more : !at.is_first
  const next = last && has_older ? encodeCursor(at.scope, { direction: 'older', id: last.id }) : null
  const prev = first && has_newer ? encodeCursor(at.scope, { direction: 'newer', id: first.id }) : null
  return new JsonText(
    `{"data":[${texts.join(',')}],"has_more":${has_more},` +
      `"next_cursor":${JSON.stringify(next)},"prev_cursor":${JSON.stringify(prev)}}`,
  )
}
