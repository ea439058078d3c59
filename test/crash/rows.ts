/**
 * The crash matrix: fifteen ways to be cut off, for each kind of runner. A cell is true when test/crash has a test of
 * that row and role, and a sentence when it has none because it means nothing. docs/testing.md shows this table.
 */
export const roles = ['handler', 'completer', 'relay'] as const
/** handler: a request; completer: who finishes a dead request's key; relay: resolver, jobs and inbound news. */
export type CrashRole = (typeof roles)[number]

export interface CrashRow {
  row: number
  crash: string
  afterwards: string
  tested: Record<CrashRole, true | string>
}

const NO_KEY = 'has no key of its own'
const NO_REPLY = 'nobody waits for its reply'

export const rows: readonly CrashRow[] = [
  {
    row: 1,
    crash: 'before the key is committed',
    afterwards: 'nothing is left, and the retry is a first use',
    tested: { handler: true, completer: 'begins with a key that is there', relay: true },
  },
  {
    row: 2,
    crash: 'the key is held, and nothing is done with it yet',
    afterwards: 'the lease lapses, and the next runner begins',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 3,
    crash: 'the attempt is `prepared`',
    afterwards: 'it is sent; nobody is asked, because nothing was sent',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 4,
    crash: '`sent` is committed, before or during the call',
    afterwards: 'the processor is asked by reference, and by the rule of absence it is sent again',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 5,
    crash: 'the processor has done it, and nothing is recorded',
    afterwards: 'the look-up tells, and it is recorded once',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 6,
    crash: 'COMMIT is sent and its answer lost',
    afterwards: 'the key is read before anything else is done',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 7,
    crash: 'the answer is stored, and the reply lost',
    afterwards: 'the retry gets the same bytes',
    tested: { handler: true, completer: true, relay: NO_REPLY },
  },
  {
    row: 8,
    crash: 'a stopped runner wakes after it was replaced',
    afterwards: 'its epoch is old: it writes nothing, and what it sends has the same reference',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 9,
    crash: 'the work is done, and not marked as done',
    afterwards: 'it is done again, and changes nothing',
    tested: { handler: 'marks in the transaction of the work', completer: 'as the handler', relay: true },
  },
  {
    row: 10,
    crash: 'acknowledged commits are lost',
    afterwards: "the retry charges once; the processor's news gives the first charge back",
    tested: { handler: true, completer: NO_KEY, relay: true },
  },
  {
    row: 11,
    crash: 'success arrives after we declined or voided',
    afterwards: 'it is recorded as an orphan capture and given back',
    tested: { handler: 'waits for one outcome and takes it', completer: 'as the handler', relay: true },
  },
  {
    row: 12,
    crash: 'two events of one attempt, out of order',
    afterwards: 'the state moves forward only; the late one is kept and not applied',
    tested: { handler: 'hears no events', completer: 'hears no events', relay: true },
  },
  {
    row: 13,
    crash: 'inside a batch of many payments',
    afterwards: 'the whole batch is absent, and each item goes again; none posts twice',
    tested: { handler: true, completer: true, relay: true },
  },
  {
    row: 14,
    crash: 'in the middle of a long job',
    afterwards: 'the next run goes on where this one stopped',
    tested: { handler: 'has no long work', completer: 'has no long work', relay: true },
  },
  {
    row: 15,
    crash: "the process's clock jumps by a day",
    afterwards: "leases and expiries go by the database's clock, and nothing happens early or twice",
    tested: { handler: true, completer: true, relay: true },
  },
]
