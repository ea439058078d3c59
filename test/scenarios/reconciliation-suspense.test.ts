/** Suspense: what a decision puts there is cleared by what comes, moved by hand, or taken back, and is seen until then. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { encodeId } from '#kernel'
import { type Json, startWorld, type World } from '../support/testing.ts'
import { DECISIONS, SAID, STATEMENTS, team } from './reconciliation-team.fixture.ts'

let world: World
beforeAll(async () => {
  world = await startWorld()
})
afterAll(async () => {
  await world.verifyLedger()
  await world.close()
})

const newTeam = async () => team(world, await world.account())

test('what a withdrawn decision posted to suspense is taken back by transfers of their own, once', async () => {
  const { api, run, decide, withdraw, balances } = await newTeam()
  const found = await run(['a,70,usd,2026-11-02', 'e,9,eur,2026-11-02'], ['w,700,usd,2026-11-02'])
  const { body: decision } = await decide(found, {
    kind: 'suspense',
    left: [1, 2],
    right: [1],
    ledger_code: 'bank',
  })
  expect(decision.transfer_ids).toHaveLength(2)
  const both = await Promise.all([withdraw(decision), withdraw(decision)])
  expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 400])
  const withdrawn = (await api.get(`${DECISIONS}/${decision.id}`)).body
  expect(withdrawn.withdrawal.transfer_ids).toHaveLength(2)
  expect(withdrawn.suspended.map(({ open }: Json) => open)).toEqual([0, 0])
  expect(new Set(Object.values(await balances()))).toEqual(new Set([0]))
  const { data } = (await api.get(`/v1/ledger/transfers?source_id=${decision.id}`)).body
  expect(data).toHaveLength(4)
  // Neither is in a cut of the account: the outside knows of none of it.
  const cut = await api.post(`${STATEMENTS}/snapshot`, { name: 'bank', source: 'ledger', code: 'bank' })
  expect(cut.body.rows).toBe(0)
})

test('what was missed and has come is cleared from suspense by a decision about the row that came', async () => {
  const { api, run, decide, withdraw, balances, list, homes } = await newTeam()
  const november = await run(['pay_1,70,usd,2026-11-20', 'pay_2,30,usd,2026-11-20'], [])
  const missed = [
    (await decide(november, { kind: 'suspense', left: [1], ledger_code: 'bank' })).body,
    (await decide(november, { kind: 'suspense', left: [2], ledger_code: 'bank' })).body,
  ]
  expect(missed[0].suspended).toEqual([{ code: 'suspense_missing', currency: 'usd', amount: 70, open: 70 }])
  const ids = missed.map(({ id }) => id)
  expect(await list('kind=suspense&status=open')).toEqual(ids.toReversed())

  // One payment for both, in two parts.
  const sides = [[], ['wire,80,usd,2026-12-03', 'rest,20,usd,2026-12-04', 'more,1,usd,2026-12-04']] as const
  const december = await run(...sides)
  const first = await decide(december, { kind: 'clear', right: [1], clears: ids })
  expect([first.status, first.body.error]).toEqual([200, undefined])
  expect(first.body).toMatchObject({ kind: 'clear', status: 'standing', clears: ids, suspended: null })
  expect(first.body.transfer_ids).toHaveLength(2)
  expect([await list('status=open'), await list('status=cleared')]).toEqual([[ids[1]], [ids[0]]])
  expect((await api.get(`${DECISIONS}/${ids[1]}`)).body.suspended).toMatchObject([{ amount: 30, open: 20 }])
  expect(await balances()).toEqual({ bank: -20, suspense_missing: 20 })

  const too_much = await decide(december, { kind: 'clear', right: [2, 3], clears: [ids[1]] })
  expect(too_much.body.error).toMatchObject({
    code: 'reconciliation_clearing_unfit',
    message: expect.stringContaining('bring 1 usd more'),
  })
  const closed = await decide(december, { kind: 'clear', right: [2], clears: [ids[0]] })
  expect(closed.body.error).toMatchObject({
    code: 'reconciliation_decision_unexpected_state',
    param: 'clears[0]',
    message: expect.stringContaining('it is cleared'),
  })
  const part = await withdraw(missed[1])
  expect(part.body.error.message).toContain('Of 30 usd in suspense_missing 20 are left')
  const second = await decide(december, { kind: 'clear', right: [2], clears: [ids[1]] })
  expect(await list('status=open')).toEqual([])
  expect(await balances()).toEqual({ bank: 0, suspense_missing: 0 })
  expect(await homes(await run(...sides))).toEqual(['right 1 manual', 'right 2 manual', 'right 3 unmatched'])

  // It was another's money after all.
  const taken_back = await withdraw(second.body)
  expect(taken_back.body).toMatchObject({
    status: 'withdrawn',
    withdrawal: { transfer_ids: [expect.any(String)] },
  })
  expect(await list('status=open')).toEqual([ids[1]])
  expect(await balances()).toEqual({ bank: -20, suspense_missing: 20 })
})

test('what nobody expected is cleared by what the books say later, and by an adjustment that names the decision', async () => {
  const account = await world.account()
  const { api, run, decide, list, balances } = team(world, account)
  const november = await run([], ['wire,700,usd,2026-11-20'])
  const { body: decision } = await decide(november, { kind: 'suspense', right: [1], ledger_code: 'bank' })
  const wrong = await run([], ['wire-2,5,usd,2026-12-01'])
  const unfit = await decide(wrong, { kind: 'clear', right: [1], clears: [decision.id] })
  expect(unfit.body.error).toMatchObject({ code: 'reconciliation_clearing_unfit', param: 'clears[0]' })
  const december = await run(['pay_9,500,usd,2026-12-01'], [])
  expect((await decide(december, { kind: 'clear', left: [1], clears: [decision.id] })).status).toBe(200)
  expect((await api.get(`${DECISIONS}/${decision.id}`)).body).toMatchObject({
    status: 'open',
    suspended: [{ code: 'suspense_unexpected', amount: 700, open: 200 }],
  })
  const accountant = await world.accountant(account)
  const given = await accountant.post('/v1/ledger/transfers', {
    ...SAID,
    transfers: [
      {
        debit_code: 'suspense_unexpected',
        credit_code: 'bank',
        amount: 200,
        currency: 'usd',
        source_id: decision.id,
      },
    ],
  })
  expect([given.status, given.body.error]).toEqual([200, undefined])
  expect(await list('status=cleared')).toEqual([decision.id])
  expect(await balances()).toEqual({ bank: 0, suspense_unexpected: 0 })
  // Money that is sent back leaves the bank, which its statement shows too: it is in the cut, what decisions post is not.
  const { body: cut } = await api.post(`${STATEMENTS}/snapshot`, {
    name: 'b',
    source: 'ledger',
    code: 'bank',
  })
  expect(cut.sums).toMatchObject([{ currency: 'usd', rows: 1, amount: -200 }])
})

/** A voucher of one line, as an accountant sends it. */
const voucher = (source_id: string | undefined, line: object) => ({
  ...SAID,
  transfers: [{ amount: 70, currency: 'usd', ...(source_id !== undefined && { source_id }), ...line }],
})
const BACK = { debit_code: 'suspense_missing', credit_code: 'bank' }
const AWAY = { debit_code: 'bank', credit_code: 'suspense_missing' }

test('money in suspense is in the list of what waits although its decision was withdrawn, and can be adjusted', async () => {
  const account = await world.account()
  const accountant = await world.accountant(account)
  const { run, decide, withdraw, list, balances, api } = team(world, account)
  const november = await run(['pay_1,70,usd,2026-11-20'], [])
  const { body: missed } = await decide(november, { kind: 'suspense', left: [1], ledger_code: 'bank' })
  const december = await run([], ['wire,70,usd,2026-12-03'])
  const { body: clear } = await decide(december, { kind: 'clear', right: [1], clears: [missed.id] })
  expect((await accountant.post('/v1/ledger/transfers', voucher(missed.id, BACK))).status).toBe(200)
  expect((await withdraw(missed)).body.status).toBe('withdrawn')
  expect(await list('status=open')).toEqual([])
  // What was adjusted back was that which the clear had taken out: now it is there twice.
  expect((await withdraw(clear)).status).toBe(200)
  expect(await balances()).toEqual({ bank: -70, suspense_missing: 70 })
  expect(await list('kind=suspense&status=open')).toEqual([missed.id])
  expect(await list('status=withdrawn')).toEqual([clear.id])
  expect((await api.get(`${DECISIONS}/${missed.id}`)).body).toMatchObject({
    status: 'open',
    suspended: [{ code: 'suspense_missing', open: 70 }],
    withdrawal: { reason: SAID.reason },
  })
  expect((await accountant.post('/v1/ledger/transfers', voucher(missed.id, AWAY))).status).toBe(200)
  expect(await list('status=open')).toEqual([])
  expect(await balances()).toEqual({ bank: 0, suspense_missing: 0 })
})

test('an adjustment names a decision that has something in suspense, or is refused', async () => {
  const account = await world.account()
  const accountant = await world.accountant(account)
  const { run, decide, withdraw } = team(world, account)
  const found = await run(['pay_1,70,usd,2026-11-20', 'pay_2,1,usd,2026-11-20'], [])
  const { body: missed } = await decide(found, { kind: 'suspense', left: [1], ledger_code: 'bank' })
  const { body: written_off } = await decide(found, { kind: 'write_off', left: [2] })
  await withdraw(missed)
  for (const [source_id, code, says] of [
    [missed.id, 'reconciliation_decision_unexpected_state', 'which is withdrawn'],
    [written_off.id, 'reconciliation_decision_unexpected_state', 'which is a write_off'],
    ['rdc_01jd3x0yfae4qa9vrf2kz5m8wt', 'resource_missing', 'no such decision'],
  ]) {
    const refused = await accountant.post('/v1/ledger/transfers', voucher(source_id, AWAY))
    expect(refused.body.error).toMatchObject({
      code,
      param: 'transfers[0].source_id',
      message: expect.stringContaining(says),
    })
  }
})

test('what is reserved of suspense is in it still, and keeps its decision from being withdrawn', async () => {
  const account = await world.account()
  const accountant = await world.accountant(account)
  const { run, decide, withdraw, list, balances } = team(world, account)
  const found = await run(['pay_1,70,usd,2026-11-20', 'pay_2,30,usd,2026-11-20'], [])
  const { body: first } = await decide(found, { kind: 'suspense', left: [1], ledger_code: 'bank' })
  const { body: second } = await decide(found, { kind: 'suspense', left: [2], ledger_code: 'bank' })
  const reserve = async (decision: Json, amount: number): Promise<string> => {
    const asked = voucher(decision.id, { ...AWAY, kind: 'pending', amount })
    const { body } = await accountant.post('/v1/ledger/transfers', asked)
    expect(body.error).toBeUndefined()
    return body.transfers[0].id
  }
  const resolve = (pending_id: string, kind: string) =>
    accountant.post('/v1/ledger/transfers', { ...SAID, transfers: [{ kind, pending_id }] })
  const [held, dropped] = [await reserve(first, 70), await reserve(second, 30)]
  expect(await list('status=open')).toEqual([second.id, first.id])
  expect((await withdraw(first)).body.error).toMatchObject({
    code: 'reconciliation_decision_unexpected_state',
    message: expect.stringContaining(`${held} reserves some of it`),
  })
  // Without a source of its own what resolves is about what was reserved for.
  expect((await resolve(held, 'post_pending')).body.transfers).toMatchObject([{ source_id: first.id }])
  expect(await list('status=cleared')).toEqual([first.id])
  expect((await resolve(dropped, 'void_pending')).status).toBe(200)
  expect((await withdraw(second)).body.status).toBe('withdrawn')
  expect(await balances()).toEqual({ bank: 0, suspense_missing: 0 })
})

test('what comes is cleared to the account that it was missed on', async () => {
  const { run, decide, balances } = await newTeam()
  const november = await run(['pay_1,70,usd,2026-11-20'], [])
  const missed = await decide(november, { kind: 'suspense', left: [1], ledger_code: 'processor_clearing' })
  const december = await run([], ['wire,70,usd,2026-12-03'])
  const clear = await decide(december, { kind: 'clear', right: [1], clears: [missed.body.id] })
  expect([clear.status, clear.body.error]).toEqual([200, undefined])
  expect(await balances()).toEqual({ processor_clearing: 0, suspense_missing: 0 })
})

test('what comes beside a cut of the books is cleared to the account that the cut shows', async () => {
  const { api, run, decide, withdraw, balances } = await newTeam()
  const november = await run(['pay_1,70,usd,2026-11-20', 'pay_2,30,usd,2026-11-20'], [])
  const suspend = (left: number) =>
    decide(november, { kind: 'suspense', left: [left], ledger_code: 'processor_clearing' })
  const [first, second] = [(await suspend(1)).body, (await suspend(2)).body]
  const cut = async (of: object): Promise<string> =>
    (await api.post(`${STATEMENTS}/snapshot`, { name: 'cut', from: '2026-12-03', to: '2026-12-04', ...of }))
      .body.id
  // The payer sent it to the bank, past the processor: that the bank has it the books must say.
  const left_statement_id = await cut({ source: 'ledger', code: 'bank' })
  const december = await run([], ['wire,70,usd,2026-12-03'], { left_statement_id })
  const clear = (of: Json, decision: Json) => decide(of, { kind: 'clear', right: [1], clears: [decision.id] })
  const cleared = await clear(december, first)
  expect([cleared.status, cleared.body.error]).toEqual([200, undefined])
  expect(await balances()).toEqual({ bank: 70, processor_clearing: -100, suspense_missing: 30 })
  expect((await withdraw(cleared.body)).status).toBe(200)
  expect(await balances()).toEqual({ bank: 0, processor_clearing: -100, suspense_missing: 100 })

  const processors = await cut({ source: 'balance_transactions' })
  const late = await run([], ['pay_2,30,usd,2026-12-03'], { left_statement_id: processors })
  expect((await clear(late, second)).status).toBe(200)
  expect(await balances()).toEqual({ bank: 0, processor_clearing: -70, suspense_missing: 70 })

  const other = await cut({ source: 'ledger', code: 'suspense_missing' })
  const strange = await run([], ['wire,70,usd,2026-12-03'], { left_statement_id: other })
  expect((await clear(strange, first)).body.error).toMatchObject({
    code: 'parameter_invalid',
    param: 'kind',
    message: expect.stringContaining('a cut of suspense_missing'),
  })
})

test('the account that a cut of the books shows is where its differences are posted, and no other', async () => {
  const account = await world.account()
  const accountant = await world.accountant(account)
  const { api, run, decide, balances } = team(world, account)
  await accountant.post(
    '/v1/ledger/transfers',
    voucher(undefined, { debit_code: 'bank', credit_code: 'suspense_unexpected' }),
  )
  const { data } = (await api.get('/v1/ledger/accounts?code=bank')).body
  const cut = async (of: object): Promise<Json> => {
    const { body } = await api.post(`${STATEMENTS}/snapshot`, { name: 'cut', source: 'ledger', ...of })
    expect(body.error).toBeUndefined()
    return run([], [], { left_statement_id: body.id })
  }
  const of_account = await cut({ ledger_account_id: data[0].id })
  const suspend = (of: Json, more: object = {}) => decide(of, { kind: 'suspense', left: [1], ...more })
  expect((await suspend(of_account, { ledger_code: 'processor_clearing' })).body.error).toMatchObject({
    code: 'parameter_invalid',
    param: 'ledger_code',
    message: expect.stringContaining('must be bank'),
  })
  const of_code = await cut({ code: 'bank' })
  expect((await suspend(of_code, { ledger_code: 'processor_clearing' })).body.error.param).toBe('ledger_code')
  const of_suspense = await cut({ code: 'suspense_unexpected' })
  expect((await suspend(of_suspense, { ledger_code: 'bank' })).body.error).toMatchObject({
    code: 'parameter_invalid',
    param: 'kind',
    message: expect.stringContaining('a cut of suspense_unexpected'),
  })
  const told = await suspend(of_account)
  expect([told.status, told.body.error]).toEqual([200, undefined])
  expect(await balances()).toEqual({ bank: 0, suspense_unexpected: 70, suspense_missing: 70 })
})

/** Four processes, on a machine that does other things too. */
const CLI_MS = 180_000
const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts')

/** `bursar ledger suspense`, for one account. */
const suspense = (of: string, ...args: string[]) =>
  new Promise<{ code: number; out: string; err: string }>(resolve => {
    const env = { ...process.env, DATABASE_URL: world.url, BURSAR_DATA_DIR: world.data_dir }
    const words = [CLI, 'ledger', 'suspense', '--account', of, ...args]
    execFile(process.execPath, words, { env }, (error, out, err) =>
      resolve({ code: typeof error?.code === 'number' ? error.code : error === null ? 0 : 1, out, err }),
    )
  })

test(
  'the command line shows what waits in suspense: of which run and row, since when, and who decided it',
  async () => {
    const account = await world.account()
    const id = encodeId('acct_', account.account_id)
    expect(await suspense(id)).toEqual({ code: 0, out: 'Nothing waits in suspense.\n', err: '' })
    const { run, decide, withdraw } = team(world, account)
    const found = await run(
      ['a,1,usd,2026-11-02', 'pay\u009b_7,1250,usd,2026-11-02'],
      ['w,300,usd,2026-11-12'],
    )
    const missed = await decide(found, { kind: 'suspense', left: [2], ledger_code: 'bank' })
    const unexpected = await decide(found, { kind: 'suspense', right: [1], ledger_code: 'bank' })
    await withdraw(unexpected.body)
    const text = await suspense(id)
    expect([text.code, text.err]).toEqual([1, ''])
    const day = missed.body.created_at.slice(0, 10)
    const [, , ...lines] = text.out.trimEnd().split('\n')
    expect(lines[0]).toMatch(
      new RegExp(
        `^${day} +suspense_missing +USD +12\\.50 +12\\.50 +open +left 2 pay\\\\u009b_7 +${found.id} +${missed.body.id} +Ada \\(.*Asked the bank\\.$`,
      ),
    )
    expect(lines.slice(1)).toEqual(['', 'suspense_missing: 12.50 USD open in 1 of the decisions shown.'])
    const all = JSON.parse((await suspense(id, '--all', '--json')).out) as Json
    expect(all.decisions.map(({ id: decision, status }: Json) => [decision, status])).toEqual([
      [missed.body.id, 'open'],
      [unexpected.body.id, 'withdrawn'],
    ])
    expect(all.totals).toEqual([
      { code: 'suspense_missing', currency: 'usd', decisions: 1, open: 1250 },
      { code: 'suspense_unexpected', currency: 'usd', decisions: 0, open: 0 },
    ])
  },
  CLI_MS,
)
