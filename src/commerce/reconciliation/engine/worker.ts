/** One thread of a crew: does what it is given, one task after the other. What a task throws ends it. */
import { parentPort } from 'node:worker_threads'
import type { Told } from './crew.ts'
import { perform, type Task } from './tasks.ts'

const tell = (told: Told) => parentPort?.postMessage(told)

parentPort?.on('message', (task: Task) => {
  tell({ answer: perform(task, bytes => tell({ bytes })) })
})
