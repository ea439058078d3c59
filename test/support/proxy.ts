/**
 * A TCP proxy that can be as bad as a network: it holds bytes back in one direction or both and delivers them late, as
 * TCP does when a partition heals; delays them; leaves connections half-open; resets them. Faults strike connections
 * that exist and, unless they are only for those, new ones.
 */
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

export type Fault =
  /** Bytes are held until the proxy heals, then arrive. */
  | { kind: 'hold'; towards: 'server' | 'client' | 'both' }
  | { kind: 'delay'; ms: number }
  /** The server's side is closed; the client's stays open, and is never answered. New connections are accepted only. */
  | { kind: 'half_open' }
  /** RST at once, also to whoever tries again. */
  | { kind: 'reset' }

export interface Proxy {
  /** Of the URL given, with the proxy's address in place of the server's. */
  readonly url: string
  strike(fault: Fault): void
  /** What exists now is held in both directions until it is closed; new connections are as good as ever. */
  freeze(): void
  /** Delivers what was held, and closes what was left half-open. */
  heal(): void
  /** Connections under way. */
  readonly size: number
  close(): Promise<void>
}

interface Pair {
  client: Socket
  server: Socket | undefined
  /** Neither healed nor closed: its other end is gone. */
  is_half_open: boolean
  is_frozen: boolean
}

/** In front of an HTTP address, or of a database that listens at an address or a Unix socket (`?host=/directory`). */
export async function startProxy(url: string): Promise<Proxy> {
  const target = new URL(url)
  const directory = target.searchParams.get('host')
  const upstream = () =>
    directory === null
      ? connect(Number(target.port), target.hostname)
      : connect(`${directory}/.s.PGSQL.${target.searchParams.get('port') ?? (target.port || '5432')}`)
  const pairs = new Set<Pair>()
  let fault: Fault | undefined

  const listener = createServer(client => {
    client.setNoDelay(true)
    const pair: Pair = { client, server: undefined, is_half_open: false, is_frozen: false }
    pairs.add(pair)
    const end = () => {
      pairs.delete(pair)
      client.destroy()
      pair.server?.destroy()
    }
    client.on('error', end).on('close', () => {
      if (!pair.is_half_open) end()
      else pairs.delete(pair)
    })
    if (fault?.kind === 'reset') return void client.resetAndDestroy()
    if (fault?.kind === 'half_open') {
      pair.is_half_open = true
      client.resume()
      return
    }
    const server = upstream()
    server.setNoDelay(true)
    pair.server = server
    server.on('error', end).on('close', () => {
      if (!pair.is_half_open) end()
    })
    pass(client, server, pair)
    pass(server, client, pair)
    hold(pair)
  })

  /** Bytes of one direction, in order, each as late as the fault says. */
  function pass(from: Socket, to: Socket, pair: Pair): void {
    let last = Promise.resolve()
    const later = (work: () => void) => {
      const ms = fault?.kind === 'delay' ? fault.ms : 0
      // Both wait side by side, so a delay is one delay and not the sum of those before it.
      const due = ms === 0 ? undefined : new Promise(resolve => setTimeout(resolve, ms))
      last = last.then(() => due).then(() => (pair.is_half_open ? undefined : work()))
    }
    from.on('data', chunk => later(() => void to.write(chunk)))
    from.on('end', () => later(() => void to.end()))
  }

  /** A socket that is not read holds what its peer writes, as a network does. */
  function hold(pair: Pair): void {
    const held = fault?.kind === 'hold' ? fault.towards : undefined
    const set = (socket: Socket | undefined, is_held: boolean) =>
      is_held || pair.is_frozen ? socket?.pause() : socket?.resume()
    set(pair.client, held === 'server' || held === 'both')
    set(pair.server, held === 'client' || held === 'both')
  }

  function strikePair(pair: Pair): void {
    if (fault?.kind === 'reset') {
      pair.client.resetAndDestroy()
      // A Unix socket knows no RST.
      if (directory === null) pair.server?.resetAndDestroy()
      else pair.server?.destroy()
    } else if (fault?.kind === 'half_open') {
      pair.is_half_open = true
      pair.client.resume()
      pair.server?.destroy()
    } else hold(pair)
  }

  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const front = new URL(url)
  front.searchParams.delete('host')
  front.searchParams.delete('port')
  front.hostname = '127.0.0.1'
  front.port = String((listener.address() as AddressInfo).port)

  return {
    url: front.href.replace(/\/$/, ''),
    strike(wanted) {
      fault = wanted
      for (const pair of pairs) strikePair(pair)
    },
    freeze() {
      for (const pair of pairs) {
        pair.is_frozen = true
        hold(pair)
      }
    },
    heal() {
      fault = undefined
      for (const pair of pairs) {
        if (pair.is_half_open) pair.client.destroy()
        else hold(pair)
      }
    },
    get size() {
      return pairs.size
    },
    async close() {
      for (const pair of pairs) {
        pair.client.destroy()
        pair.server?.destroy()
      }
      listener.close()
      await once(listener, 'close')
    },
  }
}
