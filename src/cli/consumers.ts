/** `bursar consumers`: who reads the stream of events, how far each is, and reading again. */
import type { Command } from 'commander'
import type { Database } from '#db'
import { withDatabase } from './database.ts'
import { instantOf } from './ledger/tenant.ts'

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nExamples:\n  bursar consumers list\n  bursar consumers replay webhooks --from 2026-11-21T09:00:00Z',
  )
  command
    .command('list')
    .description('List all consumers: events not handled yet, the last failure, when it is tried again.')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar consumers list --json')
    .action((options: { json?: boolean }) => withDatabase('consumers', db => list(db, options)))
  command
    .command('replay <name>')
    .description(
      'Let a consumer read again all events made since a time. Safe at any time: nothing is skipped.',
    )
    .requiredOption(
      '--from <time>',
      'the oldest event to read again: 2026-11-21 or 2026-11-21T09:00:00Z (UTC)',
    )
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar consumers replay webhooks --from 2026-11-21T09:00:00Z')
    .action((name: string, options: { from: string; json?: boolean }) =>
      withDatabase('consumers', db => replay(db, name, options)),
    )
}

async function list(db: Database, options: { json?: boolean }): Promise<void> {
  const [{ listConsumers }, { print, table }] = await Promise.all([import('#events'), import('./output.ts')])
  const places = await listConsumers(db)
  const shown = places.map(place => ({
    ...place,
    moved_at: place.moved_at.toISOString(),
    retry_at: place.retry_at?.toISOString() ?? null,
  }))
  print(options.json, { data: shown }, () =>
    shown.length === 0
      ? 'There are no consumers yet: a worker that starts makes their places.'
      : table(
          ['consumer', 'behind', 'for', 'parked', 'moved', 'failures', 'again', 'why'],
          shown.map(place => [
            place.name,
            String(place.behind),
            `${Math.round(place.behind_seconds)} s`,
            String(place.parked),
            place.moved_at,
            String(place.failures),
            place.retry_at ?? '',
            place.reason ?? '',
          ]),
          [1, 2, 3, 5],
        ),
  )
}

async function replay(db: Database, name: string, options: { from: string; json?: boolean }): Promise<void> {
  const [{ listConsumers, replayConsumer }, { systemClock }, { print }] = await Promise.all([
    import('#events'),
    import('#kernel'),
    import('./output.ts'),
  ])
  const from = instantOf(options.from)
  if (from > systemClock.now()) throw new Error('--from lies in the future: there is nothing to read again')
  const replayed = await replayConsumer(db, name, { from })
  if (replayed === undefined) {
    const names = (await listConsumers(db)).map(place => place.name)
    throw new Error(
      `there is no consumer ${name}: ${names.length === 0 ? 'none has a place yet' : `there are ${names.join(', ')}`}`,
    )
  }
  const { behind } = replayed
  print(
    options.json,
    { consumer: name, from: from.toISOString(), behind },
    () => `${name} reads again from ${from.toISOString()} on: ${behind} events are before it.`,
  )
}
