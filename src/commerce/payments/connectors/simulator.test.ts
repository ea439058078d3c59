/** The simulator connector against the real simulator, running as a process of its own on a free port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '#kernel'
import { describeConnector } from './conformance.ts'
import type { Misbehaviour, Webhook } from './conformance-calls.ts'
import { magicCard, magicCards } from './magic-cards.ts'
import { type SimulatorConnector, simulatorConnector, simulatorFacts } from './simulator.ts'
import { simulatorWebhooks } from './simulator-webhooks.ts'

const PROGRAM = join(import.meta.dirname, '../../../../simulator/main.ts')
let folder: string
let program: ChildProcess
let url: string
let connector: SimulatorConnector
let unreachable: SimulatorConnector
let receiver: Server
const received: Webhook[] = []
const SECRET = 'a secret for tests'

async function post(path: string, body: object): Promise<{ id: string }> {
  const response = await fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) })
  if (!response.ok) throw new Error(`${path} was refused: ${await response.text()}`)
  return (await response.json()) as { id: string }
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bursar-connector-'))
  program = spawn(process.execPath, [PROGRAM], {
    env: {
      ...process.env,
      SIMULATOR_PORT: '0',
      SIMULATOR_SETTLE_AFTER_MS: '600000',
      BURSAR_DATA_DIR: folder,
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (program.stdout === null) throw new Error('the simulator has no output')
  const [line] = (await once(createInterface(program.stdout), 'line')) as [string]
  url = line.replace('simulator ready at ', '')
  receiver = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { 'simulator-signature': signature } = request.headers
      received.push({
        raw: Buffer.concat(chunks),
        headers: { 'simulator-signature': signature as string },
        received_at: systemClock.now(),
      })
      response.end()
    })
  }).listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  const { port } = receiver.address() as AddressInfo
  await post('/webhooks', { url: `http://127.0.0.1:${port}/`, secret: SECRET })
  connector = simulatorConnector({ url, webhook_secret: SECRET })
  // Port 1 is reserved and never listened on.
  unreachable = simulatorConnector({ url: 'http://127.0.0.1:1' })
})

afterAll(async () => {
  await Promise.all([connector.close(), unreachable.close()])
  program.kill('SIGTERM')
  await once(program, 'exit')
  receiver.close()
  receiver.closeAllConnections()
  rmSync(folder, { recursive: true })
})

const faultOf = ({ operation, kind, ms }: Misbehaviour) => {
  if (kind === 'reset_before') return { operation, kind: 'reset', moment: 'before' }
  if (kind === 'reset_after') return { operation, kind: 'reset', moment: 'after' }
  return ms === undefined ? { operation, kind } : { operation, kind, ms }
}

const traits = {
  joins_twins: true,
  keeps_refused_payouts: true,
  tells_returned_payouts: true,
  returns_dispute_fees: true,
}

describeConnector('simulator', simulatorFacts, traits, () => ({
  connector,
  unreachable,
  tokens: {
    approved: 'pm_card_visa',
    insufficient_funds: 'pm_card_chargeDeclinedInsufficientFunds',
    challenged: 'pm_card_authenticationRequired',
    declined_after_challenge: 'pm_card_threeDSecureRequiredChargeDeclined',
  },
  destinations: {
    fails: { destination: 'btok_us_accountClosed', failure_code: 'account_closed' },
    returned: 'btok_us_returned',
  },
  async dispute({ payment_id, amount, inquiry }) {
    const { id } = await post('/disputes', {
      payment_id,
      ...(amount !== undefined && { amount: Number(amount) }),
      ...(inquiry !== undefined && { inquiry }),
    })
    return id
  },
  async escalate(dispute_id) {
    await post(`/disputes/${dispute_id}/escalate`, {})
  },
  async settle() {
    await post('/settle', {})
  },
  webhooks: () => received,
  readerOf: simulatorWebhooks,
  card: { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' },
  async misbehave(misbehaviour) {
    await post('/faults', { ...faultOf(misbehaviour), rate: 1, count: 1 })
  },
  async behave() {
    await fetch(`${url}/faults`, { method: 'DELETE' })
  },
  async movements(reference) {
    const book = await (await fetch(`${url}/book`)).text()
    return book
      .split('\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as { reference: string; type: string; amount: number })
      .filter(movement => movement.reference === reference)
      .map(({ type, amount }) => ({ type, amount: BigInt(amount) }))
  },
  async answerChallenge(redirect_url, passes) {
    await fetch(`${redirect_url}/${passes ? 'complete' : 'fail'}`, { method: 'POST', redirect: 'manual' })
  },
}))

describe('the magic cards', () => {
  test('are the same cards at Bursar and at the simulator', async () => {
    const { data } = (await (await fetch(`${url}/magic_cards`)).json()) as { data: { token: string }[] }
    const ours = [...magicCards.values()].map(({ token, brand, last4, exp_month, exp_year }) => ({
      token,
      brand,
      last4,
      exp_month,
      exp_year,
    }))
    expect(ours).toEqual(data)
  })

  test('answer to their legacy names too', () => {
    expect(magicCard('tok_visa')).toBe(magicCard('pm_card_visa'))
    expect(magicCard('pm_card_nobody')).toBeUndefined()
  })
})

describe('the simulator connector', () => {
  test('tells a bypassPending card that its funds are available at once', async () => {
    const outcome = await connector.authorize(
      {
        reference: 'bypass-pending',
        amount: 500n,
        currency: 'eur',
        payment_token: 'pm_card_bypassPending',
        capture: true,
        off_session: false,
        return_url: null,
        statement_descriptor: null,
        owner: { account_id: 'acct_1', payment_intent_id: 'pi_1' },
      },
      5_000,
    )
    expect(outcome).toMatchObject({ kind: 'approved', funds_available_at_once: true })
  })

  test('sends nothing after its deadline, even when a connection comes free later', async () => {
    await fetch(`${url}/faults`, {
      method: 'POST',
      body: JSON.stringify({ operation: 'authorize', kind: 'drop_request', rate: 1, count: 64 }),
    })
    const authorize = (reference: string, deadline_ms: number) =>
      connector.authorize(
        {
          reference,
          amount: 500n,
          currency: 'usd',
          payment_token: 'pm_card_visa',
          capture: true,
          off_session: false,
          return_url: null,
          statement_descriptor: null,
          owner: { account_id: 'acct_1', payment_intent_id: 'pi_1' },
        },
        deadline_ms,
      )
    // 64 hanging calls take every connection; the next ones wait for a turn that comes too late.
    const hanging = Array.from({ length: 64 }, (_, i) => authorize(`hanging-${i}`, 900))
    const queued = await Promise.all(Array.from({ length: 5 }, (_, i) => authorize(`queued-${i}`, 300)))
    for (const outcome of queued)
      expect(outcome).toEqual({ kind: 'unknown', reason: 'timeout_before_sending' })
    await Promise.all(hanging)
    for (let i = 0; i < 5; i++) {
      expect(await connector.lookup(`queued-${i}`, 5_000)).toEqual({ kind: 'absent' })
    }
  })
})
