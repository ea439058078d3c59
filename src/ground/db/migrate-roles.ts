/**
 * The two roles behind row-level security. Roles belong to the whole server and not to one database, so migrators
 * of different databases meet here without a lock in common: every step may find that another was quicker.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type pg from 'pg'
import { MigrationError } from './migrate-files.ts'

/** bursar_app sees one account's rows; bursar_system does the work that crosses accounts. */
const ROLES = ['bursar_app', 'bursar_system'] as const

/** duplicate_object, unique_violation, and "tuple concurrently updated", which has no code of its own. */
const LOST_RACES = ['42710', '23505', 'XX000']

/** Each lost race means that another one won, so as many as there are likely to be migrators at once. */
const ATTEMPTS = 20

/** Makes the roles and lets the current user take them on. */
export async function ensureRoles(client: pg.Client): Promise<void> {
  for (const role of ROLES) {
    await untilTrue(
      client,
      `select exists (select from pg_roles where rolname = '${role}') as is_so`,
      `create role ${role} nologin`,
    )
    // From PostgreSQL 16 membership alone does not suffice: whoever makes a role may give it but not take it on.
    await untilTrue(
      client,
      `select exists (
        select
        from pg_auth_members membership
        where membership.roleid = '${role}'::regrole
          and membership.member = current_user::regrole
          and coalesce((to_jsonb(membership) ->> 'set_option')::boolean, true)
      ) as is_so`,
      `grant ${role} to current_user`,
    )
  }
}

async function untilTrue(client: pg.Client, question: string, statement: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const answer = await client.query<{ is_so: boolean }>(question)
    if (answer.rows[0]?.is_so) return
    try {
      await client.query(statement)
    } catch (error) {
      const { code, message } = error as Error & { code?: string }
      if (code === '42501') {
        throw new MigrationError(
          `the database's user may not ${statement}: let an administrator run "${statement}", or give the user createrole`,
          { cause: error },
        )
      }
      if (!LOST_RACES.includes(code ?? '') || attempt === ATTEMPTS) {
        throw new MigrationError(`could not ${statement}: ${message}`, { cause: error })
      }
      await sleep(Math.random() * 50)
    }
  }
}
