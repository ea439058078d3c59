import { randomUUID } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { emit } from './emit.ts'
import { inOrderOfVersions, isWaiting, placeConsumer, takePiece } from './stream.ts'
import { eventRow, interleavings, useStream, type Writer } from './testing.ts'

const room = useStream()

/** A consumer of this test alone, that begins now. */
async function reader() {
  const name = `reader ${randomUUID()}`
  await placeConsumer(room.db, name, 'now')
  const piece = async (most: number) =>
    (await isWaiting(room.db, name))
      ? ((await room.db.transaction(tx => takePiece(tx, name, most))) ?? []).map(event => event.id)
      : []
  /** Everything, in pieces. */
  const read = async (most = 500): Promise<string[]> => {
    const ids: string[] = []
    for (;;) {
      const next = await piece(most)
      if (next.length === 0 && !(await isWaiting(room.db, name))) return ids
      ids.push(...next)
    }
  }
  return { name, piece, read }
}

test('what is committed is read once, in order, whatever the pieces', async () => {
  const writer = await room.writer()
  const readers = await Promise.all([1, 2, 7, 500].map(async most => ({ most, ...(await reader()) })))
  const written: string[] = []
  for (let transaction = 0; transaction < 4; transaction++) {
    await writer.begin()
    for (let event = 0; event < 5; event++) written.push(await writer.write())
    await writer.commit()
  }
  for (const { most, read } of readers) {
    expect(await read(most)).toEqual(written)
    expect(await read(most)).toEqual([])
  }
})

test('a transaction that never ends holds nobody up, and its events come after its commit', async () => {
  const [stuck, other] = await Promise.all([room.writer(), room.writer()])
  const { read } = await reader()
  await stuck.begin()
  const late = [await stuck.write()]
  for (let i = 0; i < 5; i++) {
    const id = await other.write()
    expect(await read()).toEqual([id])
  }
  late.push(await stuck.write())
  expect(await read()).toEqual([])
  await stuck.commit()
  expect(await read()).toEqual(late)
  const next = await other.write()
  expect(await read()).toEqual([next])
})

test('what is rolled back is never read, whether the whole or a part', async () => {
  const writer = await room.writer()
  const { read } = await reader()
  await writer.begin()
  await writer.write()
  await writer.rollback()
  expect(await read()).toEqual([])
  await writer.begin()
  const before = await writer.write()
  await writer.run('savepoint inner_one')
  await writer.write()
  await writer.run('rollback to savepoint inner_one')
  await writer.run('savepoint inner_two')
  const inside = await writer.write()
  expect(await read()).toEqual([])
  await writer.run('release savepoint inner_two')
  const after = await writer.write()
  await writer.commit()
  expect(await read()).toEqual([before, inside, after])
})

describe('of two transactions', () => {
  type Step = { of: 'a' | 'b'; does: 'begin' | 'write' | 'write inside' | 'commit' }
  const steps = (of: 'a' | 'b', ...does: Step['does'][]): Step[] => does.map(one => ({ of, does: one }))
  const orders = interleavings(
    steps('a', 'begin', 'write', 'write inside', 'commit'),
    steps('b', 'begin', 'write', 'commit'),
  )

  test.each([1, 500])('every order is read right after each step, in pieces of %i', async most => {
    const writers = { a: await room.writer(), b: await room.writer() }
    for (const order of orders) {
      const { read } = await reader()
      const open: Record<'a' | 'b', string[]> = { a: [], b: [] }
      for (const step of order) {
        const committed = step.does === 'commit' ? open[step.of] : []
        await take(writers[step.of], step.does, open[step.of])
        expect(await read(most), said(order, step)).toEqual(committed)
      }
      expect(await read(most)).toEqual([])
    }
  })

  test('every order of theirs and of the pieces of a batch is read whole', async () => {
    const writers = { a: await room.writer(), b: await room.writer() }
    for (const order of orders) {
      const { piece, read } = await reader()
      const open: Record<'a' | 'b', string[]> = { a: [], b: [] }
      const ids: string[] = []
      for (const step of order) {
        await take(writers[step.of], step.does, open[step.of])
        // One event at most: a batch that began before a commit goes on after it.
        ids.push(...(await piece(1)))
      }
      ids.push(...(await read(1)))
      expect(ids.toSorted(), said(order)).toEqual([...open.a, ...open.b].toSorted())
      for (const writer of ['a', 'b'] as const) {
        expect(
          ids.filter(id => open[writer].includes(id)),
          said(order),
        ).toEqual(open[writer])
      }
    }
  })

  async function take(writer: Writer, does: Step['does'], written: string[]): Promise<void> {
    if (does === 'begin') return writer.begin()
    if (does === 'commit') return writer.commit()
    if (does === 'write inside') await writer.run('savepoint inside')
    written.push(await writer.write())
    if (does === 'write inside') await writer.run('release savepoint inside')
  }
  const said = (order: Step[], at?: Step) =>
    order.map(step => `${step === at ? '> ' : ''}${step.of} ${step.does}`).join(', ')
})

test('what commits in the middle of a batch that is read in pieces comes with the next one', async () => {
  const [early, writer] = await Promise.all([room.writer(), room.writer()])
  const { piece, read } = await reader()
  await early.begin()
  const from_before = await early.write()
  const batch = [await writer.write(), await writer.write(), await writer.write()]
  expect(await piece(2)).toEqual(batch.slice(0, 2))
  await early.commit()
  const from_after = await writer.write()
  expect(await piece(2)).toEqual(batch.slice(2))
  expect(await read()).toEqual([from_before, from_after])
})

test('the rest of what an old transaction wrote is read before what began since', async () => {
  const [early, writer] = await Promise.all([room.writer(), room.writer()])
  const { piece, read } = await reader()
  await early.begin()
  const old = [await early.write(), await early.write(), await early.write()]
  const first = await writer.write()
  expect(await read()).toEqual([first])
  await early.commit()
  const fresh = await writer.write()
  expect(await piece(2)).toEqual(old.slice(0, 2))
  expect(await piece(1)).toEqual(old.slice(2))
  expect(await read()).toEqual([fresh])
})

test('what a consumer itself writes is read by it in turn', async () => {
  const { name, read } = await reader()
  const [worker, other] = await Promise.all([room.writer(), room.writer()])
  const first = await other.write()
  await worker.run('begin')
  await worker.run('select name from event_consumers where name = $1 for update', [name])
  // Somebody begins and ends in between: to the worker's own snapshot, its own transaction then lies in the past.
  const second = await other.write()
  const taken = await worker.run('select id from events_take($1, 500)', [name])
  expect(taken.rows).toEqual([{ id: first }, { id: second }])
  const own = await worker.write()
  await worker.commit()
  expect(await read()).toEqual([own])
})

test('while one worker holds a consumer, another leaves it alone', async () => {
  const { name, read } = await reader()
  const id = await (await room.writer()).write()
  await room.db.transaction(async tx => {
    expect(await takePiece(tx, name, 500)).toMatchObject([{ id }])
    expect(await room.db.transaction(other => takePiece(other, name, 500))).toBeUndefined()
  })
  expect(await read()).toEqual([])
})

test('without events nothing is written', async () => {
  const { name } = await reader()
  const version = () => room.db.one`select xmin::text, ctid::text from event_consumers where name = ${name}`
  const before = await version()
  for (let i = 0; i < 3; i++) {
    await room.db.one`select pg_current_xact_id()`
    expect(await isWaiting(room.db, name)).toBe(false)
  }
  expect(await version()).toEqual(before)
})

test('after a quiet minute a place moves by itself', async () => {
  const { name } = await reader()
  await room.db.run`update event_consumers set moved_at = now() - interval '2 minutes' where name = ${name}`
  expect(await isWaiting(room.db, name)).toBe(true)
  expect(await room.db.transaction(tx => takePiece(tx, name, 500))).toEqual([])
  await room.db.one`select pg_current_xact_id()`
  expect(await isWaiting(room.db, name)).toBe(false)
})

test('an object that two transactions of one batch changed is told in the order of its changes', async () => {
  const [low, high] = await Promise.all([room.writer(), room.writer()])
  const { read } = await reader()
  const object_id = randomUUID()
  await low.begin()
  await high.begin()
  const second = { object_id, object_version: 2n }
  const first_id = await high.write({ object_id, object_version: 1n })
  await high.commit()
  const second_id = await low.write(second)
  await low.commit()
  expect(await read()).toEqual([first_id, second_id])
})

test('events of other objects keep their places when those of one are put in order', () => {
  const events = ['a2', 'b1', 'a1', 'c1', 'a3'].map(text => ({
    object_id: text.charAt(0),
    object_version: BigInt(text.charAt(1)),
  }))
  expect(
    inOrderOfVersions(events)
      .map(event => `${event.object_id}${event.object_version}`)
      .join(' '),
  ).toBe('a1 b1 a2 c1 a3')
})

test('a place of another cluster is given up for one of this', async () => {
  const { name, read } = await reader()
  await room.db.run`update event_consumers set seen = '1000000000000:1000000000000:' where name = ${name}`
  expect(await placeConsumer(room.db, name, 'now')).toBe('placed_anew')
  expect(await placeConsumer(room.db, name, 'now')).toBe('known')
  const id = await (await room.writer()).write()
  expect(await read()).toEqual([id])
})

test('an event of another cluster, restored from a dump, is not told again when its number comes', async () => {
  const owner = await room.owner()
  const row = eventRow()
  await room.db.transaction(tx => emit(tx, row))
  await owner.query(`update events set committed_in = '1000000000000' where id = $1`, [row.id])
  await room.db.one`select events_maintain() as dropped`
  const { committed_in } = await room.db.one<{ committed_in: string }>`
    select committed_in
    from events
    where id = ${row.id}`
  expect(committed_in).toBe('1')
})
