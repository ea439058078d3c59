/** What a result says about its database: version, and the settings that decide what durable means. */
import type { Database } from '#db'

const NAMES = [
  'server_version',
  'fsync',
  'synchronous_commit',
  'full_page_writes',
  'wal_compression',
  'wal_sync_method',
  'commit_delay',
  'shared_buffers',
  'max_wal_size',
  'checkpoint_timeout',
]

/** Throws when a commit is not durable: such a number would mean nothing. */
export async function durability(db: Database): Promise<Record<string, string>> {
  const settings = await db.many<{ name: string; value: string }>`
    select name, current_setting(name) as value
    from pg_settings
    where name = any(${NAMES})
    order by name`
  const values = Object.fromEntries(settings.map(({ name, value }) => [name, value]))
  if (values.fsync !== 'on' || values.synchronous_commit !== 'on') {
    throw new Error('a benchmark runs with fsync and synchronous_commit on')
  }
  return values
}
