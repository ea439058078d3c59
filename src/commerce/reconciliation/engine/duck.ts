/**
 * DuckDB inside this process, and nothing of it before a run needs it: a server that never reconciles files does not
 * carry its 70 MB.
 */
import { availableParallelism } from 'node:os'
import type * as DuckApi from '@duckdb/node-api'

/** What DuckDB keeps in memory before it spills to disk. With the process around it a run stays below 512 MB. */
const MEMORY_LIMIT = '160MB'
/**
 * Memory that DuckDB frees goes back to the system at once. Its allocator would keep it for a second, in which a run
 * frees hundreds of megabytes; it reads this once, when it is loaded.
 */
const ALLOCATOR = { name: 'DUCKDB_JE_MALLOC_CONF', value: 'dirty_decay_ms:0,muzzy_decay_ms:0' }
/** More would hold more buffers than the limit has room for. */
const THREADS_MOST = 4

export type Cell = DuckApi.DuckDBValue

export class Duck {
  readonly #connection: DuckApi.DuckDBConnection
  readonly #close: () => void
  /** Ends with the last statement that was asked for. Two at once would share the memory of one. */
  #busy: Promise<unknown> = Promise.resolve()

  private constructor(connection: DuckApi.DuckDBConnection, close: () => void) {
    this.#connection = connection
    this.#close = close
  }

  static async open(spill_directory: string): Promise<Duck> {
    process.env[ALLOCATOR.name] ??= ALLOCATOR.value
    const { DuckDBInstance } = await import('@duckdb/node-api')
    const instance = await DuckDBInstance.create(':memory:', {
      threads: `${Math.min(availableParallelism(), THREADS_MOST)}`,
      memory_limit: MEMORY_LIMIT,
      temp_directory: spill_directory,
      // Row numbers are given by the place in a table, so that order must be the file's.
      preserve_insertion_order: 'true',
      // Files that a run was not given are not read, and nothing is fetched.
      autoinstall_known_extensions: 'false',
      autoload_known_extensions: 'false',
    })
    const connection = await instance.connect()
    return new Duck(connection, () => {
      connection.closeSync()
      instance.closeSync()
    })
  }

  async run(sql: string): Promise<void> {
    await this.#next(async () => this.#connection.run(sql))
  }

  /** For answers that are short. */
  async rows<Row extends readonly Cell[]>(sql: string): Promise<Row[]> {
    return this.#next(async () => {
      const result = await this.#connection.run(sql)
      return (await result.getRows()) as unknown as Row[]
    })
  }

  async #next<T>(statement: () => Promise<T>): Promise<T> {
    const answer = this.#busy.then(statement)
    // Whoever asked hears of an error; the next statement is another's.
    this.#busy = answer.catch(() => {})
    return answer
  }

  /** Columns of equal length, of the types of the table's columns. */
  async appender(table: string, types: (duck: typeof DuckApi) => DuckApi.DuckDBType[]) {
    const duck = await import('@duckdb/node-api')
    const appender = await this.#connection.createAppender(table)
    // One for all: what it takes is given back only when garbage is collected, which knows nothing of its size.
    const chunk = duck.DuckDBDataChunk.create(types(duck))
    return {
      append(columns: Cell[][]): void {
        chunk.reset()
        chunk.setColumns(columns)
        appender.appendDataChunk(chunk)
      },
      close(): void {
        appender.closeSync()
      },
    }
  }

  /** Once nothing runs: closed under a statement, DuckDB waits for itself and the process never ends. */
  async close(): Promise<void> {
    await this.#busy
    this.#close()
  }
}

/** Rows of one chunk, DuckDB's own vector size. */
export const CHUNK_ROWS = 2_048

/** What a thread that reads CSV takes at once: many of the longest lines, and not DuckDB's 32 MB. */
export const CSV_BYTES = 1 << 20

/** A text in SQL. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "''")}'`
