/**
 * The house keeps itself tidy: rules of ARCHITECTURE.md that no compiler knows. Each failure names the file and
 * the line, and each exception stands here with its reason.
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'

const PROJECT = join(import.meta.dirname, '..')

/** Longer files have a second subject in them. */
const LINES = 450

/** Which rooms a room may enter; each includes what its own rooms may. The order is the house, from the ground up. */
const MAY_ENTER: Record<string, string[]> = {
  'ground/money': [],
  'ground/kernel': ['ground/money'],
  'ground/metrics': ['ground/kernel', 'ground/money'],
  'ground/db': ['ground/metrics', 'ground/kernel', 'ground/money'],
  'ground/mail': ['ground/metrics', 'ground/kernel', 'ground/money'],
  'ground/secrets': ['ground/kernel', 'ground/money'],
  'ground/jobs': ['ground/db', 'ground/metrics', 'ground/kernel', 'ground/money'],
  'ground/http': [
    'ground/jobs',
    'ground/db',
    'ground/metrics',
    'ground/secrets',
    'ground/kernel',
    'ground/money',
  ],
  'ground/fetch': ['ground/metrics', 'ground/kernel', 'ground/money'],
  'signals/events': ['ground/*'],
  'signals/webhooks': ['signals/events', 'ground/*'],
  'signals/inbound': ['signals/events', 'ground/*'],
  'commerce/ledger': ['signals/*', 'ground/*'],
  'commerce/payments': ['commerce/ledger', 'signals/*', 'ground/*'],
  'commerce/billing': ['commerce/payments', 'commerce/ledger', 'signals/*', 'ground/*'],
  'commerce/reconciliation': [
    'commerce/billing',
    'commerce/payments',
    'commerce/ledger',
    'signals/*',
    'ground/*',
  ],
  operations: ['signals/*', 'ground/*'],
  simulator: ['ground/money', 'ground/kernel'],
}

/** Where real time may be read without the kernel's clock. */
const TIME_EXCEPTIONS: Record<string, string> = {
  'src/ground/kernel/clock.ts': 'this is the clock',
  'scripts/bootstrap.mjs': 'runs before anything of ours is there, and only waits',
  'test/tidy.test.ts': 'names what it looks for',
}

/** Tables whose keys do not begin with account_id, although they have one. */
const TENANCY_EXCEPTIONS: Record<string, string> = {
  api_keys: 'a key is found by its hash, before anybody knows whose it is',
  users: 'a person signs in by address, before anybody knows to which account',
}

interface SourceFile {
  path: string
  text: string
  lines: string[]
}

const read = (path: string): SourceFile => {
  const text = readFileSync(join(PROJECT, path), 'utf8')
  return { path: path.replaceAll('\\', '/'), text, lines: text.split('\n') }
}
const sources = globSync('{src,simulator,bench,scripts,test}/**/*.{ts,mjs,tsx}', { cwd: PROJECT })
  .sort()
  .map(read)
const production = sources.filter(file => !file.path.endsWith('.test.ts'))

/** Every line that matches, as `path:line: text`, save in the excepted files. */
function findLines(files: SourceFile[], pattern: RegExp, exceptions: Record<string, string> = {}): string[] {
  return files
    .filter(file => exceptions[file.path] === undefined)
    .flatMap(file =>
      file.lines
        .map((line, index) => ({ line, where: `${file.path}:${index + 1}: ${line.trim()}` }))
        .filter(({ line }) => pattern.test(line))
        .map(({ where }) => where),
    )
}

const faces = Object.entries(JSON.parse(read('package.json').text).imports as Record<string, string>)
const fileOfFace = new Map(faces.map(([face, path]) => [face, path.replace('./', '')]))

/** `commerce/payments` for a file of that room; the top floor of src, tests and scripts are in none. */
function roomOf(path: string): string | null {
  if (path.startsWith('simulator/')) return 'simulator'
  const [, room] = /^src\/((?:ground|signals|commerce)\/[^/]+|operations)\//.exec(path) ?? []
  return room ?? null
}

const importsOf = (file: SourceFile): string[] =>
  [
    ...file.text.matchAll(
      /^(?:import|export)\b[^'"]*?from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm,
    ),
  ]
    .map(match => match[1] ?? match[2] ?? match[3] ?? '')
    .filter(target => target.startsWith('.') || target.startsWith('#'))

const resolved = (file: SourceFile, target: string): string =>
  target.startsWith('#') ? (fileOfFace.get(target) ?? target) : join(dirname(file.path), target)

describe('rooms', () => {
  test('are entered through their face: a relative import stays inside', () => {
    const strays = sources.flatMap(file =>
      importsOf(file)
        .filter(target => target.startsWith('.'))
        .filter(target => {
          const room = roomOf(resolved(file, target))
          return room !== null && room !== roomOf(file.path)
        })
        .map(target => `${file.path} imports ${target}`),
    )
    expect(strays).toEqual([])
  })

  test('never reach up to the floor where things are wired', () => {
    const strays = sources.flatMap(file =>
      importsOf(file)
        .filter(target => roomOf(file.path) !== null && roomOf(resolved(file, target)) === null)
        .filter(target => !file.path.endsWith('.test.ts') && !resolved(file, target).startsWith('generated/'))
        .map(target => `${file.path} imports ${target}`),
    )
    expect(strays).toEqual([])
  })

  test('know only the rooms below them', () => {
    const strays = production.flatMap(file => {
      const room = roomOf(file.path)
      if (room === null) return []
      const allowed = MAY_ENTER[room]
      if (allowed === undefined) return [`${room} has no place in the table of rooms`]
      return importsOf(file)
        .map(target => ({ target, other: roomOf(resolved(file, target)) }))
        .filter(({ other }) => other !== null && other !== room)
        .filter(
          ({ other }) => !allowed.some(entry => entry === other || entry === other?.replace(/\/.*/, '/*')),
        )
        .map(({ target }) => `${file.path} imports ${target}`)
    })
    expect(strays).toEqual([])
  })

  test('have no circles of imports among them', () => {
    const graph = new Map(
      sources.map(file => [file.path, importsOf(file).map(target => resolved(file, target))]),
    )
    expect(findCircle(graph)).toBeNull()
  })
})

/** The first circle as a list of files, or null. */
function findCircle(graph: Map<string, string[]>): string[] | null {
  const finished = new Set<string>()
  const visit = (path: string, trail: string[]): string[] | null => {
    if (trail.includes(path)) return [...trail.slice(trail.indexOf(path)), path]
    if (finished.has(path)) return null
    for (const next of graph.get(path) ?? []) {
      const circle = visit(next, [...trail, path])
      if (circle !== null) return circle
    }
    finished.add(path)
    return null
  }
  for (const path of graph.keys()) {
    const circle = visit(path, [])
    if (circle !== null) return circle
  }
  return null
}

describe('code', () => {
  test('reads the time from the clock alone', () => {
    const files = production.filter(file => /^(src|simulator)\//.test(file.path))
    expect(findLines(files, /\bDate\.now\(\)|\bnew Date\(\)/, TIME_EXCEPTIONS)).toEqual([])
  })

  test('names the columns it wants', () => {
    const sql = globSync('{src,migrations,simulator}/**/*.sql', { cwd: PROJECT }).sort().map(read)
    expect(findLines([...production, ...sql], /\bselect\s+(\w+\.)?\*/i)).toEqual([])
  })

  test('leaves nothing for later', () => {
    const files = sources.filter(file => file.path !== 'test/tidy.test.ts')
    expect(findLines(files, /\b(TODO|FIXME|XXX)\b/)).toEqual([])
  })

  test('does not silence the compiler', () => {
    const files = sources.filter(file => file.path !== 'test/tidy.test.ts')
    expect(findLines(files, /@ts-(ignore|nocheck|expect-error)/)).toEqual([])
  })

  test('comes in files that fit in a head', () => {
    const long = sources.filter(file => file.lines.length > LINES)
    expect(long.map(file => `${file.path} has ${file.lines.length} lines`)).toEqual([])
  })

  test('opens each file by saying what it is', () => {
    const silent = production.filter(file => !/^(#!.*\n)?\s*(\/\*\*|\/\/)/.test(file.text))
    expect(silent.map(file => file.path)).toEqual([])
  })
})

describe('migrations', () => {
  const migrations = globSync('migrations/*.sql', { cwd: PROJECT }).sort().map(read)

  test('begin with what they do and whether they break older code', () => {
    const silent = migrations.filter(file => {
      const head = file.text.split('\n\n')[0] ?? ''
      return !/^-- \S/.test(head) || !/\bbreak/i.test(head)
    })
    expect(silent.map(file => file.path)).toEqual([])
  })

  test('build no index that would have to be built outside a transaction', () => {
    expect(findLines(migrations, /\bconcurrently\b/i)).toEqual([])
  })
})

describe('tables of an account', () => {
  const tables = tenantTables(read('generated/schema.sql').text)

  test('are found in the schema', () => {
    expect(tables.length).toBeGreaterThan(0)
  })

  // A shard is found by the account, so no key may leave it out (where it stands in the key is the index's affair).
  test('have the account and its mode in every key', () => {
    const loose = tables
      .filter(table => TENANCY_EXCEPTIONS[table.name] === undefined)
      .flatMap(table =>
        table.keys
          .filter(key => !key.split(', ').includes('account_id') || !key.split(', ').includes('livemode'))
          .map(key => `${table.name} (${key})`),
      )
    expect(loose).toEqual([])
  })

  test('are behind row-level security', () => {
    expect(tables.filter(table => !table.is_secured).map(table => table.name)).toEqual([])
  })

  test('have no exception that is not needed any more', () => {
    const names = tables.map(table => table.name)
    expect(Object.keys(TENANCY_EXCEPTIONS).filter(name => !names.includes(name))).toEqual([])
  })
})

interface TenantTable {
  name: string
  /** Columns of each primary key, unique constraint and unique index. */
  keys: string[]
  is_secured: boolean
}

function tenantTables(schema: string): TenantTable[] {
  return schema
    .split(/^(?=create table )/m)
    .filter(section => section.startsWith('create table ') && /^ {2}account_id uuid/m.test(section))
    .map(section => ({
      name: /^create table (\S+)/.exec(section)?.[1] ?? '',
      keys: [
        ...section.matchAll(
          /(?:PRIMARY KEY|UNIQUE(?: NULLS NOT DISTINCT)?) \(([^)]*)\)|^CREATE UNIQUE INDEX .* USING \w+ \(([^)]*)\)/gm,
        ),
      ].map(match => match[1] ?? match[2] ?? ''),
      is_secured: section.includes(`enable row level security;`),
    }))
}
