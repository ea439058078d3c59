/** The functions that took most time in a V8 CPU profile, to read without a browser. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

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
