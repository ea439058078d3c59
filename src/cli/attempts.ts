/** `bursar attempts`: the operations whose outcome nobody knows yet, payouts among them, of all accounts, and what is done about each. */
import type { Command } from 'commander'
import type { Database } from '#db'
import type { OpenAttempt, OpenPayout } from '#payments'
import { withDatabase } from './database.ts'
import { age, durationMs } from './duration.ts'

interface ListOptions {
  state?: string
  processor?: string
  account?: string
  olderThan?: string
  json?: boolean
}

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nExamples:\n  bursar attempts list --older-than 10m\n  bursar attempts show att_01jd…\n  bursar attempts check att_01jd…',
  )
  command
    .command('list')
    .description('List the operations without an outcome, payouts among them, oldest first.')
    .option('--state <state>', 'prepared | sent | unknown | requires_action | pending')
    .option('--processor <name>', 'of one processor')
    .option('--account <id>', 'of one account (acct_…)')
    .option('--older-than <time>', 'made longer ago than this: 30s, 10m, 1h, 2d')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar attempts list --state unknown --older-than 10m')
    .action((options: ListOptions) => withDatabase('attempts', db => list(db, options)))
  command
    .command('show <id>')
    .description('Show one (att_…, po_…) that has no outcome yet, with what is done next and when.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar attempts show att_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) =>
      withDatabase('attempts', db => show(db, id, options)),
    )
  command
    .command('check <id>')
    .description(
      'Have one (att_…, po_…) looked at now, by a running worker; or a failed orphan capture (oc_…) given back once more.',
    )
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nSafe at any time: what is sent again goes out under the same reference.\n' +
        'Example:\n  bursar attempts check att_01jd3x0yfae4qa9vrf2kz5m8wt',
    )
    .action((id: string, options: { json?: boolean }) =>
      withDatabase('attempts', db => check(db, id, options)),
    )
}

async function list(db: Database, options: ListOptions): Promise<void> {
  const [
    { attemptLifecycle, unresolvedAttempts, UNRESOLVED_MOST, unresolvedPayouts },
    { decodeId },
    { print, table },
  ] = await Promise.all([import('#payments'), import('#kernel'), import('./output.ts')])
  const open_states = attemptLifecycle.states.filter(state => !attemptLifecycle.isFinal(state))
  if (options.state !== undefined && !open_states.some(state => state === options.state)) {
    throw new Error(`--state must be one of ${open_states.join(', ')}`)
  }
  const account_id = options.account === undefined ? undefined : decodeId('acct_', options.account)
  if (options.account !== undefined && account_id === undefined) {
    throw new Error('--account must be an id (acct_…)')
  }
  const older_than_ms = options.olderThan === undefined ? 0 : durationMs('--older-than', options.olderThan)
  const [attempts, payouts] = await Promise.all([unresolvedAttempts(db), unresolvedPayouts(db)])
  const is_asked = (open: OpenAttempt | OpenPayout) =>
    (options.state === undefined || open.state === options.state) &&
    (options.processor === undefined || open.processor === options.processor) &&
    (account_id === undefined || open.account_id === account_id) &&
    open.age_ms >= older_than_ms
  const shown = await Promise.all([
    ...attempts.filter(is_asked).map(toShow),
    ...payouts.filter(is_asked).map(toShowPayout),
  ])
  shown.sort((a, b) => b.age_ms - a.age_ms)
  const is_cut = [attempts, payouts].some(({ length }) => length === UNRESOLVED_MOST)
  print(options.json, { data: shown, is_cut }, () =>
    shown.length === 0
      ? 'Nothing is open.'
      : table(
          ['id', 'account', 'operation', 'state', 'age', 'silent', 'checks', 'why', 'next', 'when'],
          shown.map(attempt => [
            attempt.id,
            attempt.account_id,
            attempt.operation,
            attempt.state,
            attempt.age,
            attempt.silence ?? '–',
            String(attempt.checks),
            attempt.reason ?? '',
            attempt.next_action ?? '',
            attempt.due_at ?? '',
          ]),
          [6],
        ) + (is_cut ? `\nOnly the ${UNRESOLVED_MOST} oldest of each kind were read.` : ''),
  )
}

async function show(db: Database, name: string, options: { json?: boolean }): Promise<void> {
  const { print } = await import('./output.ts')
  const shown = name.startsWith('po_')
    ? await toShowPayout(await findPayout(db, name))
    : await toShow(await find(db, name))
  print(options.json, shown, () =>
    Object.entries(shown)
      .map(([field, value]) => `${field.padEnd(19)}  ${value ?? '–'}`)
      .join('\n'),
  )
}

async function check(db: Database, name: string, options: { json?: boolean }): Promise<void> {
  const { print } = await import('./output.ts')
  if (name.startsWith('oc_')) {
    await retry(db, name)
    print(
      options.json,
      { id: name, is_due: true },
      () => `${name} is given back once more, by a running worker.`,
    )
    return
  }
  const { makeDue, makePayoutDue } = await import('#payments')
  if (name.startsWith('po_')) {
    const payout = await findPayout(db, name)
    const is_due = await makePayoutDue(db, payout, payout.id)
    print(options.json, { id: name, is_due }, () =>
      is_due ? `${name} is looked at within a second, by a running worker.` : `${name} has its outcome now.`,
    )
    return
  }
  const attempt = await find(db, name)
  const is_due = await makeDue(db, attempt, attempt.id)
  print(options.json, { id: name, is_due }, () =>
    is_due
      ? `${name} is looked at within a second, by a running worker. See it with "bursar attempts show ${name}".`
      : `A request drives ${name}; if it has died, it is taken over at ${attempt.due_at?.toISOString() ?? 'any moment'}.`,
  )
}

async function find(db: Database, name: string): Promise<OpenAttempt> {
  const [{ findUnresolved }, { decodeId }] = await Promise.all([import('#payments'), import('#kernel')])
  const id = decodeId('att_', name)
  if (id === undefined) throw new Error(`${name} is no id of a payment attempt (att_…)`)
  const attempt = await findUnresolved(db, id)
  if (!attempt) {
    throw new Error(
      `${name} is not open: it has its outcome, which its account sees at GET /v1/payment_attempts/${name}, or it is not known`,
    )
  }
  return attempt
}

async function findPayout(db: Database, name: string): Promise<OpenPayout> {
  const [{ findUnresolvedPayout }, { decodeId }] = await Promise.all([import('#payments'), import('#kernel')])
  const id = decodeId('po_', name)
  if (id === undefined) throw new Error(`${name} is no id of a payout (po_…)`)
  const payout = await findUnresolvedPayout(db, id)
  if (!payout) throw new Error(`${name} is not open: it has its outcome, or is not known`)
  return payout
}

/** A person has looked, and wants the processor asked again. */
async function retry(db: Database, name: string): Promise<void> {
  const [{ retryOrphan }, { decodeId, systemClock: clock }] = await Promise.all([
    import('#payments'),
    import('#kernel'),
  ])
  const id = decodeId('oc_', name)
  const tenant = id === undefined ? undefined : await tenantOf(db, id)
  if (id === undefined || tenant === undefined) throw new Error(`there is no orphan capture ${name}`)
  const cause = { tenant, clock, request_id: null, idempotency_key: null }
  if (!(await retryOrphan({ db }, cause, id))) {
    throw new Error(`${name} has not failed: see its attempt with "bursar attempts list"`)
  }
}

const tenantOf = async (db: Database, id: string) =>
  (await import('#payments')).findOwner(db, 'orphan_captures', id)

async function toShow(attempt: OpenAttempt) {
  const [{ factsOf, nextAction }, { encodeId }] = await Promise.all([import('#payments'), import('#kernel')])
  const { silence_ms } = attempt
  const encoded = (prefix: 'pi_' | 're_' | 'oc_', id: string | null) =>
    id === null ? null : encodeId(prefix, id)
  return {
    id: encodeId('att_', attempt.id),
    account_id: encodeId('acct_', attempt.account_id),
    livemode: attempt.livemode,
    operation: attempt.operation,
    state: attempt.state,
    amount: attempt.amount,
    currency: attempt.currency,
    processor: attempt.processor,
    processor_id: attempt.processor_id,
    target_processor_id: attempt.target_processor_id,
    payment_intent_id: encoded('pi_', attempt.payment_intent_id),
    refund_id: encoded('re_', attempt.refund_id),
    orphan_capture_id: encoded('oc_', attempt.orphan_capture_id),
    age: age(attempt.age_ms),
    age_ms: Math.floor(attempt.age_ms),
    silence: silence_ms === null ? null : age(silence_ms),
    checks: attempt.checks,
    reason: attempt.reason,
    next_action: attempt.is_driven
      ? 'a request drives it; if it has died, it is taken over then'
      : nextAction(factsOf(attempt.processor), attempt, silence_ms ?? 0),
    due_at: attempt.due_at?.toISOString() ?? null,
  }
}

async function toShowPayout(payout: OpenPayout) {
  const [{ factsOf, nextPayoutAction }, { encodeId }] = await Promise.all([
    import('#payments'),
    import('#kernel'),
  ])
  const { silence_ms } = payout
  return {
    id: encodeId('po_', payout.id),
    account_id: encodeId('acct_', payout.account_id),
    livemode: payout.livemode,
    operation: 'payout',
    state: payout.state,
    amount: String(payout.amount),
    currency: payout.currency,
    processor: payout.processor,
    processor_id: payout.processor_id,
    age: age(payout.age_ms),
    age_ms: Math.floor(payout.age_ms),
    silence: silence_ms === null ? null : age(silence_ms),
    checks: payout.checks,
    reason: payout.reason,
    next_action: nextPayoutAction(factsOf(payout.processor), payout, silence_ms ?? 0),
    due_at: payout.due_at?.toISOString() ?? null,
  }
}
