/**
 * Makes this process die on demand: what a crash test arms over the channel to its parent happens when the code passes
 * the named point. Open only with BURSAR_FAILPOINTS=1, in a process that has such a channel, on a database without live
 * keys; no request and no row can arm anything.
 */
import { z } from 'zod'
import type { Database } from '#db'
import { type Cuttable, type FailpointName, failpoints, shiftSystemClock, watchFailpoints } from '#kernel'
import type { Log } from '#metrics'

const names = Object.keys(failpoints) as [FailpointName, ...FailpointName[]]
const count = z.int().min(0).max(10_000)

const Arming = z.strictObject({
  arm: z.enum(names),
  action: z.enum(['tell', 'kill', 'stop', 'hang', 'error', 'drop_connection']),
  /** Passes that are let through first. */
  after: count.default(0),
  /** How often it strikes. */
  count: count.min(1).default(1),
  /** Passes are held until so many are there, and then struck together. */
  together: count.min(1).default(1),
  /** Only passes whose detail (a route, an operation, the text of a statement) contains this. */
  match: z.string().default(''),
})
type Arming = z.output<typeof Arming>

/** What the parent may say: arm a point, let go on what hangs there, be wrong about the time. */
const Order = z.union([
  Arming,
  z.strictObject({ release: z.enum(names) }),
  z.strictObject({ clock_offset_ms: z.int() }),
])
export type FailpointOrder = z.input<typeof Order>

/** What the parent hears: that its order is carried out, and later that a point was reached and struck. */
export type FailpointNews = { done: FailpointOrder } | { struck: FailpointName; detail: string }

interface Armed {
  order: Arming
  held: number
  full: PromiseWithResolvers<void>
}

/** Throws one sentence where failpoints have no business. */
export async function openFailpoints(db: Database, log: Log): Promise<void> {
  if (process.send === undefined) {
    throw new Error('BURSAR_FAILPOINTS is for processes that the crash tests start: unset it')
  }
  const { has_live_keys } = await db.one<{ has_live_keys: boolean }>`
    select exists (select 1 from api_keys where livemode) as has_live_keys`
  if (has_live_keys) throw new Error('BURSAR_FAILPOINTS is set, and the database has live keys: unset it')
  log.warn('failpoints.open', { about: 'THIS PROCESS CAN BE MADE TO CRASH AT ANY MOMENT. FOR TESTS ALONE.' })

  const armed = new Map<FailpointName, Armed>()
  const hanging = new Map<FailpointName, PromiseWithResolvers<void>>()
  watchFailpoints((name, detail = '', connection) => {
    const at = armed.get(name)
    if (at === undefined || !detail.includes(at.order.match)) return undefined
    if (at.order.after > 0) {
      at.order.after -= 1
      return undefined
    }
    at.held += 1
    const is_last = at.held === at.order.together
    if (is_last) {
      // Those held go on with this gathering; the next strike gathers its own.
      if (at.order.count === 1) armed.delete(name)
      else armed.set(name, gathering({ ...at.order, count: at.order.count - 1 }))
    }
    return strike(name, detail, at, is_last, connection)
  })

  async function strike(
    name: FailpointName,
    detail: string,
    { order: { action }, full }: Armed,
    is_last: boolean,
    connection: Cuttable | undefined,
  ): Promise<void> {
    // At once, while its statement is the last thing that was written.
    if (action === 'drop_connection') connection?.cut()
    if (is_last) {
      tell({ struck: name, detail })
      if (action === 'kill' || action === 'stop') {
        // What was written in this turn of the event loop is to reach the network first.
        await new Promise(setImmediate)
        process.kill(process.pid, action === 'kill' ? 'SIGKILL' : 'SIGSTOP')
      }
      full.resolve()
    }
    await full.promise
    switch (action) {
      case 'hang':
        return hang(name)
      case 'error':
        throw new Error(`failpoint ${name}`)
      default:
        return
    }
  }

  function hang(name: FailpointName): Promise<void> {
    const known = hanging.get(name) ?? Promise.withResolvers<void>()
    hanging.set(name, known)
    return known.promise
  }

  process.on('message', message => {
    const order = Order.parse(message)
    if ('clock_offset_ms' in order) shiftSystemClock(order.clock_offset_ms)
    else if ('arm' in order) armed.set(order.arm, gathering(order))
    else {
      armed.delete(order.release)
      hanging.get(order.release)?.resolve()
      hanging.delete(order.release)
    }
    tell({ done: order })
  })
  // Whose test is gone has nothing to live for.
  process.on('disconnect', () => process.exit(1))
  process.channel?.unref()
}

const gathering = (order: Arming): Armed => ({ order, held: 0, full: Promise.withResolvers<void>() })

/** A parent that is gone hears nothing, and nobody minds. */
function tell(news: FailpointNews): void {
  process.send?.(news, undefined, undefined, () => undefined)
}
