/** The database of these settings, for a command that reads or seals the books. */
import type { Database } from '#db'
import type { Settings } from '../../settings.ts'

/** Verification walks on two connections. */
const CONNECTIONS = 2

export async function withBooks<T>(settings: Settings, fn: (db: Database) => Promise<T>): Promise<T> {
  const [{ borrowStore }, { openDatabase }, { pendingMigrations }] = await Promise.all([
    import('../../main/store.ts'),
    import('#db'),
    import('#db/migrate'),
  ])
  const store = await borrowStore(settings)
  try {
    if ((await pendingMigrations(store.url)).some(name => /^\d/.test(name))) {
      throw new Error('the database is older than this version of Bursar: run "bursar migrate" first')
    }
    const db = openDatabase({
      url: store.url,
      application_name: 'bursar ledger',
      connections: CONNECTIONS,
    })
    try {
      return await fn(db)
    } finally {
      await db.close()
    }
  } finally {
    await store.close()
  }
}

/** The same by the settings of this process's environment. */
export async function withSettings<T>(fn: (db: Database) => Promise<T>): Promise<T> {
  const { readSettings } = await import('../../settings.ts')
  return withBooks(readSettings(process.env), fn)
}
