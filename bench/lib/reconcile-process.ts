/**
 * One run in a process of its own, so that its time has its start in it and its memory is its own:
 * `reconcile-process.ts engine|duckdb LEFT RIGHT OUT`. Prints the peak of its resident memory in megabytes.
 */
import { readFileSync } from 'node:fs'

const [what, left = '', right = '', out = ''] = process.argv.slice(2)

if (what === 'engine') {
  const { DEFAULT_RULES, runFiles } = await import('#reconciliation/files')
  await runFiles({
    left: { path: left, name: 'left.csv' },
    right: { path: right, name: 'right.csv' },
    rules: DEFAULT_RULES,
    decisions: [],
    directory: out,
  })
} else {
  const { DuckDBInstance } = await import('@duckdb/node-api')
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: '512MB',
    temp_directory: `${out}.spill`,
  })
  const connection = await instance.connect()
  const rows = (path: string) => `read_csv('${path}', header = true, delim = ',', quote = '', escape = '',
    auto_detect = false, columns = {id: 'varchar', amount: 'bigint', currency: 'varchar'})`
  await connection.run(`
    copy (
      select l.id, l.amount, l.currency, r.id as right_id, r.amount as right_amount, r.currency as right_currency
      from ${rows(left)} l full join ${rows(right)} r on l.id = r.id
    ) to '${out}' (format csv, header)`)
  connection.closeSync()
}

const peak = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'
console.log(Math.round(Number(peak) / 1024))
