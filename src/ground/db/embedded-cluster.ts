/**
 * Where the embedded PostgreSQL keeps its things, and how a new database cluster comes to be. Below
 * `<data_dir>/postgres`: `data` (the cluster), `password`, `server.log`, `socket/`, `lock` and `owner`.
 */
import { spawnSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Binaries, canReach, runAs, type ServerAccount } from './embedded-binaries.ts'

/** The owner of every database, and the database Bursar lives in. */
export const DATABASE_USER = 'bursar'

/** sun_path holds 104 bytes on macOS and 108 on Linux, with the closing NUL. */
const SOCKET_PATH_BYTES = 103

export interface ClusterPlace {
  root: string
  data: string
  /** How the server itself names its data: its working directory, where its account cannot walk down to it. */
  data_as_seen: string
  password_file: string
  log_file: string
}

/** Makes the directories that must exist before anything runs. */
export function prepareRoot(data_dir: string): string {
  mkdirSync(data_dir, { recursive: true })
  const root = join(realpathSync(data_dir), 'postgres')
  mkdirSync(root, { recursive: true, mode: 0o711 })
  return root
}

export function dataOwner(root: string): { uid: number; gid: number } | null {
  const data = join(root, 'data')
  if (!existsSync(data)) return null
  const { uid, gid } = statSync(data)
  return { uid, gid }
}

export function clusterPlace(root: string, account: ServerAccount): ClusterPlace {
  return {
    root,
    data: join(root, 'data'),
    data_as_seen: dataAsSeen(account, root, join(root, 'data')),
    password_file: join(root, 'password'),
    log_file: join(root, 'server.log'),
  }
}

/**
 * Below a private home the server's account may use its own directory but not walk there. Linux lets a process
 * name the directory it was started in without walking: the server starts in its data directory and stays there.
 */
function dataAsSeen(account: ServerAccount, root: string, data: string): string {
  if (canReach(account, root)) return data
  if (process.platform === 'linux') return '/proc/self/cwd'
  throw new Error(
    `the account that runs PostgreSQL cannot reach ${root}: set BURSAR_DATA_DIR to a directory it can`,
  )
}

/** The password of the database's owner, made once; a file only we may read. */
export function databasePassword(place: ClusterPlace): string {
  if (existsSync(place.password_file)) return readFileSync(place.password_file, 'utf8').trim()
  if (existsSync(place.data)) {
    throw new Error(
      `${place.password_file} is missing, so the database beside it cannot be opened: bring it back`,
    )
  }
  const password = randomBytes(24).toString('base64url')
  const unfinished = `${place.password_file}.new`
  rmSync(unfinished, { force: true })
  writePrivate(unfinished, `${password}\n`)
  renameSync(unfinished, place.password_file)
  return password
}

/** Written through to the disk: a database whose password is lost is lost with it. */
function writePrivate(file: string, text: string): void {
  const descriptor = openSync(file, 'wx', 0o600)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** Makes the cluster beside its place and renames it there when it is whole: a kill half-way costs nothing. */
export function ensureCluster(
  place: ClusterPlace,
  account: ServerAccount,
  binaries: Binaries,
  password: string,
  is_throwaway: boolean,
): 'made' | 'found' {
  for (const name of readdirSync(place.root)) {
    // An orphaned initdb may still be writing into what it left; then the next start clears it away.
    if (name.startsWith('unfinished-'))
      rmSync(join(place.root, name), { recursive: true, force: true, maxRetries: 2 })
  }
  if (existsSync(place.data)) {
    const major = Number.parseInt(readFileSync(join(place.data, 'PG_VERSION'), 'utf8'), 10)
    if (major !== binaries.major) {
      throw new Error(
        `the data in ${place.data} was written by PostgreSQL ${major} and this is ${binaries.major}: dump it with the old one and restore it`,
      )
    }
    return 'found'
  }
  const unfinished = mkdtempSync(join(place.root, 'unfinished-'))
  const password_copy = mkdtempSync(join(place.root, 'unfinished-password-'))
  writePrivate(join(password_copy, 'password'), password)
  for (const path of [unfinished, password_copy, join(password_copy, 'password')]) give(path, account)
  initialize(unfinished, place, password_copy, account, binaries, is_throwaway)
  rmSync(password_copy, { recursive: true })
  renameSync(unfinished, place.data)
  syncDirectory(place.root)
  return 'made'
}

function initialize(
  directory: string,
  place: ClusterPlace,
  password_copy: string,
  account: ServerAccount,
  binaries: Binaries,
  is_throwaway: boolean,
): void {
  const unreachable = place.data_as_seen !== place.data
  const as_seen = unreachable ? place.data_as_seen : directory
  const passwords = unreachable ? password_copy.replace(place.root, '/proc/self/cwd/..') : password_copy
  const answer = spawnSync(
    join(binaries.bin_dir, 'initdb'),
    [
      `--pgdata=${as_seen}`,
      `--username=${DATABASE_USER}`,
      `--pwfile=${passwords}/password`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // Builtin: sorting by code point that no upgrade of the system's libraries can change below an index.
      ...(binaries.major >= 17
        ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8', '--locale=C']
        : [process.platform === 'linux' ? '--locale=C.UTF-8' : '--locale=C']),
      ...(is_throwaway ? ['--no-sync'] : []),
    ],
    { ...runAs(account, directory), encoding: 'utf8' },
  )
  if (answer.status !== 0) {
    const reason = answer.error?.message ?? answer.stderr.trim()
    throw new Error(`PostgreSQL could not make a new database in ${place.root}: ${reason}`)
  }
}

function syncDirectory(directory: string): void {
  const descriptor = openSync(directory, 'r')
  try {
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function give(path: string, account: ServerAccount): void {
  if (account.switched) chownSync(path, account.uid, account.gid)
}

/**
 * A private directory for the socket with a path short enough, or null when there is none. The same directory on
 * each start, so a killed server leaves nothing that the next one does not use again.
 */
export function socketDirectory(place: ClusterPlace, account: ServerAccount): string | null {
  const own_name = `bursar-${createHash('sha256').update(place.root).digest('hex').slice(0, 12)}`
  const candidates = [join(place.root, 'socket'), join(tmpdir(), own_name), join('/tmp', own_name)]
  for (const path of candidates) {
    if (Buffer.byteLength(`${path}/.s.PGSQL.5432`) > SOCKET_PATH_BYTES) continue
    if (preparePrivate(path, account) && canReach(account, path)) return path
  }
  return null
}

/** In a shared directory such as /tmp somebody else may hold the name already: then it is not ours to use. */
function preparePrivate(path: string, account: ServerAccount): boolean {
  if (!existsSync(path)) {
    mkdirSync(path, { mode: 0o700 })
    give(path, account)
  }
  const found = lstatSync(path)
  if (!found.isDirectory() || (found.uid !== account.uid && found.uid !== process.getuid?.())) return false
  give(path, account)
  chmodSync(path, 0o700)
  return true
}
