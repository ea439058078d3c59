/**
 * The guide to the API, tried: the files of docs/reconciliation-api.md are written, and every block of it that asks the API
 * is run by a shell, in its order, against a server with a worker.
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeId } from '#kernel'
import { writeCredentials } from '../support/credentials.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'
import { makeFolder } from './command.fixture.ts'
import { workOffRuns } from './worker.fixture.ts'

const GUIDE_MS = 180_000
const page = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'reconciliation-api.md'), 'utf8')
const blocks = [...page.matchAll(/^```(\w+) ?(\S*)\n([\s\S]*?)^```$/gm)].map(
  ([, language = '', file = '', text = '']) => ({ language, file, text }),
)

const folder = makeFolder()
let world: World
let account: TestAccount
let stopWorking: () => Promise<void>

beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
  const { port } = await world.server.listen({ port: 0 })
  writeCredentials(join(folder.path, '.bursar'), {
    api_url: `http://127.0.0.1:${port}`,
    account_id: encodeId('acct_', account.account_id),
    secret_key: account.secret_key,
  })
  stopWorking = workOffRuns(world, account)
})
afterAll(async () => {
  await stopWorking?.()
  await world.verifyLedger()
  await world.close()
  folder.remove()
})

test(
  'what the guide asks of the API is answered, and leaves what it says',
  async () => {
    for (const { file, text } of blocks.filter(({ file }) => file !== '')) folder.write(file, text)
    const asked = blocks.filter(({ language, text }) => language === 'sh' && text.includes('curl '))
    // A block alone would be nothing: what one has asked for, the next names.
    const script = ['set -eu', 'curl() { command curl -f "$@"; }', ...asked.map(({ text }) => text)].join(
      '\n',
    )
    await promisify(execFile)('sh', [folder.write('guide.sh', script)], {
      cwd: folder.path,
      env: { ...process.env, TMPDIR: folder.path },
      timeout: GUIDE_MS,
    })
    const { data } = (await account.api.get('/v1/reconciliation_decisions?limit=100')).body
    expect(data.map(({ kind, status }: Json) => `${kind} ${status}`).toSorted()).toEqual([
      'clear standing',
      'suspense cleared',
      'write_off withdrawn',
    ])
    const statements = (await account.api.get('/v1/reconciliation_statements')).body.data
    expect(statements.map(({ source, rows }: Json) => `${source} ${rows}`).toSorted()).toEqual([
      'file 1',
      'file 2',
      'ledger 0',
      'ledger 0',
    ])
    // The command line's way, by the files of this page; the run that it prints is the one to be shown.
    const kept = [...page.matchAll(/^npx bursar reconcile (--keep .*)$/gm)].map(([, words = '']) => words)
    expect(kept).toHaveLength(1)
    const ran = await folder.run('reconcile', ...(kept[0] ?? '').split(' '))
    expect({ code: ran.code, out: ran.out }).toEqual({
      code: 1,
      out: expect.stringMatching(/\nRun rec_\w+\n$/),
    })
    expect(folder.read('wires-report.html')).toContain('wire-77')
  },
  GUIDE_MS,
)
