/** What the command leaves beside the run: the report, and the findings as JSON lines. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { type FileRun, type Item, type ReportedRun, reportOf, reportPage } from '#reconciliation/files'
import { BY_UMASK, wholeFile, type Write } from '../ledger/whole-file.ts'

/** A piece of a file that is written at once. */
const PIECE_LENGTH = 64 * 1024

/** Where the key stands in a report: in its head. */
const HEAD_BYTES = 2_048

/** The report of a run whose files are there already is read again and not written: they are the same to the byte. */
export async function writeOutputs(run: FileRun, directory: string): Promise<ReportedRun> {
  const page_file = join(directory, 'report.html')
  const is_written = run.is_stored && (await isReportOf(page_file, run.key))
  const report = is_written
    ? await reportOf(run)
    : await beside(join(directory, 'findings.jsonl'), async write => {
        let piece = ''
        const made = await reportOf(run, {
          async onFinding(item) {
            piece += jsonLine(item)
            if (piece.length < PIECE_LENGTH) return
            await write(piece)
            piece = ''
          },
        })
        await write(piece)
        return made
      })
  // Last: where it stands, everything else does.
  if (!is_written) {
    await beside(page_file, write =>
      write(reportPage(report, { findings_file: 'findings.csv', items_file: 'items.csv' })),
    )
  }
  return report
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
function jsonLine(item: Item): string {
  const members = Object.entries(item).map(
    ([name, value]) =>
      `${JSON.stringify(name)}:${typeof value === 'bigint' ? String(value) : JSON.stringify(value)}`,
  )
  return `{${members.join(',')}}\n`
}
