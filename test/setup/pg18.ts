/** The suite's first server: the PostgreSQL that is packaged with Bursar. */
import type { TestProject } from 'vitest/node'
import { provideOwnServer } from './server.ts'

export default (project: TestProject) => provideOwnServer(project, null)
