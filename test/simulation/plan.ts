/**
 * What a seed means: who buys what with which card, what each of them does next and when, and what goes wrong
 * meanwhile. All of it is drawn before anything runs, so a seed is the same plan for ever; what the processes make of
 * it differs by microseconds from run to run, which is why a failing seed is played again and again (simulate.ts).
 */
import { type Dice, dice } from '../support/dice.ts'

/** What a card makes the processor do; the names are the simulator's. */
export const CARDS = {
  visa: { takes: 'always' },
  mastercard: { takes: 'always' },
  bypassPending: { takes: 'always' },
  chargeDeclined: { takes: 'never' },
  chargeDeclinedInsufficientFunds: { takes: 'never' },
  authenticationRequired: { takes: 'when_passed' },
  threeDSecureRequiredChargeDeclined: { takes: 'never' },
  pendingRefund: { takes: 'always' },
  refundFail: { takes: 'always' },
  createDispute: { takes: 'always' },
} as const satisfies Record<string, { takes: 'always' | 'never' | 'when_passed' }>
export type Card = keyof typeof CARDS

/** Good cards are most cards, as in life; the rest are drawn alike. */
const DRAWN_CARDS: readonly Card[] = [
  ...Array<Card>(8).fill('visa'),
  ...(Object.keys(CARDS) as Card[]),
  'authenticationRequired',
]

export type Step =
  | { do: 'confirm' }
  | { do: 'capture'; part: number | null }
  | { do: 'cancel' }
  | { do: 'refund'; part: number | null }
  | { do: 'answer_challenge'; pass: boolean }
  | { do: 'update' }
  | { do: 'read' }
  | { do: 'pay_out'; amount: number; destination: string | null }

/** How a client sends a write: the same key several times at once, or hanging up and coming back with it. */
export interface Manner {
  /** Copies sent at the same moment. */
  copies: number
  /** Hangs up after this long the first time; null: waits. */
  hangs_up_after_ms: number | null
}

export interface Purchase {
  /** Which of the merchants sells. */
  merchant: number
  amount: number
  card: Card
  manual: boolean
  confirm_at_once: boolean
  begins_after_ms: number
  manner: Manner
  steps: { step: Step; pause_ms: number; manner: Manner; beside_the_next: boolean }[]
}

export type Trouble =
  | { what: 'kill_server' }
  | { what: 'kill_simulator' }
  | { what: 'cut_database' }
  | { what: 'clock'; offset_ms: number }
  | { what: 'stop_server'; for_ms: number }
  | { what: 'fault'; fault: { operation: string; kind: string; rate: number; count: number; ms: number } }
  | {
      what: 'webhooks'
      settings: { duplicate_rate: number; drop_rate: number; late_ms: number; out_of_order: boolean }
    }

export interface Plan {
  seed: number
  merchants: number
  purchases: Purchase[]
  troubles: { after_ms: number; trouble: Trouble }[]
}

/** The length of the troubled part; then everything heals and is audited. */
export const TROUBLED_MS = 2_500
const PURCHASES_MOST = 14
const TROUBLES_MOST = 6
const STEPS_MOST = 5

export function planOf(seed: number): Plan {
  const random = dice(seed)
  const merchants = 1 + random.int(2)
  return {
    seed,
    merchants,
    purchases: Array.from({ length: 4 + random.int(PURCHASES_MOST - 3) }, () =>
      purchaseOf(random, merchants),
    ),
    troubles: Array.from({ length: 1 + random.int(TROUBLES_MOST) }, () => ({
      after_ms: random.int(TROUBLED_MS),
      trouble: troubleOf(random),
    })).sort((a, b) => a.after_ms - b.after_ms),
  }
}

function purchaseOf(random: Dice, merchants: number): Purchase {
  return {
    merchant: random.int(merchants),
    amount: 100 + random.int(20_000),
    card: random.pick(DRAWN_CARDS),
    manual: random.oneIn(3),
    confirm_at_once: !random.oneIn(3),
    begins_after_ms: random.int(TROUBLED_MS),
    manner: mannerOf(random),
    steps: Array.from({ length: random.int(STEPS_MOST + 1) }, () => ({
      step: stepOf(random),
      pause_ms: random.oneIn(2) ? 0 : random.int(400),
      manner: mannerOf(random),
      beside_the_next: random.oneIn(4),
    })),
  }
}

const mannerOf = (random: Dice): Manner => ({
  copies: random.oneIn(6) ? 2 + random.int(3) : 1,
  hangs_up_after_ms: random.oneIn(6) ? random.int(60) : null,
})

/** A part is in hundredths of what there is: what that comes to is known when it is done. */
function stepOf(random: Dice): Step {
  const part = () => (random.oneIn(2) ? null : 1 + random.int(99))
  switch (random.int(11)) {
    case 0:
    case 1:
      return { do: 'confirm' }
    case 2:
    case 3:
      return { do: 'capture', part: part() }
    case 4:
      return { do: 'cancel' }
    case 5:
    case 6:
      return { do: 'refund', part: part() }
    case 7:
      return { do: 'answer_challenge', pass: !random.oneIn(3) }
    case 8:
      return { do: 'update' }
    case 9:
      return { do: 'read' }
    default:
      return { do: 'pay_out', amount: 1 + random.int(5_000), destination: null }
  }
}

const FAULTS = [
  'delay',
  'drop_request',
  'drop_response',
  'error',
  'reset',
  'slow_body',
  'late_success',
] as const
const OPERATIONS = ['authorize', 'capture', 'void', 'refund', 'lookup', '*'] as const

function troubleOf(random: Dice): Trouble {
  switch (random.int(10)) {
    case 0:
    case 1:
    case 2:
      return { what: 'kill_server' }
    case 3:
      return { what: 'kill_simulator' }
    case 4:
      return { what: 'cut_database' }
    case 5:
      return { what: 'clock', offset_ms: (random.int(7) - 3) * 3_600_000 }
    case 6:
      return { what: 'stop_server', for_ms: 100 + random.int(900) }
    case 7:
      return {
        what: 'webhooks',
        settings: {
          duplicate_rate: random.int(3) / 2,
          drop_rate: random.int(3) / 4,
          late_ms: random.int(500),
          out_of_order: random.oneIn(2),
        },
      }
    default:
      return {
        what: 'fault',
        fault: {
          operation: random.pick(OPERATIONS),
          kind: random.pick(FAULTS),
          rate: (1 + random.int(4)) / 4,
          count: 1 + random.int(6),
          ms: 50 + random.int(800),
        },
      }
  }
}
