import { isAbsolute } from 'node:path'
import { describe, expect, test } from 'vitest'
import { describeSettings, readSettings, SettingsError } from './settings.ts'

describe('settings', () => {
  test('have a default each, so that nothing must be set', () => {
    const settings = readSettings({})
    expect(settings).toMatchObject({ port: 4242, simulator_port: 4243, role: 'all', database_url: null })
    expect(isAbsolute(settings.data_dir)).toBe(true)
  })

  test('that are empty count as absent', () => {
    expect(readSettings({ PORT: '', BURSAR_ROLE: '' })).toMatchObject({ port: 4242, role: 'all' })
  })

  test('are read from their variables', () => {
    const settings = readSettings({
      PORT: '0',
      BURSAR_DATA_DIR: '/var/lib/bursar',
      DATABASE_URL: 'postgres://bursar:pass@db:5432/bursar',
      SIMULATOR_URL: 'http://127.0.0.1:9999/',
    })
    expect(settings).toMatchObject({
      port: 0,
      data_dir: '/var/lib/bursar',
      database_url: 'postgres://bursar:pass@db:5432/bursar',
      simulator_url: 'http://127.0.0.1:9999',
    })
  })

  test('name the networks that webhooks may be sent to, or that there are none', () => {
    const networksOf = (text: string) => readSettings({ BURSAR_WEBHOOK_NETWORKS: text }).webhook_networks
    expect(networksOf('10.0.0.0/8, fd00::/8')).toEqual(['10.0.0.0/8', 'fd00::/8'])
    expect(networksOf('none')).toEqual([])
    expect(networksOf('')).toBeNull()
  })

  test.each([
    ['PORT', 'abc', 'PORT must be a whole number from 0 to 65535 (0: any free port) and is "abc"'],
    ['PORT', '65536', 'and is "65536"'],
    ['PORT', '-1', 'and is "-1"'],
    ['PORT', '80.5', 'and is "80.5"'],
    ['BURSAR_WEBHOOK_NETWORKS', '10.0.0.0', 'BURSAR_WEBHOOK_NETWORKS must be networks like 10.0.0.0/8'],
    ['BURSAR_WEBHOOK_NETWORKS', '10.0.0.0/8, ::1/129', 'separated by commas'],
    ['BURSAR_ROLE', 'boss', 'BURSAR_ROLE must be one of all, api, worker and is "boss"'],
    ['BURSAR_LOG_LEVEL', 'loud', 'one of debug, info, warn, error, silent'],
    ['SIMULATOR_URL', 'localhost:4243', 'SIMULATOR_URL must be a URL like http://127.0.0.1:4243'],
    ['DATABASE_URL', 'mysql://root:hunter2@db/x', 'DATABASE_URL must be a URL like postgres://'],
    ['BURSAR_SECRET', 'hunter2', 'BURSAR_SECRET must be at least 32 characters long'],
    ['REDIS_URL', 'http://:hunter2@cache', 'REDIS_URL must be'],
    ['STRIPE_SECRET_KEY', 'pk_live_hunter2hunter2', 'STRIPE_SECRET_KEY must be a secret key of Stripe'],
    ['STRIPE_SECRET_KEY', 'sk_live_hunter2 hunter2', 'STRIPE_SECRET_KEY must be a secret key of Stripe'],
    ['STRIPE_WEBHOOK_SECRET', 'hunter2', 'STRIPE_WEBHOOK_SECRET must be signing secrets'],
    ['STRIPE_WEBHOOK_SECRET', 'whsec_hunter2hunter2,,', 'STRIPE_WEBHOOK_SECRET must be signing secrets'],
    ['STRIPE_API_URL', 'http://proxy.example', 'STRIPE_API_URL must be a URL like https://api.stripe.com'],
    ['STRIPE_API_URL', 'https://proxy.example/stripe', 'STRIPE_API_URL must be'],
    ['SMTP_URL', 'https://bursar:hunter2@mail', 'SMTP_URL must be a URL like smtp://host:587'],
    ['MAIL_FROM', 'Bursar <bursar@example.com>', 'MAIL_FROM must be an address like bursar@example.com'],
    ['SMTP_URL', 'smtp://bursar:hunter2@mail', 'SMTP_URL is set: set MAIL_FROM too'],
  ])('say in one sentence what is wrong with %s=%s, and never a secret', (name, value, sentence) => {
    const read = () => readSettings({ [name]: value })
    expect(read).toThrow(SettingsError)
    expect(read).toThrow(sentence)
    expect(read).not.toThrow('hunter2')
  })

  test('connect Stripe by its key, with one secret or more', () => {
    expect(readSettings({ STRIPE_WEBHOOK_SECRET: 'whsec_12345678' }).stripe).toBeNull()
    expect(
      readSettings({
        STRIPE_SECRET_KEY: 'sk_test_12345678',
        STRIPE_WEBHOOK_SECRET: 'whsec_12345678, whsec_87654321',
        STRIPE_API_URL: 'http://127.0.0.1:9000/',
      }).stripe,
    ).toEqual({
      secret_key: 'sk_test_12345678',
      webhook_secrets: ['whsec_12345678', 'whsec_87654321'],
      url: 'http://127.0.0.1:9000',
    })
    expect(readSettings({ STRIPE_SECRET_KEY: 'rk_live_12345678' }).stripe).toMatchObject({
      webhook_secrets: [],
      url: 'https://api.stripe.com',
    })
  })

  test('do not give the server and its simulator one port', () => {
    expect(() => readSettings({ PORT: '5000', SIMULATOR_PORT: '5000' })).toThrow('a port each')
    expect(readSettings({ PORT: '0', SIMULATOR_PORT: '0' })).toMatchObject({ port: 0, simulator_port: 0 })
  })
})

test('mails are sent when the settings name a server and a sender, and otherwise not', () => {
  const MAIL_FROM = 'bursar@example.com'
  const SMTP_URL = 'smtps://bursar:hunter2@mail.example.com'
  expect(readSettings({ SMTP_URL, MAIL_FROM }).mail).toEqual({ url: SMTP_URL, from: MAIL_FROM })
  expect(readSettings({ MAIL_FROM }).mail).toBeNull()
  expect(describeSettings({}).find(({ name }) => name === 'SMTP_URL')?.value).toBe('none: no mails are sent')
  expect(JSON.stringify(describeSettings({ SMTP_URL, MAIL_FROM }))).not.toContain('hunter2')
})

describe('settings as they are shown', () => {
  test('hide every secret', () => {
    const shown = describeSettings({
      DATABASE_URL: 'postgres://bursar:hunter2@db/bursar?sslpassword=hunter2&application_name=me',
      BURSAR_SECRET: 'hunter2'.repeat(8),
      REDIS_URL: 'rediss://:hunter2@cache:6379',
      STRIPE_SECRET_KEY: 'sk_live_hunter2hunter2',
      STRIPE_WEBHOOK_SECRET: 'whsec_hunter2hunter2',
    })
    expect(JSON.stringify(shown)).not.toContain('hunter2')
    const of = (name: string) => shown.find(setting => setting.name === name)?.value
    expect(of('DATABASE_URL')).toBe('postgres://bursar:***@db/bursar?sslpassword=***&application_name=me')
    expect(of('BURSAR_SECRET')).toBe('***')
  })

  test('say what is a default', () => {
    const shown = describeSettings({ PORT: '4242' })
    expect(shown.find(({ name }) => name === 'PORT')).toMatchObject({ value: '4242', is_default: false })
    expect(shown.find(({ name }) => name === 'SIMULATOR_PORT')).toMatchObject({
      value: '4243',
      is_default: true,
    })
    for (const { about } of shown) expect(about).toMatch(/\.$/)
  })
})
