/**
 * A connection to a target, made by hand: name, addresses, guard, TCP, TLS, each timed. The library that speaks HTTP
 * gets a socket that is ready, so there is no second look-up that a name server could answer otherwise (DNS
 * rebinding), and no way to a socket that goes around the guard, as a literal address goes around a `lookup` option.
 */
import { connect, isIP, type Socket } from 'node:net'
import * as tls from 'node:tls'
import type { Admitted, Guard } from './addresses.ts'
import type { Target } from './check-url.ts'
import type { Deadline } from './deadline.ts'
import { connectFailure, FetchError, tlsFailure } from './failures.ts'
import type { Names } from './resolve.ts'

/** Far enough for a host on the other side of the world; then the next address is tried beside it (RFC 8305, 5). */
const NEXT_ADDRESS_MS = 300
/** Addresses of one host that are tried: two a family. Who has more and none of these works is down. */
const ADDRESSES_TRIED_MOST = 4
/**
 * Sessions kept to be resumed, which spares a fifth of a handshake. One is 2 to 4 kB with the certificates it holds,
 * so all of them are under 20 MB.
 */
const SESSIONS_MOST = 5_000

export interface Dialled {
  socket: Socket
  address: string
}

/** Filled in as the phases end, so that a failure shows those that went well. */
export interface Phases {
  address: string | null
  dns_ms: number | null
  connect_ms: number | null
  tls_ms: number | null
}

export interface Dialler {
  /** Connected, and with TLS if the target says so. Rejects with a FetchError. */
  dial(target: Target, deadline: Deadline, phases: Phases): Promise<Dialled>
}

/** `ca`: PEM certificates of authorities that are trusted beside the public ones. */
export function createDialler(guard: Guard, names: Names, ca: readonly string[]): Dialler {
  // One for all connections: making one reads every authority's certificate again.
  const secureContext = tls.createSecureContext({
    // Said here, because an option of the process could lower it.
    minVersion: 'TLSv1.2',
    ...(ca.length > 0 && { ca: [...tls.rootCertificates, ...ca] }),
  })
  const sessions = new Map<string, Buffer>()

  function remember(origin: string, session: Buffer): void {
    sessions.delete(origin)
    sessions.set(origin, session)
    if (sessions.size > SESSIONS_MOST) sessions.delete(sessions.keys().next().value as string)
  }

  async function dial(target: Target, deadline: Deadline, phases: Phases): Promise<Dialled> {
    const asked_ms = performance.now()
    const found = await deadline.step<readonly string[]>(
      'the name of the host was still being resolved',
      (resolve, reject) => {
        names.resolve(target.host).then(resolve, reject)
        return reject
      },
    )
    const resolved_ms = performance.now()
    if (isIP(target.host) === 0) phases.dns_ms = resolved_ms - asked_ms

    const addresses = found.map(address => guard.admit(address)).filter(address => address !== null)
    // What was found is not said: it would map our network for whoever asks.
    if (addresses.length === 0) {
      throw new FetchError(
        'blocked',
        'The host has an address of a private or reserved network, which is never called.',
      )
    }

    const { socket, address } = await deadline.step<Dialled>(
      'no connection could be made',
      (resolve, reject) => connectFirst(alternate(addresses), target.port, phases, resolve, reject),
    )
    const connected_ms = performance.now()
    phases.connect_ms = connected_ms - resolved_ms
    if (!target.is_secure) return { socket, address }

    const secure = await deadline.step<Socket>('the TLS handshake did not end', (resolve, reject) =>
      secureSocket(socket, target, resolve, reject),
    )
    phases.tls_ms = performance.now() - connected_ms
    return { socket: secure, address }
  }

  function secureSocket(
    socket: Socket,
    { host, origin }: Target,
    resolve: (socket: Socket) => void,
    reject: (error: Error) => void,
  ): (late: FetchError) => void {
    const session = sessions.get(origin)
    const secure = tls.connect({
      socket,
      host,
      // An address is no name to ask for (RFC 6066, 3); the certificate is checked against it all the same.
      servername: isIP(host) === 0 ? host : '',
      secureContext,
      ALPNProtocols: ['http/1.1'],
      // Said here, because an environment variable could turn it off.
      rejectUnauthorized: true,
      ...(session !== undefined && { session }),
    })
    let is_secure = false
    const fail = (error: Error) => {
      // From then on whoever speaks over it hears its errors; to listen here as well keeps them from ending the process.
      if (is_secure) return
      // A session that led nowhere is not tried again.
      sessions.delete(origin)
      socket.destroy()
      reject(error)
    }
    secure.on('session', (fresh: Buffer) => remember(origin, fresh))
    secure.on('error', error => fail(tlsFailure(error)))
    secure.once('close', () => fail(tlsFailure({ code: 'ECONNRESET' })))
    secure.once('secureConnect', () => {
      is_secure = true
      resolve(secure)
    })
    return late => {
      secure.destroy()
      fail(late)
    }
  }

  return { dial }
}

/** By turns v4 and v6, so that a family that leads nowhere costs one wait and not several. */
function alternate(addresses: readonly Admitted[]): Admitted[] {
  const v4 = addresses.filter(address => address.family === 4)
  const v6 = addresses.filter(address => address.family === 6)
  const turns = Array.from({ length: Math.max(v4.length, v6.length) }, (_, i) => [v4[i], v6[i]])
  return turns
    .flat()
    .filter(address => address !== undefined)
    .slice(0, ADDRESSES_TRIED_MOST)
}

/** The first that connects; each gets a head start of NEXT_ADDRESS_MS before the next, or less when it fails. */
function connectFirst(
  addresses: readonly Admitted[],
  port: number,
  phases: Phases,
  resolve: (dialled: Dialled) => void,
  reject: (error: Error) => void,
): (late: FetchError) => void {
  const open = new Set<Socket>()
  let next = 0
  let timer: NodeJS.Timeout | undefined

  const end = () => {
    clearTimeout(timer)
    for (const socket of open) socket.destroy()
    open.clear()
    next = addresses.length
  }
  const tryNext = () => {
    clearTimeout(timer)
    const admitted = addresses[next]
    if (admitted === undefined) return
    next += 1
    // Shown when nothing connects, too: the last one tried.
    phases.address = admitted.address
    const socket = connect({ host: admitted.address, family: admitted.family, port, noDelay: true })
    open.add(socket)
    // It stays: an error between this and the next that listens must not end the process.
    socket.on('error', error => {
      open.delete(socket)
      socket.destroy()
      if (next < addresses.length) tryNext()
      else if (open.size === 0) {
        end()
        reject(connectFailure(error))
      }
    })
    socket.once('connect', () => {
      open.delete(socket)
      end()
      phases.address = admitted.address
      resolve({ socket, address: admitted.address })
    })
    if (next < addresses.length) timer = setTimeout(tryNext, NEXT_ADDRESS_MS)
  }
  tryNext()
  return late => {
    end()
    reject(late)
  }
}
