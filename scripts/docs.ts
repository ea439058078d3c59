/**
 * Writes those parts of the documentation that the code knows better than people: lifecycle diagrams, error codes,
 * settings, metrics, routes, jobs, magic cards, types of events. They stand between two comments in a Markdown file;
 * all around them is written by hand. With --check nothing is written and stale parts fail; test/docs.test.ts checks
 * the same.
 */
import { globSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { openDatabase } from '#db'
import { eventTypes } from '#events'
import { createFetcher } from '#fetch'
import { type ErrorCode, errorCodes, failpoints, systemClock } from '#kernel'
// For what it counts: nothing else here sends any.
import '#mail'
import { metricsText } from '#metrics'
import { createPayments, simulatorConnector } from '#payments'
import { createWebhooks, failureWords } from '#webhooks'
import { endpoints, jobs } from '../src/catalog.ts'
import { listenToProcessors } from '../src/reactions.ts'
import { describeSettings, readSettings } from '../src/settings.ts'

const PROJECT = join(import.meta.dirname, '..')

/** `<!-- generated: errors -->`, what is generated, `<!-- end of generated -->`. */
const BLOCK = /<!-- generated: ([a-z_ ]+) -->\n[\s\S]*?<!-- end of generated -->/g

/** Markdown of the project: what a reader may meet, and nothing that was installed. */
export const markdownFiles = (): string[] =>
  globSync(['*.md', '{docs,simulator,bench,src}/**/*.md'], { cwd: PROJECT }).sort()

/** Every file that has generated parts, with the text it should have. Throws when a part has no generator. */
export async function generatedDocs(): Promise<Map<string, string>> {
  const blocks = await makeBlocks()
  const texts = new Map<string, string>()
  for (const file of markdownFiles()) {
    const text = readFileSync(join(PROJECT, file), 'utf8')
    if (!text.includes('<!-- generated: ')) continue
    const fresh = text.replaceAll(BLOCK, (_whole, name: string) => {
      const block = blocks.get(name)
      if (block === undefined) throw new Error(`${file} wants "${name}", which nothing generates`)
      return `<!-- generated: ${name} -->\n${block}\n<!-- end of generated -->`
    })
    texts.set(file, fresh)
  }
  return texts
}

/** What can be generated, by name. */
async function makeBlocks(): Promise<Map<string, string>> {
  // Neither is connected to: what the rooms have is known without asking anybody.
  const db = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing' })
  const processor = simulatorConnector({ url: 'http://127.0.0.1:1' })
  const payments = createPayments({ db, clock: systemClock, connectors: { test: processor, live: null } })
  const inbound = listenToProcessors(payments, [processor], payments.log)
  const fetcher = createFetcher({ allowed_networks: [] })
  const webhooks = createWebhooks({
    db,
    clock: systemClock,
    log: payments.log,
    fetcher,
    installation_secret: 'nobody signs with it',
  })
  try {
    const diagrams = [...(await lifecycles())].map(
      ([name, declared]) => [`lifecycle ${name}`, `\`\`\`mermaid\n${declared.diagram()}\n\`\`\``] as const,
    )
    return new Map([
      ...diagrams,
      ['errors', errorsTable()],
      [
        'event types',
        table(
          ['Event', 'What happened'],
          Object.entries(eventTypes).map(([type, about]) => [code(type), about]),
        ),
      ],
      [
        'webhook failures',
        table(
          ['Class', 'What happened', 'What helps'],
          Object.entries(failureWords).map(([name, { what, help }]) => [code(name), what, help]),
        ),
      ],
      ['settings', settingsTable()],
      [
        'magic cards',
        magicTable((await load<{ MAGIC_CARDS: MagicCard[] }>('simulator/magic.ts')).MAGIC_CARDS),
      ],
      [
        'routes',
        table(['Route', 'What it does', 'Key'], (await endpoints(payments, inbound, webhooks)).map(routeRow)),
      ],
      [
        'jobs',
        table(
          ['Job', 'When (UTC)'],
          (await jobs(payments, inbound, readSettings({}))).schedules.map(s => [
            code(s.job.name),
            code(s.cron),
          ]),
        ),
      ],
      ['metrics', metricsTable(await metricsText())],
      ['crash matrix', matrixTable((await load<{ rows: CrashRow[] }>('test/crash/rows.ts')).rows)],
      [
        'failpoints',
        table(
          ['Point', 'Row', 'What is true there'],
          Object.entries(failpoints).map(([name, { row, about }]) => [code(name), String(row), about]),
        ),
      ],
    ])
  } finally {
    await fetcher.close()
    await processor.close()
    await db.close()
  }
}

export interface Diagrammed {
  readonly states: readonly string[]
  diagram(): string
}

/** Rooms have faces for rooms; documentation looks behind them, at files. */
const load = async <Module>(file: string): Promise<Module> =>
  (await import(pathToFileURL(join(PROJECT, file)).href)) as Module

/** Every lifecycle that the code declares, by name: found by looking, so that none can be forgotten. */
export async function lifecycles(): Promise<Map<string, Diagrammed>> {
  const found = new Map<string, Diagrammed>()
  for (const file of globSync('src/{commerce,signals}/**/*.ts', { cwd: PROJECT }).sort()) {
    const text = readFileSync(join(PROJECT, file), 'utf8')
    const name = /^export const (\w+)Lifecycle = lifecycle\(/m.exec(text)?.[1]
    if (name === undefined) continue
    const declared = (await load<Record<string, Diagrammed | undefined>>(file))[`${name}Lifecycle`]
    if (declared) found.set(name, declared)
  }
  return found
}

/** What test/crash/rows.ts says of a row of the crash matrix. */
interface CrashRow {
  row: number
  crash: string
  afterwards: string
  tested: Record<'handler' | 'completer' | 'relay', true | string>
}

const matrixTable = (rows: readonly CrashRow[]): string =>
  table(
    ['', 'Cut off when', 'Afterwards', 'Handler', 'Completer', 'Relay'],
    rows.map(({ row, crash, afterwards, tested: { handler, completer, relay } }) => [
      String(row),
      crash,
      afterwards,
      ...[handler, completer, relay].map(cell => (cell === true ? 'tested' : `– (${cell})`)),
    ]),
  )

const code = (text: string) => `\`${text}\``

const table = (header: string[], rows: readonly string[][]): string =>
  [header, header.map(() => '---'), ...rows].map(cells => `| ${cells.join(' | ')} |`).join('\n')

function errorsTable(): string {
  const rows = (Object.keys(errorCodes) as ErrorCode[])
    .map(name => ({ name, ...errorCodes[name] }))
    .sort((a, b) => a.status - b.status || (a.name < b.name ? -1 : 1))
    .map(({ name, status, type, message }) => [code(name), String(status), code(type), message])
  return table(['Code', 'Status', 'Type', 'What it says'], rows)
}

const settingsTable = (): string =>
  table(
    ['Variable', 'Default', 'What it is'],
    describeSettings({}).map(({ name, value, about }) => [code(name), value, about]),
  )

function routeRow(endpoint: {
  route: string
  summary: string
  auth?: 'secret' | 'publishable' | 'scoped' | 'none'
}): string[] {
  const keys = { secret: 'secret', publishable: 'secret or publishable', scoped: 'restricted', none: 'none' }
  return [code(endpoint.route), endpoint.summary, keys[endpoint.auth ?? 'secret']]
}

/** What simulator/magic.ts says of a card, as far as it is shown. */
interface MagicCard {
  names: string[]
  number: string
  decline?: { decline_code: string }
  challenge?: 'always' | 'on_session'
  after_challenge?: { decline_code: string }
  dispute?: { inquiry: boolean }
  fraud_warning?: boolean
  refund?: 'pending' | 'fails_later'
  funds_available_at_once?: boolean
}

const magicTable = (cards: readonly MagicCard[]): string =>
  table(
    ['`payment_method_id`', 'Number', 'What happens'],
    cards.map(card => [
      card.names.map(name => code(`pm_card_${name}`)).join(', '),
      code(card.number),
      whatHappens(card),
    ]),
  )

function whatHappens(card: MagicCard): string {
  const facts: string[] = []
  if (card.decline) facts.push(`declined: ${code(card.decline.decline_code)}`)
  if (card.challenge) {
    const after = card.after_challenge ? `, then declined: ${code(card.after_challenge.decline_code)}` : ''
    const off_session =
      card.challenge === 'always' ? `declined: ${code('authentication_required')}` : 'approved'
    facts.push(`3-D Secure${after}; off session ${off_session}`)
  }
  if (card.dispute)
    facts.push(`approved; the simulator opens ${card.dispute.inquiry ? 'an inquiry' : 'a dispute'}`)
  if (card.fraud_warning) facts.push('approved; the simulator sends a fraud warning')
  if (card.refund === 'pending') facts.push('approved; a refund stays `pending` for a moment, then succeeds')
  if (card.refund === 'fails_later') facts.push('approved; a refund succeeds and bounces at the bank later')
  if (card.funds_available_at_once)
    facts.push('approved; available within five minutes instead of in seven days')
  return facts.join('; ') || 'approved'
}

/** From the exposition itself: what is not exported is not in the list. */
function metricsTable(exposition: string): string {
  const types = new Map(
    [...exposition.matchAll(/^# TYPE (\S+) (\w+)$/gm)].map(([, name, type]) => [name, type]),
  )
  const rows = [...exposition.matchAll(/^# HELP (bursar_\S+) (.*)$/gm)]
    .map(([, name = '', help = '']) => [code(name), types.get(name) ?? '', help])
    .sort((a, b) => ((a[0] ?? '') < (b[0] ?? '') ? -1 : 1))
  return table(['Metric', 'Type', 'What it counts'], rows)
}

if (process.argv[1] === import.meta.filename) {
  const is_check = process.argv.includes('--check')
  for (const [file, text] of await generatedDocs()) {
    const path = join(PROJECT, file)
    if (readFileSync(path, 'utf8') === text) continue
    if (is_check) {
      console.error(`${file} has stale parts: run "node scripts/docs.ts" and commit it`)
      process.exitCode = 1
    } else {
      writeFileSync(path, text)
      console.log(`wrote ${file}`)
    }
  }
}
