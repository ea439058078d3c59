/**
 * Who used the cores, from /proc: a benchmark on a small machine measures everything that runs there, so each number
 * comes with the shares of those who made it. Linux only; elsewhere the shares are absent and the rates still stand.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** USER_HZ, which is 100 on every platform Node.js runs on. */
const TICKS_PER_SECOND = 100

interface Stat {
  parent: number
  /** Own CPU time, and that of children which ended and were waited for. */
  own_s: number
  ended_children_s: number
}

function statOf(pid: number | 'self'): Stat | null {
  let text: string
  try {
    text = readFileSync(`/proc/${pid}/stat`, 'latin1')
  } catch {
    // It ended between the listing and the look.
    return null
  }
  // The name is in parentheses and may hold anything; the fields after it are fixed (proc(5): 3 is the state).
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number) => Number(fields[number - 3])
  return {
    parent: field(4),
    own_s: (field(14) + field(15)) / TICKS_PER_SECOND,
    ended_children_s: (field(16) + field(17)) / TICKS_PER_SECOND,
  }
}

const pids = (): number[] =>
  readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .map(Number)

export const childrenOf = (parent: number): number[] => pids().filter(pid => statOf(pid)?.parent === parent)

/** Program and arguments. */
export const commandOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()

/** A process with the children it has now and those that ended. */
function familySeconds(pid: number): number {
  const root = statOf(pid)
  if (root === null) return 0
  return childrenOf(pid).reduce(
    (sum, child) => sum + (statOf(child)?.own_s ?? 0),
    root.own_s + root.ended_children_s,
  )
}

interface Machine {
  busy_s: number
  waiting_for_disk_s: number
}

function machineSeconds(): Machine {
  const [user, nice, system, , iowait, irq, softirq, steal] = readFileSync('/proc/stat', 'latin1')
    .split('\n', 1)[0]!
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number) as [number, number, number, number, number, number, number, number]
  return {
    busy_s: (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND,
    waiting_for_disk_s: iowait / TICKS_PER_SECOND,
  }
}

/** Cores used, by whom: 0.50 is half a core. `others` is what else the machine did. */
export type Shares = Record<string, number>

export interface Watched {
  api?: number
  simulator?: number
  postgres: number
}

/** Begins to watch; the returned function answers the shares since then. */
export function watchCpu(watched: Watched): () => Shares | null {
  if (!existsSync('/proc/stat')) return () => null
  const look = () => ({
    at_s: performance.now() / 1_000,
    machine: machineSeconds(),
    parts: {
      ...(watched.api !== undefined && { api: statOf(watched.api)?.own_s ?? 0 }),
      ...(watched.simulator !== undefined && { simulator: statOf(watched.simulator)?.own_s ?? 0 }),
      postgres: familySeconds(watched.postgres),
      generator: (statOf('self')?.own_s ?? 0) + (statOf('self')?.ended_children_s ?? 0),
    } as Record<string, number>,
  })
  const before = look()
  return () => {
    const after = look()
    const elapsed_s = after.at_s - before.at_s
    const cores = (seconds: number) => Math.round((seconds / elapsed_s) * 100) / 100
    const shares: Shares = {}
    let known_s = 0
    for (const [name, seconds] of Object.entries(after.parts)) {
      const used_s = Math.max(0, seconds - (before.parts[name] ?? 0))
      known_s += used_s
      shares[name] = cores(used_s)
    }
    shares.others = cores(Math.max(0, after.machine.busy_s - before.machine.busy_s - known_s))
    shares.waiting_for_disk = cores(after.machine.waiting_for_disk_s - before.machine.waiting_for_disk_s)
    return shares
  }
}

/** The mean of several runs' shares. */
export function meanShares(all: readonly (Shares | null)[]): Shares | null {
  const known = all.filter(shares => shares !== null)
  if (known.length === 0) return null
  const names = Object.keys(known[0] as Shares)
  const mean = (name: string) => known.reduce((sum, shares) => sum + (shares[name] ?? 0), 0) / known.length
  return Object.fromEntries(names.map(name => [name, Math.round(mean(name) * 100) / 100]))
}
