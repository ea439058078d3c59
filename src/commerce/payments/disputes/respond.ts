/**
 * Having one's say in a dispute: evidence is kept until it is submitted, once; or the dispute is given up. What the
 * processor is asked stays written on the dispute until it has acknowledged it, or its news has told as much: asking
 * twice is harmless, so a silence is simply asked again.
 */
import { z } from 'zod'
import type { Tx } from '#db'
import { type Cause, eventOf, changedFrom } from '#events'
import { type Answer, type Context, endpoint, type Endpoint, id, mergeMetadata, metadataChange } from '#http'
import { ApiError, unreachable } from '#kernel'
import { CALL_DEADLINE_MS, TAKEN_FOR } from '../attempts/limits.ts'
import type { DisputeAnswer } from '../connectors/connector.ts'
import type { Payments } from '../payments.ts'
import { record } from '../record.ts'
import type { DisputeRow } from '../rows.ts'
import { decideDispute } from './decide.ts'
import { evidenceParam, evidenceText, mergeEvidence } from './evidence.ts'
import { awaitsResponse } from './lifecycle.ts'
import { Dispute, disputeSubject, shownDispute } from './object.ts'
import { findDispute } from './read.ts'
import { lockDispute, lockForNews, recordDecision, updateDispute } from './record.ts'

const path = z.object({ id: id('dp_') })

const UpdateParams = z.strictObject({
  evidence: evidenceParam.optional(),
  submit: z
    .boolean()
    .default(false)
    .describe('Send the evidence to the bank now. It is sent once, and cannot be changed afterwards.'),
  metadata: metadataChange.optional(),
})
type UpdateParams = z.output<typeof UpdateParams>

export const updateDisputeEndpoint = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/disputes/:id',
    summary: 'Keep evidence for a dispute, and submit it.',
    resource: 'disputes',
    path,
    params: UpdateParams,
    returns: Dispute,
    async run(context, params, { id }) {
      if (!params.submit) {
        return context.finish('updated', async tx =>
          shownDispute(await change(context, tx, id, known => decideUpdate(known, params))),
        )
      }
      await context.phase('asked', id, tx => change(context, tx, id, known => decideUpdate(known, params)))
      return respond(payments, context, id)
    },
    resume: (context, dispute_id) => respond(payments, context, dispute_id),
  })

export const closeDisputeEndpoint = (payments: Payments): Endpoint =>
  endpoint({
    route: 'POST /v1/disputes/:id/close',
    summary: 'Give a dispute up: it is lost.',
    resource: 'disputes',
    path,
    params: z.strictObject({}),
    returns: Dispute,
    async run(context, _params, { id }) {
      await context.phase('asked', id, tx => change(context, tx, id, decideClose))
      return respond(payments, context, id)
    },
    resume: (context, dispute_id) => respond(payments, context, dispute_id),
  })

/** Pure: the dispute with its new evidence and notes, or why it cannot be. */
export function decideUpdate(known: DisputeRow, params: UpdateParams): DisputeRow {
  if (params.evidence !== undefined || params.submit) checkOpen(known)
  const evidence = mergeEvidence(known.evidence, params.evidence)
  if (params.submit && Object.keys(evidence).length === 0) {
    throw new ApiError('parameter_missing', {
      param: 'evidence',
      message: 'There is no evidence to submit. Send some, or close the dispute.',
    })
  }
  return {
    ...known,
    evidence,
    metadata: mergeMetadata(known.metadata, params.metadata),
    asked: params.submit ? 'evidence' : known.asked,
  }
}

export function decideClose(known: DisputeRow): DisputeRow {
  checkOpen(known)
  return { ...known, asked: 'close' }
}

function checkOpen(known: DisputeRow): void {
  if (!awaitsResponse(known.status)) {
    throw new ApiError('dispute_unexpected_state', {
      message: `The dispute is ${known.status}: it takes no response any more.`,
    })
  }
  if (known.asked === null && known.evidence_submitted_at === null) return
  throw new ApiError('dispute_unexpected_state', {
    message: 'A response was sent already, and only one can be. Wait for what the bank decides.',
  })
}

async function change(
  context: Context,
  tx: Tx,
  dispute_id: string,
  decide: (known: DisputeRow) => DisputeRow,
): Promise<DisputeRow> {
  const known = await lockDispute(tx, context.tenant, dispute_id)
  const dispute = { ...decide(known), version: known.version + 1n }
  await updateDispute(tx, dispute)
  if (dispute.asked !== null && known.asked === null) await checkAgain(tx, dispute, TAKEN_FOR)
  await record(tx, {
    events: [
      eventOf(
        context,
        'charge.dispute.updated',
        disputeSubject(dispute),
        changedFrom(Dispute, shownDispute(known), shownDispute(dispute)),
      ),
    ],
  })
  return dispute
}

/** Due by the database's clock, `after` from now. */
export const checkAgain = (
  tx: Tx,
  { account_id, livemode, id }: DisputeRow,
  after: string,
): Promise<number> => tx.run`
  update disputes
  set next_check_at = now() + ${after}::interval
  where account_id = ${account_id} and livemode = ${livemode} and id = ${id}`

async function respond(payments: Payments, context: Context, dispute_id: string): Promise<Answer> {
  const known = await findDispute(context.db, context.tenant, dispute_id)
  const answer = await askProcessor(payments, known)
  return context.finish('answered', async tx => {
    const { dispute, refusal } = await applyAnswer(tx, context, known, answer)
    return refusal ?? shownDispute(dispute)
  })
}

/** Null when nothing is left to ask: another runner did. No transaction is open during the call. */
export async function askProcessor(payments: Payments, dispute: DisputeRow): Promise<DisputeAnswer | null> {
  const { asked, processor_id } = dispute
  const connector = payments.connectorNamed(dispute.processor)
  switch (asked) {
    case null:
      return null
    case 'evidence':
      return connector.submitEvidence(processor_id, evidenceText(dispute.evidence), CALL_DEADLINE_MS)
    case 'close':
      return connector.closeDispute(processor_id, CALL_DEADLINE_MS)
    default:
      return unreachable(asked)
  }
}

/** Records what the processor answered; a silence leaves the question open, and it is asked again. */
export async function applyAnswer(
  tx: Tx,
  cause: Cause,
  { id, charge_id, processor_id }: DisputeRow,
  answer: DisputeAnswer | null,
): Promise<{ dispute: DisputeRow; refusal?: ApiError }> {
  const known = await lockForNews(tx, cause, charge_id, { dispute_id: processor_id })
  const { dispute } = known
  if (!dispute || dispute.id !== id) throw new Error('a dispute keeps its charge and its processor')
  if (answer === null || answer.kind === 'unknown') return { dispute }
  if (answer.kind === 'dispute') {
    const decision = decideDispute(cause, known, answer, { is_acknowledged: true })
    if (!decision) return { dispute }
    await recordDecision(tx, decision)
    return { dispute: decision.dispute }
  }
  if (dispute.asked === null) return { dispute }
  const refused: DisputeRow = { ...dispute, asked: null, checks: 0, version: dispute.version + 1n }
  await updateDispute(tx, refused)
  await record(tx, {
    events: [
      eventOf(
        cause,
        'charge.dispute.updated',
        disputeSubject(refused),
        changedFrom(Dispute, shownDispute(dispute), shownDispute(refused)),
      ),
    ],
  })
  return { dispute: refused, refusal: new ApiError('dispute_response_refused', { message: answer.message }) }
}
