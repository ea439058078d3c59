/** The command line as a process, in a folder of the test's own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts')

export interface Ran {
  code: number | null
  out: string
  err: string
}

export interface Folder {
  path: string
  write(name: string, content: string | Uint8Array): string
  read(name: string): string
  /** `bursar …`, in the folder, with its temporary files there too. */
  start(args: readonly string[]): ChildProcess
  run(...args: readonly string[]): Promise<Ran>
  remove(): void
}

export function makeFolder(): Folder {
  const path = mkdtempSync(join(tmpdir(), 'bursar-reconciliation-'))
  const start = (args: readonly string[]) =>
    spawn(process.execPath, [CLI, ...args], {
      cwd: path,
      env: { ...process.env, TMPDIR: path, DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  return {
    path,
    write(name, content) {
      writeFileSync(join(path, name), content)
      return name
    },
    read: name => readFileSync(join(path, name), 'utf8'),
    start,
    async run(...args) {
      const child = start(args)
      let out = ''
      let err = ''
      child.stdout?.setEncoding('utf8').on('data', (text: string) => (out += text))
      child.stderr?.setEncoding('utf8').on('data', (text: string) => (err += text))
      const [code] = (await once(child, 'close')) as [number | null]
      return { code, out, err }
    },
    remove: () => rmSync(path, { recursive: true, force: true }),
  }
}
