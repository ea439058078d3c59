/** A fresh embedded PostgreSQL for a benchmark: migrated, durable, gone afterwards. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Database, openDatabase } from '#db'
import { startEmbedded } from '#db/embedded'
import { migrate } from '#db/migrate'

export interface BenchDatabase {
  db: Database
  url: string
  /** Version and the settings that decide what durable means. */
  postgresql: Record<string, string>
  readonly close: () => Promise<void>
}

export async function benchDatabase(connections: number): Promise<BenchDatabase> {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-bench-'))
  // Passable: the server's account is not ours when we are root. The data itself is private all the same.
  chmodSync(scratch, 0o711)
  const server = await startEmbedded({ data_dir: join(scratch, 'data') })
  const close = async () => {
    await server.stop()
    rmSync(scratch, { recursive: true, force: true })
  }
  try {
    await migrate({ url: server.url })
    const db = openDatabase({ url: server.url, connections, application_name: 'bursar bench' })
    const settings = await db.many<{ name: string; setting: string }>`
      select name, setting from pg_settings
      where name in ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'shared_buffers', 'wal_sync_method', 'commit_delay')
      order by name`
    const postgresql = Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))
    if (postgresql.fsync !== 'on' || postgresql.synchronous_commit !== 'on') {
      throw new Error('a benchmark runs with fsync and synchronous_commit on')
    }
    return {
      db,
      url: server.url,
      postgresql,
      close: async () => {
        await db.close()
        await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}
