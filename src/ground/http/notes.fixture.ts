/** A small resource for the tests of this room: notes, written in one commit, in two, or not at all. */
import { z } from 'zod'
import type { Db } from '#db'
import { ApiError, newId, type Tenant } from '#kernel'
import { endpoint } from './declare.ts'
import { id, object, secret, text, timestamp } from './schema.ts'
import type { Endpoint } from './types.ts'

/** Made in the test's own database: the roles see their account's rows alone. */
export async function createNotes(db: Db): Promise<void> {
  await db.transaction(async tx => {
    await tx.run`set local role none`
    await tx.run`
      create table notes (
        account_id uuid not null,
        livemode boolean not null,
        id uuid not null,
        text text not null,
        state text not null,
        created_at timestamptz not null,
        primary key (account_id, livemode, id)
      )`
    await tx.run`alter table notes enable row level security`
    await tx.run`
      create policy tenant on notes to bursar_app
      using (account_id = current_setting('bursar.account_id')::uuid
        and livemode = current_setting('bursar.livemode')::boolean)`
    await tx.run`create policy system on notes to bursar_system using (true)`
    await tx.run`grant select, insert, update on notes to bursar_app, bursar_system`
  })
}

interface NoteRow {
  id: string
  text: string
  state: 'draft' | 'sent'
  created_at: Date
}

// Any registered name will do: ids of tests borrow a prefix that no test here uses otherwise.
export const Note = object('customer', 'cus_', {
  text: text(200),
  state: z.enum(['draft', 'sent']),
  created_at: timestamp,
})

/** What a test lets happen in the middle of an endpoint. */
export interface Hooks {
  /** Between the two phases of `send`, where a real endpoint calls the processor. */
  between?: (subject_id: string) => Promise<void>
  /** At the start of delivering, also when resumed. */
  delivering?: (tenant: Tenant) => Promise<void>
  /** Inside the transaction of `create`, after its insert. */
  inside?: () => Promise<void>
}

export function noteEndpoints(hooks: Hooks = {}): Endpoint[] {
  const create = endpoint({
    route: 'POST /v1/notes',
    summary: 'Writes a note.',
    resource: 'notes',
    params: z.strictObject({
      text: text(200),
      pin: secret(text(20)).optional(),
      tags: z.array(z.strictObject({ name: text(20) })).optional(),
    }),
    returns: Note,
    status: 201,
    run: ({ finish, tenant, clock }, params) =>
      finish('created', async tx => {
        const created_at = clock.now()
        const note: NoteRow = { id: newId(created_at), text: params.text, state: 'draft', created_at }
        await tx.run`
          insert into notes (account_id, livemode, id, text, state, created_at)
          values (${tenant.account_id}, ${tenant.livemode}, ${note.id}, ${note.text}, ${note.state}, ${created_at})`
        await hooks.inside?.()
        if (params.text === 'declined')
          return new ApiError('card_declined', { detail: { decline_code: 'no' } })
        if (params.text === 'refused') throw new ApiError('parameter_invalid', { param: 'text' })
        if (params.text === 'broken') throw new Error('secret reason 4242424242424242')
        return note
      }),
  })
  const sent = endpoint({
    route: 'POST /v1/notes/send',
    summary: 'Writes a note and sends it, with the network between two commits.',
    resource: 'notes',
    params: z.strictObject({ text: text(200) }),
    returns: Note,
    async run(context, params) {
      const { phase, tenant, clock } = context
      const created_at = clock.now()
      const note_id = newId(created_at)
      await phase('written', note_id, async tx => {
        await tx.run`
          insert into notes (account_id, livemode, id, text, state, created_at)
          values (${tenant.account_id}, ${tenant.livemode}, ${note_id}, ${params.text}, 'draft', ${created_at})`
      })
      await hooks.between?.(note_id)
      return deliver(context, note_id)
    },
    resume: (context, subject_id) => deliver(context, subject_id),
  })
  const deliver: NonNullable<Endpoint['resume']> = async ({ finish, tenant }, note_id) => {
    await hooks.delivering?.(tenant)
    return finish(
      'sent',
      tx => tx.one<NoteRow>`
        update notes
        set state = 'sent'
        where account_id = ${tenant.account_id}
          and livemode = ${tenant.livemode}
          and id = ${note_id}
        returning id, text, state, created_at`,
    )
  }
  const close = endpoint({
    route: 'POST /v1/notes/:id/close',
    summary: 'Sends a draft; reads before it writes, so a second call finds the work of the first.',
    resource: 'notes',
    path: z.strictObject({ id: id('cus_') }),
    params: z.strictObject({}),
    returns: Note,
    async run(context, _params, path) {
      const { tenant } = context
      const note = await context.db.one<NoteRow>`
        select id, text, state, created_at
        from notes
        where account_id = ${tenant.account_id}
          and livemode = ${tenant.livemode}
          and id = ${path.id}`
      if (note.state !== 'draft') throw new ApiError('payment_intent_unexpected_state')
      return deliver(context, path.id)
    },
  })
  const retrieve = endpoint({
    route: 'GET /v1/notes/:id',
    summary: 'Reads a note.',
    resource: 'notes',
    auth: 'publishable',
    path: z.strictObject({ id: id('cus_') }),
    params: z.strictObject({}),
    returns: Note,
    async run({ db, tenant, answer }, _params, path) {
      const note = await db.maybe<NoteRow>`
        select id, text, state, created_at
        from notes
        where account_id = ${tenant.account_id}
          and livemode = ${tenant.livemode}
          and id = ${path.id}`
      if (!note) throw new ApiError('resource_missing', { param: 'id' })
      return answer(note)
    },
  })
  const open = endpoint({
    route: 'POST /v1/notes/anonymous',
    summary: "Asks nobody who they are, as the address of a processor's webhooks does.",
    resource: 'notes',
    auth: 'none',
    params: z.strictObject({ text: text(200) }),
    returns: Note,
    async run({ answer, clock }, params) {
      const created_at = clock.now()
      return answer({ id: newId(created_at), text: params.text, state: 'draft', created_at })
    },
  })
  return [create, sent, close, retrieve, open]
}
