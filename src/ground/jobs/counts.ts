/** Gauges over the queue, read from the database at each scrape by one process that runs a worker. */
import type { Db } from '#db'
import { gauge } from '#metrics'

interface CountRow {
  job: string
  state: 'ready' | 'scheduled' | 'running' | 'dead'
  jobs: bigint
  oldest_seconds: number
}

let source: Db | undefined
/** Both gauges of one scrape share one question. */
let asked: Promise<CountRow[]> | undefined

/** The database whose queue is counted; undefined when the worker stops. */
export function countJobsOf(db: Db | undefined): void {
  source = db
}

function counts(): Promise<CountRow[]> {
  const db = source
  if (db === undefined) return Promise.resolve([])
  asked ??= db.many<CountRow>`
    select job, state, jobs, oldest_seconds
    from job_counts()`.finally(() => {
    asked = undefined
  })
  return asked
}

gauge({
  name: 'bursar_jobs',
  help: 'Jobs by state: ready to run, scheduled for later or for another try, running, dead',
  labels: ['job', 'state'],
  collect: async set => {
    for (const { job, state, jobs } of await counts()) set({ job, state }, Number(jobs))
  },
})

gauge({
  name: 'bursar_job_oldest_ready_seconds',
  help: 'How long the longest-waiting job that could run has waited',
  labels: ['job'],
  collect: async set => {
    for (const { job, state, oldest_seconds } of await counts())
      if (state === 'ready') set({ job }, oldest_seconds)
  },
})
