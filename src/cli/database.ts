/** The database of these settings, borrowed by a command: beside a running server, or alone. */
import type { Database } from '#db'

/** Opens it for `work` with one connection; `name` is what an administrator of the database sees. */
export async function withDatabase(name: string, work: (db: Database) => Promise<void>): Promise<void> {
  const [{ readSettings }, { borrowStore }, { openDatabase }] = await Promise.all([
    import('../settings.ts'),
    import('../main/store.ts'),
    import('#db'),
  ])
  const store = await borrowStore(readSettings(process.env))
  const db = openDatabase({ url: store.url, application_name: `bursar ${name}`, connections: 1 })
  try {
    await work(db)
  } finally {
    await db.close()
    await store.close()
  }
}
