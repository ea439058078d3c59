/** Gauges over consumers, read from the database at each scrape by processes that run them. One question for all. */
import type { Db } from '#db'
import { gauge } from '#metrics'
import { BEHIND_MOST, type ConsumerPlace, listConsumers } from './stream.ts'

let source: Db | undefined
/** All gauges of one scrape share one question. */
let asked: Promise<ConsumerPlace[]> | undefined

/** The database that is counted; undefined when the consumers stop. */
export function countConsumersOf(db: Db | undefined): void {
  source = db
}

function places(): Promise<ConsumerPlace[]> {
  const db = source
  if (db === undefined) return Promise.resolve([])
  asked ??= listConsumers(db).finally(() => {
    asked = undefined
  })
  return asked
}

gauge({
  name: 'bursar_event_consumer_behind_events',
  help: `Events that a consumer has not handled yet, counted up to ${BEHIND_MOST}`,
  labels: ['consumer'],
  collect: async set => {
    for (const { name, behind } of await places()) set({ consumer: name }, behind)
  },
})

gauge({
  name: 'bursar_event_consumer_behind_seconds',
  help: 'How long the oldest event that a consumer has not handled has waited; under a second while all is well',
  labels: ['consumer'],
  collect: async set => {
    for (const { name, behind_seconds } of await places()) set({ consumer: name }, behind_seconds)
  },
})

gauge({
  name: 'bursar_event_consumer_failing',
  help: 'How many times in a row a consumer has failed on the events it stands before; 0 while all is well',
  labels: ['consumer'],
  collect: async set => {
    for (const { name, failures } of await places()) set({ consumer: name }, failures)
  },
})

gauge({
  name: 'bursar_event_consumer_parked_events',
  help: 'Events that came before the one before them and wait for it',
  labels: ['consumer'],
  collect: async set => {
    for (const { name, parked } of await places()) set({ consumer: name }, parked)
  },
})
