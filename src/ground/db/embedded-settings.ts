/**
 * The settings of the embedded PostgreSQL, each with its reason. They are passed on the command line, so what a
 * server runs with is what this file says, whatever an older version of Bursar wrote into its configuration.
 */

/** What makes a commit a promise and one machine a good home for a payments company. */
const durable: Record<string, string> = {
  fsync: 'on', // a commit that a power cut can undo is a payment taken twice
  synchronous_commit: 'on', // the same promise, one layer up: an answer is sent after its commit is on disk
  full_page_writes: 'on', // a torn page after a power cut cannot be repaired from the log without these
  max_wal_size: '2GB', // fewer, larger checkpoints: each one makes every hot page be logged whole again
  checkpoint_timeout: '15min', // same reason; recovery after a crash replays at most this much, some seconds
  checkpoint_completion_target: '0.9', // spread the writing over the interval, so no request meets a burst
}

/** A server whose data nobody will miss: the tests' databases, made and dropped within one run. */
const throwaway: Record<string, string> = {
  fsync: 'off', // nothing here survives the run, so nothing has to reach the disk
  synchronous_commit: 'off', // same
  full_page_writes: 'off', // same
  max_wal_size: '4GB', // cloning databases writes much log at once and should not wait for checkpoints
  checkpoint_timeout: '1h', // same
  max_connections: '300', // crash tests share one server: several APIs and workers of each, the dead ones' not yet gone
}

const common: Record<string, string> = {
  shared_buffers: '256MB', // the hot set of a busy account, and still modest beside the API on a small machine
  max_connections: '100', // a pool per process is about 20; room for the API, workers, the CLI and a person
  random_page_cost: '1.1', // solid-state disks: an index read costs about what a sequential one does
  jit: 'off', // our statements are short; compiling them costs more than it gives
  autovacuum_vacuum_scale_factor: '0.05', // queues and idempotency keys die young: clean at 5 %, not at 20 %
  autovacuum_analyze_scale_factor: '0.02', // tables grow from nothing within minutes: keep the planner informed
  autovacuum_naptime: '10s', // look that often, for the same reason
  autovacuum_vacuum_cost_delay: '1ms', // let cleaning keep up with a hot table instead of falling behind politely
  idle_in_transaction_session_timeout: '5min', // a forgotten transaction would stop all cleaning; none of ours waits
  timezone: 'UTC', // instants are printed alike wherever the machine stands
  log_timezone: 'UTC',
  log_min_messages: 'log', // crashes and recoveries; failed statements are answered to their caller, who logs them
  log_min_error_statement: 'panic', // statements may carry personal data and stay out of the file
  log_error_verbosity: 'terse', // the details of an error quote rows, and rows are people
  log_checkpoints: 'off', // one line every quarter of an hour for years says nothing
  log_statement: 'none',
  password_encryption: 'scram-sha-256',
}

/** Names and values for `postgres -c name=value`. */
export function serverSettings(is_throwaway: boolean): Record<string, string> {
  return { ...common, ...(is_throwaway ? throwaway : durable) }
}
