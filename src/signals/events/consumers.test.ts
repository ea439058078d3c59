import { randomUUID } from 'node:crypto'
import { expect, test, vi } from 'vitest'
import { openDatabase, type Tx } from '#db'
import { sleep, systemClock, watchFailpoints } from '#kernel'
import { metricsText } from '#metrics'
import { type Consumer, type Consumers, createConsumers, type StreamEvent } from './index.ts'
import { useStream } from './testing.ts'

const room = useStream()

/** The consumer whose next transaction is cut off when its effect is written. */
let struck: string | undefined
watchFailpoints((name, consumer) => {
  if (name !== 'consumer.handled' || struck === undefined || consumer !== struck) return undefined
  struck = undefined
  return Promise.reject(new Error('cut off'))
})

/** Failures are tried again at once, so that a test needs not wait for them. */
const AT_ONCE = { first_ms: 1, factor: 1, most_ms: 1, jitter: 0 }

const consumersOf = (consumers: Consumer[], timing = {}): Consumers =>
  createConsumers({
    db: room.db,
    clock: systemClock,
    log: room.log,
    consumers,
    timing: { retry: AT_ONCE, ...timing },
  })

/** Notes what it is given in a table of its own, so that what was rolled back is not there. */
async function notebook(handle: Consumer['handle'] = async () => {}) {
  const name = `notes ${randomUUID()}`
  const owner = await room.owner()
  await owner.query(
    `create table if not exists notes (consumer text, at bigint generated always as identity, event_id uuid)`,
  )
  await owner.query(`grant all on notes to bursar_system`)
  const consumer: Consumer = {
    name,
    async handle(tx, events) {
      await note(tx, events)
      await handle(tx, events)
    },
  }
  const note = (tx: Tx, events: readonly StreamEvent[]) => tx.run`
    insert into notes (consumer, event_id)
    select ${name}, event_id
    from unnest(${events.map(event => event.id)}::uuid[]) with ordinality as told (event_id, position)
    order by position`
  const noted = async (): Promise<string[]> => {
    const rows = await room.db.many<{ event_id: string }>`
        select event_id
        from notes
        where consumer = ${name}
        order by at`
    return rows.map(row => row.event_id)
  }
  const state = () => room.db.one<{ failures: number; reason: string | null; retry_at: Date | null }>`
      select failures, reason, retry_at
      from event_consumers
      where name = ${name}`
  return { name, consumer, noted, state }
}

/** Waits for what happens by itself; a busy machine may take long. */
const eventually = (check: () => Promise<void>) => vi.waitFor(check, { timeout: 40_000, interval: 20 })

test('a new consumer begins now, or with all that is kept', async () => {
  const writer = await room.writer()
  const before = await writer.write()
  const fresh = await notebook()
  const whole = await notebook()
  const consumers = consumersOf([fresh.consumer, { ...whole.consumer, from: 'beginning' }])
  await consumers.runOnce()
  const after = await writer.write()
  await consumers.runOnce()
  expect(await fresh.noted()).toEqual([after])
  expect(await whole.noted()).toEqual([before, after])
})

test('one that began before goes on where it stood, whatever it says now', async () => {
  const writer = await room.writer()
  const { consumer, noted } = await notebook()
  await consumersOf([consumer]).runOnce()
  const id = await writer.write()
  const next = consumersOf([{ ...consumer, from: 'beginning' }])
  await next.runOnce()
  expect(await noted()).toEqual([id])
})

test('a failure undoes the effect, is kept with its reason, and is tried again until it succeeds', async () => {
  const writer = await room.writer()
  let left = 2
  const { consumer, noted, state } = await notebook(async () => {
    if (left-- > 0) throw new Error('the shelf is full: 4242424242424242')
  })
  const consumers = consumersOf([consumer])
  await consumers.runOnce()
  const id = await writer.write()
  expect(await consumers.runOnce()).toBe(0)
  expect(await noted()).toEqual([])
  expect(await state()).toMatchObject({ failures: 1, retry_at: expect.any(Date) })
  expect((await state()).reason).toMatch(/^the shelf is full: (?!4242424242424242)/)
  await eventually(async () => {
    await consumers.runOnce()
    expect(await noted()).toEqual([id])
  })
  expect(await state()).toEqual({ failures: 0, reason: null, retry_at: null })
})

test('what failed in one process is not tried before its time by another', async () => {
  const writer = await room.writer()
  let asked = 0
  const { consumer, noted, state, name } = await notebook(async () => {
    asked += 1
    if (asked === 1) throw new Error('not now')
  })
  const timing = { retry: { first_ms: 3_600_000, factor: 1, most_ms: 3_600_000, jitter: 0 } }
  const [one, other] = [consumersOf([consumer], timing), consumersOf([consumer], timing)]
  await one.runOnce()
  await writer.write()
  await one.runOnce()
  await one.runOnce()
  await other.runOnce()
  expect(asked).toBe(1)
  expect(await state()).toMatchObject({ failures: 1, reason: 'not now' })
  await room.db.run`update event_consumers set retry_at = now() where name = ${name}`
  await other.runOnce()
  expect(await noted()).toHaveLength(1)
})

test('what is cut off between effect and commit leaves neither effect nor place', async () => {
  const writer = await room.writer()
  const { consumer, noted, state, name } = await notebook()
  const consumers = consumersOf([consumer])
  await consumers.runOnce()
  const id = await writer.write()
  struck = name
  await consumers.runOnce()
  expect(struck).toBeUndefined()
  expect(await noted()).toEqual([])
  // It is not the handler's fault.
  expect(await state()).toMatchObject({ failures: 0 })
  await consumers.runOnce()
  expect(await noted()).toEqual([id])
})

test('one that fails holds no other up', async () => {
  const writer = await room.writer()
  const broken = await notebook(async () => {
    throw new Error('always')
  })
  const sound = await notebook()
  const consumers = consumersOf([broken.consumer, sound.consumer])
  await consumers.runOnce()
  const id = await writer.write()
  await consumers.runOnce()
  expect(await sound.noted()).toEqual([id])
  expect(await broken.noted()).toEqual([])
})

test('a connection that is cut while a handler writes leaves neither effect nor place', async () => {
  const writer = await room.writer()
  let is_cut = false
  const { consumer, noted } = await notebook(async tx => {
    if (is_cut) return
    is_cut = true
    const { pid } = await tx.one<{ pid: number }>`select pg_backend_pid() as pid`
    await (await room.owner()).query('select pg_terminate_backend($1, 10000)', [pid])
    await tx.one`select 1 as one`
  })
  const consumers = consumersOf([consumer])
  await consumers.runOnce()
  const id = await writer.write()
  await consumers.runOnce()
  expect(is_cut).toBe(true)
  expect(await noted()).toEqual([])
  await eventually(async () => {
    await consumers.runOnce()
    expect(await noted()).toEqual([id])
  })
})

test('any number of workers handle each event once, in order', async () => {
  const writers = await Promise.all([room.writer(), room.writer()])
  const { consumer, noted } = await notebook()
  const workers = [1, 2, 3].map(() => consumersOf([consumer], { piece_most: 3 }))
  await workers[0]?.runOnce()
  for (const worker of workers) worker.start()
  try {
    const written: string[][] = await Promise.all(
      writers.map(async writer => {
        const ids: string[] = []
        for (let i = 0; i < 20; i++) {
          await writer.begin()
          ids.push(await writer.write(), await writer.write())
          await writer.commit()
        }
        return ids
      }),
    )
    await eventually(async () => expect(await noted()).toHaveLength(80))
    const ids = await noted()
    for (const of_writer of written) expect(ids.filter(id => of_writer.includes(id))).toEqual(of_writer)
  } finally {
    await Promise.all(workers.map(worker => worker.stop()))
  }
})

test('to stop waits for what is being handled, and takes nothing more', async () => {
  const writer = await room.writer()
  const reached = Promise.withResolvers<void>()
  const woken = Promise.withResolvers<void>()
  const { consumer, noted } = await notebook(async () => {
    reached.resolve()
    await woken.promise
  })
  const consumers = consumersOf([consumer], { piece_most: 1 })
  await consumers.runOnce()
  const first = await writer.write()
  await writer.write()
  consumers.start()
  await reached.promise
  let is_stopped = false
  const stopping = consumers.stop().then(() => {
    is_stopped = true
  })
  await sleep(50)
  expect(is_stopped).toBe(false)
  woken.resolve()
  await stopping
  expect(await noted()).toEqual([first])
})

test('a nudge ends the pause', async () => {
  const writer = await room.writer()
  const { consumer, noted, state } = await notebook()
  const consumers = consumersOf([consumer], { busy_ms: 3_600_000, idle_ms: 3_600_000 })
  consumers.start()
  try {
    await eventually(async () => expect(await state()).toMatchObject({ failures: 0 }))
    const id = await writer.write()
    await eventually(async () => {
      consumers.nudge()
      expect(await noted()).toEqual([id])
    })
  } finally {
    await consumers.stop()
  }
})

test('a database that is away for a while is asked again', async () => {
  const [writer, owner] = [await room.writer(), await room.owner()]
  const { consumer, noted } = await notebook()
  const db = openDatabase({ url: room.url, application_name: 'cut off', connections: 2 })
  const consumers = createConsumers({
    db,
    clock: systemClock,
    log: room.log,
    consumers: [consumer],
    timing: { retry: AT_ONCE },
  })
  consumers.start()
  try {
    await eventually(async () =>
      expect((await consumers.list()).map(place => place.name)).toContain(consumer.name),
    )
    await owner.query(
      `select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'cut off'`,
    )
    const id = await writer.write()
    await eventually(async () => expect(await noted()).toEqual([id]))
  } finally {
    await consumers.stop()
    await db.close()
  }
})

test('a replay reads everything again from an instant on, and skips nothing that was not read', async () => {
  const writer = await room.writer()
  const stuck = await room.writer()
  const { consumer, noted, name } = await notebook()
  const consumers = consumersOf([consumer])
  await consumers.runOnce()
  await stuck.begin()
  const late = await stuck.write()
  const old = await writer.write({
    id: '01900000-0000-7000-8000-000000000001',
    created_at: new Date(0x0190_0000_0000),
  })
  await sleep(2)
  const from = systemClock.now()
  const recent = await writer.write()
  await consumers.runOnce()
  expect(await consumers.replay(name, { from })).toEqual({ behind: 1 })
  await stuck.commit()
  await consumers.runOnce()
  expect(await noted()).toEqual([old, recent, late, recent])
  const unread = await writer.write()
  expect(await consumers.replay(name, { from: systemClock.now() })).toMatchObject({
    behind: expect.any(Number),
  })
  await consumers.runOnce()
  expect((await noted()).at(-1)).toBe(unread)
  expect(await consumers.replay('nobody', { from })).toBeUndefined()
})

test('a replay asks a consumer that failed again at once', async () => {
  const writer = await room.writer()
  let is_broken = true
  const { consumer, noted, name } = await notebook(async () => {
    if (is_broken) throw new Error('broken')
  })
  const consumers = consumersOf([consumer], {
    retry: { first_ms: 3_600_000, factor: 1, most_ms: 3_600_000, jitter: 0 },
  })
  await consumers.runOnce()
  const id = await writer.write()
  await consumers.runOnce()
  is_broken = false
  await consumers.replay(name, { from: systemClock.now() })
  await consumers.runOnce()
  expect(await noted()).toEqual([id])
})

test('how far each consumer is behind is listed and measured', async () => {
  const writer = await room.writer()
  const { consumer, name } = await notebook()
  const consumers = consumersOf([consumer])
  await consumers.runOnce()
  const place = async () => (await consumers.list()).find(one => one.name === name)
  expect(await place()).toMatchObject({ behind: 0, behind_seconds: 0, failures: 0, reason: null, parked: 0 })
  await writer.write({ created_at: new Date(systemClock.now().getTime() - 90_000) })
  await writer.write()
  expect(await place()).toMatchObject({ behind: 2 })
  expect((await place())?.behind_seconds).toBeGreaterThanOrEqual(90)
  const idle = consumersOf([consumer], { idle_ms: 3_600_000, busy_ms: 3_600_000, piece_most: 500 })
  idle.start()
  try {
    await eventually(async () => {
      const text = await metricsText()
      expect(text).toContain(`bursar_event_consumer_behind_events{consumer="${name}"} 0`)
      expect(text).toContain(`bursar_event_consumer_events_total{consumer="${name}"} 2`)
    })
  } finally {
    await idle.stop()
  }
})
