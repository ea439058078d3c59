/** Times as people write and read them: `10m`, `1 h 05 min`. */

const UNITS_MS: Record<string, number> = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `30s`, `10m`, `1h`, `2d` in milliseconds; throws the sentence for `option`. */
export function durationMs(option: string, text: string): number {
  const [, count, unit] = /^(\d{1,5})([smhd])$/.exec(text) ?? []
  if (count === undefined || unit === undefined) {
    throw new Error(`${option} must be a number with its unit: 30s, 10m, 1h or 2d`)
  }
  return Number(count) * (UNITS_MS[unit] as number)
}

/** `1 h 05 min`: the two largest units of a time. */
export function age(ms: number): string {
  const s = Math.floor(ms / 1_000)
  const two = (large: number, small: number, units: [string, string]) =>
    `${large} ${units[0]} ${String(small).padStart(2, '0')} ${units[1]}`
  if (s < 60) return `${s} s`
  if (s < 3_600) return two(Math.floor(s / 60), s % 60, ['min', 's'])
  if (s < 86_400) return two(Math.floor(s / 3_600), Math.floor((s % 3_600) / 60), ['h', 'min'])
  return two(Math.floor(s / 86_400), Math.floor((s % 86_400) / 3_600), ['d', 'h'])
}
