/** What an account has to say in a dispute: a few texts, sent to the processor as one. */
import { z } from 'zod'
import { text } from '#http'

/** A few pages a field: what a person at a bank reads. All fields together stay far below a request's limit. */
const TEXT_MOST = 5_000

const LABELS = {
  product_description: 'Product or service',
  customer_communication: 'Communication with the customer',
  delivery: 'Delivery',
  refund_policy: 'Refund policy',
  refund_refusal_explanation: 'Why no refund was given',
  uncategorized_text: 'Further facts',
} as const
export type EvidenceField = keyof typeof LABELS

export type Evidence = Partial<Record<EvidenceField, string>>

const FIELDS = Object.keys(LABELS) as EvidenceField[]

export const evidenceParam = z
  .strictObject(
    Object.fromEntries(FIELDS.map(field => [field, text(TEXT_MOST).optional()])) as Record<
      EvidenceField,
      z.ZodOptional<z.ZodString>
    >,
  )
  .describe('Texts are merged into those that are there; an empty text removes its field.')

export const evidenceShown = z.partialRecord(
  z.enum(FIELDS as [EvidenceField, ...EvidenceField[]]),
  z.string(),
)

export const mergeEvidence = (known: Evidence, change: Evidence | undefined): Evidence =>
  Object.fromEntries(Object.entries({ ...known, ...change }).filter(([, value]) => value !== ''))

/** All of it as the processor is told: one text alone as it is, several under their headings. */
export function evidenceText(evidence: Evidence): string {
  const told = FIELDS.filter(field => evidence[field] !== undefined)
  if (told.length === 1) return evidence[told[0] as EvidenceField] ?? ''
  return told.map(field => `${LABELS[field]}\n${evidence[field]}`).join('\n\n')
}
