/**
 * `expand[]=customer`: the object beside the id that names it. Each path costs one query for the whole page, because
 * every level asks for all of its ids at once. Ids stay where they are (`customer_id`), the object joins them at the
 * end (`customer`), so a client that never expands never sees another shape.
 */
import { z } from 'zod'
import type { Db } from '#db'
import { ApiError, assert, type IdPrefix, idPrefixes, type Tenant } from '#kernel'
import { missingScope } from './auth.ts'
import { JsonText } from './encoder.ts'
import { type AnyObject, declaredObjects, objectOf, type ObjectOf } from './schema.ts'
import type { Caller, Endpoint } from './types.ts'

/** A limit of the API (docs/api.md). */
const DEPTH_MAX = 4
/** More than any object has to expand; each is a query. */
const PATHS_MAX = 20
/** Four names of 60 characters. */
const PATH_LENGTH_MAX = 243

export const expandParam = z
  .array(z.string().max(PATH_LENGTH_MAX))
  .max(PATHS_MAX)
  .optional()
  .describe('Objects to include beside their ids: `expand[]=customer`, nested with dots, up to 4 levels.')

/** The parameters of an endpoint that reads one object. */
export const retrieveParams = z.strictObject({ expand: expandParam })

/** Whom the rows are read for, and through what: a request's context is one. */
export interface Reader {
  readonly db: Db
  readonly tenant: Tenant
  /** Whose scopes say what may be expanded. */
  readonly caller: Pick<Caller, 'kind' | 'scopes'>
}

type Loader<Row> = (reader: Reader, ids: readonly string[]) => Promise<readonly Row[]>
const loaders = new Map<IdPrefix, Loader<{ id: string }>>()

/**
 * Says how rows of an object are read by id, for expansions that lead to it. One query; at most 100 ids, each once;
 * in any order; what the tenant does not have is left out.
 */
export function loads<Row extends { id: string }>(object: ObjectOf<NoInfer<Row>>, load: Loader<Row>): void {
  assert(object.prefix !== null, `the object ${object.name} has ids`)
  loaders.set(object.prefix, load)
}

/** The resource that an object belongs to, whose scope lets it be read: `charges` of a charge. */
const resourceOf = (object: AnyObject): string => `${object.name}s`

/**
 * A field that can be expanded, but whose target nobody loads, or whose target's scope nobody could be given, is found
 * when the program starts and not by a caller.
 */
export function assertExpansionsLoad(endpoints: readonly Pick<Endpoint, 'resource' | 'returns'>[]): void {
  for (const object of declaredObjects()) {
    for (const { field, target_prefix } of object.expansions.values()) {
      assert(
        loaders.has(target_prefix),
        `${idPrefixes[target_prefix]} says how it is loaded, for ${object.name}.${field}`,
      )
      const target = objectOf(target_prefix)
      const resource = resourceOf(target)
      assert(
        endpoints.some(endpoint => endpoint.resource === resource && endpoint.returns === target),
        `an endpoint of ${resource} returns a ${target.name}, for ${object.name}.${field}`,
      )
    }
  }
}

/** What to expand, as a tree: customer, latest_charge → balance_transaction. */
export type Expansions = ReadonlyMap<string, ExpansionNode>
interface ExpansionNode {
  readonly field: string
  readonly target: AnyObject
  readonly children: Map<string, ExpansionNode>
  /** The first parameter that leads here. */
  readonly param: string
}
export const NOTHING_EXPANDED: Expansions = new Map()

/** Reads `expand` against what the object can expand. Throws `expand_invalid`. */
export function parseExpand(object: AnyObject, paths: readonly string[] | undefined): Expansions {
  if (!paths || paths.length === 0) return NOTHING_EXPANDED
  const tree = new Map<string, ExpansionNode>()
  paths.forEach((path, i) => {
    const param = `expand[${i}]`
    const names = path.split('.')
    if (names.length > DEPTH_MAX) {
      throw new ApiError('expand_invalid', {
        param,
        message: `${param} goes deeper than ${DEPTH_MAX} levels.`,
      })
    }
    let level = tree
    let from = object
    for (const name of names) {
      const expansion = from.expansions.get(name)
      if (!expansion) throw new ApiError('expand_invalid', { param, message: cannotExpand(param, from) })
      const node = level.get(name) ?? {
        field: expansion.field,
        target: objectOf(expansion.target_prefix),
        children: new Map<string, ExpansionNode>(),
        param,
      }
      level.set(name, node)
      level = node.children
      from = node.target
    }
  })
  return tree
}

function cannotExpand(param: string, from: AnyObject): string {
  const names = [...from.expansions.keys()]
  const choice = names.length === 0 ? 'Nothing can be' : `Only ${names.join(', ')} can be`
  return `${param} cannot be expanded. ${choice} expanded on a ${from.name.replaceAll('_', ' ')}.`
}

/**
 * Throws 403 when the caller may not read what an expansion leads to or through. A restricted key needs the scope it
 * would need to retrieve the object by itself. A publishable key expands nothing: the proof it brings is for one object.
 */
function authorizeExpansions(caller: Reader['caller'], expansions: Expansions): void {
  for (const { param, target, children } of expansions.values()) {
    if (caller.kind === 'publishable') {
      const message = 'A publishable key cannot expand. Use a secret key from your server.'
      throw new ApiError('secret_key_required', { param, message })
    }
    const scope = missingScope(caller.scopes, { resource: resourceOf(target), is_write: false })
    if (scope !== undefined) {
      const message = `This restricted key lacks the scope "${scope}", which ${param} needs.`
      throw new ApiError('scope_missing', { param, message })
    }
    authorizeExpansions(caller, children)
  }
}

/** One row with its expansions, as an answer's text. */
export async function expandOne<Row extends object>(
  reader: Reader,
  object: ObjectOf<NoInfer<Row>>,
  row: Row,
  expand: readonly string[] | undefined,
): Promise<JsonText> {
  const [text] = await expandMany(reader, object, [row], parseExpand(object, expand))
  assert(text !== undefined, 'one row gives one text')
  return new JsonText(text)
}

/**
 * The texts of rows with their expansions, in the order of the rows. One query per node of the tree. Throws
 * `scope_missing` and `secret_key_required`.
 */
export async function expandMany<Row extends object>(
  reader: Reader,
  object: ObjectOf<NoInfer<Row>>,
  rows: readonly Row[],
  expansions: Expansions,
): Promise<string[]> {
  // An endpoint that asks nobody who they are has no caller, and no expansions.
  if (expansions.size > 0 && reader.caller.kind !== 'secret') authorizeExpansions(reader.caller, expansions)
  return textsOf(reader, object, rows, expansions)
}

async function textsOf<Row extends object>(
  reader: Reader,
  object: ObjectOf<NoInfer<Row>>,
  rows: readonly Row[],
  expansions: Expansions,
): Promise<string[]> {
  const texts = rows.map(row => object.encode(row))
  for (const [name, { field, target, children }] of expansions) {
    const idOf = (row: Row) => (row as Record<string, unknown>)[field] as string | null
    const ids = [...new Set(rows.map(idOf))].filter(id => id !== null)
    const found = await loadTexts(reader, target, ids, children)
    rows.forEach((row, i) => {
      // What cannot be found any more, as what is not there, is null: the id beside it tells which.
      const text = found.get(idOf(row) ?? '') ?? 'null'
      texts[i] = `${texts[i]?.slice(0, -1)},${JSON.stringify(name)}:${text}}`
    })
  }
  return texts
}

async function loadTexts(
  reader: Reader,
  target: AnyObject,
  ids: readonly string[],
  children: Expansions,
): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const load = target.prefix === null ? undefined : loaders.get(target.prefix)
  assert(load, `the object ${target.name} says how it is loaded`)
  const rows = await load(reader, ids)
  const texts = await textsOf(reader, target as ObjectOf<object>, rows, children)
  return new Map(rows.map((row, i) => [row.id, texts[i] as string]))
}
