/**
 * What Prometheus and its dashboards expect of every Node process (memory, CPU, event-loop lag, garbage collection,
 * descriptors), and which build runs. Called once by who starts a process; importing the room starts no observer.
 */
import { collectDefaultMetrics } from '@prometheus-io/client'
import { gauge, registry } from './metrics.ts'

export interface Build {
  version: string
  /** The commit, where known. */
  revision: string
  role: string
}

const buildInfo = gauge({
  name: 'bursar_build_info',
  help: 'Always 1; the labels say what runs',
  labels: ['version', 'revision', 'role', 'node'],
})

export function startProcessMetrics(build: Build): void {
  collectDefaultMetrics({ register: registry })
  buildInfo.set({ ...build, node: process.versions.node }, 1)
}
