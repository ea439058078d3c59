/**
 * The first step of every command: it runs on whatever Node.js the system has (20 or newer) and on a fresh clone,
 * so it is plain JavaScript without a single dependency. It installs what is missing and hands over to the
 * project's own Node.js.
 */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const PROJECT = dirname(dirname(fileURLToPath(import.meta.url)))

/** Below 22.18 Node.js does not run TypeScript by itself. */
const OLDEST_NODE = [22, 18]

/** An install takes a minute; somebody else's that takes ten has died in a way we could not see. */
const OTHERS_INSTALL_MS = 600_000

/** Signals that ask for an end. */
const ENDINGS = ['SIGINT', 'SIGTERM', 'SIGHUP']

const COMMANDS = {
  start: args => ['src/cli.ts', 'serve', ...args],
  bursar: args => ['src/cli.ts', ...args],
  check: args => ['scripts/check.ts', ...args],
  bench: args => ['bench/run.ts', ...args],
  simulate: args => ['test/simulation/simulate.ts', ...args],
  generate: args => ['scripts/generate.ts', ...args],
}

/** Runs one command with its arguments and ends the process with the command's own exit code. */
export async function main([command, ...args]) {
  try {
    if (command !== 'test' && !Object.hasOwn(COMMANDS, command ?? '')) {
      throw new Error(
        `there is no command "${command ?? ''}": choose from test, ${Object.keys(COMMANDS).join(', ')}`,
      )
    }
    await install()
    const node = findNode()
    if (command === 'test') process.exitCode = await runTests(node, args)
    else await handOver(node, COMMANDS[command](args))
  } catch (error) {
    console.error(`bursar: ${error instanceof Error ? error.message : String(error)}`)
    // A reconciliation that ends with 1 has findings; this one could not run.
    process.exitCode = command === 'bursar' && args[0] === 'reconcile' ? 2 : 1
  }
}

/** Brings node_modules to what package-lock.json says; returns at once when it is there already. */
async function install() {
  const reason = whatIsMissing()
  if (reason === null) return
  const release = await takeInstallLock()
  try {
    if (whatIsMissing() === null) return
    console.error(`Installing the packages (${reason}); this takes about a minute.`)
    const [npm, ...before] = npmCommand()
    // Whatever the environment omits, the tests and the checks are part of the checkout. Warnings are about the
    // system's Node.js, which is not the one that will run.
    const args = [
      ...before,
      'ci',
      '--include=dev',
      '--include=optional',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ]
    const result = spawnSync(npm, args, { cwd: PROJECT, stdio: ['ignore', 2, 2] })
    if (result.status !== 0) {
      throw new Error(
        `npm ci did not succeed (${result.error?.message ?? `exit code ${result.status}`}), see above`,
      )
    }
    const still_missing = whatIsMissing()
    if (still_missing !== null) throw new Error(`npm ci succeeded and yet ${still_missing}`)
  } finally {
    release()
  }
}

/**
 * Why an install is needed, or null. npm writes node_modules/.package-lock.json as the very last step, so an
 * interrupted install is one that has none, or an old one.
 */
function whatIsMissing() {
  const wanted = readPackages('package-lock.json')
  if (wanted === null) throw new Error(`package-lock.json is missing in ${PROJECT}`)
  const found = readPackages('node_modules/.package-lock.json')
  if (found === null) return 'none are there yet'
  for (const [path, entry] of Object.entries(wanted)) {
    if (path === '' || !belongsHere(entry)) continue
    if (found[path]?.version !== entry.version)
      return `${path.replace(/^.*node_modules\//, '')} is not the one in the lock`
    if (!existsSync(join(PROJECT, path))) return `${path} is missing`
  }
  return null
}

/** Optional packages are other platforms' binaries, except those that name this one. */
function belongsHere(entry) {
  if (entry.link) return false
  if (!entry.optional && !entry.devOptional) return true
  // Which C library this is cannot be told cheaply; the packages that care come in pairs, and npm chose.
  if (entry.libc !== undefined) return false
  return Boolean(entry.os?.includes(process.platform) && entry.cpu?.includes(process.arch))
}

function readPackages(file) {
  try {
    return JSON.parse(readFileSync(join(PROJECT, file), 'utf8')).packages
  } catch (error) {
    if (error.code === 'ENOENT' || error instanceof SyntaxError) return null
    throw error
  }
}

/** The npm that started us, else the one in the path. */
function npmCommand() {
  const running = process.env.npm_execpath
  if (running?.endsWith('npm-cli.js')) return [process.execPath, running]
  return [process.platform === 'win32' ? 'npm.cmd' : 'npm']
}

/** `npm start` and `npm test` in two terminals of a fresh clone must not install over each other. */
async function takeInstallLock() {
  const lock = join(PROJECT, '.bursar', 'installing')
  const owner = join(lock, 'owner')
  mkdirSync(dirname(lock), { recursive: true })
  const deadline = Date.now() + OTHERS_INSTALL_MS
  for (let said = false; ; said = true) {
    try {
      mkdirSync(lock)
      writeFileSync(owner, String(process.pid))
      return () => rmSync(lock, { recursive: true, force: true })
    } catch (error) {
      if (error.code !== 'EEXIST') throw error
    }
    if (Date.now() > deadline || (existsSync(owner) && !isAlive(Number(readFileSync(owner, 'utf8'))))) {
      rmSync(lock, { recursive: true, force: true })
      continue
    }
    if (!said) console.error('Another command is installing the packages; waiting for it.')
    await new Promise(resolve => setTimeout(resolve, 200))
  }
}

function isAlive(pid) {
  if (!Number.isInteger(pid) || pid <= 0) return true
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** The Node.js that comes as a package; where there is none for the platform, the system's, if it is new enough. */
function findNode() {
  const packaged = join(PROJECT, 'node_modules', '.bin', 'node')
  if (existsSync(packaged) && spawnSync(packaged, ['--version'], { stdio: 'ignore' }).status === 0)
    return packaged
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major > OLDEST_NODE[0] || (major === OLDEST_NODE[0] && minor >= OLDEST_NODE[1])) return process.execPath
  throw new Error(
    `there is no packaged Node.js for ${process.platform} on ${process.arch}, and this one is ${process.versions.node}: install Node.js ${OLDEST_NODE.join('.')} or newer`,
  )
}

/** What every child gets: the project's own programs first in its path. */
function environment(extra = {}) {
  return {
    ...process.env,
    PATH: `${join(PROJECT, 'node_modules', '.bin')}:${process.env.PATH ?? ''}`,
    ...extra,
  }
}

/**
 * Becomes the command. Where this Node.js can replace itself it does, so nothing stands between the terminal and
 * the server; an older one waits beside it and passes on what it is told.
 */
async function handOver(node, [script, ...args]) {
  const argv = [join(PROJECT, script), ...args]
  if (!existsSync(argv[0])) throw new Error(`${script} is not part of this version`)
  if (process.execve) process.execve(node, [node, ...argv], environment())
  process.exitCode = await run(node, argv, environment())
}

/** Runs a program in the foreground; resolves to the exit code a shell would show. */
function run(program, args, env) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: 'inherit', env })
    let passed_on_at = 0
    for (const signal of ENDINGS) {
      process.on(signal, () => {
        // Ctrl-C reaches the whole foreground by itself, and npm passes signals on as well: once is enough.
        if (signal === 'SIGINT' && process.stdin.isTTY) return
        if (performance.now() - passed_on_at < 1_000) return
        passed_on_at = performance.now()
        child.kill(signal)
      })
    }
    child.once('error', reject)
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal]))
  })
}

/** Runs the suite and ends with the line `N passed, N failed`, whatever happened. */
async function runTests(node, args) {
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-summary-'))
  const summary_file = join(scratch, 'summary.json')
  try {
    const code = await run(
      node,
      [
        join(PROJECT, 'node_modules', 'vitest', 'vitest.mjs'),
        'run',
        `--root=${PROJECT}`,
        '--reporter=default',
        `--reporter=${join(PROJECT, 'test', 'setup', 'summary.ts')}`,
        ...args,
      ],
      environment({ BURSAR_TEST_SUMMARY: summary_file }),
    )
    const counts = existsSync(summary_file)
      ? JSON.parse(readFileSync(summary_file, 'utf8'))
      : { passed: 0, failed: 0, skipped: 0 }
    // Something failed outside the tests: a server that did not start, a file that did not load, a kill.
    if (code !== 0 && counts.failed === 0) counts.failed = 1
    const skipped = counts.skipped > 0 ? `, ${counts.skipped} skipped` : ''
    console.log(`${counts.passed} passed, ${counts.failed} failed${skipped}`)
    return counts.failed > 0 ? code || 1 : 0
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href)
  await main(process.argv.slice(2))
