/** What a finance team does with one account, each step by the API. */
import { expect } from 'vitest'
import type { Json, TestAccount, World } from '../support/testing.ts'

export const STATEMENTS = '/v1/reconciliation_statements'
export const RUNS = '/v1/reconciliation_runs'
export const DECISIONS = '/v1/reconciliation_decisions'

export const SAID = { reason: 'Asked the bank.', author: 'Ada' }

export function team(world: World, account: TestAccount) {
  const { api } = account
  const upload = async (name: string, rows: readonly string[]): Promise<string> => {
    const file = `id,amount,currency,date\n${rows.map(row => `${row}\n`).join('')}`
    const { status, body } = await api.upload(`${STATEMENTS}?name=${name}&is_empty_allowed=true`, file)
    expect([status, body.error]).toEqual([200, undefined])
    return body.id
  }
  const work = async (): Promise<void> => {
    const { account_id, livemode } = account
    const waiting = await world.db.many<{ id: string }>`
      select id from reconciliation_runs where account_id = ${account_id} and finished_at is null`
    for (const { id } of waiting)
      await world.runJob('reconciliation.run', { account_id, livemode, run_id: id })
  }
  return {
    api,
    /** The run of both sides, worked off. */
    run: async (left: readonly string[], right: readonly string[], more: object = {}): Promise<Json> => {
      const sides = {
        left_statement_id: await upload('books.csv', left),
        right_statement_id: await upload('bank.csv', right),
      }
      const { body } = await api.post(RUNS, { ...sides, ...more })
      expect(body.error).toBeUndefined()
      await work()
      return (await api.get(`${RUNS}/${body.id}`)).body
    },
    /** Status of each row, `right 1 manual`. */
    homes: async (run: Json): Promise<string[]> => {
      const { data } = (await api.get(`${RUNS}/${run.id}/items?limit=100`)).body
      return data.map(({ side, row, status }: Json) => `${side} ${row} ${status}`)
    },
    decide: (run: Json, body: object) => api.post(`${RUNS}/${run.id}/decisions`, { ...SAID, ...body }),
    withdraw: (decision: Json) =>
      api.post(`${DECISIONS}/${decision.id}/withdraw`, { ...SAID, author: 'Grace' }),
    list: async (query: string): Promise<string[]> => {
      const { data } = (await api.get(`${DECISIONS}?${query}`)).body
      return data.map(({ id }: Json) => id)
    },
    balances: async (): Promise<Record<string, number>> => {
      const { data } = (await api.get('/v1/ledger/accounts?limit=100')).body
      return Object.fromEntries(data.map(({ code, balance }: Json) => [code, balance]))
    },
  }
}
