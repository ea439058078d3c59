/** What a file is, told from how it begins. */
import type { Format } from './statement.ts'

/** Bytes that are looked at: enough for the letterhead some banks put above a message of SWIFT. */
const LOOKED_AT = 4_096

/** What a browser saves in the place of a file; banks name tables of HTML `.xls`, too. */
const WEB_PAGE = /^\s*(?:<\?xml[^>]*>\s*)?<(?:!doctype\s+html|html|head|title|meta|body|table|div)\b/i

export const isWebPage = (sample: Buffer): boolean =>
  WEB_PAGE.test(sample.toString('utf8', 0, LOOKED_AT).replace(/<!--[^]*?-->/g, ''))

export function findFormat(sample: Buffer): Format {
  const start = sample.toString('utf8', 0, LOOKED_AT).trimStart()
  if (start.startsWith('<')) return 'camt053'
  if (/^\{\s*(?:"|\})/.test(start)) return 'jsonl'
  if (/^01,[^,\n]*,[^,\n]*,\d{6},\d{0,4},/.test(start)) return 'bai2'
  if (/^(?:\{1:|:20:)/.test(start) || /(?:^|[\r\n]):20:[^]*[\r\n]:25[A-Z]?:/.test(start)) return 'mt940'
  return 'csv'
}
