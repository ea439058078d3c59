/**
 * Writing back: what became of deliveries, of many lanes at once, and in the same statement what comes next of each. A
 * lane's results are written in the order in which they came, so its state never goes backwards.
 */
import { createGroup, type Db, type Group, plainArray, type Tx } from '#db'
import type { QueuedDelivery } from '../types.ts'
import type { Notice, Verdict } from './decide.ts'
import { isMixed, type Lane } from './lane.ts'

/** A row of webhook_attempts, but for what its lane says. */
export interface AttemptRow {
  id: string
  is_counted: boolean
  status_code: number | null
  failure: string | null
  message: string | null
  address: string | null
  is_reused: boolean | null
  dns_ms: number | null
  connect_ms: number | null
  tls_ms: number | null
  wait_ms: number | null
  duration_ms: number
  response: string | null
  is_cut: boolean
}

export interface Result {
  delivery: QueuedDelivery
  verdict: Verdict
  attempt: AttemptRow
  notice: Notice | null
}

/** `result` null: the lane is given back, or goes on reading. */
export interface Item {
  lane: Lane
  result: Result | null
}

/** What is asked for a lane with its results. */
export interface Plan {
  /** Deliveries to read on. */
  want: number
  /** Nothing of it will be left here. */
  is_idle: boolean
}

/** What the database says of a lane. */
export interface Answer {
  is_ours: boolean
  is_released: boolean
  version: bigint | null
  read: QueuedDelivery[]
  wanted: number
  at_ms: number
  /** When it was asked, by this process's own clock. */
  asked_ms: number
}

export interface WriterOptions {
  readonly db: Db
  readonly lease_ms: number
  /** Asked when a statement is made; `settled` results of the lane are in it. */
  plan(lane: Lane, settled: number): Plan
  /** Told at once, before any of its callers. */
  onAnswer(lane: Lane, answer: Answer): void
  /** Does what the notices ask for, in the transaction of the results, before them. */
  readonly notify: (tx: Tx, items: readonly Item[]) => Promise<void>
  readonly now_ms: () => number
  /** How much writing gives way to callers, 0 to 1. */
  readonly deference: () => number
}

/** Answers whether the lane was still ours, and the result is written. */
export type Writer = (item: Item) => Promise<boolean>

/**
 * Two sides, each with the lanes of its half of the endpoints and one statement at a time: the results of a lane stay in
 * order, and while one side commits the other is computed.
 */
const SIDES = 2

export function createWriter(options: WriterOptions): Writer {
  const sides: Group<Item, boolean>[] = Array.from({ length: SIDES }, () =>
    createGroup<Item, boolean>({
      run: items => settle(options, items),
      lanes: 1,
      deference: options.deference,
    }),
  )
  return item => {
    const last_digit = Number.parseInt(item.lane.key.endpoint_id.slice(-1), 16)
    return (sides[last_digit % SIDES] as Group<Item, boolean>).submit(item)
  }
}

/**
 * As many as a smallint counts. Who answers 429 each second for a day makes more tries than that: their number stands
 * still then, or none of them could be written.
 */
const NUMBER_MOST = 32_767

interface SettledRow extends QueuedDelivery {
  lane: number
  is_ours: boolean
  is_released: boolean
  version: bigint | null
  at_ms: number | null
}

async function settle(options: WriterOptions, items: readonly Item[]): Promise<boolean[]> {
  const results = new Map<Lane, Result[]>()
  for (const { lane, result } of items) {
    const of_lane = results.get(lane) ?? []
    if (result !== null) of_lane.push(result)
    results.set(lane, of_lane)
  }
  const lanes = [...results.keys()]
  const plans = lanes.map(lane => options.plan(lane, results.get(lane)?.length ?? 0))
  const asked_ms = performance.now()
  const rows = items.some(item => item.result?.notice)
    ? await options.db.transaction(async tx => {
        await options.notify(tx, items)
        return send(options, tx, lanes, plans, items)
      })
    : await send(options, options.db, lanes, plans, items)
  const answers = lanes.map<Answer>((_, i) => ({
    is_ours: false,
    is_released: false,
    version: null,
    read: [],
    wanted: plans[i]?.want ?? 0,
    at_ms: 0,
    asked_ms,
  }))
  for (const row of rows) {
    const answer = answers[row.lane - 1] as Answer
    if (row.id !== null) answer.read.push(row)
    else Object.assign(answer, { ...row, read: answer.read, wanted: answer.wanted })
  }
  for (const { lane, result } of items) if (result !== null) lane.unsettled.delete(result.delivery.id)
  lanes.forEach((lane, i) => options.onAnswer(lane, answers[i] as Answer))
  const is_ours = new Map(lanes.map((lane, i) => [lane, (answers[i] as Answer).is_ours]))
  return items.map(item => is_ours.get(item.lane) === true)
}

async function send(
  { lease_ms, now_ms }: WriterOptions,
  db: Pick<Db, 'many'>,
  lanes: readonly Lane[],
  plans: readonly Plan[],
  items: readonly Item[],
): Promise<SettledRow[]> {
  const at_ms = now_ms()
  const place = new Map(lanes.map((lane, i) => [lane, i + 1]))
  const settled = items.filter((item): item is Item & { result: Result } => item.result !== null)
  const settling = new Set(settled.map(({ result }) => result.delivery.id))
  const held = lanes.flatMap((lane, i) => (plans[i]?.want ? heldBy(lane, settling) : []))
  const attempts = settled.map(({ result }) => result.attempt)
  return db.many<SettledRow>`
    select
      lane, is_ours, is_released, version, at_ms, id, event_id, event_type, priority, tries, attempts, waited_ms, body
    from webhooks_settle(
      ${`${lease_ms} milliseconds`},
      ${plainArray(lanes.map(lane => lane.key.account_id))},
      ${plainArray(lanes.map(lane => lane.key.livemode))},
      ${plainArray(lanes.map(lane => lane.key.endpoint_id))},
      ${plainArray(lanes.map(lane => lane.epoch))},
      ${lanes.map(lane => JSON.stringify(lane.state))},
      ${orNulls(lanes.map(lane => (lane.blocked_until_ms > at_ms ? lane.blocked_until_ms - at_ms : null)))},
      ${plainArray(plans.map(plan => plan.want))},
      ${plainArray(lanes.map(isMixed))},
      ${plainArray(plans.map(plan => plan.is_idle))},
      ${plainArray(held)},
      ${plainArray(settled.map(({ lane }) => place.get(lane) ?? 0))},
      ${plainArray(settled.map(({ result }) => result.delivery.id))},
      ${plainArray(settled.map(({ result }) => result.verdict.status))},
      ${plainArray(settled.map(({ result }) => result.delivery.tries + (result.attempt.is_counted ? 1 : 0)))},
      ${plainArray(settled.map(({ result }) => Math.min(result.delivery.attempts + 1, NUMBER_MOST)))},
      ${orNulls(settled.map(({ result: { verdict } }) => (verdict.status === 'waiting' ? verdict.in_ms : null)))},
      ${plainArray(attempts.map(attempt => attempt.id))},
      ${plainArray(attempts.map(attempt => attempt.is_counted))},
      ${orNulls(attempts.map(attempt => attempt.status_code))},
      ${orNulls(attempts.map(attempt => attempt.failure))},
      ${attempts.map(attempt => attempt.message)},
      ${attempts.map(attempt => attempt.address)},
      ${orNulls(attempts.map(attempt => attempt.is_reused))},
      ${orNulls(attempts.map(attempt => attempt.dns_ms))},
      ${orNulls(attempts.map(attempt => attempt.connect_ms))},
      ${orNulls(attempts.map(attempt => attempt.tls_ms))},
      ${orNulls(attempts.map(attempt => attempt.wait_ms))},
      ${plainArray(attempts.map(attempt => attempt.duration_ms))},
      ${attempts.map(attempt => attempt.response)},
      ${plainArray(attempts.map(attempt => attempt.is_cut))}
    )`
}

/** What of a lane is here and stays here: it is not to be read again. */
const heldBy = (lane: Lane, settling: ReadonlySet<string>): string[] => [
  ...lane.buffer.map(delivery => delivery.id),
  ...lane.under_way,
  ...[...lane.unsettled].filter(id => !settling.has(id)),
]

/** As plainArray, of values that may be missing. */
const orNulls = (values: readonly (string | number | boolean | null)[]): string =>
  plainArray(values.map(value => value ?? 'NULL'))
