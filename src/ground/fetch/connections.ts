/**
 * Connections that are kept and used again: a new one costs thirty times the CPU of a request on an old one, so their
 * reuse decides how much a process delivers.
 *
 * Each is one undici `Client` over one socket that is there already, and it belongs to one caller at a time. Undici's
 * own `Agent` would choose the socket itself: nobody could say afterwards which one a call had, ask for a fresh one
 * after a stale one, or free the oldest when there are too many.
 *
 * A kept connection is not checked against the name again. Its address was admitted when it was dialled and a socket
 * does not move: a name that has since been turned to a private address is met at the next dial, and refused.
 */
import type { Socket } from 'node:net'
import { Client } from 'undici'
import type { Deadline } from './deadline.ts'
import { FetchError } from './failures.ts'

/** Sockets of one process. A TLS socket holds some 50 kB, so all of them are 50 MB and well under 4,096 descriptors. */
export const CONNECTIONS_MOST = 1_024
/** As many as one endpoint may have deliveries under way. One host may not take all that there are. */
export const CONNECTIONS_PER_ORIGIN = 100
/**
 * Most servers close an idle connection after 60 s or more, load balancers among them. Those that do it earlier say
 * so in `keep-alive`, which undici heeds, or cost a second try.
 */
const KEEP_ALIVE_MS = 45_000
/**
 * Calls in line for a connection. Whoever calls bounds what he has under way; this only keeps a mistake there from
 * eating the memory here.
 */
const WAITERS_MOST = 10_000
/** Then the name is asked again: who moves to another address is followed even by a connection that never rests. */
const AGE_MOST_MS = 10 * 60_000
/** Headers of an answer; servers themselves send or take no more. */
const HEADERS_MOST_BYTES = 16 * 1024

export interface Connection {
  readonly origin: string
  readonly client: Client
  readonly socket: Socket
  readonly address: string
  readonly born_ms: number
  is_reused: boolean
  /** At once, and counted as gone at once. */
  destroy(): void
}

interface Waiter {
  origin: string
  is_fresh: boolean
  /** Undefined: there is room to dial. */
  resolve: (kept: Connection | undefined) => void
}

export class Connections {
  private readonly most: number
  private readonly per_origin: number
  /** Idle ones, the one that has rested longest first. */
  private readonly idle = new Set<Connection>()
  private readonly idle_by_origin = new Map<string, Connection[]>()
  /** Reserved, busy or idle. */
  private readonly open_by_origin = new Map<string, number>()
  private open = 0
  private readonly waiters = new Set<Waiter>()
  private is_serving = false
  private is_closed = false

  constructor(most: number, per_origin: number) {
    this.most = most
    this.per_origin = per_origin
  }

  get counts(): { busy: number; idle: number; waiting: number } {
    return { busy: this.open - this.idle.size, idle: this.idle.size, waiting: this.waiters.size }
  }

  /**
   * A kept connection, or undefined: then one place is reserved, which `adopt` fills or `giveUp` frees. `is_fresh`
   * takes none that is kept. Waits in line when there is no room.
   */
  acquire(origin: string, is_fresh: boolean, deadline: Deadline): Promise<Connection | undefined> {
    const kept = is_fresh ? undefined : this.takeIdle(origin)
    if (kept !== undefined) return Promise.resolve(kept)
    if (this.reserve(origin)) return Promise.resolve(undefined)
    if (this.waiters.size >= WAITERS_MOST) {
      return Promise.reject(new FetchError('connect', 'Too many requests wait for a connection.'))
    }
    return deadline.step<Connection | undefined>(
      'all connections to the host were busy with other requests',
      (resolve, reject) => {
        const waiter: Waiter = { origin, is_fresh, resolve }
        this.waiters.add(waiter)
        return (late: FetchError) => {
          this.waiters.delete(waiter)
          reject(late)
        }
      },
    )
  }

  /** Makes the reserved place a connection, which belongs to the caller. */
  adopt(origin: string, socket: Socket, address: string): Connection {
    let is_gone = false
    let is_handed_over = false
    const client = new Client(origin, {
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      keepAliveMaxTimeout: KEEP_ALIVE_MS,
      maxHeaderSize: HEADERS_MOST_BYTES,
      // The call's own deadline rules; these two would only measure parts of it.
      headersTimeout: 0,
      bodyTimeout: 0,
      // Once: a client whose socket is gone would make itself another.
      connect: (_options, callback) => {
        if (is_handed_over) return queueMicrotask(() => callback(gone(), null))
        is_handed_over = true
        queueMicrotask(() => callback(null, socket))
      },
    })
    const connection: Connection = {
      origin,
      client,
      socket,
      address,
      born_ms: performance.now(),
      is_reused: false,
      destroy: () => {
        if (is_gone) return
        is_gone = true
        this.removeIdle(connection)
        client.destroy(gone(), () => undefined)
        socket.destroy()
        this.giveUp(origin)
      },
    }
    // Told after the request that ran, if one did, has heard of it.
    client.once('disconnect', () => connection.destroy())
    client.once('connectionError', () => connection.destroy())
    return connection
  }

  release(connection: Connection): void {
    const is_old = performance.now() - connection.born_ms > AGE_MOST_MS
    if (connection.socket.destroyed || is_old || this.is_closed) return connection.destroy()
    connection.is_reused = true
    this.addIdle(connection)
    this.serve()
  }

  /** Frees a reserved place. */
  giveUp(origin: string): void {
    this.count(origin, -1)
    this.serve()
  }

  /** Idle ones at once, busy ones when they are released. */
  close(): void {
    this.is_closed = true
    for (const connection of this.idle) connection.destroy()
  }

  private takeIdle(origin: string): Connection | undefined {
    // The one that rested least: the others may then rest until they are closed.
    const kept = this.idle_by_origin.get(origin)?.at(-1)
    if (kept !== undefined) this.removeIdle(kept)
    return kept
  }

  /** A place, if need be that of an idle connection: of this host when the host has all of its own, else the oldest. */
  private reserve(origin: string): boolean {
    const open = this.open_by_origin.get(origin) ?? 0
    const is_host_full = open >= this.per_origin
    if (is_host_full || this.open >= this.most) {
      const rested = is_host_full ? this.idle_by_origin.get(origin)?.[0] : this.idle.values().next().value
      if (rested === undefined) return false
      this.count(origin, 1)
      rested.destroy()
    } else this.count(origin, 1)
    return true
  }

  private count(origin: string, by: 1 | -1): void {
    this.open += by
    const open = (this.open_by_origin.get(origin) ?? 0) + by
    if (open === 0) this.open_by_origin.delete(origin)
    else this.open_by_origin.set(origin, open)
  }

  /** In the order of their coming, each by what it can use. */
  private serve(): void {
    // To reserve a place may end a connection, which frees a place, which is being given away right here.
    if (this.is_serving) return
    this.is_serving = true
    for (const waiter of this.waiters) {
      const kept = waiter.is_fresh ? undefined : this.takeIdle(waiter.origin)
      if (kept === undefined && !this.reserve(waiter.origin)) continue
      this.waiters.delete(waiter)
      waiter.resolve(kept)
      break
    }
    this.is_serving = false
  }

  private addIdle(connection: Connection): void {
    this.idle.add(connection)
    const others = this.idle_by_origin.get(connection.origin)
    if (others === undefined) this.idle_by_origin.set(connection.origin, [connection])
    else others.push(connection)
  }

  private removeIdle(connection: Connection): void {
    if (!this.idle.delete(connection)) return
    const others = this.idle_by_origin.get(connection.origin) ?? []
    others.splice(others.indexOf(connection), 1)
    if (others.length === 0) this.idle_by_origin.delete(connection.origin)
  }
}

/** Not one of undici's own codes: on those a client would try again by itself. */
const gone = () => Object.assign(new Error('the connection is gone'), { code: 'CONNECTION_GONE' })
