/** Where the time went: functions of a V8 CPU profile and statements of PostgreSQL, to read without a browser. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { asOwner } from './owner.ts'

interface CpuProfile {
  nodes: {
    id: number
    callFrame: { functionName: string; url: string; lineNumber: number }
  }[]
  samples: number[]
  timeDeltas: number[]
}

export interface ProfiledFunction {
  name: string
  share: number
}

/** Self time by function, largest first, as a share of the time that was not idle; null when the process left none. */
export function hottest(directory: string, pid: number, count: number): ProfiledFunction[] | null {
  // CPU.<date>.<time>.<pid>.<thread>.<sequence>.cpuprofile; thread 0 is the main one.
  const file = readdirSync(directory).find(name => name.split('.')[3] === String(pid))
  if (file === undefined) return null
  const profile = JSON.parse(readFileSync(join(directory, file), 'utf8')) as CpuProfile
  const names = new Map(profile.nodes.map(node => [node.id, nameOf(node.callFrame)]))
  const self_us = new Map<string, number>()
  profile.samples.forEach((id, i) => {
    const name = names.get(id) ?? 'unknown'
    self_us.set(name, (self_us.get(name) ?? 0) + (profile.timeDeltas[i] ?? 0))
  })
  self_us.delete('(idle)')
  const busy_us = [...self_us.values()].reduce((sum, us) => sum + us, 0)
  return [...self_us]
    .map(([name, us]) => ({ name, share: us / busy_us }))
    .toSorted((a, b) => b.share - a.share)
    .slice(0, count)
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const place = url.replace(/^.*\/(node_modules|src|simulator)\//, '$1/').replace(/^file:\/\//, '')
  return `${functionName || '(anonymous)'}${place === '' ? '' : ` ${place}:${lineNumber + 1}`}`
}

export interface TimedStatement {
  /** Inside a function, or sent by a client. */
  is_nested: boolean
  calls: number
  rows: number
  total_ms: number
  text: string
}

/** The statements that took most time since `resetStatements`, those inside functions too. */
export async function slowest(url: string, count: number): Promise<TimedStatement[]> {
  const { rows } = await asOwner(url, client =>
    client.query<TimedStatement>(
      `select not toplevel as is_nested, calls::float8 as calls, rows::float8 as rows,
        total_exec_time + total_plan_time as total_ms, regexp_replace(query, '\\s+', ' ', 'g') as text
      from pg_stat_statements
      where dbid = (select oid from pg_database where datname = current_database())
      order by total_exec_time desc
      limit $1`,
      [count],
    ),
  )
  return rows
}

export const resetStatements = (url: string) =>
  asOwner(url, client => client.query('select pg_stat_statements_reset()'))
