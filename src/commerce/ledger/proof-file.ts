/**
 * The proof file: the sealed books as JSON lines, checked without a database. Each seal follows the transfers of its
 * batch in the order of its leaves. What is hashed is made from what the lines say, by the same rules as in seal.sql and
 * independently of it: what the file shows is what was sealed. One pass, in memory that does not grow with the file
 * but with the largest batch: 32 bytes a transfer.
 */
import { hash } from 'node:crypto'

/** Types of PostgreSQL by their oid, each with how a value's text becomes the bytes that PostgreSQL would send. */
const types = {
  bool: { oid: 16, bytes: bool },
  bytea: { oid: 17, bytes: (value: string) => hex(value, /^(?:[0-9a-f]{2})*$/) },
  int8: { oid: 20, bytes: (value: string) => int(value, 8) },
  int2: { oid: 21, bytes: (value: string) => int(value, 2) },
  text: { oid: 25, bytes: (value: string) => Buffer.from(value, 'utf8') },
  timestamptz: { oid: 1184, bytes: timestamptz },
  uuid: { oid: 2950, bytes: uuid },
} as const
type Type = keyof typeof types

/** Columns of a transfer's record, in order; a test compares them with the table's. */
export const transferColumns = {
  id: 'uuid',
  account_id: 'uuid',
  livemode: 'bool',
  kind: 'text',
  amount: 'int8',
  currency: 'text',
  debit_account_id: 'uuid',
  debit_code: 'text',
  debit_owner_id: 'uuid',
  debit_sequence: 'int8',
  credit_account_id: 'uuid',
  credit_code: 'text',
  credit_owner_id: 'uuid',
  credit_sequence: 'int8',
  effective_at: 'timestamptz',
  recorded_at: 'timestamptz',
  expires_at: 'timestamptz',
  source_type: 'text',
  source_id: 'uuid',
  step: 'text',
  pending_id: 'uuid',
  linked_id: 'uuid',
  reason: 'text',
  author: 'text',
  recorded_xid: 'int8',
} as const satisfies Record<string, Type>

const sealColumns = {
  number: 'int8',
  format: 'int2',
  cluster: 'text',
  from_xid: 'int8',
  until_xid: 'int8',
  transfers: 'int8',
  root: 'bytea',
  previous: 'bytea',
  sealed_at: 'timestamptz',
} as const satisfies Record<string, Type>

/** A line's object: every value is text, or null; numbers too, because they may exceed what JSON readers hold. */
export type ProofTransfer = Readonly<Record<keyof typeof transferColumns, string | null>>
export type ProofSeal = Readonly<Record<keyof typeof sealColumns, string | null>>

export type FileVerification =
  | {
      readonly ok: true
      readonly seals: bigint
      readonly transfers: bigint
      readonly head: string
      readonly sealed_at: string | null
    }
  | { readonly ok: false; readonly line: number; readonly reason: string }

export const NO_HEAD: string = '0'.repeat(64)

/** The record of a row: number of columns, then of each its type, its length and its bytes. */
function recordOf(columns: Readonly<Record<string, Type>>, row: Readonly<Record<string, unknown>>): Buffer {
  const names = Object.keys(columns)
  // Nothing may be shown that was not sealed.
  if (Object.keys(row).join() !== names.join()) throw new SyntaxError(`its columns are not ${names.join()}`)
  const parts: Buffer[] = [int32(names.length)]
  for (const [name, type] of Object.entries(columns)) {
    const value = row[name]
    if (value !== null && typeof value !== 'string') throw new SyntaxError(`its ${name} is not text`)
    const bytes = value === null ? undefined : types[type].bytes(value)
    parts.push(int32(types[type].oid), int32(bytes?.length ?? -1))
    if (bytes !== undefined) parts.push(bytes)
  }
  return Buffer.concat(parts)
}

const sha256 = (prefix: number, ...parts: Buffer[]): Buffer =>
  hash('sha256', Buffer.concat([Buffer.from([prefix]), ...parts]), 'buffer')

export const leafOf = (transfer: ProofTransfer): Buffer => sha256(0, recordOf(transferColumns, transfer))
const headOf = (seal: ProofSeal): string => sha256(2, recordOf(sealColumns, seal)).toString('hex')

/** RFC 6962, section 2.1. A tree is kept as the complete subtrees on its left edge, of which no two have one size. */
export class MerkleTree {
  readonly #subtrees: { size: number; hash: Buffer }[] = []

  add(leaf: Buffer): void {
    this.#subtrees.push({ size: 1, hash: leaf })
    for (;;) {
      const [left, right] = [this.#subtrees.at(-2), this.#subtrees.at(-1)]
      if (left === undefined || right === undefined || left.size !== right.size) return
      this.#subtrees.splice(-2, 2, { size: 2 * left.size, hash: sha256(1, left.hash, right.hash) })
    }
  }

  /** 64 hex digits; of no leaves the hash of nothing, as the RFC has it. */
  root(): string {
    const [last, ...others] = this.#subtrees.toReversed()
    if (last === undefined) return hash('sha256', '', 'hex')
    return others.reduce((right, left) => sha256(1, left.hash, right), last.hash).toString('hex')
  }
}

/**
 * The lines of a file. They end with a line feed and with nothing else: node:readline also takes U+2028 for an end, which
 * may stand in a reason.
 */
export async function* linesOf(input: AsyncIterable<Buffer | string>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { ignoreBOM: true })
  let begun: string[] = []
  for await (const piece of input) {
    const parts = (typeof piece === 'string' ? piece : decoder.decode(piece, { stream: true })).split('\n')
    begun.push(parts.shift() ?? '')
    if (parts.length === 0) continue
    yield begun.join('')
    begun = [parts.pop() ?? '']
    yield* parts
  }
  const rest = begun.join('') + decoder.decode()
  if (rest !== '') yield rest
}

/**
 * Checks a proof file. `head`, if given, is one that was kept elsewhere: the chain must pass through it. `onLines` is told
 * now and then how many lines are done.
 */
export async function verifyFile(
  lines: AsyncIterable<string>,
  { head, onLines }: { head?: string; onLines?: (lines: number) => void } = {},
): Promise<FileVerification> {
  const file = new FileWalk(head)
  let line = 0
  try {
    for await (const text of lines) {
      line += 1
      if (line % 10_000 === 0) onLines?.(line)
      file.read(text)
    }
    line += 1
    return { ok: true, ...file.end() }
  } catch (error) {
    if (!(error instanceof SyntaxError || error instanceof RangeError)) throw error
    return { ok: false, line, reason: error.message }
  }
}

class FileWalk {
  readonly #anchor: string | undefined
  #has_anchor: boolean
  #tree = new MerkleTree()
  #in_batch = 0n
  #last_place: Buffer | undefined
  #seals = 0n
  #transfers = 0n
  #head = NO_HEAD
  #until_xid = '0'
  #sealed_at: string | null = null
  #end: string | undefined

  constructor(anchor: string | undefined) {
    this.#anchor = anchor
    this.#has_anchor = anchor === undefined || anchor === NO_HEAD
  }

  read(text: string): void {
    if (this.#end !== undefined) throw new SyntaxError('the file goes on behind its end')
    const given: unknown = parsed(text)
    // With a second member beside it a line would show what was not sealed.
    const line = isRecord(given) && Object.keys(given).length === 1 ? given : {}
    if (isRecord(line.transfer)) this.#transfer(line.transfer as ProofTransfer)
    else if (isRecord(line.seal)) this.#seal(line.seal as ProofSeal)
    else if (typeof line.head === 'string') this.#finish(line.head)
    else throw new SyntaxError('it is neither a transfer nor a seal nor the end of a proof file')
  }

  #transfer(transfer: ProofTransfer): void {
    const leaf = leafOf(transfer)
    const place = placeOf(transfer)
    if (this.#last_place !== undefined && this.#last_place.compare(place) >= 0) {
      throw new SyntaxError(`transfer ${transfer.id} does not stand in the order of the leaves`)
    }
    this.#last_place = place
    this.#in_batch += 1n
    this.#tree.add(leaf)
  }

  #seal(seal: ProofSeal): void {
    const name = `seal ${seal.number}`
    if (seal.number !== String(this.#seals + 1n)) {
      throw new SyntaxError(`${name} stands where seal ${this.#seals + 1n} must`)
    }
    if (seal.format !== '1') throw new SyntaxError(`${name} is of a format that this version does not know`)
    if (seal.previous !== this.#head) throw new SyntaxError(`${name} does not follow from the seal before it`)
    if (seal.from_xid !== this.#until_xid)
      throw new SyntaxError(`the batch of ${name} does not begin where the one before ended`)
    if (seal.transfers !== String(this.#in_batch))
      throw new SyntaxError(`${name} was made of ${seal.transfers} transfers; here are ${this.#in_batch}`)
    if (seal.root !== this.#tree.root())
      throw new SyntaxError(`the transfers before ${name} are not those that it was made of`)
    this.#head = headOf(seal)
    this.#seals += 1n
    this.#transfers += this.#in_batch
    this.#until_xid = seal.until_xid ?? ''
    this.#sealed_at = seal.sealed_at
    this.#has_anchor ||= this.#head === this.#anchor
    this.#tree = new MerkleTree()
    this.#in_batch = 0n
    this.#last_place = undefined
  }

  #finish(head: string): void {
    if (this.#in_batch > 0n) throw new SyntaxError('transfers stand behind the last seal')
    if (head !== this.#head) throw new SyntaxError(`the chain ends with ${this.#head} and not with ${head}`)
    this.#end = head
  }

  end() {
    if (this.#end === undefined) throw new SyntaxError('the file is cut off: its end is missing')
    if (!this.#has_anchor) {
      throw new SyntaxError(
        `no seal has the head ${this.#anchor}: the chain is not the one that was anchored`,
      )
    }
    return { seals: this.#seals, transfers: this.#transfers, head: this.#head, sealed_at: this.#sealed_at }
  }
}

/** Only as JSON.stringify writes it: one value has one text, whoever reads it. */
function parsed(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text)
    if (JSON.stringify(value) === text && text.isWellFormed()) return value
  } catch {
    // Said below.
  }
  throw new SyntaxError('it is not a line as Bursar writes it')
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Leaves are ordered by (recorded_xid, id, account_id, livemode): as bytes, with the number's sign turned. */
function placeOf({ recorded_xid, id, account_id, livemode }: ProofTransfer): Buffer {
  const xid = int(recorded_xid ?? '', 8)
  xid[0] = (xid[0] as number) ^ 0x80
  return Buffer.concat([xid, uuid(id ?? ''), uuid(account_id ?? ''), bool(livemode ?? '')])
}

function bool(value: string): Buffer {
  if (value !== 'true' && value !== 'false') throw new SyntaxError(`"${value}" is neither true nor false`)
  return Buffer.from([value === 'true' ? 1 : 0])
}

function hex(value: string, pattern: RegExp): Buffer {
  if (!pattern.test(value)) throw new SyntaxError(`"${value}" is not in hexadecimal digits as it should be`)
  return Buffer.from(value, 'hex')
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

function uuid(value: string): Buffer {
  if (!UUID.test(value)) throw new SyntaxError(`"${value}" is not a uuid`)
  return Buffer.from(value.replaceAll('-', ''), 'hex')
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

function int(value: string, size: 2 | 8): Buffer {
  if (!/^(?:0|-?[1-9]\d{0,18})$/.test(value)) throw new SyntaxError(`"${value}" is not a whole number`)
  return int64(BigInt(value)).subarray(8 - size)
}

/** Throws RangeError on what int8 does not hold. */
function int64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigInt64BE(value)
  return bytes
}

const INSTANT = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{6})Z$/
const EPOCH_2000_MS = Date.UTC(2000, 0, 1)

/** Microseconds since 2000. PostgreSQL's infinities are the ends of int8. */
function timestamptz(value: string): Buffer {
  if (value === 'infinity') return int64(2n ** 63n - 1n)
  if (value === '-infinity') return int64(-(2n ** 63n))
  const [, second, fraction = ''] = INSTANT.exec(value) ?? []
  const at_ms = Date.parse(`${second}Z`)
  // The 30th of February is taken for the 2nd of March: an instant has one text.
  if (Number.isNaN(at_ms) || new Date(at_ms).toISOString() !== `${second}.000Z`)
    throw new SyntaxError(`"${value}" is not an instant`)
  return int64(BigInt(at_ms - EPOCH_2000_MS) * 1_000n + BigInt(fraction))
}
