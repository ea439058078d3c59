/** `bursar id`: the id of a row from the id of an answer, and back. Asks no database: an id says all of this itself. */
import type { Command } from 'commander'
import type { IdPrefix } from '#kernel'

interface Named {
  /** As the API and the commands write it. */
  id: string
  /** As the database writes it. */
  uuid: string
  kind: string
  /** The instant in it; null of a uuid that has none. */
  created_at: string | null
}

export function declare(command: Command): void {
  command
    .argument('<id>', 'with its prefix (pi_…), or a uuid as the database has it')
    .option('--kind <kind>', 'of a uuid: what it names, such as refund; else it is shown as each kind')
    .option('--json', 'print one JSON object instead of text')
    .addHelpText(
      'after',
      '\nExamples:\n  bursar id tr_01jd3x0yfae4qa9vrf2kz5m8wt\n' +
        '  bursar id 0193478e-8000-7000-8000-000000000000 --kind refund',
    )
    .action(run)
}

async function run(text: string, { kind, json }: { kind?: string; json?: boolean }): Promise<void> {
  const { print, table } = await import('./output.ts')
  const named = await namesOf(text, kind)
  print(json, { data: named }, () =>
    table(
      ['id', 'uuid', 'kind', 'created_at'],
      named.map(({ id, uuid, kind, created_at }) => [id, uuid, kind, created_at ?? '–']),
    ),
  )
}

/** All that an id may mean: one with a prefix is one thing, a uuid may be of any kind. */
async function namesOf(text: string, kind: string | undefined): Promise<Named[]> {
  const { decodeId, encodeId, idPrefixes, instantOfId } = await import('#kernel')
  const kinds = Object.entries(idPrefixes) as [IdPrefix, string][]
  if (kind !== undefined && !kinds.some(([, name]) => name === kind)) {
    throw new Error(`--kind must be one of ${kinds.map(([, name]) => name).join(', ')}`)
  }
  const is_uuid = UUID.test(text)
  const named = kinds.flatMap(([prefix, name]): Named[] => {
    const uuid = is_uuid ? text.toLowerCase() : decodeId(prefix, text)
    if (uuid === undefined || (kind !== undefined && kind !== name)) return []
    const created_at = uuid[VERSION_AT] === '7' ? instantOfId(uuid).toISOString() : null
    return [{ id: encodeId(prefix, uuid), uuid, kind: name, created_at }]
  })
  if (named.length === 0) {
    throw new Error(
      kind === undefined
        ? `${text} is neither an id with its prefix nor a uuid`
        : `${text} is no id of the kind ${kind}`,
    )
  }
  return named
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i
/** Only a uuid of version 7 begins with its instant (RFC 9562, section 5.7). */
const VERSION_AT = 14
