/**
 * Which file begins when. Those that wait for processes to start and to die, and those that play orders by the hundred,
 * go first: begun last, one of them would run on alone when all others are done.
 */
import { BaseSequencer, type TestSpecification } from 'vitest/node'

const LONG = /\/test\/(crash|simulation)\/|\/test\/scenarios\/(races|recovery|list-plans)/

export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const is_long = ({ moduleId }: TestSpecification) => LONG.test(moduleId)
    return [...sorted.filter(is_long), ...sorted.filter(file => !is_long(file))]
  }
}
