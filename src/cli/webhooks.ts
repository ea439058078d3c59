/**
 * `bursar webhooks`: endpoints with their health, deliveries with their tries, sending again, replays; and a receiver for
 * whoever develops one. All but `listen` ask the database and see every account.
 */
import type { Command } from 'commander'
import { withDatabase } from './database.ts'
import type { ListOptions } from './webhooks/list.ts'
import type { DeliveriesOptions } from './webhooks/deliveries.ts'
import type { ListenOptions } from './webhooks/listen.ts'
import type { ReplayOptions } from './webhooks/replay.ts'

const JSON_OPTION = ['--json', 'print one JSON object instead of text'] as const

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nWhat endpoints are and how they are verified: docs/webhooks.md; running them: docs/webhooks-operations.md.\n' +
      'Examples:\n  bursar webhooks list --failing\n  bursar webhooks deliveries --endpoint we_01jd… --status dead\n' +
      '  bursar webhooks listen --forward-to http://127.0.0.1:3000/webhooks',
  )
  command
    .command('list')
    .description('List endpoints with their health, those that fail first.')
    .option('--account <id>', 'of one account (acct_…)')
    .option('--failing', 'only those at which the last try failed')
    .option('--limit <count>', 'how many, at most 1000', '100')
    .option(...JSON_OPTION)
    .addHelpText('after', '\nExample:\n  bursar webhooks list --failing')
    .action((options: ListOptions) =>
      withDatabase('webhooks', async db => (await import('./webhooks/list.ts')).list(db, options)),
    )
  command
    .command('deliveries')
    .description('List deliveries of an endpoint or of an account, those of the newest events first.')
    .option('--endpoint <id>', 'to one endpoint (we_…)')
    .option('--account <id>', 'without --endpoint: of which account (acct_…); needed when there are several')
    .option('--live', 'without --endpoint: of live mode instead of test mode')
    .option('--status <status>', 'pending | succeeded | dead | canceled')
    .option('--dead', 'the dead letters: the same as --status dead')
    .option('--type <type>', 'of one type of event, such as payment_intent.succeeded')
    .option('--event <id>', 'of one event (evt_…)')
    .option('--since <time>', 'of events no older than this: 30m, 1h, 7d')
    .option('--before <id>', 'older than this one (del_…): the next page')
    .option('--limit <count>', 'how many, at most 1000', '50')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      '\nExamples:\n  bursar webhooks deliveries --dead --since 1d\n' +
        '  bursar webhooks deliveries --endpoint we_01jd3x0yfae4qa9vrf2kz5m8wt --status pending',
    )
    .action((options: DeliveriesOptions) =>
      withDatabase('webhooks', async db =>
        (await import('./webhooks/deliveries.ts')).deliveries(db, options),
      ),
    )
  command
    .command('show <delivery>')
    .description(
      'Show a delivery (del_…) with each of its tries: how long each phase took, and what came back.',
    )
    .option(...JSON_OPTION)
    .addHelpText('after', '\nExample:\n  bursar webhooks show del_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) =>
      withDatabase('webhooks', async db => (await import('./webhooks/deliveries.ts')).show(db, id, options)),
    )
  command
    .command('retry <deliveries...>')
    .description('Send deliveries (del_…) again now, whatever became of them: under the same id.')
    .option(...JSON_OPTION)
    .addHelpText('after', '\nExample:\n  bursar webhooks retry del_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((ids: string[], options: { json?: boolean }) =>
      withDatabase('webhooks', async db => (await import('./webhooks/replay.ts')).retry(db, ids, options)),
    )
  command
    .command('enable <endpoint>')
    .description('Enable a disabled endpoint (we_…). What it missed can be replayed.')
    .option(...JSON_OPTION)
    .addHelpText('after', '\nExample:\n  bursar webhooks enable we_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) =>
      withDatabase('webhooks', async db => (await import('./webhooks/switch.ts')).enable(db, id, options)),
    )
  command
    .command('disable <endpoint>')
    .description('Disable an endpoint (we_…). What waits for it is canceled, and can be replayed.')
    .option(...JSON_OPTION)
    .addHelpText('after', '\nExample:\n  bursar webhooks disable we_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) =>
      withDatabase('webhooks', async db => (await import('./webhooks/switch.ts')).disable(db, id, options)),
    )
  command
    .command('test <endpoint>')
    .description('Send a webhook_endpoint.test event to one endpoint (we_…).')
    .option(...JSON_OPTION)
    .addHelpText('after', '\nExample:\n  bursar webhooks test we_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) =>
      withDatabase('webhooks', async db => (await import('./webhooks/switch.ts')).test(db, id, options)),
    )
  command
    .command('replay <endpoint>')
    .description('Send past events (again) to an endpoint (we_…), after all that happens now.')
    .requiredOption('--from <time>', 'the oldest event: 2026-11-21 or 2026-11-21T09:00:00Z (UTC)')
    .option('--to <time>', 'up to, and without, then; now unless given')
    .option('--types <types...>', 'types of events, such as charge.* ; those of the endpoint unless given')
    .option(
      '--status <status>',
      'what became of them: undelivered | any | dead | canceled | succeeded',
      'undelivered',
    )
    .option('--watch', 'wait for its end, with a bar')
    .option(...JSON_OPTION)
    .addHelpText(
      'after',
      "\nSafe at any time: receivers know by the event's id what they have had.\n" +
        'Example:\n  bursar webhooks replay we_01jd3x0yfae4qa9vrf2kz5m8wt --from 2026-11-21T09:00:00Z --watch',
    )
    .action((id: string, options: ReplayOptions) =>
      withDatabase('webhooks', async db => (await import('./webhooks/replay.ts')).replay(db, id, options)),
    )
  command
    .command('listen')
    .description('For development: receive the events of the test account here, verified, until Ctrl-C.')
    .option('--port <port>', 'where to listen, at 127.0.0.1; any free port unless given', '0')
    .option('--forward-to <url>', 'hand each on to this URL, as it came, and answer what it answers')
    .option('--types <types...>', 'types of events, such as payment_intent.*', ['*'])
    .option('--standard', 'signed as Standard Webhooks instead of Bursar-Signature')
    .option('--json', 'print one JSON object for each event')
    .addHelpText(
      'after',
      '\nMakes an endpoint for itself with the keys of credentials.json, and removes it at the end.\n' +
        'Examples:\n  bursar webhooks listen\n  bursar webhooks listen --forward-to http://127.0.0.1:3000/webhooks',
    )
    .action(async (options: ListenOptions) => (await import('./webhooks/listen.ts')).listen(options))
}
