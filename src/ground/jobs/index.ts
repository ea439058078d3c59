/** Work for later: asked for in a transaction, done at least once. */
export { type DeadJob, deadJobs, retryDeadJob } from './dead.ts'
export { defineJob, type Job, type JobContext, type JobOptions, type Schedule } from './define.ts'
export { enqueue, type EnqueueOptions } from './enqueue.ts'
export { migrateJobs } from './migrate.ts'
export { startWorker, type Worker, type WorkerOptions } from './worker.ts'
