/**
 * What consumers of events stand on: of each object, every event has a version of its own, and they rise by one each in
 * the order in which they were written. Asked of every database that scenarios have played on.
 */
import type { Queries } from '#db'

/** Sentences for what does not hold; none when all is well. */
export async function versionFlaws(db: Queries): Promise<string[]> {
  const rows = await db.many<{ object_id: string; told: string }>`
    select object_id, string_agg(object_version || ' ' || type, ', ' order by id) as told
    from (
      select account_id, livemode, object_id, object_version, type, id,
        lag(object_version) over (partition by account_id, livemode, object_id order by id) as before
      from events
    ) as told
    group by account_id, livemode, object_id
    having bool_or(before is not null and object_version <> before + 1)`
  return rows.map(({ object_id, told }) => `${object_id}: ${told}`)
}
