/** Counts the tests of a run for the last line of `npm test`, and says nothing itself. */
import { writeFileSync } from 'node:fs'
import type { SerializedError } from 'vitest'
import type { Reporter, TestModule } from 'vitest/node'

export default class Summary implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const file = process.env.BURSAR_TEST_SUMMARY
    if (file === undefined) return
    const counts = { passed: 0, failed: errors.length, skipped: 0 }
    for (const module of modules) {
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        // A test that never got to run, because the run was interrupted, did not pass.
        counts[state === 'pending' ? 'failed' : state] += 1
      }
      // A file that does not load, or a setup that fails, has no failed test to show for it.
      for (const group of [module, ...module.children.allSuites()]) {
        if (group.errors().length > 0) counts.failed += 1
      }
    }
    writeFileSync(file, JSON.stringify(counts))
  }
}
