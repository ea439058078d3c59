/** What a superuser with the triggers switched off may do to checkpoints, and how it shows. */
import { beforeAll, expect, test } from 'vitest'
import type { Tx } from '#db'
import { post } from './post.ts'
import { asOwner, newTenant, sealAll, transferOf, useDatabase } from './testing.ts'
import { verify, verifyIn } from './verify.ts'

const db = useDatabase()

beforeAll(async () => {
  const busy = newTenant()
  await post(
    db(),
    Array.from({ length: 140 }, () => transferOf(busy)),
  )
  await sealAll(db())
})

test('untouched checkpoints are proven', async () => {
  expect(await verify(db())).toMatchObject({ ok: true })
})

const tamperings: [name: string, reason: RegExp, tamper: (tx: Tx) => Promise<unknown>][] = [
  [
    'a checkpoint made larger',
    /checkpoint after its entry 64 does not follow/,
    tx => tx.run`
      update ledger_checkpoints set debits_posted = debits_posted + 1, credits_posted = credits_posted + 1`,
  ],
  [
    'a checkpoint with more debits',
    /checkpoint after its entry 64 does not follow/,
    tx => tx.run`update ledger_checkpoints set debits_posted = debits_posted + 1`,
  ],
  [
    'a checkpoint with more credits',
    /checkpoint after its entry 64 does not follow/,
    tx => tx.run`update ledger_checkpoints set credits_posted = credits_posted + 1`,
  ],
  [
    'a checkpoint that promises less order than there is',
    /checkpoint after its entry 64 does not follow/,
    tx => tx.run`update ledger_checkpoints set late_by = late_by + 1`,
  ],
  [
    'a checkpoint for entries that are not there',
    /checkpoint after its entry 1000 does not follow/,
    tx => tx.run`
      insert into ledger_checkpoints (account_id, livemode, ledger_account_id, sequence, debits_posted, credits_posted,
        recorded_until, late_by)
      select c.account_id, c.livemode, c.ledger_account_id, 1000, a.debits_posted, a.credits_posted,
        (select max(recorded_at) from ledger_transfers t
          where t.account_id = a.account_id and a.id in (t.debit_account_id, t.credit_account_id)),
        c.late_by
      from ledger_checkpoints c
      join ledger_accounts a on a.id = c.ledger_account_id
      where c.sequence = 64`,
  ],
  [
    'the later of two checkpoints made larger',
    /checkpoint after its entry 128 does not follow/,
    tx => tx.run`update ledger_checkpoints set debits_posted = debits_posted + 1 where sequence = 128`,
  ],
  [
    'a transfer under a checkpoint recorded later',
    /checkpoint after its entry 128 does not follow/,
    tx => tx.run`
      update ledger_transfers set recorded_at = recorded_at + interval '1 second' where debit_sequence = 100`,
  ],
  [
    'a checkpoint put to another time',
    /checkpoint after its entry 64 does not follow/,
    tx => tx.run`update ledger_checkpoints set recorded_until = recorded_until + interval '1 second'`,
  ],
]

class Undo extends Error {}

test.each(tamperings)('%s is found and named', async (_name, reason, tamper) => {
  const work = asOwner(
    db(),
    async tx => {
      await tamper(tx)
      expect(await verifyIn(tx)).toMatchObject({
        ok: false,
        broken: { table: 'ledger_checkpoints', reason: expect.stringMatching(reason) },
      })
      throw new Undo()
    },
    { triggers: 'off' },
  )
  await expect(work).rejects.toThrow(Undo)
})
