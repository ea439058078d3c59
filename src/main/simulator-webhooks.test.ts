/** Telling the simulator where webhooks go and what to sign them with. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createLog } from '#metrics'
import { startSimulator } from '#simulator'
import { eventually } from '../../test/support/testing.ts'
import { tellSimulator } from './simulator-webhooks.ts'

test('a simulator that knows the address from before is told the secret all the same', async () => {
  const data_dir = mkdtempSync(join(tmpdir(), 'bursar-tell-'))
  const simulator = await startSimulator({ port: 0, data_dir, settle_after_ms: 50 })
  const lines: string[] = []
  const log = createLog({ level: 'debug', destination: { write: line => lines.push(line) } })
  const known = { url: 'http://127.0.0.1:9/v1/webhooks/simulator', secret: 'of yesterday', notify: 'all' }
  await fetch(`${simulator.url}/webhooks`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(known),
  })
  const told = tellSimulator({
    simulator_url: simulator.url,
    url: 'http://127.0.0.1:9',
    secret: 'of today',
    log,
  })
  try {
    await eventually(async () => {
      // What it signs with is not shown; what is set with it is.
      const { settings } = (await (await fetch(`${simulator.url}/webhooks`)).json()) as {
        settings: { notify: string }
      }
      expect(settings.notify).toBe('unanswered')
    })
  } finally {
    await told.stop()
    await simulator.close()
    rmSync(data_dir, { recursive: true, force: true })
  }
  expect(lines).toEqual([])
})
