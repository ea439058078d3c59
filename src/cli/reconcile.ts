/**
 * `bursar reconcile`: two files, and of every row of both what became of it. Exit code 0: clean; 1: findings; 2: it could
 * not run, and then nothing was decided.
 */
import { join } from 'node:path'
import type { Command } from 'commander'
import type { Paths } from './reconcile/inputs.ts'
import { declareOptions, type ReconcileOptions } from './reconcile/options.ts'
import type { RunsOptions, ShowOptions } from './reconcile/runs.ts'

const FINDINGS = 1
const COULD_NOT_RUN = 2

/** Without --out nobody reads further than the first findings. */
const FINDINGS_READ_MOST = 100_000

export function declare(command: Command): void {
  command
    .enablePositionalOptions()
    .argument('<left>', 'what we believe: the ledger')
    .argument('<right>', 'what somebody else says: the statement of a bank or a processor')
    .exitOverride(error => process.exit(error.exitCode === 0 ? 0 : COULD_NOT_RUN))
  declareOptions(command)
  command
    .addHelpText(
      'after',
      '\n--format, --map, --decimal, --delimiter, --date-format, --encoding, --currency and --id-from are said of both\n' +
        'files, or of one: --left-map, --right-currency. Files with the header id,amount,currency need none of them\n' +
        '(amounts in minor units: 1099 is 10.99 usd). What is not said is guessed, and the guess is shown.\n\n' +
        '--map names columns as they stand in the header, or by their place: id=Ref or id=#1. What there is: id (several make\n' +
        'one id of several columns), amount (with sign=…, where a column says the direction) or debit and credit, currency,\n' +
        'date, batch (the payout that a row is paid out with), text. Names with commas: --map \'{"id":"Ref, own"}\'.\n\n' +
        'Exit code 0: clean; 1: findings; 2: it could not run.\n' +
        'Examples:\n  bursar reconcile ledger.csv bank.csv\n' +
        '  bursar reconcile ledger.csv statement.xml --as-of 2026-11-21 --out november-21\n' +
        '  bursar reconcile --keep ledger.csv bank.csv\n  bursar reconcile runs\n  bursar reconcile show rec_…\n' +
        '  bursar reconcile ledger.csv bank.csv --right-map id=Referenz,amount=Betrag --right-decimal comma \\\n' +
        '    --right-currency eur',
    )
    .action(run)
  command
    .command('runs')
    .description('List the runs that the server keeps, newest first.')
    .option('--limit <count>', 'how many, at most 100', '20')
    .option('--json', 'print one JSON object instead of text')
    .action((options: RunsOptions) =>
      ending(options, async () => {
        await (await import('./reconcile/runs.ts')).listRuns(options)
        return true
      }),
    )
  command
    .command('show <run>')
    .description('Show a run that the server keeps (rec_…): its totals and its first findings.')
    .option('--report <file>', 'write its report there, as HTML')
    .option('--json', 'print one JSON object instead of text')
    .action((id: string, options: ShowOptions) =>
      ending(options, async () => (await import('./reconcile/runs.ts')).showRun(id, options)),
    )
}

/** Of runs that the server keeps: the same exit codes. */
async function ending(options: { json?: boolean }, work: () => Promise<boolean>): Promise<void> {
  try {
    process.exitCode = (await work()) ? 0 : FINDINGS
  } catch (error) {
    await tell(error, null, options)
    process.exitCode = COULD_NOT_RUN
  }
}

async function run(left: string, right: string, options: ReconcileOptions): Promise<void> {
  try {
    const is_clean = options.keep
      ? await (await import('./reconcile/keep.ts')).keep(left, right, options)
      : await reconcile(left, right, options)
    process.exitCode = is_clean ? 0 : FINDINGS
  } catch (error) {
    await tell(error, { left, right }, options)
    process.exitCode = COULD_NOT_RUN
  }
}

/** Answers whether it is clean. */
async function reconcile(left: string, right: string, options: ReconcileOptions): Promise<boolean> {
  const [
    { reportOf, runFiles },
    { rulesOf, sideOf },
    { demandTwoFiles, demandTwoInputs, keepInputs, namesOfFiles },
    { demandFolder, openWorkplace },
    { runJson, runText },
    { print },
  ] = await Promise.all([
    import('#reconciliation/files'),
    import('./reconcile/options.ts'),
    import('./reconcile/inputs.ts'),
    import('./reconcile/workplace.ts'),
    import('./reconcile/show.ts'),
    import('./output.ts'),
  ])
  demandTwoInputs({ left, right })
  const names = namesOfFiles({ left, right })
  const sides = {
    left: sideOf(options, 'left', names.left),
    right: sideOf(options, 'right', names.right),
  }
  await demandTwoFiles({ left, right }, sides)
  const asked = {
    rules: rulesOf(options),
    decisions: options.decisions === undefined ? [] : await decisionsOf(options.decisions),
    ...(options.carry !== undefined && { carried: options.carry }),
  }
  const { carry, out } = options
  if (carry !== undefined) demandFolder('--carry', carry)
  const workplace = openWorkplace(out)
  const watching = process.stderr.isTTY && !options.json ? await watch() : undefined
  try {
    const { directory } = workplace
    const paths = await keepInputs({ left, right }, workplace.inputs, done =>
      watching?.hear({ stage: 'receive', done, total: null }),
    )
    const run = await runFiles({
      ...asked,
      left: { ...sides.left, path: paths.left },
      right: { ...sides.right, path: paths.right },
      directory,
      ...(watching && { on_progress: progress => watching.hear(progress) }),
    })
    watching?.end()
    if (run.is_stored) process.stderr.write(`This run is kept in ${directory}: nothing had to be done.\n`)
    const report =
      out === undefined
        ? await reportOf(run, { findings_most: FINDINGS_READ_MOST })
        : await (await import('./reconcile/outputs.ts')).writeOutputs(run, out)
    const files =
      out === undefined
        ? []
        : ['', `Report    ${join(out, 'report.html')}`, `Findings  ${join(out, 'findings.csv')}`]
    print(options.json, runJson(run, report, out ?? null), () => runText(run, report, files))
    return run.is_clean
  } finally {
    watching?.end()
    workplace.leave()
  }
}

const decisionsOf = async (path: string) => (await import('./reconcile/decisions.ts')).readDecisions(path)

const watch = async () => (await import('./reconcile/progress.ts')).watchRun()

/** For people always, and for a script too. */
async function tell(
  error: unknown,
  paths: Paths | null,
  options: { json?: boolean } & ReconcileOptions,
): Promise<void> {
  const [
    { redactText },
    { StatementError, visible },
    { sentenceOf },
    { hintFor },
    { namesOfFiles },
    { saidOf },
  ] = await Promise.all([
    import('#metrics'),
    import('#reconciliation/files'),
    import('./reconcile/trouble.ts'),
    import('./reconcile/hints.ts'),
    import('./reconcile/inputs.ts'),
    import('./reconcile/options.ts'),
  ])
  const message = visible(redactText(sentenceOf(error)))
  const place = error instanceof StatementError ? { file: error.file, line: error.line } : {}
  const { unsaid, choices } = error instanceof StatementError ? error : { unsaid: null, choices: [] }
  const side =
    paths !== null && 'file' in place && place.file === namesOfFiles(paths).right ? 'right' : 'left'
  const hint =
    unsaid === null ? {} : { hint: hintFor({ unsaid, choices, said: saidOf(options, side, unsaid) }, side) }
  process.stderr.write(`bursar: ${[message, ...Object.values(hint)].join('\n        ')}\n`)
  if (options.json) process.stdout.write(`${JSON.stringify({ error: { message, ...hint, ...place } })}\n`)
  if (process.env.BURSAR_LOG_LEVEL === 'debug' && error instanceof Error) {
    process.stderr.write(`${redactText(error.stack ?? '')}\n`)
  }
}
