import { expect, test } from 'vitest'
import { sleep } from '#kernel'
import { bankNews } from './bank.fixture.ts'
import { useInbound } from './testing.ts'
import type { StoredEvent } from './index.ts'

const room = useInbound()

/** All lanes are empty: nothing waits, and no lane is left behind. */
async function expectRest(): Promise<void> {
  const left = await room.db.one<{ waiting: bigint; lanes: bigint }>`
    select
      (select count(id) from inbound_events where status = 'waiting') as waiting,
      (select count(subject) from inbound_lanes) as lanes`
  expect(left).toEqual({ waiting: 0n, lanes: 0n })
}

/** Rounds until nothing is ready; retries come due within a millisecond here. */
async function drain(): Promise<void> {
  for (let idle = 0; idle < 3; ) {
    idle = (await room.inbound.lanes.runOnce()) === 0 ? idle + 1 : 0
    await sleep(3)
  }
}

/** Lets every lease lapse, as if its holder had been silent for long. */
const lapse = () => room.db.run`update inbound_lanes set leased_until = now() - interval '1 second'`

/** What waits of a subject is to be tried again now. */
async function becomeDue(about: string): Promise<void> {
  await room.db.run`update inbound_events set due_at = now() where subject = ${about}`
  await room.db.run`update inbound_lanes set due_at = now() where subject = ${about}`
}

/** A deed that hangs at the first news about a subject until `wake`. */
function hanging(about: string) {
  const reached = Promise.withResolvers<void>()
  const woken = Promise.withResolvers<void>()
  let is_first = true
  return {
    reached: reached.promise,
    wake: woken.resolve,
    deed: async (event: StoredEvent): Promise<'applied'> => {
      if (event.subject === about && is_first) {
        is_first = false
        reached.resolve()
        await woken.promise
      }
      return 'applied'
    },
  }
}

const permutations = <Item>(items: Item[]): Item[][] =>
  items.length < 2
    ? [items]
    : items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map(rest => [item, ...rest]))

test('news about one subject is taken in turn, and about others meanwhile', async () => {
  const { about } = bankNews()
  const first = bankNews({ about })
  const second = bankNews({ about })
  const elsewhere = bankNews()
  for (const news of [first, second, elsewhere]) await room.tell(news)
  const hung = hanging(about)
  room.deed.current = hung.deed
  const round = room.inbound.lanes.runOnce()
  await hung.reached
  const stranger = async () => (await room.rows(elsewhere.about))[0]?.status
  while ((await stranger()) !== 'applied') await sleep(5)
  expect(await room.another().lanes.runOnce()).toBe(0)
  expect(room.handled.some(event => event.event_id === second.id)).toBe(false)
  hung.wake()
  expect(await round).toBe(3)
  const order = room.handled.filter(event => event.subject === about).map(event => event.event_id)
  expect(order).toEqual([first.id, second.id])
  await expectRest()
})

test('every order of the same news, each told twice, ends in the same state', async () => {
  const ranks = [1, 2, 3, 4]
  const states = new Map<string, number>()
  room.deed.current = async ({ subject, body }) => {
    const { rank } = body as { rank: number }
    const known = states.get(subject) ?? 0
    states.set(subject, Math.max(known, rank))
    return rank > known ? 'applied' : 'already'
  }
  for (const order of permutations(ranks)) {
    const { about } = bankNews()
    const told = order.map(rank => bankNews({ about, rank }))
    for (const news of told) await room.tell(news)
    for (const news of told.toReversed()) await room.tell(news)
    await drain()
    expect(states.get(about), order.join()).toBe(4)
    expect((await room.rows(about)).map(row => row.tries)).toEqual([1, 1, 1, 1])
  }
  await expectRest()
})

test('what its handler made of news is kept', async () => {
  for (const outcome of ['applied', 'already', 'ignored'] as const) {
    const news = bankNews()
    await room.tell(news)
    room.deed.current = async () => outcome
    await drain()
    expect(await room.rows(news.about)).toEqual([
      { event_id: news.id, status: outcome, tries: 1, reason: null },
    ])
  }
})

test('poison is tried again, then dead with its reason; it holds up no other subject and not the rest of its own', async () => {
  const poison = bankNews()
  const behind = bankNews({ about: poison.about })
  const elsewhere = bankNews()
  room.deed.current = async event => {
    if (event.event_id === poison.id) throw new Error('a refund of sk_test_abcdefgh that nobody made')
    return 'applied'
  }
  for (const news of [poison, behind, elsewhere]) await room.tell(news)
  await room.inbound.lanes.runOnce()
  expect((await room.rows(elsewhere.about))[0]).toMatchObject({ status: 'applied' })
  expect((await room.rows(poison.about))[1]).toMatchObject({ status: 'applied' })
  await drain()
  expect((await room.rows(poison.about))[0]).toEqual({
    event_id: poison.id,
    status: 'dead',
    tries: 3,
    reason: 'a refund of sk_test_[redacted] that nobody made',
  })
  await expectRest()
})

test('a failure waits longer each time', async () => {
  const patient = room.another({
    retry: { first_ms: 60_000, factor: 2, most_ms: 600_000, jitter: 0 },
    tries_most: 9,
  })
  const news = bankNews()
  room.deed.current = async () => Promise.reject(new Error('not yet'))
  await room.tell(news)
  for (const seconds of [60, 120, 240]) {
    expect(await patient.lanes.runOnce()).toBe(1)
    expect(await patient.lanes.runOnce()).toBe(0)
    const { wait } = await room.db.one<{ wait: number }>`
      select extract(epoch from due_at - now())::float8 as wait
      from inbound_events
      where event_id = ${news.id}`
    expect(wait).toBeGreaterThan(seconds - 10)
    expect(wait).toBeLessThanOrEqual(seconds)
    await becomeDue(news.about)
  }
  room.deed.current = async () => 'applied'
  await drain()
})

test('news of a worker that was killed is taken over, and the worker that was only stopped writes nothing', async () => {
  const news = bankNews()
  await room.tell(news)
  const hung = hanging(news.about)
  room.deed.current = hung.deed
  const old = room.inbound.lanes.runOnce()
  await hung.reached
  const another = room.another()
  expect(await another.lanes.runOnce()).toBe(0)
  await lapse()
  expect(await another.lanes.runOnce()).toBe(1)
  // A second life of the lane, in other hands: the old worker must be a stranger there too, and give nothing back.
  await room.tell(bankNews({ about: news.about }))
  const hung_again = hanging(news.about)
  room.deed.current = hung_again.deed
  const held = another.lanes.runOnce()
  await hung_again.reached
  hung.wake()
  await old
  expect(await room.rows(news.about)).toMatchObject([
    { status: 'applied', tries: 1 },
    { status: 'waiting', tries: 0 },
  ])
  expect(await room.another().lanes.runOnce()).toBe(0)
  hung_again.wake()
  await held
  expect(room.lines.some(line => line.includes('"outcome":"fenced"') && line.includes(news.id))).toBe(true)
  await drain()
  await expectRest()
})

test('a lease is kept for as long as its holder works', async () => {
  const news = bankNews()
  await room.tell(news)
  const holder = room.another({ lease_ms: 10_000 })
  const hung = hanging(news.about)
  room.deed.current = hung.deed
  holder.lanes.start()
  await hung.reached
  const leasedUntil = async () =>
    (
      await room.db.one<{ leased_until: Date }>`
        select leased_until from inbound_lanes where subject = ${news.about}`
    ).leased_until.getTime()
  const first_ms = await leasedUntil()
  // Renewed more than once, each time before it lapsed.
  while ((await leasedUntil()) < first_ms + 1_000) await sleep(20)
  expect(await room.inbound.lanes.runOnce()).toBe(0)
  hung.wake()
  await holder.lanes.stop()
  expect(await room.rows(news.about)).toMatchObject([{ status: 'applied', tries: 1 }])
  // Nor did the holder take it from itself.
  expect(room.handled.filter(event => event.event_id === news.id)).toHaveLength(1)
})

test('a handler that hangs is given up, and its news tried again', async () => {
  const news = bankNews()
  await room.tell(news)
  // Its retry waits until this test says so, however long the machine takes over the rest.
  const patient_retry = { first_ms: 600_000, factor: 1, most_ms: 600_000, jitter: 0 }
  const impatient = room.another({ handle_ms: 30, retry: patient_retry })
  const hung = hanging(news.about)
  room.deed.current = hung.deed
  expect(await impatient.lanes.runOnce()).toBe(1)
  expect(await room.rows(news.about)).toMatchObject([
    { status: 'waiting', tries: 1, reason: 'took over 30 ms' },
  ])
  await becomeDue(news.about)
  await drain()
  expect(await room.rows(news.about)).toMatchObject([{ status: 'applied', tries: 2 }])
  hung.wake()
})

test('while news comes in and three workers work, all of it is handled once and no lane is forgotten', async () => {
  room.deed.current = async () => 'applied'
  const before = room.handled.length
  const workers = [room.inbound, room.another(), room.another()]
  for (const { lanes } of workers.slice(1)) lanes.start()
  const subjects = Array.from({ length: 5 }, () => bankNews().about)
  const told = Array.from({ length: 60 }, () => subjects.map(about => bankNews({ about })))
  for (const wave of told) await Promise.all(wave.map(news => room.tell(news)))
  for (let tries = 0; room.handled.length < before + 300 && tries < 4_000; tries++) await sleep(10)
  for (const { lanes } of workers.slice(1)) await lanes.stop()
  const ids = room.handled.slice(before).map(event => event.event_id)
  expect(ids.toSorted()).toEqual(
    told
      .flat()
      .map(news => news.id)
      .toSorted(),
  )
  await expectRest()
})

test('when the database ends every connection, what was acknowledged is handled and the workers go on by themselves', async () => {
  room.deed.current = async () => 'applied'
  const worker = room.another({ lease_ms: 500 })
  worker.lanes.start()
  const told = Array.from({ length: 200 }, () => bankNews())
  const cut = async () => {
    await sleep(20)
    for (let n = 0; n < 3; n++) {
      // The one who asks goes too, which is an error like any other here.
      await room.db.many`
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where datname = current_database()`.catch(() => undefined)
      await sleep(100)
    }
  }
  const acknowledged = told.map(async news => {
    await sleep(Math.random() * 300)
    // As processors do: again until it is acknowledged.
    while ((await room.tell(news)).status !== 200) await sleep(20)
  })
  await Promise.all([cut(), ...acknowledged])
  const subjects = told.map(news => news.about)
  const done = () => room.db.one<{ rows: bigint; applied: bigint }>`
    select count(id) as rows, count(id) filter (where status = 'applied') as applied
    from inbound_events
    where subject = any (${subjects}::text[])`
  for (let tries = 0; (await done()).applied < 200n && tries < 2_000; tries++) await sleep(20)
  expect(await done()).toEqual({ rows: 200n, applied: 200n })
  await worker.lanes.stop()
})
