import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { beforeAll, expect, test } from 'vitest'
import { post } from './post.ts'
import { writeProof } from './proof.ts'
import { linesOf, MerkleTree, transferColumns, verifyFile } from './proof-file.ts'
import { sealHead } from './seal.ts'
import { asOwner, id, newTenant, sealAll, transferOf, useDatabase } from './testing.ts'

const db = useDatabase()
let lines: string[]
let first_head: string

beforeAll(async () => {
  const tenant = newTenant()
  const hold = id()
  await post(db(), [transferOf(tenant), transferOf(tenant), transferOf(newTenant())])
  await sealAll(db())
  first_head = (await sealHead(db())).head
  await post(db(), [
    transferOf(tenant, { id: hold, kind: 'pending', expires_at: new Date('2100-01-01T00:00:00.001Z') }),
    transferOf(tenant, { amount: 9_000_000_000_000_000_000n, currency: 'jpy' }),
    transferOf(tenant, { effective_at: new Date('1999-12-31T23:59:59.999Z') }),
    transferOf(tenant, { credit: { code: 'customer_credit', owner_id: id() } }),
    transferOf(tenant, { kind: 'post_pending', pending_id: hold, amount: 30n }),
  ])
  await asOwner(
    db(),
    tx => tx.run`
      update ledger_transfers set reason = E'a "reason"\n\twith \\\\ and \u00e9\u{1f600}\u2028', author = '' where id = ${hold}`,
    { triggers: 'off' },
  )
  await sealAll(db())
  await post(db(), [transferOf(tenant)])
  lines = (await proofText()).trimEnd().split('\n')
})

async function proofText(): Promise<string> {
  let text = ''
  await writeProof(db(), piece => {
    text += piece
    return Promise.resolve()
  })
  return text
}

async function* each(texts: readonly string[]): AsyncGenerator<string> {
  for (const text of texts) yield await Promise.resolve(text)
}

/** A file as a disk hands it over: in pieces that begin and end anywhere, in the middle of a letter too. */
async function* inPieces(text: string): AsyncGenerator<Buffer> {
  const bytes = Buffer.from(text)
  for (let from = 0; from < bytes.length; from += 7)
    yield await Promise.resolve(bytes.subarray(from, from + 7))
}

const changed = (place: number, change: (line: string) => string): string[] =>
  lines.map((line, i) => (i === place ? change(line) : line))

test('the file holds what is sealed, and is proven without the database', async () => {
  expect(await verifyFile(each(lines))).toMatchObject({
    ok: true,
    seals: 2n,
    transfers: 8n,
    head: (await sealHead(db())).head,
  })
})

test('a file is read by its line feeds, whatever else a text in it takes for the end of a line', async () => {
  const text = await proofText()
  expect(text).toContain('\u2028')
  const read: string[] = []
  for await (const line of linesOf(inPieces(text))) read.push(line)
  expect(read).toEqual(lines)
  expect(await verifyFile(linesOf(inPieces(text)))).toMatchObject({ ok: true, transfers: 8n })
  expect(await verifyFile(linesOf(inPieces(text.slice(0, -10))))).toMatchObject({ ok: false })
})

test('a head that was kept is found in a later file, and one of another chain is not', async () => {
  expect(await verifyFile(each(lines), { head: first_head })).toMatchObject({ ok: true })
  expect(await verifyFile(each(lines), { head: 'cd'.repeat(32) })).toMatchObject({
    ok: false,
    reason: expect.stringMatching(/not the one that was anchored/),
  })
})

test('every column of a transfer and the names of its accounts are sealed', async () => {
  const rows = await db().many<{ name: string }>`
    select attname as name from pg_attribute
    where attrelid = 'ledger_transfers'::regclass and attnum > 0 and not attisdropped`
  const names = [
    'debit_code',
    'debit_owner_id',
    'credit_code',
    'credit_owner_id',
    ...rows.map(row => row.name),
  ]
  expect(Object.keys(transferColumns).sort()).toEqual(names.sort())
})

/** Every single value of every line is changed in turn, and missed by none. */
test('a file in which any one value was changed is refused', async () => {
  for (const [place, line] of lines.entries()) {
    const [[kind, row] = ['', {}]] = Object.entries(JSON.parse(line) as Record<string, unknown>)
    const cells = typeof row === 'string' ? [''] : Object.keys(row as object)
    for (const name of cells) {
      const other = (value: unknown) =>
        typeof value !== 'string' || value === ''
          ? 'x'
          : `${value.slice(0, -1)}${value.endsWith('1') ? '2' : '1'}`
      const forged =
        typeof row === 'string'
          ? { [kind]: other(row) }
          : { [kind]: { ...(row as object), [name]: other((row as Record<string, unknown>)[name]) } }
      const result = await verifyFile(each(changed(place, () => JSON.stringify(forged))))
      expect(result, `line ${place + 1}, ${kind} ${name}`).toMatchObject({ ok: false })
    }
  }
})

const forgeries: [name: string, reason: RegExp, forge: () => string[]][] = [
  ['a transfer left out', /was made of 3 transfers; here are 2/, () => lines.toSpliced(0, 1)],
  ['a transfer twice', /order of the leaves/, () => lines.toSpliced(1, 0, lines[0] as string)],
  [
    'two transfers swapped',
    /order of the leaves/,
    () => lines.with(0, lines[1] as string).with(1, lines[0] as string),
  ],
  ['a batch left out', /stands where seal 1 must/, () => lines.slice(4)],
  ['the last seal cut off', /its end is missing/, () => lines.slice(0, 4)],
  ['the last seal left out', /chain ends with/, () => [...lines.slice(0, 4), lines.at(-1) as string]],
  ['something behind the end', /goes on behind its end/, () => [...lines, lines[0] as string]],
  ['transfers without a seal', /behind the last seal/, () => lines.toSpliced(-1, 0, lines[0] as string)],
  ['a line of something else', /neither a transfer nor a seal/, () => changed(0, () => '{"note":"x"}')],
  ['an empty line', /not a line as Bursar writes it/, () => changed(0, () => '')],
  [
    'a value said twice',
    /not a line as Bursar writes it/,
    () => changed(0, line => line.replace('{"id":', '{"id":"x","id":')),
  ],
  [
    'a value that was not sealed',
    /its columns are not/,
    () => changed(0, line => line.replace(/\}\}$/, ',"note":"x"}}')),
  ],
  [
    'a line that shows something beside what was sealed',
    /neither a transfer nor a seal/,
    () => changed(0, line => line.replace(/\}$/, ',"note":"x"}')),
  ],
  [
    'an instant written as another day',
    /is not an instant/,
    () => lines.map(line => line.replace('2100-01-01T00:00:00.001000Z', '2099-12-31T24:00:00.001000Z')),
  ],
  [
    'a value spelled otherwise',
    /is not a uuid/,
    () =>
      changed(0, line => line.replace(/"id":"([^"]+)"/, (_, uuid: string) => `"id":"${uuid.toUpperCase()}"`)),
  ],
]

test.each(forgeries)('%s is refused', async (_name, reason, forge) => {
  expect(await verifyFile(each(forge()))).toMatchObject({ ok: false, reason: expect.stringMatching(reason) })
})

const leafOfNumber = (n: number): Buffer => createHash('sha256').update(`leaf ${n}`).digest()

/** RFC 6962, section 2.1, word for word: split at the largest power of two below the number of leaves. */
function treeHash(leaves: readonly Buffer[]): Buffer {
  if (leaves.length === 1) return leaves[0] as Buffer
  let split = 1
  while (split * 2 < leaves.length) split *= 2
  const node = Buffer.concat([
    Buffer.from([1]),
    treeHash(leaves.slice(0, split)),
    treeHash(leaves.slice(split)),
  ])
  return createHash('sha256').update(node).digest()
}

test('both ways of making the tree give that of RFC 6962', async () => {
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 300 }), async count => {
      const leaves = Array.from({ length: count }, (_, n) => leafOfNumber(n))
      const expected = treeHash(leaves).toString('hex')
      const tree = new MerkleTree()
      for (const leaf of leaves) tree.add(leaf)
      expect(tree.root()).toBe(expected)
      const { root } = await db().one<{ root: string }>`
        select encode(ledger_merkle_root(${Buffer.concat(leaves)}::bytea), 'hex') as root`
      expect(root).toBe(expected)
    }),
    { numRuns: 60 },
  )
})
