/** Documentation that the code can check: links lead somewhere, generated parts are fresh, what is named exists. */
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Command } from 'commander'
import { expect, test } from 'vitest'
import { generatedDocs, lifecycles, markdownFiles } from '../scripts/docs.ts'
import { verbs } from '../src/catalog.ts'

const PROJECT = join(import.meta.dirname, '..')
const read = (file: string) => readFileSync(join(PROJECT, file), 'utf8')
const files = markdownFiles()

/** Text without code, in which brackets mean something else. */
const prose = (text: string) => text.replaceAll(/^(`{3,})[\s\S]*?^\1$/gm, '').replaceAll(/`[^`\n]*`/g, '')

/** The anchor that a heading gets where Markdown is shown (GitHub's rule). */
const anchorOf = (heading: string) =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .trim()
    .replaceAll(' ', '-')

const anchorsIn = (file: string) =>
  [...read(file).matchAll(/^#{1,6} (.+)$/gm)].map(([, heading = '']) => anchorOf(heading))

test('every link between files leads to a file, and to a heading where it names one', () => {
  const broken = files.flatMap(file =>
    [...prose(read(file)).matchAll(/\]\(([^()\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter(target => !/^[a-z]+:/.test(target))
      .filter(target => {
        const [path = '', anchor] = target.split('#')
        const to = path === '' ? file : join(dirname(file), path)
        if (!existsSync(join(PROJECT, to))) return true
        return anchor !== undefined && !anchorsIn(to).includes(anchor)
      })
      .map(target => `${file} links to ${target}`),
  )
  expect(broken).toEqual([])
})

test('what is generated in the documentation is what the code says today', async () => {
  const stale = [...(await generatedDocs())].filter(([file, text]) => read(file) !== text)
  // "node scripts/docs.ts" brings them up to date.
  expect(stale.map(([file]) => file)).toEqual([])
})

test('every lifecycle is drawn in the documentation, and has its states in a CHECK', async () => {
  const drawn = files.map(read).join('\n')
  const checks = [...read('generated/schema.sql').matchAll(/CHECK \(\(\w+ = ANY \(ARRAY\[([^\]]*)\]/g)].map(
    ([, states = '']) => [...states.matchAll(/'([^']*)'/g)].map(([, state]) => state).join(),
  )
  for (const [name, { states }] of await lifecycles()) {
    expect(drawn, name).toContain(`<!-- generated: lifecycle ${name} -->`)
    expect(checks, name).toContain(states.join())
  }
})

test('every command that the documentation names exists', () => {
  const scripts = Object.keys((JSON.parse(read('package.json')) as { scripts: object }).scripts)
  const known = scripts.filter(name => name !== 'start' && name !== 'test').map(name => `run ${name}`)
  const unknown = files.flatMap(file => {
    const text = read(file)
    const npm = [...text.matchAll(/\bnpm (run \w+)/g)].filter(([, name = '']) => !known.includes(name))
    const bursar = [...text.matchAll(/(?:npx |`)bursar ([a-z]+)/g)].filter(
      ([, name = '']) => !(name in verbs),
    )
    const node = [...text.matchAll(/\bnode ([a-z]+\/[\w./-]+\.m?ts)/g)].filter(
      ([, path = '']) => !existsSync(join(PROJECT, path)),
    )
    return [...npm, ...bursar, ...node].map(([command]) => `${file}: ${command}`)
  })
  expect(unknown).toEqual([])
})

/** The commands of `bursar`, each with what it takes. */
async function commands(): Promise<Command> {
  const program = new Command('bursar')
  for (const name of Object.keys(verbs)) {
    const file = (await import(`../src/cli/${name}.ts`)) as { declare(command: Command): void }
    file.declare(program.command(name))
  }
  return program
}

/** What is wrong with a command line; undefined when it could be run. In prose a command may stand without its options. */
function flawOf(program: Command, line: string, is_prose: boolean): string | undefined {
  const words = line
    .replaceAll(/"[^"]*"/g, 'TEXT')
    .replace(/[>#|].*$/, '')
    .trim()
    .split(/\s+/)
  let command = program
  for (const word of words) {
    if (word === '--help') return undefined
    if (word.startsWith('--')) {
      if (!command.options.some(option => option.long === word)) return `${command.name()} has no ${word}`
    } else if (command.commands.length > 0) {
      const found = command.commands.find(one => one.name() === word)
      // A command of its own may have others below it.
      if (!found && command.registeredArguments.length === 0) return `${command.name()} has no ${word}`
      command = found ?? command
    }
  }
  const missing = command.options.find(option => option.mandatory && !words.includes(option.long ?? ''))
  return missing && !is_prose ? `${command.name()} needs ${missing.long}` : undefined
}

test('every command line in a block, and every one that a runbook names, could be run', async () => {
  const program = await commands()
  const flaws = files.flatMap(file => {
    const text = read(file).replaceAll(/\\\n\s*/g, '')
    const in_blocks = [...text.matchAll(/^\s*(?:npx )?bursar ([a-z].*)$/gm)]
    const in_prose = file.startsWith('docs/runbooks/')
      ? [...text.matchAll(/`(?:npx )?bursar ([a-z][^`]*)`/g)]
      : []
    return [in_blocks, in_prose].flatMap(lines =>
      lines.flatMap(([, line = '']) => {
        const flaw = flawOf(program, line, lines === in_prose)
        return flaw === undefined ? [] : [`${file}: bursar ${line}: ${flaw}`]
      }),
    )
  })
  expect(flaws).toEqual([])
})

test('every path of the code that the documentation names exists', () => {
  const missing = files.flatMap(file =>
    [...read(file).matchAll(/`((?:src|simulator|scripts|test|migrations|bench|generated|docs)\/[\w./-]+)`/g)]
      .map(([, path = '']) => path)
      .filter(path => !path.includes('NNNN') && !existsSync(join(PROJECT, path)))
      .map(path => `${file} names ${path}`),
  )
  expect(missing).toEqual([])
})

test('every page that a comment in the code names exists', () => {
  const missing = globSync('{src,simulator,scripts,bench,migrations}/**/*.{ts,mjs,sql}', {
    cwd: PROJECT,
  }).flatMap(file =>
    [...read(file).matchAll(/\bdocs\/[\w/-]+\.md\b/g)]
      .filter(([path]) => !existsSync(join(PROJECT, path)))
      .map(([path]) => `${file} names ${path}`),
  )
  expect(missing).toEqual([])
})

test('every page of the documentation is linked to by another', () => {
  const linked = new Set(
    files.flatMap(file =>
      [...prose(read(file)).matchAll(/\]\(([^()\s#]+\.md)(?:#[^()\s]*)?\)/g)]
        .map(([, target = '']) => join(dirname(file), target))
        .filter(target => target !== file),
    ),
  )
  const pages = globSync('docs/**/*.md', { cwd: PROJECT }).filter(page => !page.startsWith('docs/decisions/'))
  expect(pages.filter(page => !linked.has(page))).toEqual([])
})

test('decisions are numbered without a gap, and carry their date', () => {
  const decisions = globSync('docs/decisions/*.md', { cwd: PROJECT }).sort()
  const numbers = decisions.map(path => Number(/(\d{4})-/.exec(path)?.[1]))
  expect(numbers).toEqual(decisions.map((_, i) => i + 1))
  for (const path of decisions) {
    expect(read(path), path).toMatch(/^# \d+\. .+\n\n20\d\d-\d\d-\d\d\b/)
    for (const part of ['Context', 'Decision', 'Consequences'])
      expect(read(path), path).toContain(`## ${part}`)
  }
})
