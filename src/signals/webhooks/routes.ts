/** What the room shows over HTTP, and its work on the clock. */
import type { Endpoint } from '#http'
import type { Job, Schedule } from '#jobs'
import { listAttempts, listDeliveries, retrieveDelivery } from './deliveries/read.ts'
import { retryDelivery, testEndpoint } from './deliveries/retry.ts'
import { createEndpoint } from './endpoints/create.ts'
import { deleteEndpoint, removeJob } from './endpoints/delete.ts'
import { listEndpoints, retrieveEndpoint } from './endpoints/read.ts'
import { disableEndpoint, enableEndpoint } from './endpoints/switch.ts'
import { rotateSecret, updateEndpoint } from './endpoints/update.ts'
import { createReplay } from './replays/create.ts'
import { cancelReplay, listReplays, retrieveReplay } from './replays/read.ts'
import { cancelJob, replayJob, resumeJob } from './replays/work.ts'
import { retentionJob } from './retention.ts'
import { secretsVault } from './secrets.ts'
import type { Webhooks } from './types.ts'

export function webhookEndpoints(webhooks: Webhooks): Endpoint[] {
  const vault = secretsVault(webhooks.installation_secret)
  return [
    createEndpoint(webhooks, vault),
    listEndpoints,
    retrieveEndpoint,
    updateEndpoint(webhooks, vault),
    deleteEndpoint(),
    rotateSecret(webhooks, vault),
    enableEndpoint(webhooks),
    disableEndpoint(webhooks),
    testEndpoint(webhooks),
    createReplay(webhooks),
    listDeliveries,
    retrieveDelivery,
    listAttempts,
    retryDelivery(webhooks),
    listReplays,
    retrieveReplay,
    cancelReplay,
  ]
}

export const webhookJobs = (): { jobs: Job[]; schedules: Schedule[] } => ({
  jobs: [replayJob, cancelJob, resumeJob, removeJob, retentionJob],
  schedules: [
    { cron: '30 2 * * *', job: retentionJob },
    { cron: '*/10 * * * *', job: resumeJob },
  ],
})
