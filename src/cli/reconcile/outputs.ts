/** What the command leaves beside the run: the report, and the findings for spreadsheets and as JSON lines. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import {
  badRowLines,
  type FileRun,
  findingLine,
  findingsHeader,
  namesOf,
  NOT_READABLE,
  type ReportedRun,
  reportOf,
  reportPage,
} from '#reconciliation/files'
import { BY_UMASK, wholeFile, type Write } from '../ledger/whole-file.ts'

/** A piece of a file that is written at once. */
const PIECE_LENGTH = 64 * 1024

/** Where the key stands in a report: in its head. */
const HEAD_BYTES = 2_048

/** The report of a run whose files are there already is read again and not written: they are the same to the byte. */
export async function writeOutputs(run: FileRun, directory: string): Promise<ReportedRun> {
  const page_file = join(directory, 'report.html')
  if (run.is_stored && (await isReportOf(page_file, run.key))) return reportOf(run)
  const names = namesOf(run)
  const report = await beside(join(directory, 'findings.csv'), writeCsv =>
    beside(join(directory, 'findings.jsonl'), async writeJson => {
      const csv = inPieces(writeCsv)
      const json = inPieces(writeJson)
      await csv.add(findingsHeader)
      for (const side of ['left', 'right'] as const) {
        for (const line of badRowLines(side, run[side], names)) await csv.add(line)
        for (const { line, reason } of run[side].bad) {
          await json.add(jsonLine({ side, line, status: NOT_READABLE, reason }))
        }
      }
      const made = await reportOf(run, {
        async onFinding(item) {
          await csv.add(findingLine(item, names))
          await json.add(jsonLine(item))
        },
      })
      await csv.end()
      await json.end()
      return made
    }),
  )
  // Last: where it stands, everything else does.
  await beside(page_file, write =>
    write(reportPage(report, { findings_file: 'findings.csv', items_file: 'items.csv' })),
  )
  return report
}

/** Small texts, written many at once. */
function inPieces(write: Write) {
  let piece = ''
  return {
    async add(text: string): Promise<void> {
      piece += text
      if (piece.length < PIECE_LENGTH) return
      const full = piece
      piece = ''
      await write(full)
    },
    end: () => write(piece),
  }
}

/** Readable to whom the run's own files are, which hold the same. */
const beside = <T>(path: string, work: (write: Write) => Promise<T>) => wholeFile(path, work, BY_UMASK)

async function isReportOf(file: string, key: string): Promise<boolean> {
  try {
    const there = await open(file)
    try {
      const { buffer, bytesRead } = await there.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0)
      return buffer.toString('utf8', 0, bytesRead).includes(`content="${key}"`)
    } finally {
      await there.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}

/** Exact: an amount is a JSON number of any length (RFC 8259, section 6). */
function jsonLine(item: object): string {
  const members = Object.entries(item).map(
    ([name, value]) =>
      `${JSON.stringify(name)}:${typeof value === 'bigint' ? String(value) : JSON.stringify(value)}`,
  )
  return `{${members.join(',')}}\n`
}
