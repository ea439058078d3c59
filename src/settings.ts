/**
 * What can be set from outside: environment variables and nothing else, all in one table with their default, their
 * limit and a sentence. `bursar config` prints this table; a value that does not fit stops the start with one sentence.
 */
import { isIP } from 'node:net'
import { resolve } from 'node:path'
import { z } from 'zod'
import type { LogLevel } from '#metrics'

export const ROLES = ['all', 'api', 'worker'] as const
export type Role = (typeof ROLES)[number]

/** The sentence is ready to be shown; it never holds the value of a secret. */
export class SettingsError extends Error {
  override name = 'SettingsError'
}

interface Definition<Value> {
  /** What a value must be: ends the sentence "PORT must be …". */
  must_be: string
  schema: z.ZodType<Value, string>
  /** Used when the variable is absent or empty. */
  absent: Value
  /** How the default is shown, where the value alone says too little. */
  absent_shown?: string
  about: string
  /** `whole`: never shown. `password`: a URL, shown without its password. */
  secret?: 'whole' | 'password'
}

const define = <Value>(definition: Definition<Value>): Definition<Value> => definition

/** 0 asks the system for a free port. */
const port = z
  .string()
  .regex(/^\d{1,5}$/)
  .transform(Number)
  .refine(number => number <= 65_535)
const PORT_RULE = 'a whole number from 0 to 65535 (0: any free port)'

const url = (...protocols: string[]) =>
  z.string().refine(text => URL.canParse(text) && protocols.includes(new URL(text).protocol))

/** As long as a sha-256 digest in hex is half: 128 bits even when every character is a hex digit. */
const SECRET_LENGTH_MIN = 32

/** One that is valid, and some that are rolled out: more are forgotten ones. */
const STRIPE_SECRETS_MOST = 5
const isStripeSecret = (text: string): boolean => /^whsec_[\x21-\x2b\x2d-\x7e]{8,}$/.test(text)

/** The key goes with every call: never in the clear, unless it stays on this machine. */
function isPrivate(text: string): boolean {
  const { protocol, hostname, pathname } = new URL(text)
  const is_here = ['127.0.0.1', '[::1]', 'localhost'].includes(hostname)
  return pathname === '/' && (protocol === 'https:' || is_here)
}

const definitions = {
  PORT: define({
    must_be: PORT_RULE,
    schema: port,
    absent: 4242,
    about: 'Where the API and its reference listen.',
  }),
  BURSAR_HOST: define({
    must_be: 'an address of this machine, such as 127.0.0.1 or 0.0.0.0',
    schema: z.string().regex(/^[A-Za-z0-9.:-]{1,253}$/),
    absent: '127.0.0.1',
    about: 'The address to listen at. Anything but loopback belongs behind a proxy that speaks TLS.',
  }),
  BURSAR_ROLE: define({
    must_be: `one of ${ROLES.join(', ')}`,
    schema: z.enum(ROLES) as z.ZodType<Role, string>,
    absent: 'all' as Role,
    about: 'What this process does: answer requests (api), finish and repeat work (worker), or both (all).',
  }),
  BURSAR_DATA_DIR: define({
    must_be: 'a directory, at most 4096 characters',
    schema: z.string().max(4_096),
    absent: '.bursar',
    about: 'Where the embedded database, the simulator and the credentials are kept.',
  }),
  DATABASE_URL: define({
    must_be: 'a URL like postgres://host:5432/database, with the user and password in it',
    schema: url('postgres:', 'postgresql:') as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'the embedded PostgreSQL',
    about: 'A PostgreSQL, 15 or newer, to use instead of the embedded one.',
    secret: 'password',
  }),
  SIMULATOR_PORT: define({
    must_be: PORT_RULE,
    schema: port,
    absent: 4243,
    about: 'Where the simulator that is started beside the server listens.',
  }),
  SIMULATOR_URL: define({
    must_be: 'a URL like http://127.0.0.1:4243',
    schema: url('http:', 'https:').transform(text => text.replace(/\/+$/, '')) as z.ZodType<
      string | null,
      string
    >,
    absent: null,
    absent_shown: 'one is started',
    about: 'A simulator that runs already; then none is started.',
  }),
  SIMULATOR_WEBHOOK_SECRET: define({
    must_be: `at least ${SECRET_LENGTH_MIN} characters long`,
    schema: z.string().min(SECRET_LENGTH_MIN) as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'derived for a simulator that is started; none for one that runs already',
    about:
      'What the simulator signs its webhooks with. With SIMULATOR_URL it is told ours when this is set; without, its webhooks are refused and its feed is read.',
    secret: 'whole',
  }),
  STRIPE_SECRET_KEY: define({
    must_be: 'a secret key of Stripe (sk_test_…, sk_live_…) or a restricted one (rk_…)',
    schema: z.string().regex(/^(sk|rk)_(test|live)_[A-Za-z0-9_]{8,}$/) as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'Stripe is not connected',
    about:
      'Connects Stripe: payments of the mode of this key go to it. Without one, test mode goes to the simulator and live mode to nobody.',
    secret: 'whole',
  }),
  STRIPE_WEBHOOK_SECRET: define({
    must_be: `signing secrets of Stripe (whsec_…), at most ${STRIPE_SECRETS_MOST}, separated by commas`,
    schema: z
      .string()
      .transform(text => text.split(',').map(secret => secret.trim()))
      .refine(secrets => secrets.length <= STRIPE_SECRETS_MOST && secrets.every(isStripeSecret)),
    absent: [] as string[],
    absent_shown: 'none',
    about:
      'What Stripe signs its webhooks with; two while a secret is rolled. Without one they are refused, and its feed is read.',
    secret: 'whole',
  }),
  STRIPE_API_URL: define({
    must_be: 'a URL like https://api.stripe.com; http only on this machine',
    schema: url('http:', 'https:')
      .transform(text => text.replace(/\/+$/, ''))
      .refine(isPrivate),
    absent: 'https://api.stripe.com',
    about: 'Where Stripe is called: a proxy of yours, or a stand-in for tests.',
  }),
  BURSAR_SECRET: define({
    must_be: `at least ${SECRET_LENGTH_MIN} characters long`,
    schema: z.string().min(SECRET_LENGTH_MIN) as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'made once, kept in the data directory',
    about:
      'The key of this installation: hides secret values in stored requests. The same on every machine of one database.',
    secret: 'whole',
  }),
  BURSAR_LOG_LEVEL: define({
    must_be: 'one of debug, info, warn, error, silent',
    schema: z.enum(['debug', 'info', 'warn', 'error', 'silent']) as z.ZodType<LogLevel, string>,
    absent: 'info' as LogLevel,
    absent_shown: 'info; warn when a person watches',
    about: 'The least level of the JSON lines on standard error.',
  }),
  BURSAR_IDEMPOTENCY_DAYS: define({
    must_be: 'a whole number of days from 1 to 3650',
    schema: z
      .string()
      .regex(/^\d{1,4}$/)
      .transform(Number)
      .refine(days => days >= 1 && days <= 3_650),
    absent: 30,
    about: 'How long an Idempotency-Key and its answer are kept. A retry after that is a new request.',
  }),
  BURSAR_REQUEST_LOG_DAYS: define({
    must_be: 'a whole number of days from 1 to 3650',
    schema: z
      .string()
      .regex(/^\d{1,4}$/)
      .transform(Number)
      .refine(days => days >= 1 && days <= 3_650),
    absent: 30,
    about:
      'How long requests and their answers are kept, secrets masked. They hold what customers typed: addresses, names.',
  }),
  BURSAR_PROXIES: define({
    must_be: 'a whole number from 0 to 9',
    schema: z.string().regex(/^\d$/).transform(Number),
    absent: 0,
    about:
      'How many proxies of yours stand in front, each adding to X-Forwarded-For: where the request log finds the address of a caller.',
  }),
  BURSAR_WEBHOOK_NETWORKS: define({
    must_be: 'networks like 10.0.0.0/8, separated by commas, or none',
    schema: z
      .string()
      .max(4_096)
      .transform(text => (text === 'none' ? [] : text.split(',').map(network => network.trim())))
      .refine(networks => networks.every(network => isNetwork(network))) as z.ZodType<
      readonly string[] | null,
      string
    >,
    absent: null,
    absent_shown: 'loopback with the embedded PostgreSQL, else none',
    about:
      'Networks that webhooks may be sent to although they are not public: receivers beside this server. Everything else that is not public is refused.',
  }),
  BURSAR_FAILPOINTS: define({
    must_be: '1, or not be set',
    schema: z.literal('1').transform(() => true) as z.ZodType<boolean, string>,
    absent: false,
    absent_shown: 'off',
    about:
      'For the crash tests alone: the process that started this one may make it crash. Refused with live keys.',
  }),
  OTEL_EXPORTER_OTLP_ENDPOINT: define({
    must_be: 'a URL like http://127.0.0.1:4318',
    schema: url('http:', 'https:') as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'no traces',
    about: 'An OpenTelemetry collector (OTLP over HTTP) to which traces are sent.',
    secret: 'password',
  }),
  REDIS_URL: define({
    must_be: 'a URL like redis://host:6379',
    schema: url('redis:', 'rediss:') as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'none',
    about: 'Checked, and not used by this version.',
    secret: 'password',
  }),
  SMTP_URL: define({
    must_be: 'a URL like smtp://host:587',
    schema: url('smtp:', 'smtps:') as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'none: no mails are sent',
    about:
      'The server that mails go to, with user and password: smtps speaks TLS at once, smtp when it is offered. Needs MAIL_FROM.',
    secret: 'password',
  }),
  MAIL_FROM: define({
    must_be: 'an address like bursar@example.com, without a name',
    schema: z.email().max(254) as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'none',
    about: 'The address that mails come from.',
  }),
  S3_URL: define({
    must_be: 'a URL like s3://bucket or https://host/bucket',
    schema: url('s3:', 'http:', 'https:') as z.ZodType<string | null, string>,
    absent: null,
    absent_shown: 'none',
    about: 'Checked, and not used by this version.',
    secret: 'password',
  }),
}

/** An address and how many bits of it count. */
function isNetwork(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/')
  const most = isIP(address) === 6 ? 128 : 32
  return rest.length === 0 && isIP(address) !== 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= most
}

type Definitions = typeof definitions
export type SettingName = keyof Definitions
type Values = { [Name in SettingName]: Definitions[Name]['absent'] }

export interface Settings {
  port: number
  host: string
  role: Role
  /** Absolute. */
  data_dir: string
  /** Null: the embedded one. */
  database_url: string | null
  simulator_port: number
  /** Null: one is started. */
  simulator_url: string | null
  /** Null: derived when we start the simulator, else its webhooks are refused. */
  simulator_webhook_secret: string | null
  /** Null: not connected. */
  stripe: { secret_key: string; webhook_secrets: readonly string[]; url: string } | null
  /** Null: the one in the data directory. */
  secret: string | null
  log_level: LogLevel
  /** Whether the level was set; else a terminal gets fewer lines. */
  is_log_level_set: boolean
  idempotency_days: number
  request_log_days: number
  proxies: number
  /** CIDRs. Null: loopback with the embedded database, else none. */
  webhook_networks: readonly string[] | null
  otlp_endpoint: string | null
  /** Null: no mails are sent. */
  mail: { url: string; from: string } | null
  /** Whether the crash tests may arm failpoints in this process. */
  has_failpoints: boolean
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Reads and checks every variable; throws SettingsError with one sentence about the first that does not fit. */
export function readSettings(environment: Environment): Settings {
  const values = Object.fromEntries(
    Object.keys(definitions).map(name => [name, readOne(name as SettingName, environment)]),
  ) as Values
  if (values.PORT !== 0 && values.PORT === values.SIMULATOR_PORT && values.SIMULATOR_URL === null) {
    throw new SettingsError(
      `PORT and SIMULATOR_PORT are both ${values.PORT}: give the server and its simulator a port each`,
    )
  }
  if (values.SMTP_URL !== null && values.MAIL_FROM === null) {
    throw new SettingsError('SMTP_URL is set: set MAIL_FROM too, to the address that mails come from')
  }
  return {
    port: values.PORT,
    host: values.BURSAR_HOST,
    role: values.BURSAR_ROLE,
    data_dir: resolve(values.BURSAR_DATA_DIR),
    database_url: values.DATABASE_URL,
    simulator_port: values.SIMULATOR_PORT,
    simulator_url: values.SIMULATOR_URL,
    simulator_webhook_secret: values.SIMULATOR_WEBHOOK_SECRET,
    stripe: values.STRIPE_SECRET_KEY === null ? null : stripeOf(values, values.STRIPE_SECRET_KEY),
    secret: values.BURSAR_SECRET,
    log_level: values.BURSAR_LOG_LEVEL,
    is_log_level_set: given('BURSAR_LOG_LEVEL', environment) !== undefined,
    idempotency_days: values.BURSAR_IDEMPOTENCY_DAYS,
    request_log_days: values.BURSAR_REQUEST_LOG_DAYS,
    proxies: values.BURSAR_PROXIES,
    webhook_networks: values.BURSAR_WEBHOOK_NETWORKS,
    otlp_endpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT,
    mail:
      values.SMTP_URL === null || values.MAIL_FROM === null
        ? null
        : { url: values.SMTP_URL, from: values.MAIL_FROM },
    has_failpoints: values.BURSAR_FAILPOINTS,
  }
}

const stripeOf = (values: Values, secret_key: string): Settings['stripe'] => ({
  secret_key,
  webhook_secrets: values.STRIPE_WEBHOOK_SECRET,
  url: values.STRIPE_API_URL,
})

/** Empty counts as absent, as in shells and compose files, where a variable is easier emptied than removed. */
const given = (name: SettingName, environment: Environment) => environment[name] || undefined

function readOne(name: SettingName, environment: Environment): unknown {
  const { schema, absent, must_be, secret }: Definition<unknown> = definitions[name]
  const text = given(name, environment)
  if (text === undefined) return absent
  const parsed = schema.safeParse(text)
  if (parsed.success) return parsed.data
  // What does not parse as a URL may hold a password anywhere.
  const shown =
    secret === undefined ? ` and is "${text.slice(0, SHOWN_LENGTH_MAX)}"` : '; what is set is not shown'
  throw new SettingsError(`${name} must be ${must_be}${shown}`)
}

/** Enough of a wrong value to recognise it. */
const SHOWN_LENGTH_MAX = 100

export interface SettingShown {
  name: SettingName
  /** Secrets masked. */
  value: string
  is_default: boolean
  about: string
}

/** The effective settings as a person may see them. Throws as `readSettings` does. */
export function describeSettings(environment: Environment): SettingShown[] {
  readSettings(environment)
  return Object.entries(definitions).map(([key, definition]: [string, Definition<unknown>]) => {
    const name = key as SettingName
    const text = given(name, environment)
    const { absent, absent_shown, secret, about } = definition
    const value = text === undefined ? (absent_shown ?? String(absent)) : masked(text, secret)
    return { name, value, is_default: text === undefined, about }
  })
}

const MASK = '***'
/** Query parameters of connection URLs that are secrets: sslpassword, access_key, token. */
const SECRET_PARAMETER = /pass|secret|token|key/i

function masked(text: string, secret: Definition<unknown>['secret']): string {
  if (secret === undefined) return text
  if (secret === 'whole') return MASK
  const shown = new URL(text)
  if (shown.password !== '') shown.password = MASK
  for (const name of shown.searchParams.keys()) {
    if (SECRET_PARAMETER.test(name)) shown.searchParams.set(name, MASK)
  }
  return shown.href
}
