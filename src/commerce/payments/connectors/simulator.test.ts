/** The simulator connector against the real simulator, running as a process of its own on a free port. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describeConnector, type Misbehaviour } from './conformance.ts'
import { magicCard, magicCards } from './magic-cards.ts'
import { type SimulatorConnector, simulatorConnector } from './simulator.ts'

const PROGRAM = join(import.meta.dirname, '../../../../simulator/main.ts')
let folder: string
let program: ChildProcess
let url: string
let connector: SimulatorConnector
let unreachable: SimulatorConnector

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'bursar-connector-'))
  program = spawn(process.execPath, [PROGRAM], {
    env: { ...process.env, SIMULATOR_PORT: '0', BURSAR_DATA_DIR: folder },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (program.stdout === null) throw new Error('the simulator has no output')
  const [line] = (await once(createInterface(program.stdout), 'line')) as [string]
  url = line.replace('simulator ready at ', '')
  connector = simulatorConnector({ url })
  // Port 1 is reserved and never listened on.
  unreachable = simulatorConnector({ url: 'http://127.0.0.1:1' })
})

afterAll(async () => {
  await Promise.all([connector.close(), unreachable.close()])
  program.kill('SIGTERM')
  await once(program, 'exit')
  rmSync(folder, { recursive: true })
})

const faultOf = ({ operation, kind, ms }: Misbehaviour) => {
  if (kind === 'reset_before') return { operation, kind: 'reset', moment: 'before' }
  if (kind === 'reset_after') return { operation, kind: 'reset', moment: 'after' }
  return ms === undefined ? { operation, kind } : { operation, kind, ms }
}

describeConnector('simulator', () => ({
  connector,
  unreachable,
  tokens: {
    approved: 'pm_card_visa',
    insufficient_funds: 'pm_card_chargeDeclinedInsufficientFunds',
    challenged: 'pm_card_authenticationRequired',
    declined_after_challenge: 'pm_card_threeDSecureRequiredChargeDeclined',
  },
  card: { number: '4242424242424242', exp_month: 12, exp_year: 2034, cvc: '123' },
  async misbehave(misbehaviour) {
    const body = JSON.stringify({ ...faultOf(misbehaviour), rate: 1, count: 1 })
    const response = await fetch(`${url}/faults`, { method: 'POST', body })
    if (response.status !== 201) throw new Error(`the fault was refused: ${await response.text()}`)
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
