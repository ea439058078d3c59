/**
 * The queries of the runbooks, run against the trouble that each page is about: they name what its reader looks for, and
 * say nothing where the page says that they do.
 *
 * @every-postgresql queries that people type, on whichever version they run.
 */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { raw } from '#db'
import { decodeId, encodeId, newId } from '#kernel'
import { seal } from '#ledger'
import { applyProcessorEvent } from '#payments'
import { eventOf, newsOf, payoutNewsOf } from '../support/news.ts'
import { type Json, startWorld, type TestAccount, type World } from '../support/testing.ts'

const PAGES = join(import.meta.dirname, '..', '..', 'docs', 'runbooks')
const NOBODY = '00000000-0000-0000-0000-000000000000'

/** The queries of a page, in its order. */
const queriesOf = (page: string): string[] =>
  [...readFileSync(join(PAGES, page), 'utf8').matchAll(/^```sql\n([\s\S]*?);\n```$/gm)].map(
    ([, query = '']) => query,
  )

let world: World
let account: TestAccount
beforeAll(async () => {
  world = await startWorld()
  account = await world.account()
})
afterAll(() => world.close())

const ask = (query = '', id = NOBODY) => world.db.many<Json>`${raw(query.replace(NOBODY, id))}`
const paying = (amount: number) => ({
  amount,
  currency: 'usd',
  payment_method_id: 'pm_card_visa',
  confirm: true,
})

/** Done by the processor, or not, and not told when it is asked. */
async function silent(amount: number, moment: 'before' | 'after' = 'before'): Promise<Json> {
  await world.fault({ operation: 'authorize', kind: 'reset', moment, count: 1 })
  await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
  const { body } = await account.api.post('/v1/payment_intents', paying(amount))
  expect(body.status).toBe('processing')
  return body
}

const pages = globSync('*.md', { cwd: PAGES }).filter(page => page !== 'README.md')
test.each(pages)('every query of %s runs, on empty books as well', async page => {
  const queries = queriesOf(page)
  expect(queries.length).toBeGreaterThan(2)
  for (const query of queries) await ask(query)
})

test.each(pages)('%s has the parts of a runbook', page => {
  const headings = [...readFileSync(join(PAGES, page), 'utf8').matchAll(/^## (.+)$/gm)].map(
    ([, name]) => name,
  )
  const parts =
    page === 'idempotency-keys-reused.md'
      ? ['Symptoms', 'See who it is', 'What it means', 'What to tell the client', 'Know that it is mended']
      : [
          'Symptoms',
          'See what it is',
          'What it means',
          'What to do',
          'Never',
          'Know that it is over',
          'Write down',
        ]
  expect(headings).toEqual(parts)
})

describe('unknown-outcomes.md', () => {
  const [open, whose, payouts, unfinished] = queriesOf('unknown-outcomes.md')

  test('counts what is open by its reason, and names whose it is', async () => {
    await silent(1_100)
    await silent(2_200)
    expect(await ask(open)).toMatchObject([
      {
        processor: 'simulator',
        operation: 'authorize',
        state: 'unknown',
        reason: 'http_500',
        attempts: 2n,
        amount: '3300',
      },
    ])
    expect(await ask(whose)).toMatchObject([
      { account_id: account.account_id, currency: 'usd', attempts: 2n },
    ])
  })

  test('shows a payout that nobody knows the end of', async () => {
    const { body: paid } = await account.api.post('/v1/payment_intents', {
      ...paying(50_000),
      payment_method_id: 'pm_card_bypassPending',
    })
    expect(paid.status).toBe('succeeded')
    await world.releaseFunds()
    expect(await ask(payouts)).toEqual([])
    await world.fault({ operation: 'payout', kind: 'error', moment: 'before', count: 1 })
    await world.fault({ operation: 'lookup', kind: 'error', moment: 'before', count: 1 })
    const { body } = await account.api.post('/v1/payouts', { amount: 9_000, currency: 'usd' })
    expect(body.status).toBe('pending')
    expect(await ask(payouts)).toMatchObject([
      { id: decodeId('po_', body.id), amount: 9_000n, state: 'unknown', reason: 'http_500' },
    ])
  })

  test('shows a key that nobody finishes', async () => {
    expect(await ask(unfinished)).toEqual([])
    await world.db.run`
      update idempotency_keys
      set finished_at = null, status = null, body = null, lease_until = now(), takeovers = 7
      where account_id = ${account.account_id}
        and key = (select min(key) from idempotency_keys where account_id = ${account.account_id})`
    expect(await ask(unfinished)).toMatchObject([{ account_id: account.account_id, takeovers: 7 }])
  })
})

describe('orphan-captures.md', () => {
  const [by_reason, each, disagreement] = queriesOf('orphan-captures.md')

  test('counts orphans by reason, names each that is open, and finds books that disagree with the list', async () => {
    await silent(4_200, 'after')
    const news = await newsOf(world, account, 'authorize')
    const tell = (change: object) =>
      applyProcessorEvent(world.payments, 'simulator', eventOf({ ...news, ...change }))
    const decline = { code: 'card_declined', decline_code: 'generic_decline', message: 'No.' }
    await tell({ outcome: { kind: 'declined', processor_id: null, decline } })
    expect(await tell({})).toBe('applied')
    expect(await ask(by_reason)).toMatchObject([
      { reason: 'attempt_declined', status: 'pending', captured: true, orphans: 1n, amount: '4200' },
    ])
    expect(await ask(each)).toMatchObject([
      {
        account_id: account.account_id,
        processor_id: news.payment_id,
        reference: news.reference,
        amount: 4_200n,
      },
    ])
    expect(await ask(disagreement)).toEqual([])
    await world.db.run`
      update orphan_captures
      set amount = amount - 1
      where account_id = ${account.account_id}`
    expect(await ask(disagreement)).toMatchObject([{ owed: '4200', open: '4199' }])
  })
})

describe('processor-news-stopped.md', () => {
  const [feeds, by_way, by_reason, lanes, lost] = queriesOf('processor-news-stopped.md')

  test('tells how far the feed was read, what came by it, and what nobody can take in', async () => {
    await world.catchUp()
    await world.fault({ operation: 'events', kind: 'error', count: 1 })
    await world.catchUp()
    const [feed] = await ask(feeds)
    expect(feed).toMatchObject({ processor: 'simulator', failures: 1, reason: 'http_500' })
    expect(Number(feed.behind_seconds)).toBeLessThan(600)
    expect((await ask(by_way)).map(row => row.source)).toContain('feed')
  })

  test('names what waits, with its reason, and lanes that nobody works off', async () => {
    // A dispute of a payment that is not here.
    const told = { id: 'evt_nobody', type: 'dispute.created', processor: 'simulator' }
    await world.db.run`
      insert into inbound_events (id, processor, event_id, type, subject, source, received_at, reason)
      values (${newId(new Date())}, ${told.processor}, ${told.id}, ${told.type}, 'pay_nobody', 'feed', now(), 'no payment of ours')`
    await world.db.run`
      insert into inbound_lanes (processor, subject)
      values ('simulator', 'pay_nobody')`
    expect(await ask(by_reason)).toContainEqual(
      expect.objectContaining({ type: told.type, status: 'waiting', reason: 'no payment of ours', news: 1n }),
    )
    const [lane] = await ask(lanes)
    expect(lane).toMatchObject({ processor: 'simulator', being_worked_off: 0n })
    expect(Number(lane.ready)).toBeGreaterThan(0)
  })

  test('finds the news of a payout that was lost', async () => {
    expect(await ask(lost)).toEqual([])
    const payout = { id: encodeId('po_', newId(new Date())), amount: 100, currency: 'usd' }
    const refusal = await applyProcessorEvent(
      world.payments,
      'simulator',
      eventOf(payoutNewsOf(payout, {})),
    ).then(String, (error: Error) => error.message)
    await world.db.run`
      insert into inbound_events (id, processor, event_id, type, subject, source, received_at, reason)
      values (${newId(new Date())}, 'simulator', 'evt_lost', 'payout.created', ${payout.id}, 'feed', now(), ${refusal})`
    expect(await ask(lost)).toMatchObject([{ event_id: 'evt_lost', subject: payout.id }])
  })
})

describe('ledger-verify-failed.md', () => {
  const [night, transfer, triggers, superusers, chain] = queriesOf('ledger-verify-failed.md')

  test('tells what the last night found', async () => {
    const found = { holds: false, broken: 'ledger_transfers tr_x: its entry is not there' }
    expect(await ask(night)).toMatchObject([{ holds: null, broken: null }])
    await world.db.run`update ledger_verified set holds = false, broken = ${found.broken}`
    expect(await ask(night)).toMatchObject([found])
  })

  test('shows a transfer with its seal, and where the chain ends', async () => {
    await account.api.post('/v1/payment_intents', paying(700))
    const { id } = await world.db.one<{ id: string }>`
      select id
      from ledger_transfers
      where account_id = ${account.account_id} and amount = 700 and kind = 'pending'`
    // A seal ends before what is still under way, in whichever database of the server: it is made again until then.
    await expect
      .poll(async () => {
        await seal(world.db)
        return ask(transfer, id)
      })
      .toMatchObject([
        {
          account_id: account.account_id,
          amount: 700n,
          source_type: 'payment_attempt',
          seal: expect.any(BigInt),
        },
      ])
    const [end] = await ask(chain)
    expect([end.newest, end.seals]).toEqual([end.chain_ends_at, end.chain_ends_at])
  })

  test('says nothing of triggers while they are on, and names the one that is off', async () => {
    expect(await ask(triggers)).toEqual([])
    const undone = new Error('undone')
    const off = world.db.transaction(async tx => {
      await tx.run`set local role none`
      await tx.run`alter table ledger_entries disable trigger immutable`
      expect(await tx.many<Json>`${raw(triggers ?? '')}`).toEqual([
        { table_name: 'ledger_entries', trigger_name: 'immutable', state: 'D' },
      ])
      throw undone
    })
    await expect(off).rejects.toBe(undone)
  })

  test('names who may do everything', async () => {
    const names = (await ask(superusers)).map(row => row.rolname)
    const { owner } = await world.db.one<{
      owner: boolean
    }>`select rolsuper as owner from pg_roles where rolname = session_user`
    expect(names.length).toBeGreaterThan(0)
    if (owner) expect((await ask(superusers)).some(row => row.sessions > 0n)).toBe(true)
  })
})

describe('webhook-endpoint-down.md', () => {
  const [failing, waiting, tries] = queriesOf('webhook-endpoint-down.md')

  test('names the endpoint that fails, what waits for it, and how its tries ended', async () => {
    const { id } = await failingEndpoint()
    expect(await ask(failing)).toMatchObject([
      {
        account_id: account.account_id,
        id,
        status: 'enabled',
        breaker: 'open',
        failing_since: expect.any(Date),
      },
    ])
    expect(await ask(waiting, id)).toMatchObject([{ event_type: 'charge.captured', waiting: 1n, tries: 2 }])
    expect(await ask(tries, id)).toMatchObject([
      { failure: 'timeout', status_code: null, tries: 1n, message: 'No answer.' },
    ])
  })
})

describe('webhooks-late.md', () => {
  const [readers, lanes, filled, ended] = queriesOf('webhooks-late.md')

  test('tells readers that stand still, lanes that nobody takes, who fills the queue, and how tries end', async () => {
    const { id } = await failingEndpoint()
    await world.db.run`
      insert into event_consumers (name, seen, failures, reason)
      values ('webhooks', pg_current_snapshot(), 3, 'no')
      on conflict (name) do update set failures = 3, reason = 'no'`
    await world.db.run`update webhook_lanes set due_at = now() where endpoint_id = ${id}`
    expect(await ask(readers)).toContainEqual(
      expect.objectContaining({ name: 'webhooks', failures: 3, reason: 'no' }),
    )
    const [counted] = await ask(lanes)
    expect(Number(counted.ready)).toBeGreaterThan(0)
    expect(counted).toMatchObject({ ready_since: expect.any(Date), being_sent: 0n })
    expect(Number(counted.broken)).toBeGreaterThan(0)
    expect(await ask(filled)).toContainEqual(expect.objectContaining({ endpoint_id: id, waiting: 1n }))
    const [timeouts] = (await ask(ended)).filter(row => row.failure === 'timeout')
    expect(Number(timeouts.tries)).toBeGreaterThan(0)
  })
})

/** An endpoint whose breaker is open, with one delivery that waits and a try that failed just now. */
async function failingEndpoint(): Promise<{ id: string }> {
  const { body } = await account.api.post('/v1/webhook_endpoints', {
    url: 'https://hooks.example.com/',
    event_types: ['charge.captured'],
  })
  const id = decodeId('we_', body.id) as string
  const { account_id } = account
  const now = new Date()
  const [delivery_id, event_id, attempt_id] = [newId(now), newId(now), newId(now)]
  await world.db.run`
    update webhook_lanes
    set state = ${{ breaker: 'open', failing_since: now.getTime() - 60_000 }}
    where account_id = ${account_id} and livemode = false and endpoint_id = ${id}`
  await world.db.run`
    insert into webhook_queue (account_id, livemode, id, endpoint_id, event_id, event_type, priority, tries, due_at)
    values (${account_id}, false, ${delivery_id}, ${id}, ${event_id}, 'charge.captured', 0, 2, now())`
  await world.db.run`
    insert into webhook_attempts (
      account_id, livemode, id, delivery_id, endpoint_id, number, is_counted, failure, message, duration_ms
    )
    values (${account_id}, false, ${attempt_id}, ${delivery_id}, ${id}, 2, true, 'timeout', 'No answer.', 15000)`
  return { id }
}
