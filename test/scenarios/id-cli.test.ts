/** Ids from the command line: whoever reads a row and whoever reads an answer speak of the same thing. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { encodeId, idPrefixes, newId } from '#kernel'

const CLI = join(import.meta.dirname, '..', '..', 'src', 'cli.ts')
const AT = new Date('2026-11-21T09:30:00.123Z')
const uuid = newId(AT)
const refund = encodeId('re_', uuid)
const row = { id: refund, uuid, kind: 'refund', created_at: AT.toISOString() }

const bursar = (...args: string[]): Promise<{ code: number; out: string }> =>
  new Promise(resolve => {
    execFile(process.execPath, [CLI, 'id', ...args], (error, out, err) =>
      resolve({ code: error === null ? 0 : Number(error.code), out: out + err }),
    )
  })
const named = async (...args: string[]): Promise<unknown> => JSON.parse((await bursar(...args, '--json')).out)

test('an id tells its uuid, its kind and its instant, and a uuid tells its id', async () => {
  const [read, back, shouted, told] = await Promise.all([
    named(refund),
    named(uuid, '--kind', 'refund'),
    named(uuid.toUpperCase(), '--kind', 'refund'),
    bursar(refund),
  ])
  expect(read).toEqual({ data: [row] })
  expect(back).toEqual(read)
  expect(shouted).toEqual(read)
  expect(told).toEqual({
    code: 0,
    out: expect.stringContaining(`${refund}  ${uuid}  refund  ${row.created_at}`),
  })
})

test('a uuid alone is shown as every kind, without an instant where it holds none', async () => {
  const random = '4a1c5b1e-93cd-4c6e-8f5a-0d9a5b7c1e2f'
  const { data } = (await named(random)) as { data: (typeof row)[] }
  expect(data.map(({ kind }) => kind)).toEqual(Object.values(idPrefixes))
  expect(data).toContainEqual({ id: encodeId('re_', random), uuid: random, kind: 'refund', created_at: null })
})

test('what is no id, or of another kind, is refused with the reason', async () => {
  const cases: [string[], string][] = [
    [['re_nothing'], 'neither an id with its prefix nor a uuid'],
    [[refund, '--kind', 'charge'], 'is no id of the kind charge'],
    [[uuid, '--kind', 'money'], '--kind must be one of account, '],
  ]
  for (const [args, reason] of cases) {
    expect(await bursar(...args)).toEqual({ code: 1, out: expect.stringContaining(reason) })
  }
})
