/** The policy of unknown outcomes, case by case. */
import { expect, test } from 'vitest'
import type { LookupOutcome } from '../connectors/connector.ts'
import { type KnownFacts, nextStep, type Step } from './next-step.ts'
import type { AttemptState } from './lifecycle.ts'

const PROCESSING = 15_000
const WINDOW = 3_600_000

const asks: KnownFacts = {
  longest_processing_ms: PROCESSING,
  idempotency_window_ms: WINDOW,
  supports_lookup: true,
  supports_lookup_by_id: false,
  supports_reversal: true,
}
const cannot_reverse = { ...asks, supports_reversal: false }
const cannot_ask = { ...asks, supports_lookup: false }
/** As Stripe: by its own id alone, and nothing is taken back by a reference. */
const asks_by_id = { ...asks, supports_lookup: false, supports_lookup_by_id: true, supports_reversal: false }
const can_nothing = { ...asks, supports_lookup: false, supports_reversal: false }

const SOON = PROCESSING - 1
const INSIDE = PROCESSING
const LAST_INSIDE = WINDOW - 1
const OUTSIDE = WINDOW

const absent: LookupOutcome = { kind: 'absent' }
const silent: LookupOutcome = { kind: 'unknown', reason: 'timeout' }
const taken: LookupOutcome = { kind: 'approved', processor_id: 'pay_1', amount: 1000n }

const wait = (reason: string): Step => ({ kind: 'wait', reason })
const kind = (step: 'send' | 'look_up' | 'resend' | 'reverse' | 'decline' | 'none'): Step => ({ kind: step })

type Operation = 'authorize' | 'capture' | 'void' | 'refund'
type Case = [string, KnownFacts, AttemptState, Operation, number, LookupOutcome | null, Step, string?]

/** What the processor calls it, in the cases in which it has said so. */
const ID = 'pay_1'

const cases: Case[] = [
  ['what never left is sent', asks, 'prepared', 'authorize', 0, null, kind('send')],
  ['what never left is sent, however late', cannot_ask, 'prepared', 'refund', OUTSIDE, null, kind('send')],
  ['what is over is left', asks, 'voided', 'authorize', OUTSIDE, null, kind('none')],

  ['a processor that can be asked is asked', asks, 'sent', 'authorize', 0, null, kind('look_up')],
  ['it is asked outside the window too', asks, 'unknown', 'capture', OUTSIDE, null, kind('look_up')],
  ['its answer settles', asks, 'unknown', 'authorize', OUTSIDE, taken, { kind: 'settle', outcome: taken }],
  ['its silence is waited out', asks, 'unknown', 'authorize', INSIDE, silent, wait('timeout')],
  ['its silence is waited out, however long', asks, 'unknown', 'authorize', OUTSIDE, silent, wait('timeout')],
  ['absence is no proof yet', asks, 'unknown', 'authorize', SOON, absent, wait('absent_so_far')],
  ['absent, it is sent again', asks, 'unknown', 'authorize', INSIDE, absent, kind('resend')],
  ['absent, a refund is sent again', asks, 'unknown', 'refund', LAST_INSIDE, absent, kind('resend')],
  ['outside the window it is taken back', asks, 'unknown', 'authorize', OUTSIDE, absent, kind('reverse')],
  ['outside, a capture is over', asks, 'unknown', 'capture', OUTSIDE, absent, kind('decline')],
  ['outside, a void is over', asks, 'unknown', 'void', OUTSIDE, absent, kind('decline')],
  ['outside, a refund is over', asks, 'unknown', 'refund', OUTSIDE, absent, kind('decline')],
  [
    'without reversal absence is the end',
    cannot_reverse,
    'unknown',
    'authorize',
    OUTSIDE,
    absent,
    kind('decline'),
  ],
  ['a challenge is asked about', asks, 'requires_action', 'authorize', 0, null, kind('look_up')],
  ['a slow bank is asked', asks, 'pending', 'refund', OUTSIDE, null, kind('look_up')],

  [
    'who cannot be asked is given time',
    cannot_ask,
    'sent',
    'authorize',
    SOON,
    null,
    wait('not_answered_yet'),
  ],
  ['then it is sent again', cannot_ask, 'unknown', 'authorize', INSIDE, null, kind('resend')],
  ['so is a capture', can_nothing, 'unknown', 'capture', LAST_INSIDE, null, kind('resend')],
  ['outside it is taken back unasked', cannot_ask, 'unknown', 'authorize', OUTSIDE, null, kind('reverse')],
  ['a refund cannot be', cannot_ask, 'unknown', 'refund', OUTSIDE, null, wait('awaiting_processor')],
  ['nor without reversal', can_nothing, 'unknown', 'authorize', OUTSIDE, null, wait('awaiting_processor')],
  [
    'what has arrived is not sent again',
    cannot_ask,
    'pending',
    'refund',
    INSIDE,
    null,
    wait('awaiting_processor'),
  ],
  [
    'nor is a challenge',
    cannot_ask,
    'requires_action',
    'authorize',
    OUTSIDE,
    null,
    wait('awaiting_processor'),
  ],

  [
    'without an id there is nothing to ask by',
    asks_by_id,
    'unknown',
    'authorize',
    INSIDE,
    null,
    kind('resend'),
  ],
  ['nor outside', asks_by_id, 'unknown', 'authorize', OUTSIDE, null, wait('awaiting_processor')],
  [
    'with its id a challenge is asked about',
    asks_by_id,
    'requires_action',
    'authorize',
    OUTSIDE,
    null,
    kind('look_up'),
    ID,
  ],
  ['so is a slow bank', asks_by_id, 'pending', 'refund', SOON, null, kind('look_up'), ID],
  [
    'what it says settles',
    asks_by_id,
    'pending',
    'refund',
    SOON,
    taken,
    { kind: 'settle', outcome: taken },
    ID,
  ],
  [
    'its silence is no answer',
    asks_by_id,
    'requires_action',
    'authorize',
    OUTSIDE,
    silent,
    wait('timeout'),
    ID,
  ],
  [
    'an id it knows nothing of is not sent again',
    asks_by_id,
    'pending',
    'refund',
    INSIDE,
    absent,
    wait('awaiting_processor'),
    ID,
  ],
]

test.each<Case>(cases)('%s', (_name, facts, state, operation, silence_ms, found, step, id) => {
  expect(nextStep(facts, { state, operation, processor_id: id ?? null }, silence_ms, found)).toEqual(step)
})

test('outside the window nothing is ever sent again, whatever is declared and found', () => {
  for (const facts of [asks, cannot_reverse, cannot_ask, asks_by_id, can_nothing]) {
    for (const state of ['sent', 'unknown', 'requires_action', 'pending'] as const) {
      for (const operation of ['authorize', 'capture', 'void', 'refund'] as const) {
        for (const found of [null, absent, silent, taken]) {
          for (const processor_id of [null, ID]) {
            const step = nextStep(facts, { state, operation, processor_id }, OUTSIDE, found)
            expect(['resend', 'send'], `${state} ${operation}`).not.toContain(step.kind)
          }
        }
      }
    }
  }
})
