/** What can be seen and what is not an operation: tokens, the challenge page, the book, statements, health. */
import type { ServerResponse } from 'node:http'
import { pipeline } from 'node:stream/promises'
import { type Currency, formatAmount } from '#money'
import type { Bank } from './bank.ts'
import { challengePage, resultPage } from './challenge-page.ts'
import { movementLine } from './entry.ts'
import { MAGIC_CARDS, MAGIC_EXP_MONTH, MAGIC_EXP_YEAR } from './magic.ts'
import { readMovements } from './reading.ts'
import { Refused } from './refused.ts'
import { parseCardFields } from './requests.ts'
import { type Call, type Route, sendJson } from './server.ts'
import type { Payment } from './state.ts'
import { parseStatementQuery, statement } from './statement.ts'
import type { Tokens } from './tokens.ts'

/** Lines are gathered into pieces of this size: a write per line would cost a packet per line. */
const PIECE_CHARS = 64 * 1024

/** Who answers: so that a server which finds a simulator on its port knows whether it is its own. */
export interface Self {
  pid: number
  data_dir: string
  /** The server that started it, if one did. */
  owner_pid: number | null
}

export function makePages(bank: Bank, tokens: Tokens, path: string, self: Self): Route[] {
  function challenged({ path }: Call): Payment {
    const payment = bank.world.payments.get(path[0] as string)
    if (payment?.behaviour.challenge !== undefined) return payment
    throw new Refused(404, 'challenge_not_found', 'No such challenge.')
  }

  function finish(call: Call, is_passed: boolean) {
    const payment = challenged(call)
    bank.finishChallenge(payment, is_passed)
    bank.book.whenDurable(() => {
      if (payment.return_url === null) return sendHtml(call.response, resultPage(payment))
      const back = new URL(payment.return_url)
      back.searchParams.set('reference', payment.reference)
      back.searchParams.set('result', payment.status === 'approved' ? 'succeeded' : 'failed')
      call.response.writeHead(303, { location: back.href, 'content-length': 0 })
      call.response.end()
    })
  }

  return [
    {
      method: 'GET',
      path: '/healthz',
      run: ({ response }) => sendJson(response, 200, JSON.stringify({ status: 'ok', ...self })),
    },
    {
      method: 'POST',
      path: '/v1/tokens',
      run({ response, body }) {
        sendJson(response, 200, JSON.stringify(tokens.tokenize(parseCardFields(body))))
      },
    },
    {
      method: 'GET',
      path: '/magic_cards',
      run: ({ response }) => sendJson(response, 200, JSON.stringify({ data: magicCardList() })),
    },
    {
      method: 'GET',
      path: '/challenge/:id',
      run(call) {
        const payment = challenged(call)
        if (payment.state !== 'requires_action') return sendHtml(call.response, resultPage(payment))
        const amount = formatAmount(payment.amount, payment.currency as Currency)
        sendHtml(call.response, challengePage(payment, amount))
      },
    },
    { method: 'POST', path: '/challenge/:id/complete', run: call => finish(call, true) },
    { method: 'POST', path: '/challenge/:id/fail', run: call => finish(call, false) },
    {
      method: 'GET',
      path: '/book',
      run: ({ response }) =>
        stream(response, 'application/x-ndjson', bookLines(path, bank.book.durableBytes())),
    },
    {
      method: 'GET',
      path: '/balance',
      run({ response }) {
        const balances = [...bank.world.balances].map(([currency, amount]) => `"${currency}":${amount}`)
        bank.book.whenDurable(() => sendJson(response, 200, `{${balances.join(',')}}`))
      },
    },
    {
      method: 'GET',
      path: '/statement',
      run({ response, query }) {
        const wanted = parseStatementQuery(query)
        const durable_bytes = bank.book.durableBytes()
        const { type, lines } = statement(() => readMovements(path, durable_bytes), wanted)
        return stream(response, type, lines)
      },
    },
  ]
}

/** What may be shown of the magic cards; their numbers are in the README of every payment company, but not here. */
function magicCardList() {
  return MAGIC_CARDS.flatMap(({ names, number, brand }) =>
    names.map(name => ({
      token: `pm_card_${name}`,
      brand,
      last4: number.slice(-4),
      exp_month: MAGIC_EXP_MONTH,
      exp_year: MAGIC_EXP_YEAR,
    })),
  )
}

async function* bookLines(path: string, durable_bytes: number) {
  for await (const movement of readMovements(path, durable_bytes)) yield movementLine(movement)
}

/** Sends lines in pieces, waiting for a reader that is slower than the disk; one that leaves ends it. */
async function stream(response: ServerResponse, type: string, lines: AsyncIterable<string>) {
  response.writeHead(200, { 'content-type': `${type}; charset=utf-8` })
  try {
    await pipeline(pieces(lines), response)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') throw error
  }
}

async function* pieces(lines: AsyncIterable<string>) {
  let piece = ''
  for await (const line of lines) {
    piece += line
    if (piece.length < PIECE_CHARS) continue
    yield piece
    piece = ''
  }
  yield piece
}

function sendHtml(response: ServerResponse, html: string) {
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(html),
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors *",
    'cache-control': 'no-store',
  })
  response.end(html)
}
