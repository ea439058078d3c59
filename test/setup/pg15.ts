/** The suite's second server: the oldest PostgreSQL that we support, installed here or named by a URL. */
import type { TestProject } from 'vitest/node'
import { findPostgresql15, provideOwnServer, provideServer } from './server.ts'

export default (project: TestProject) => {
  const url = process.env.BURSAR_TEST_DATABASE_URL
  return url ? provideServer(project, url) : provideOwnServer(project, findPostgresql15())
}
