/**
 * Tells the simulator where we listen and what to sign with. It forgets both when it restarts, so it is told again and
 * again; a simulator that is away is no trouble: what it has to tell is in its feed as well.
 */
import { createHmac } from 'node:crypto'
import type { Log } from '#metrics'
import type { Settings } from '../settings.ts'

/** How soon a simulator that was started again is told. */
const TELL_EVERY_MS = 5_000
const TELL_TIMEOUT_MS = 2_000

/** What the simulator signs with; null when it is somebody else's and no secret was agreed on. */
export function simulatorWebhookSecret(settings: Settings, installation_secret: string): string | null {
  if (settings.simulator_webhook_secret !== null) return settings.simulator_webhook_secret
  if (settings.simulator_url !== null) return null
  // Derived, so that processes of one installation agree on it, and it opens nothing else.
  return createHmac('sha256', installation_secret).update('webhooks of the simulator').digest('hex')
}

/** Tells at once, and again whenever the simulator may have forgotten. */
export function tellSimulator(options: { simulator_url: string; url: string; secret: string; log: Log }): {
  stop(): Promise<void>
} {
  const { simulator_url, url, secret, log } = options
  const webhook_url = `${url}/v1/webhooks/simulator`
  let is_stopped = false
  let timer: NodeJS.Timeout | undefined
  let is_told = false
  let trouble = ''

  async function ask(method: 'GET' | 'POST', body?: object): Promise<unknown> {
    const response = await fetch(`${simulator_url}/webhooks`, {
      method,
      signal: AbortSignal.timeout(TELL_TIMEOUT_MS),
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const answer: unknown = await response.json()
    if (!response.ok) throw new Error(`the simulator answered ${response.status} to ${method} /webhooks`)
    return answer
  }

  async function tell(): Promise<void> {
    try {
      // Once whatever it knows: it shows where it tells, and not with which secret it signs.
      const known = is_told ? ((await ask('GET')) as { url?: unknown } | null) : null
      // Only what nobody waits for: the answer of a call says the same, and sooner.
      if (known?.url !== webhook_url) await ask('POST', { url: webhook_url, secret, notify: 'unanswered' })
      is_told = true
      trouble = ''
    } catch (error) {
      // Once for each trouble, not every five seconds.
      if (trouble === String(error)) return
      trouble = String(error)
      log.warn('simulator.not_told', { simulator_url, error })
    }
  }

  async function again(): Promise<void> {
    await tell()
    if (is_stopped) return
    timer = setTimeout(() => {
      telling = again()
    }, TELL_EVERY_MS)
  }
  let telling = again()

  return {
    async stop() {
      is_stopped = true
      clearTimeout(timer)
      await telling
    },
  }
}
