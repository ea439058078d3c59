/**
 * `npm run simulate -- [--seed N] [--minutes M] [--seeds K] [--lanes L] [--repeat R]`: plays seed after seed from N on,
 * several at once on plants of their own, until the minutes or the seeds are used up. A seed that fails is shown with
 * all that is wrong and the command that plays it again; the run goes on, and ends with 1.
 *
 * A seed is a plan: what every client does and when, and each fault and kill. The processes that carry it out are real,
 * so two runs of one seed differ in their timing; `--repeat` plays a seed often enough to meet the bad one again.
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Command, InvalidArgumentError } from 'commander'
import pg from 'pg'
import { startEmbedded } from '#db/embedded'
import { migrate } from '#db/migrate'
import { systemClock } from '#kernel'
import { startPlant } from '../support/processes.ts'
import { openStage, type Result, SEEDS_PER_STAGE, type Stage, WEBHOOK_SECRET } from './play.ts'

/** A seed waits far more than it computes: silences of the processor have deadlines of seconds. */
const LANES = 4
const LANES_MOST = 32

interface Options {
  seed: number
  minutes: number
  seeds: number
  lanes: number
  repeat: number
  out?: string
}

const whole = (least: number, most: number) => (text: string) => {
  const number = Number(text)
  if (!/^\d+$/.test(text) || number < least || number > most) {
    throw new InvalidArgumentError(`must be a whole number from ${least} to ${most}.`)
  }
  return number
}

const program = new Command('npm run simulate --')
  .description('Plays random clients, faults and kills against real processes and audits every cent.')
  .option('--seed <n>', 'the first seed', whole(0, 2 ** 32 - 1), 1)
  .option('--minutes <m>', 'goes on with the next seeds for so long', whole(0, 100_000), 0)
  .option('--seeds <k>', 'how many seeds, when no minutes are given', whole(1, 1_000_000), 1)
  .option('--lanes <l>', 'seeds at once, each on processes of its own', whole(1, LANES_MOST), LANES)
  .option('--repeat <r>', 'plays each seed so often', whole(1, 1_000), 1)
  .option('--out <file>', 'writes what was found as JSON')
  .parse()
const options = program.opts<Options>()

const scratch = mkdtempSync(join(tmpdir(), 'bursar-simulation-'))
chmodSync(scratch, 0o711)
const server = await startEmbedded({ data_dir: join(scratch, 'data'), is_throwaway: true })
const began_at = systemClock.now()
const began_ms = performance.now()
const results: Result[] = []
const failures: Result[] = []
let next = 0
let databases = 0
let is_over = false

/** The seed of the n-th play, or undefined when the time or the seeds are used up. */
function take(): number | undefined {
  const n = next
  const seed = options.seed + Math.floor(n / options.repeat)
  const is_done =
    options.minutes > 0
      ? performance.now() - began_ms > options.minutes * 60_000
      : n >= options.seeds * options.repeat
  if (is_done || is_over) return undefined
  next += 1
  return seed
}

async function stageOf(): Promise<Stage> {
  const name = `simulation_${++databases}`
  const client = new pg.Client({ connectionString: server.url })
  await client.connect()
  await client.query(`create database ${name}`)
  await client.end()
  const url = new URL(server.url)
  url.pathname = `/${name}`
  await migrate({ url: url.href })
  return openStage(
    await startPlant({ database_url: url.href, env: { SIMULATOR_WEBHOOK_SECRET: WEBHOOK_SECRET } }),
  )
}

async function lane(): Promise<void> {
  let stage: Stage | undefined
  let played = 0
  try {
    for (let seed = take(); seed !== undefined; seed = take()) {
      if (stage !== undefined && played % SEEDS_PER_STAGE === 0) {
        await stage.close()
        stage = undefined
      }
      stage ??= await stageOf()
      played += 1
      const result = await stage
        .play(seed)
        .catch((error: unknown): Result => ({ ...NOTHING, seed, problems: [String(error), causeOf(error)] }))
      results.push(result)
      tell(result)
      if (result.problems.length > 0) {
        failures.push(result)
        // Whatever is broken would be found again by the seeds that follow.
        await stage.close()
        stage = undefined
      }
    }
  } finally {
    await stage?.close()
  }
}

const NOTHING = { purchases: 0, writes: 0, troubles: 0, kills: 0 }
const causeOf = (error: unknown) =>
  error instanceof Error && error.cause instanceof Error
    ? `caused by ${error.cause.message}`
    : 'no cause given'

function tell({ seed, problems, purchases, writes, troubles, kills }: Result): void {
  const minutes = ((performance.now() - began_ms) / 60_000).toFixed(1)
  if (problems.length === 0) {
    console.log(
      `${minutes} min  seed ${seed}: ${purchases} purchases, ${writes} writes, ${troubles} troubles (${kills} kills): consistent`,
    )
    return
  }
  console.log(`${minutes} min  seed ${seed}: NOT CONSISTENT`)
  for (const problem of problems) console.log(`    ${problem}`)
  console.log(`    again: npm run simulate -- --seed ${seed} --repeat 10`)
}

const stopping = () => {
  is_over = true
  console.log('stopping after the seeds that are being played')
}
process.once('SIGINT', stopping)
process.once('SIGTERM', stopping)

try {
  await Promise.all(Array.from({ length: options.lanes }, lane))
} finally {
  await server.stop()
  rmSync(scratch, { recursive: true, force: true })
}

const sum = (of: (result: Result) => number) => results.reduce((total, result) => total + of(result), 0)
const summary = {
  began_at: began_at.toISOString(),
  minutes: Number(((performance.now() - began_ms) / 60_000).toFixed(1)),
  first_seed: options.seed,
  seeds: new Set(results.map(({ seed }) => seed)).size,
  plays: results.length,
  purchases: sum(({ purchases }) => purchases),
  writes: sum(({ writes }) => writes),
  troubles: sum(({ troubles }) => troubles),
  kills_of_the_server: sum(({ kills }) => kills),
  inconsistent: failures.map(({ seed, problems }) => ({ seed, problems })),
  machine: { cpus: cpus().length, node: process.version },
}
console.log(
  `${summary.plays} plays of ${summary.seeds} seeds, ${summary.writes} writes, ${summary.kills_of_the_server} kills: ` +
    `${failures.length === 0 ? 'all consistent' : `${failures.length} NOT CONSISTENT`}`,
)
if (options.out !== undefined) {
  mkdirSync(dirname(options.out), { recursive: true })
  writeFileSync(options.out, `${JSON.stringify(summary, null, 2)}\n`)
}
// The clients of a seed that failed are still trying, for minutes.
process.exit(failures.length === 0 ? 0 : 1)
