/** Opens a statement: finds out what it is, and reads it piece by piece. */
import { Bai2Reader } from './bai2/reader.ts'
import { ByteSource, ByteTrouble, peek, PIECE_BYTES } from './bytes.ts'
import { Camt053Reader } from './camt053/reader.ts'
import { guessMapping } from './csv/guess.ts'
import { CsvReader } from './csv/reader.ts'
import { Utf8Source } from './encoding.ts'
import { findFormat, isWebPage } from './format.ts'
import { guessJsonMapping } from './jsonl/guess.ts'
import { JsonLinesReader } from './jsonl/reader.ts'
import { Mt940Reader } from './mt940/reader.ts'
import { countLineEnds, type Reader } from './reader.ts'
import { Sink } from './sink.ts'
import {
  type Batch,
  type Encoding,
  type Format,
  type ReadOptions,
  type Statement,
  StatementError,
  type Fail,
  type Sayable,
} from './statement.ts'

/** What format and mapping are told from: some hundreds of rows. */
const SAMPLE_BYTES = 64 * 1024

/**
 * Reads as much as the format and the mapping are told from. Throws `StatementError` when the file is not there, is
 * no statement, or leaves something open that must be said. `piece_bytes` is how much is read at once.
 */
export async function openStatement(
  input: AsyncIterable<Uint8Array>,
  options: ReadOptions,
  piece_bytes = PIECE_BYTES,
): Promise<Statement> {
  const source = new ByteSource(input, piece_bytes)
  const utf8 = new Utf8Source(options.mapping?.encoding ?? null)
  const is_flipped = options.mapping?.is_flipped === true
  const sink = new Sink(options.name, options.mapping)
  const { head, is_whole, failure, all } = await peek(utf8.pieces(source.pieces()), SAMPLE_BYTES)
  if (failure !== null) throw placed(options.name, failure, 1 + countLineEnds(head))
  if (head.toString('utf8', 0, SAMPLE_BYTES).trim() === '') sink.fail(null, 'the file is empty')
  if (isWebPage(head)) {
    sink.fail(
      null,
      'this is a web page, perhaps one that asks to log in: ask for the statement as CSV, CAMT.053, MT940 or BAI2',
    )
  }
  const format = options.format ?? findFormat(head)
  const reader = readerOf(format, head, is_whole, options, utf8.encoding, sink)
  let is_finished = false

  return {
    format,
    mapping: reader.mapping ?? (is_flipped ? { is_flipped } : null),

    async *batches(): AsyncGenerator<Batch> {
      try {
        for await (const piece of all) {
          reader.push(piece)
          yield { ...sink.take(), bytes_read: source.bytes_read }
        }
      } catch (error) {
        throw placed(options.name, error, reader.line)
      }
      reader.end()
      // Banks' formats say what is what, and prove with their balances what is missing.
      if (reader.mapping !== null) sink.demandReadable(isSaidIn(options), options.is_empty_allowed === true)
      yield { ...sink.take(), bytes_read: source.bytes_read }
      is_finished = true
    },

    finish() {
      if (!is_finished) throw new Error('a statement is finished after its last batch')
      const { rows, bad_rows, left_out, controls } = sink
      const { bytes_read: bytes } = source
      return { rows, bad_rows, left_out, sha256: source.sha256(), bytes, encoding: utf8.encoding, controls }
    },
  }
}

/** What is wrong with the bytes is told with the line that reading had come to. */
function placed(name: string, error: unknown, line: number): unknown {
  return error instanceof ByteTrouble
    ? new StatementError(name, error.has_line ? line : null, error.message, error.unsaid)
    : error
}

function isSaidIn({ mapping, currency }: ReadOptions): (what: Sayable) => boolean {
  const said: Partial<Record<Sayable, unknown>> = { currency, ...mapping }
  return what => said[what] !== undefined
}

function readerOf(
  format: Format,
  sample: Buffer,
  is_whole: boolean,
  options: ReadOptions,
  encoding: Encoding,
  sink: Sink,
): Reader {
  const fail: Fail = (...what) => sink.fail(...what)
  switch (format) {
    case 'csv':
      return new CsvReader(guessMapping(sample, is_whole, options, encoding, fail), sink)
    case 'jsonl':
      return new JsonLinesReader(guessJsonMapping(sample, is_whole, options, encoding, fail), sink)
    case 'camt053':
      return new Camt053Reader(options, sink)
    case 'mt940':
      return new Mt940Reader(options, sink)
    case 'bai2':
      return new Bai2Reader(options, sink)
  }
}
