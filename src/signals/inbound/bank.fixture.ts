/** A processor for tests: signs as most do (HMAC-SHA256 over `t.body`), and has a feed that can be made to fail. */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { newId, systemClock } from '#kernel'
import type { FeedPage, InboundSource } from './source.ts'

export const BANK_SECRET = 'a secret of the bank of the tests'

export interface BankNews {
  id: string
  type: string
  about: string
  rank?: number
}

export const bankNews = (fields: Partial<BankNews> = {}): BankNews => ({
  id: `bev_${newId(systemClock.now())}`,
  type: 'payment.approved',
  about: `pay_${newId(systemClock.now())}`,
  ...fields,
})

export function bankSignature(
  body: string | Buffer,
  at: Date = systemClock.now(),
  secret = BANK_SECRET,
): string {
  const seconds = Math.floor(at.getTime() / 1_000)
  const digest = createHmac('sha256', secret).update(`${seconds}.`).update(body).digest('hex')
  return `t=${seconds},v1=${digest}`
}

export const signed = (body: string | Buffer, at?: Date): Record<string, string> => ({
  'bank-signature': bankSignature(body, at),
})

export interface Bank extends InboundSource {
  /** Its feed, oldest first. */
  told: BankNews[]
  /** Why the feed does not answer, from this place on. */
  fails_at: number | null
  /** Places that were asked after. */
  asked: (string | null)[]
  page_size: number
}

export function makeBank(name = 'bank'): Bank {
  const bank: Bank = {
    name,
    told: [],
    fails_at: null,
    asked: [],
    page_size: 2,
    refusal(raw, headers, received_at) {
      const header = headers['bank-signature']
      if (header === undefined) return 'unsigned'
      const [, seconds = '', digest = ''] = /^t=(\d{1,12}),v1=([0-9a-f]{64})$/.exec(header) ?? []
      if (seconds === '') return 'malformed_signature'
      const expected = createHmac('sha256', BANK_SECRET).update(`${seconds}.`).update(raw).digest()
      if (!timingSafeEqual(expected, Buffer.from(digest, 'hex'))) return 'wrong_signature'
      return Math.abs(received_at.getTime() / 1_000 - Number(seconds)) > 300 ? 'stale' : null
    },
    identify(body) {
      const { id, type, about } = (body ?? {}) as Partial<BankNews>
      if (typeof id !== 'string' || typeof type !== 'string' || typeof about !== 'string') return undefined
      return { id, type, subject: about }
    },
    async events(after): Promise<FeedPage | { kind: 'unknown'; reason: string }> {
      bank.asked.push(after)
      const from = Number(after ?? 0)
      if (bank.fails_at !== null && from >= bank.fails_at)
        return { kind: 'unknown', reason: 'connection_refused' }
      const page = bank.told.slice(from, from + bank.page_size)
      return {
        events: page.map(news => ({ body: news, id: news.id, type: news.type, subject: news.about })),
        next: String(from + page.length),
      }
    },
  }
  return bank
}
