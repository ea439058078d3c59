/**
 * `bursar demo`: a real day against a running server, through the public API only, and then the audit: the API, the
 * simulator's book, its statement and the ledger must tell the same story to the cent. Exit code 0: they do.
 */
import type { Command } from 'commander'
import type { Credentials } from '../main/first-start.ts'
import type { Audit } from './demo/audit.ts'
import type { Balance } from './demo/client.ts'
import type { Check, Day } from './demo/day.ts'

export function declare(command: Command): void {
  command
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nNeeds a running server ("npm start") and its credentials.json, which it finds in BURSAR_DATA_DIR.\n' +
        'Plays payments in several currencies, a decline, 3-D Secure, holds, refunds and retries in test mode.\n' +
        'Example:\n  bursar demo',
    )
    .action(({ json }: { json?: boolean }) => run(json ?? false))
}

interface Story {
  credentials: Credentials
  day: Day
  audit: Audit
  balance: Balance
  checks: Check[]
  is_true: boolean
}

async function run(is_json: boolean): Promise<void> {
  const { print } = await import('./output.ts')
  const story = await tellStory(is_json ? () => undefined : line => process.stdout.write(`${line}\n`))
  const report = await reportOf(story)
  print(is_json, toJson(story), () => report)
  if (!story.is_true) process.exitCode = 1
}

async function tellStory(tell: (line: string) => void): Promise<Story> {
  const [
    { readSettings },
    { demandCredentials },
    { createClient, reach },
    { playDay },
    { audit, lastMovement, movementsAfter },
    { verifyLedger },
    { reconcileDay },
    { systemClock },
  ] = await Promise.all([
    import('../settings.ts'),
    import('../main/first-start.ts'),
    import('./demo/client.ts'),
    import('./demo/day.ts'),
    import('./demo/audit.ts'),
    import('./ledger/verify.ts'),
    import('./demo/reconcile.ts'),
    import('#kernel'),
  ])
  const settings = readSettings(process.env)
  const credentials = demandCredentials(settings.data_dir)
  await reach(credentials.api_url, '/healthz')
  const client = createClient(credentials)
  const began_at = systemClock.now()
  const before = await client.get<Balance>('/v1/balance')
  const after_movement = await lastMovement(credentials)

  tell(`A day at ${credentials.api_url}\n`)
  const day = await playDay(client, tell)

  tell('\nThe audit\n')
  const balance = await client.get<Balance>('/v1/balance')
  const movements = await movementsAfter(credentials, after_movement)
  const audited = await audit(client, day, { before, after: balance, movements })
  const ledger = await verifyLedger(settings)
  const proof: Check = {
    name: 'The ledger proves itself',
    is_true: ledger.ok,
    detail:
      ledger.broken?.reason ?? `${ledger.checked.transfers} transfers, ${ledger.checked.entries} entries`,
  }
  const audit_checks = [...audited.checks, proof, await reconcileDay(settings, credentials, began_at)]
  for (const { name, is_true, detail } of audit_checks) tell(`${is_true ? '✓' : '✗'} ${name}: ${detail}`)
  const checks = [...day.checks, ...audit_checks]
  return { credentials, day, audit: audited, balance, checks, is_true: checks.every(check => check.is_true) }
}

async function reportOf({ credentials, day, balance, checks, is_true }: Story): Promise<string> {
  const [{ table }, { money }] = await Promise.all([import('./output.ts'), import('./demo/day.ts')])
  const payments = table(
    ['payment', 'id', 'amount', 'received', 'status'],
    day.payments.map(({ what, intent }) => [
      what,
      intent.id,
      money(intent.amount, intent.currency),
      money(intent.amount_received, intent.currency),
      intent.status,
    ]),
    [2, 3],
  )
  const refunds = table(
    ['refund', 'amount', 'status'],
    day.refunds.map(refund => [refund.id, money(refund.amount, refund.currency), refund.status]),
    [1],
  )
  const funds = table(
    ['balance', 'amount'],
    (['pending', 'available'] as const).flatMap(state =>
      balance[state].map(({ amount, currency }) => [state, money(amount, currency)]),
    ),
    [1],
  )
  const false_ones = checks.filter(check => !check.is_true).length
  const verdict = is_true
    ? `All ${checks.length} checks hold.`
    : `${false_ones} of ${checks.length} checks do NOT hold (marked ✗ above). If another program paid meanwhile, run the demo alone.`
  const links = [
    `Events        ${credentials.api_url}/v1/events`,
    `Reference     ${credentials.api_url}/docs`,
    `The book      ${credentials.simulator_url}/book`,
  ]
  return ['', payments, '', refunds, '', funds, '', ...links, '', verdict].join('\n')
}

const toJson = ({ credentials, day, audit, balance, checks, is_true }: Story) => ({
  ok: is_true,
  api_url: credentials.api_url,
  account_id: credentials.account_id,
  payments: day.payments.map(({ what, intent }) => ({
    what,
    id: intent.id,
    charge_id: intent.latest_charge_id,
    amount: intent.amount,
    amount_received: intent.amount_received,
    currency: intent.currency,
    status: intent.status,
  })),
  refunds: day.refunds.map(({ id, amount, currency, status }) => ({ id, amount, currency, status })),
  sums: { api: audit.api, book: audit.book, fees: audit.fees, net: audit.net },
  balance: { pending: balance.pending, available: balance.available },
  checks,
})
