/** For which account a command works. */
import type { Db } from '#db'

/** Accounts shown when one must be chosen; whoever has more knows which. */
const ACCOUNTS_SHOWN_MOST = 20

/** uuid of the account that was named, or of the only one. Throws a sentence that says what to name. */
export async function chooseAccount(db: Db, named: string | undefined): Promise<string> {
  const { decodeId, encodeId } = await import('#kernel')
  if (named !== undefined) {
    const id = decodeId('acct_', named)
    const found = id && (await findAccount(db, id))
    if (!found) throw new Error(`there is no account ${named}`)
    return found.id
  }
  const accounts = await db.many<{ id: string; name: string }>`
    select id, name
    from accounts
    order by id
    limit ${ACCOUNTS_SHOWN_MOST}`
  const [only, ...others] = accounts
  if (only === undefined) throw new Error('there is no account yet: the first start of a server makes one')
  if (others.length === 0) return only.id
  const shown = accounts.map(account => `${encodeId('acct_', account.id)} (${account.name})`)
  throw new Error(`there are several accounts, choose one with --account: ${shown.join(', ')}`)
}

const findAccount = (db: Db, id: string) => db.maybe<{ id: string }>`
  select id
  from accounts
  where id = ${id}`
