/** What this command is called where somebody stands who reads it and types it. */
import { isAbsolute, join, relative } from 'node:path'

const CHECKOUT = join(import.meta.dirname, '..', '..')

/**
 * `npx bursar` in the checkout's folder and below it. Elsewhere npx asks the public registry for a package of that name,
 * which is not this one: there the command is its path.
 */
export function ownCommand(from = process.cwd()): string {
  const below = relative(CHECKOUT, from)
  if (below.split(/[/\\]/)[0] !== '..' && !isAbsolute(below)) return 'npx bursar'
  const path = join(CHECKOUT, 'scripts', 'bursar.mjs')
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`
}
