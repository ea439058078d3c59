import { expect, test } from 'vitest'
import { spawnSync } from 'node:child_process'
import { createLog, type LogLevel } from './log.ts'

function logTo(level: LogLevel = 'info') {
  const lines: Record<string, unknown>[] = []
  const log = createLog({ level, destination: { write: line => void lines.push(JSON.parse(line)) } })
  return { log, lines }
}

test('one unit of work is one JSON line with its name, level and UTC time', () => {
  const { log, lines } = logTo()
  log.event('payment_intent.confirmed', {
    payment_intent_id: 'pi_1',
    amount: 1099n,
    duration_ms: 12.5,
    queries: 3,
  })
  expect(lines).toEqual([
    {
      level: 'info',
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      event: 'payment_intent.confirmed',
      payment_intent_id: 'pi_1',
      amount: 1099,
      duration_ms: 12.5,
      queries: 3,
    },
  ])
})

test('a log made with fields puts them on every line, masked', () => {
  const { log, lines } = logTo()
  const mine = log.with({ request_id: 'req_1', authorization: 'Bearer x' }).with({ account_id: 'acct_1' })
  mine.error('request.failed', { error: new Error('card 4242424242424242') })
  expect(lines[0]).toMatchObject({
    level: 'error',
    request_id: 'req_1',
    account_id: 'acct_1',
    authorization: '[redacted]',
  })
  expect(JSON.stringify(lines)).not.toContain('4242')
})

test('lines below the level are not written', () => {
  const { log, lines } = logTo('warn')
  log.event('a.b')
  log.debug('a.b')
  log.warn('a.c')
  expect(lines.map(line => line.event)).toEqual(['a.c'])
  const silent = logTo('silent')
  silent.log.error('a.d')
  expect(silent.lines).toEqual([])
})

test('lines written just before the process ends reach standard output', () => {
  const script = `import { createLog } from ${JSON.stringify(new URL('./log.ts', import.meta.url).href)}
    const log = createLog({ level: 'info' })
    for (let i = 0; i < 1000; i++) log.event('line.written', { i })
    if (process.argv.includes('flush')) log.flush()
    process.exit(0)`
  for (const how of ['flush', 'exit']) {
    const { stdout } = spawnSync(process.execPath, ['--input-type=module', '-e', script, how], {
      encoding: 'utf8',
    })
    expect(stdout.trim().split('\n')).toHaveLength(1000)
  }
})
