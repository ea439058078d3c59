/**
 * Dated versions of the API. The code speaks the newest one; an older one is a list of small changes, each translating
 * the requests of one route forwards or its answers backwards. An answer is stored as it was sent, so a replay has the
 * shape of its first use.
 */
import { ApiError } from '#kernel'
import type { Route } from './types.ts'

/** One thing that a version changed for some routes. */
export interface VersionChange {
  /** One sentence for the upgrade guide. */
  readonly description: string
  readonly routes: readonly Route[]
  /** Old request body or query → the newer one. */
  request?(params: Record<string, unknown>): Record<string, unknown>
  /** Newer answer → the old one. Errors never change shape. */
  answer?(value: Record<string, unknown>): Record<string, unknown>
}

export interface Deprecation {
  /** Since when the version is deprecated (RFC 9745). */
  readonly since: Date
  /** From when on it is refused (RFC 8594). */
  readonly sunset: Date
  /** The upgrade guide. */
  readonly link: string
}

export interface Version {
  /** `2026-11-21`. */
  readonly date: string
  readonly deprecation?: Deprecation
  /** What this version changed, as the one before it sees it. */
  readonly changes: readonly VersionChange[]
}

/** Newest first. */
export const versions: readonly Version[] = [{ date: '2026-11-21', changes: [] }]

/** A version as a request uses it: changes up to the newest, and the headers every answer carries. */
export interface PinnedVersion {
  readonly date: string
  readonly headers: readonly string[]
  /** In the order in which a request meets them; an answer meets them backwards. */
  readonly changes: readonly VersionChange[]
}

export interface VersionTable {
  readonly newest: PinnedVersion
  /** The version that a header names. */
  pinned(header: string | undefined): PinnedVersion
}

export function versionTable(list: readonly Version[] = versions): VersionTable {
  const table = new Map<string, PinnedVersion>()
  list.forEach((version, i) => {
    const changes = list
      .slice(0, i)
      .reverse()
      .flatMap(newer => newer.changes)
    table.set(version.date, { date: version.date, changes, headers: headersOf(version) })
  })
  const newest = table.get(list[0]?.date ?? '')
  if (!newest) throw new Error('there is at least one version')
  return {
    newest,
    pinned(header) {
      if (header === undefined) return newest
      const version = table.get(header)
      if (!version) throw new ApiError('version_unknown', { param: 'Bursar-Version' })
      return version
    },
  }
}

function headersOf({ date, deprecation }: Version): string[] {
  const headers = ['Bursar-Version', date]
  if (deprecation) {
    headers.push(
      'Deprecation',
      `@${Math.floor(deprecation.since.getTime() / 1000)}`,
      'Sunset',
      deprecation.sunset.toUTCString(),
      'Link',
      `<${deprecation.link}>; rel="deprecation"; type="text/html"`,
    )
  }
  return headers
}

/** A request of the version as the newest one would have it. */
export function upgradeParams(
  version: PinnedVersion,
  route: Route,
  params: Record<string, unknown>,
): Record<string, unknown> {
  if (version.changes.length === 0) return params
  return version.changes.reduce(
    (newer, change) => (change.request && change.routes.includes(route) ? change.request(newer) : newer),
    params,
  )
}

/** The newest answer as the version knows it. */
export function downgradeAnswer(version: PinnedVersion, route: Route, body: string): string {
  const changes = version.changes.filter(change => change.answer && change.routes.includes(route))
  if (changes.length === 0) return body
  const older = changes.reduceRight(
    (value, change) => change.answer?.(value) ?? value,
    JSON.parse(body) as Record<string, unknown>,
  )
  return JSON.stringify(older)
}
