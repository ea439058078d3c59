/** Statements: what the bank says happened, whose totals are those of the book. */
import { describe, expect, test } from 'vitest'
import { book, call, pay, refund, simulator } from './calls.fixture.ts'

describe('statements', () => {
  const rows = async (query = '') => {
    const text = await (await fetch(`${simulator.url}/statement${query}`)).text()
    const [header, ...lines] = text.trim().split('\n')
    expect(header).toBe('id,reference,type,amount,fee,net,currency,date')
    return lines.map(line => line.split(','))
  }

  async function someDay() {
    for (let i = 0; i < 20; i++) {
      const { body } = await pay(`day${i}`, { amount: 777 + i * 13, currency: i % 2 === 0 ? 'usd' : 'kwd' })
      if (i % 3 === 0) await refund(body.id, `day${i}-refund`, 100 + i)
    }
    await pay('held', { capture: false })
    await pay('disputed', { payment_token: 'pm_card_createDispute' })
    await call('POST', '/settle', {})
  }

  test('the totals of a statement are those of the book, and net is amount less fee', async () => {
    await someDay()
    const sign: Record<string, number> = { capture: 1, refund: -1, dispute: -1 }
    for (const currency of ['usd', 'kwd']) {
      const expected = (await book())
        .filter(movement => movement.currency === currency)
        .reduce((sum, { type, amount }) => sum + (sign[type] ?? 0) * amount, 0)
      const found = (await rows()).filter(row => row[6] === currency)
      expect(found.reduce((sum, row) => sum + Number(row[3]), 0)).toBe(expected)
      for (const row of found) expect(Number(row[3]) - Number(row[4])).toBe(Number(row[5]))
    }
  })

  test('1000 usd costs 59 and 3-decimal currencies pay a fixed part of 300', async () => {
    await pay('usd')
    await pay('kwd', { amount: 100_000, currency: 'kwd' })
    await pay('tiny', { amount: 1 })
    expect((await rows()).map(row => row[4])).toEqual(['59', '3200', '1'])
  })

  test('a dispute costs 1500, and a won one costs nothing', async () => {
    await pay('disputed', { payment_token: 'pm_card_createDispute' })
    await call('POST', '/settle', {})
    const fees = async () => (await rows()).map(row => row[4])
    expect(await fees()).toEqual(['59', '1500'])
    const dispute_id = (await rows())[1]?.[0]
    await call('POST', `/v1/disputes/${dispute_id}/evidence`, { text: 'winning_evidence' })
    expect(await fees()).toEqual(['59', '1500', '-1500'])
  })

  test('a CAMT.053 statement has a balance before and after, and its entries explain the difference', async () => {
    await someDay()
    const dates = (await rows()).map(row => row[7] as string)
    const middle = dates[Math.floor(dates.length / 2)] as string
    for (const query of ['', `&from=${middle}`, `&to=${middle}`]) {
      const xml = await (await fetch(`${simulator.url}/statement?format=camt053${query}`)).text()
      for (const [, text] of xml.matchAll(/<Stmt>(.*?)<\/Stmt>/gs)) {
        const amounts = (pattern: RegExp) =>
          [...(text as string).matchAll(pattern)].map(([, amount, side]) => {
            const minor = BigInt((amount as string).replace('.', ''))
            return side === 'DBIT' ? -minor : minor
          })
        const [opening, closing] = amounts(/<\/Tp><Amt[^>]*>([\d.]+)<\/Amt><CdtDbtInd>(\w+)/g)
        const entries = amounts(/<\/NtryRef><Amt[^>]*>([\d.]+)<\/Amt><CdtDbtInd>(\w+)/g)
        expect(entries.reduce((sum, amount) => sum + amount, opening as bigint)).toBe(closing)
      }
      const net = (await rows(`?${query.slice(1)}`)).length
      expect([...xml.matchAll(/<Ntry>/g)]).toHaveLength(net)
    }
  })

  test('a payout lowers the balance, one that comes back raises it, and both formats say so', async () => {
    await pay('fund', { amount: 10_000 })
    const payout = (reference: string, destination: string | null, amount: number) =>
      call('POST', '/v1/payouts', { reference, amount, currency: 'usd', destination })
    await payout('stays', null, 2_000)
    await payout('bounces', 'btok_us_noAccount', 3_000)
    expect((await payout('too-much', null, 100_000)).body.error.code).toBe('balance_insufficient')
    await call('POST', '/settle', {})
    const payouts = (await rows()).filter(row => row[2] === 'payout')
    expect(payouts.map(row => [row[1], row[3], row[4], row[5]])).toEqual([
      ['stays', '-2000', '0', '-2000'],
      ['bounces', '-3000', '0', '-3000'],
      ['bounces', '3000', '0', '3000'],
    ])
    const balance = (await rows()).reduce((sum, row) => sum + Number(row[5]), 0)
    expect((await call('GET', '/balance')).body).toEqual({ usd: balance })
    const xml = await (await fetch(`${simulator.url}/statement?format=camt053`)).text()
    expect([...xml.matchAll(/<Cd>PAYOUT<\/Cd>/g)]).toHaveLength(3)
    expect([...xml.matchAll(/<RvslInd>true<\/RvslInd>/g)]).toHaveLength(1)
  })

  test('a reference with quotes, commas and angles survives both formats', async () => {
    await pay('a,"b"<c>&d')
    expect(await (await fetch(`${simulator.url}/statement`)).text()).toContain('"a,""b""<c>&d"')
    expect(await (await fetch(`${simulator.url}/statement?format=camt053`)).text()).toContain(
      '<EndToEndId>a,"b"&lt;c&gt;&amp;d</EndToEndId>',
    )
  })

  test('a statement ends before its `to` and starts at its `from`', async () => {
    await pay('now')
    const at = (await rows())[0]?.[7] as string
    expect(await rows(`?from=${at}`)).toHaveLength(1)
    expect(await rows(`?to=${at}`)).toHaveLength(0)
    expect(await rows('?from=2001-01-01&to=2002-01-01')).toHaveLength(0)
    expect((await call('GET', '/statement?from=yesterday')).body.error.param).toBe('from')
    expect((await call('GET', '/statement?format=pdf')).body.error.code).toBe('format_not_supported')
  })
})
