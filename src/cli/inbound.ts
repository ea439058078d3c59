/** `bursar inbound`: what processors told by themselves, and what became of it. */
import type { Command } from 'commander'
import type { Database } from '#db'
import type { InboundEvent } from '#inbound'
import { withDatabase } from './database.ts'

/** What a terminal shows without scrolling; scripts page on with --before. */
const SHOWN = '50'
const SHOWN_MOST = 1_000

interface ListOptions {
  status?: string
  processor?: string
  subject?: string
  before?: string
  limit: string
  json?: boolean
}

export function declare(command: Command): void {
  command.addHelpText(
    'after',
    '\nExamples:\n  bursar inbound list --status dead\n  bursar inbound show inb_01jd…\n  bursar inbound replay --dead',
  )
  command
    .command('list')
    .description('List news, newest first.')
    .option('--status <status>', 'waiting | applied | already | ignored | dead')
    .option('--processor <name>', 'of one processor')
    .option('--subject <id>', 'about one payment, refund, dispute or payout, in the words of the processor')
    .option('--before <id>', 'older than this one (inb_…): the next page')
    .option('--limit <count>', `how many, at most ${SHOWN_MOST}`, SHOWN)
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar inbound list --status waiting --processor simulator')
    .action((options: ListOptions) => withDatabase('inbound', db => list(db, options)))
  command
    .command('show <id>')
    .description("Show one, by our id or the processor's, with its body. It may hold personal data.")
    .option('--json', 'print one JSON object instead of text')
    .addHelpText('after', '\nExample:\n  bursar inbound show inb_01jd3x0yfae4qa9vrf2kz5m8wt')
    .action((id: string, options: { json?: boolean }) => withDatabase('inbound', db => show(db, id, options)))
  command
    .command('replay [ids...]')
    .description('Let news be handled again, as if it had just come. Safe at any time.')
    .option('--dead', 'all dead letters')
    .option('--processor <name>', 'with --dead: only those of one processor')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nExamples:\n  bursar inbound replay inb_01jd3x0yfae4qa9vrf2kz5m8wt\n  bursar inbound replay --dead',
    )
    .action((ids: string[], options: { dead?: boolean; processor?: string; json?: boolean }) =>
      withDatabase('inbound', db => replay(db, ids, options)),
    )
}

async function list(db: Database, options: ListOptions): Promise<void> {
  const [{ inboundLifecycle, listInbound }, { decodeId }, { print, table }] = await Promise.all([
    import('#inbound'),
    import('#kernel'),
    import('./output.ts'),
  ])
  const most = Number(options.limit)
  if (!Number.isInteger(most) || most < 1 || most > SHOWN_MOST) {
    throw new Error(`--limit must be a whole number from 1 to ${SHOWN_MOST}`)
  }
  const { states } = inboundLifecycle
  const status = states.find(state => state === options.status)
  if (options.status !== undefined && status === undefined) {
    throw new Error(`--status must be one of ${states.join(', ')}`)
  }
  const before = options.before === undefined ? undefined : decodeId('inb_', options.before)
  if (options.before !== undefined && before === undefined) throw new Error('--before must be an id (inb_…)')
  const { processor, subject } = options
  const events = await listInbound(db, { status, processor, subject, before, most })
  const shown = await Promise.all(events.map(toShow))
  print(options.json, { data: shown }, () =>
    shown.length === 0
      ? 'There is no such news.'
      : table(
          ['id', 'processor', 'type', 'subject', 'came', 'by', 'status', 'tries', 'why'],
          shown.map(event => [
            event.id,
            event.processor,
            event.type,
            event.subject,
            event.received_at,
            event.source,
            event.status,
            String(event.tries),
            event.reason ?? '',
          ]),
        ),
  )
}

async function show(db: Database, name: string, options: { json?: boolean }): Promise<void> {
  const [{ findInbound }, { print }] = await Promise.all([import('#inbound'), import('./output.ts')])
  const event = await findInbound(db, name)
  if (!event) throw noNews(name)
  const shown = { ...(await toShow(event)), body: event.body }
  print(options.json, shown, () =>
    Object.entries(shown)
      .map(([field, value]) => `${field.padEnd(12)}  ${value ?? '–'}`)
      .join('\n'),
  )
}

const noNews = (name: string): Error =>
  new Error(`there is no news ${name}, or no longer: see "bursar inbound list"`)

async function replay(
  db: Database,
  names: readonly string[],
  options: { dead?: boolean; processor?: string; json?: boolean },
): Promise<void> {
  const [{ findInbound, replayDead, replayInbound }, { decodeId }, { print }] = await Promise.all([
    import('#inbound'),
    import('#kernel'),
    import('./output.ts'),
  ])
  if (names.length > 0 === (options.dead ?? false))
    throw new Error('name what to replay: ids (inb_…), or --dead')
  const ids = names.map(name => {
    const id = decodeId('inb_', name)
    if (id === undefined) throw new Error(`${name} is no id of news (inb_…)`)
    return id
  })
  // All or none: whoever mistyped one of several learns it before the others are under way.
  for (const name of names) {
    if (!(await findInbound(db, name))) throw noNews(name)
  }
  const replayed = options.dead ? await replayDead(db, options.processor) : await replayInbound(db, ids)
  print(
    options.json,
    { replayed },
    () => `${replayed} will be handled again; what waited already was left alone.`,
  )
}

async function toShow(event: InboundEvent): Promise<Shown> {
  const { encodeId } = await import('#kernel')
  return {
    ...event,
    id: encodeId('inb_', event.id),
    due_at: event.due_at?.toISOString() ?? null,
    received_at: event.received_at.toISOString(),
    finished_at: event.finished_at?.toISOString() ?? null,
  }
}

type Shown = Omit<InboundEvent, 'due_at' | 'received_at' | 'finished_at'> & {
  due_at: string | null
  received_at: string
  finished_at: string | null
}
