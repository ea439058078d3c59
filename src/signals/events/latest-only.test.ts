import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import type { Tx } from '#db'
import { systemClock } from '#kernel'
import { emit, type EventRow } from './emit.ts'
import { createConsumers, latestOnly, type StreamEvent } from './index.ts'
import { decide } from './latest-only.ts'
import { eventRow, tenant, useStream } from './testing.ts'

const room = useStream()

/** What a consumer keeps in step: of each object the text of its newest event. And the objects as they are. */
beforeAll(async () => {
  const owner = await room.owner()
  await owner.query(
    'create table copies (consumer text, object_id uuid, version bigint, body text, primary key (consumer, object_id))',
  )
  await owner.query('create table originals (object_id uuid primary key, version bigint, body text)')
  await owner.query('grant all on copies, originals to bursar_system')
})

const copy = (tx: Tx, consumer: string, object_id: string, version: bigint, body: string) => tx.run`
  insert into copies (consumer, object_id, version, body)
  values (${consumer}, ${object_id}, ${version}, ${body})
  on conflict (consumer, object_id) do update set version = excluded.version, body = excluded.body`

function copier(name = `copier ${randomUUID()}`) {
  const applied: bigint[] = []
  const refetched: string[] = []
  const consumer = latestOnly({
    name,
    types: ['customer.*', 'payout.paid'],
    async apply(tx, event) {
      applied.push(event.object_version)
      await copy(tx, name, event.object_id, event.object_version, event.body)
    },
    async refetch(tx, { object_id }) {
      refetched.push(object_id)
      const original = await tx.maybe<{ version: bigint; body: string }>`
        select version, body
        from originals
        where object_id = ${object_id}`
      if (original === undefined) return null
      await copy(tx, name, object_id, original.version, original.body)
      return original.version
    },
  })
  return {
    name,
    consumer,
    applied,
    refetched,
    handle: (events: readonly EventRow[]) =>
      room.db.transaction(tx => consumer.handle(tx, events.map(streamed))),
    copies: () => room.db.many<{ object_id: string; version: bigint; body: string }>`
      select object_id, version, body
      from copies
      where consumer = ${name}
      order by object_id`,
    parked: () => room.db.many<{ version: bigint }>`
      select version
      from event_consumer_parked
      where consumer = ${name}
      order by version`,
    /** Lets all patience be at its end. */
    lapse: () => room.db.run`update event_consumer_parked set due_at = now() where consumer = ${name}`,
  }
}

const streamed = (event: EventRow): StreamEvent => ({ ...event, committed_in: '3' })

/** The events of an object's life, kept in the table as they would be; and the object as it is in the end. */
async function history(versions: number, type: EventRow['type'] = 'customer.updated'): Promise<EventRow[]> {
  const object_id = randomUUID()
  const events = Array.from({ length: versions }, (_, index) =>
    eventRow({ object_id, type, object_version: BigInt(index + 1), body: `version ${index + 1}` }),
  )
  await room.db.transaction(async tx => {
    for (const event of events) await emit(tx, event)
    await tx.run`
      insert into originals (object_id, version, body)
      values (${object_id}, ${versions}, ${`version ${versions}`})`
  })
  return events
}

const final = (histories: readonly EventRow[][]) =>
  histories
    .flatMap(events => events.slice(-1))
    .map(({ object_id, object_version, body }) => ({ object_id, version: object_version, body }))
    .sort((a, b) => (a.object_id < b.object_id ? -1 : 1))

/** A shuffle and where it is cut, as numbers that fast-check can make smaller. */
const ways = fc.record({
  lives: fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 4 }),
  keys: fc.array(fc.integer({ min: 0, max: 1_000 }), { minLength: 40, maxLength: 40 }),
  twice: fc.array(fc.integer({ min: 0, max: 23 }), { maxLength: 10 }),
  lost: fc.array(fc.integer({ min: 0, max: 23 }), { maxLength: 8 }),
  cuts: fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 40, maxLength: 40 }),
})

function shuffled<Item>(items: readonly Item[], keys: readonly number[]): Item[] {
  return items
    .map((item, index) => ({ item, key: keys[index % keys.length] ?? 0 }))
    .sort((a, b) => a.key - b.key)
    .map(({ item }) => item)
}

function batches<Item>(items: readonly Item[], cuts: readonly number[]): Item[][] {
  const cut: Item[][] = []
  let from = 0
  for (const size of cuts) {
    if (from >= items.length) break
    cut.push(items.slice(from, from + size))
    from += size
  }
  if (from < items.length) cut.push(items.slice(from))
  return cut
}

const TRIES = { numRuns: 60 }
const PROPERTY_MS = 120_000

test('any order of any events, told once or more and in any batches, ends as the right order does', {
  timeout: PROPERTY_MS,
}, async () => {
  await fc.assert(
    fc.asyncProperty(ways, async ({ lives, keys, twice, cuts }) => {
      const histories = await Promise.all(lives.map(versions => history(versions)))
      const events = histories.flat()
      const again = twice.flatMap(index => events.slice(index, index + 1))
      const { handle, copies, parked, applied } = copier()
      const told = shuffled([...events, ...again], keys)
      for (const batch of batches(told, cuts)) await handle(batch)
      expect(await copies()).toEqual(final(histories))
      expect(await parked()).toEqual([])
      expect(applied.length).toBeLessThanOrEqual(events.length)
    }),
    TRIES,
  )
})

test('whatever is lost before the last event, fetching what is there now mends it', {
  timeout: PROPERTY_MS,
}, async () => {
  await fc.assert(
    fc.asyncProperty(ways, async ({ lives, keys, twice, lost, cuts }) => {
      const histories = await Promise.all(lives.map(versions => history(versions)))
      const last = new Set(histories.flatMap(events => events.slice(-1)))
      const events = histories.flat().filter((event, index) => last.has(event) || !lost.includes(index))
      const again = twice.flatMap(index => events.slice(index, index + 1))
      const { handle, copies, parked, lapse, consumer } = copier()
      const told = shuffled([...events, ...again], keys)
      for (const batch of batches(told, cuts)) await handle(batch)
      await lapse()
      await room.db.transaction(tx => consumer.handle(tx, []))
      expect(await copies()).toEqual(final(histories))
      expect(await parked()).toEqual([])
      // And from there on it goes on as ever.
      const [first] = histories.flat()
      if (first === undefined) return
      const { object_version } =
        final(histories.slice(0, 1)).map(({ version }) => ({ object_version: version }))[0] ?? first
      const next = eventRow({
        ...first,
        ...eventRow(),
        object_id: first.object_id,
        object_version: object_version + 1n,
        body: 'next',
      })
      await room.db.transaction(tx => emit(tx, next))
      await handle([next])
      expect((await copies()).find(one => one.object_id === first.object_id)?.body).toBe('next')
    }),
    TRIES,
  )
})

test('an event that comes too early waits, and both are applied when the one before it comes', async () => {
  const [first, second, third, fourth] = (await history(4)) as [EventRow, EventRow, EventRow, EventRow]
  const { handle, parked, applied, refetched } = copier()
  await handle([first])
  await handle([third, fourth])
  expect(applied).toEqual([1n])
  expect(await parked()).toEqual([{ version: 3n }, { version: 4n }])
  await handle([third, second])
  expect(applied).toEqual([1n, 2n, 3n, 4n])
  expect(await parked()).toEqual([])
  expect(refetched).toEqual([])
})

test('nobody waits longer than the deadline: then the current state is fetched, and what is newer applied', async () => {
  const [first, , third] = (await history(4)) as [EventRow, EventRow, EventRow]
  const { handle, parked, applied, refetched, lapse, copies } = copier()
  await handle([first])
  await handle([third])
  await handle([])
  expect(refetched).toEqual([])
  await lapse()
  await handle([])
  expect(refetched).toEqual([first.object_id])
  expect(applied).toEqual([1n])
  expect(await copies()).toMatchObject([{ version: 4n, body: 'version 4' }])
  expect(await parked()).toEqual([])
  await handle([third])
  expect(applied).toEqual([1n])
})

test('of an object that is gone nothing is waited for', async () => {
  const [first, , third] = (await history(3)) as [EventRow, EventRow, EventRow]
  const { handle, parked, lapse, copies } = copier()
  await handle([first])
  await handle([third])
  await room.db.run`delete from originals where object_id = ${first.object_id}`
  await lapse()
  await handle([])
  expect(await parked()).toEqual([])
  expect(await copies()).toMatchObject([{ version: 1n }])
})

test('what is parked and newer than the state that was fetched is applied on top of it', async () => {
  const [first, , third, , fifth] = (await history(5)) as [EventRow, EventRow, EventRow, EventRow, EventRow]
  const { handle, applied, lapse, copies } = copier()
  await handle([first])
  await handle([third, fifth])
  await room.db.run`update originals set version = 3, body = 'version 3' where object_id = ${first.object_id}`
  await lapse()
  await handle([])
  expect(applied).toEqual([1n, 5n])
  expect(await copies()).toMatchObject([{ version: 5n, body: 'version 5' }])
})

test('types that are not wanted count as versions of their object, and are not applied', async () => {
  const events = await history(3, 'payout.updated')
  const [created, updated, paid] = [events[0], events[1], events[2]] as [EventRow, EventRow, EventRow]
  const { handle, applied, parked } = copier()
  await handle([{ ...created, type: 'payout.created' }, updated])
  await handle([{ ...paid, type: 'payout.paid' }])
  expect(applied).toEqual([3n])
  expect(await parked()).toEqual([])
})

test('events of other resources leave no trace', async () => {
  const [event] = await history(1, 'refund.created')
  const { handle, name } = copier()
  await handle([event as EventRow])
  expect(await room.db.many`select version from event_consumer_objects where consumer = ${name}`).toEqual([])
})

test('in the stream it is asked when something parked is due, without any event', async () => {
  const { consumer, name, refetched, lapse, copies } = copier()
  const consumers = createConsumers({ db: room.db, clock: systemClock, log: room.log, consumers: [consumer] })
  await consumers.runOnce()
  const [first, , third] = (await history(3)) as [EventRow, EventRow, EventRow]
  await room.db.transaction(async tx => consumer.handle(tx, [streamed(first)]))
  await room.db.run`update event_consumers set seen = pg_current_snapshot() where name = ${name}`
  await room.db.transaction(tx => consumer.handle(tx, [streamed(third)]))
  await consumers.runOnce()
  expect(refetched).toEqual([])
  expect((await consumers.list()).find(place => place.name === name)).toMatchObject({ parked: 1 })
  await lapse()
  await consumers.runOnce()
  expect(refetched).toEqual([first.object_id])
  expect(await copies()).toMatchObject([{ version: 3n }])
})

test('a replay applies the newest version once more, and older ones not', async () => {
  const { consumer, name, applied } = copier()
  const consumers = createConsumers({ db: room.db, clock: systemClock, log: room.log, consumers: [consumer] })
  await consumers.runOnce()
  const from = systemClock.now()
  await history(3)
  await consumers.runOnce()
  expect(applied).toEqual([1n, 2n, 3n])
  for (let twice = 0; twice < 2; twice++) await consumers.replay(name, { from })
  await consumers.runOnce()
  expect(applied).toEqual([1n, 2n, 3n, 3n])
})

test('of one object the next version is applied, later ones parked, older ones dropped', () => {
  const event = (version: number) => streamed(eventRow({ ...tenant, object_version: BigInt(version) }))
  const cases: [
    known: number | undefined,
    parked: number[],
    arrived: number[],
    apply: number[],
    park: number[],
  ][] = [
    [undefined, [], [1], [1], []],
    [undefined, [], [7], [7], []],
    [undefined, [], [9, 7, 8], [7, 8, 9], []],
    [undefined, [], [9, 7], [7], [9]],
    [3, [], [4], [4], []],
    [3, [], [3], [], []],
    [3, [], [1, 2, 3], [], []],
    [3, [], [5], [], [5]],
    [3, [5], [4], [4, 5], []],
    [3, [5, 7], [4, 5], [4, 5], [7]],
    [3, [5], [5], [], [5]],
    [3, [], [4, 4, 5, 5], [4, 5], []],
  ]
  for (const [known, parked, arrived, apply, park] of cases) {
    const decision = decide(
      known === undefined ? undefined : BigInt(known),
      parked.map(event),
      arrived.map(event),
    )
    expect(
      {
        apply: decision.apply.map(one => Number(one.object_version)),
        park: decision.park.map(one => Number(one.object_version)),
      },
      JSON.stringify({ known, parked, arrived }),
    ).toEqual({ apply, park })
  }
})
