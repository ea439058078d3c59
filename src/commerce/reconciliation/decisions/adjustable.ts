/**
 * Adjustments by hand that name a decision. What they move counts as moved for it, so they take turns with whoever decides
 * or withdraws: what is withdrawn must be whole, and what is moved must wait.
 */
import { ApiError, encodeId, idPrefixes } from '#kernel'
import type { DemandSources } from '#ledger'
import { takeTurn } from './claim.ts'
import { findDecisions, statusOf } from './object.ts'

/**
 * Throws, in the name of the transfer: `resource_missing` for a decision that is not there;
 * `reconciliation_decision_unexpected_state` for one that put nothing in suspense, or was withdrawn whole.
 */
export const demandAdjustable: DemandSources = async (tx, tenant, transfers) => {
  const of_decisions = transfers.filter(({ source_type }) => source_type === idPrefixes.rdc_)
  if (of_decisions.length === 0) return
  await takeTurn(tx, tenant)
  const ids = of_decisions.map(({ source_id }) => source_id)
  const decisions = new Map((await findDecisions(tx, tenant, ids)).map(found => [found.id, found]))
  for (const [i, { kind, source_type, source_id }] of transfers.entries()) {
    // What is reserved can always be freed: that moves nothing.
    if (source_type !== idPrefixes.rdc_ || kind === 'void_pending') continue
    const param = `transfers[${i}].source_id`
    const decision = decisions.get(source_id)
    if (decision === undefined) {
      throw new ApiError('resource_missing', { param, message: `${param}: no such decision.` })
    }
    const status = statusOf(decision)
    if (decision.kind === 'suspense' && status !== 'withdrawn') continue
    throw new ApiError('reconciliation_decision_unexpected_state', {
      param,
      message: `${param}: nothing is in suspense for ${encodeId('rdc_', source_id)}, which is ${
        status === 'withdrawn' ? status : `a ${decision.kind}`
      }.`,
    })
  }
}
