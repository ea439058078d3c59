/** Amounts of statements and their sums, as JSON: statements hold any int64, and sums of millions of them more. */
import { z } from 'zod'
import { facts } from '#http'

const isSafe = (value: bigint): boolean =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER)

export const wideAmount = z
  .codec(z.union([z.int(), z.string().regex(/^-?\d{16,27}$/)]), z.bigint(), {
    decode: value => BigInt(value),
    encode: value => (isSafe(value) ? Number(value) : String(value)),
  })
  .describe(
    "A whole number in the currency's minor unit, negative when money leaves; as text beyond 2^53, where JSON readers lose units.",
  )
facts.add(wideAmount, { encode: (value: bigint) => (isSafe(value) ? String(value) : `"${value}"`) })
