import { createHmac, createPublicKey, verify } from 'node:crypto'
import { Webhook } from 'standardwebhooks'
import { Stripe } from 'stripe'
import { describe, expect, test } from 'vitest'
import { assert } from '#kernel'
import { generateSecret, signingSecret, verifyingSecret } from './secret.ts'
import { signatureHeaders } from './sign.ts'
import { thinBody } from './thin.ts'
import { disbeliefOf } from './verify.ts'

/** The test vectors that the libraries of Standard Webhooks share. */
const VECTOR = {
  id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
  at: new Date(1_614_265_330_000),
  body: '{"test": 2432232314}',
}
const HMAC_SECRET = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const PRIVATE_KEY =
  'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='
const PUBLIC_KEY = 'whpk_1SiA4o9hyqTCpIqC5V9HUakiiaeACeqfZTInDBbOir4='

const stripe = new Stripe('sk_test_x')

const stored = (data: object) =>
  `{"id":"evt_01jd3x0yfae4qa9vrf2kz5m8wt","object":"event","type":"customer.created","api_version":"2026-11-21"` +
  `,"created_at":"2026-11-21T09:30:00.000Z","livemode":false,"object_id":"cus_1","object_version":1` +
  `,"request":{"id":"req_1","idempotency_key":"\\",\\"data\\":{"},"data":${JSON.stringify(data)}}`

/** Plain, UTF-8 of every length, hardly anything, and as large as an event gets. */
const BODIES = [
  stored({ object: { id: 'cus_1' } }),
  stored({ object: { name: 'Zoë 日本 💶 \u2028 \u0000', data: 'its own' } }),
  '{}',
  stored({ object: { description: 'x€'.repeat(100_000) } }),
]
const BODIES_AND_THIN = [...BODIES, thinBody(BODIES[0] as string), thinBody(BODIES[3] as string)]
const now = new Date()
const ID = 'evt_01jd3x0yfae4qa9vrf2kz5m8wt'

describe('the vectors of Standard Webhooks', () => {
  test('are signed as they say, with the shared secret and with the pair of keys', () => {
    const signed = (secret: string) =>
      signatureHeaders({ ...VECTOR, scheme: 'standard', secrets: [signingSecret(secret)] })
    expect(signed(HMAC_SECRET)).toEqual({
      'webhook-id': VECTOR.id,
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
    expect(signed(PRIVATE_KEY)['webhook-signature']).toBe(
      'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
    )
  })

  test('are proven, and by no other secret', () => {
    const disbelief = (signature: string, secret: string) =>
      disbeliefOf({
        headers: {
          'webhook-id': VECTOR.id,
          'webhook-timestamp': '1614265330',
          'webhook-signature': signature,
        },
        body: Buffer.from(VECTOR.body),
        secrets: [verifyingSecret(secret)],
        received_at: VECTOR.at,
      })
    const v1 = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    const v1a = 'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=='
    expect(disbelief(v1, HMAC_SECRET)).toBeNull()
    expect(disbelief(v1a, PUBLIC_KEY)).toBeNull()
    expect(disbelief(`v1,AAAA ${v1a} v2,x`, PUBLIC_KEY)).toBeNull()
    expect(disbelief(v1a, HMAC_SECRET)).toBe('signature_invalid')
    expect(disbelief(v1, PUBLIC_KEY)).toBe('signature_invalid')
    expect(disbelief(v1.replace('v1', 'v1a'), PUBLIC_KEY)).toBe('signature_invalid')
    expect(disbelief(v1, generateSecret('hmac').text)).toBe('signature_invalid')
    expect(disbelief('', HMAC_SECRET)).toBe('signature_invalid')
  })
})

test('a generated secret is 32 bytes in base64, and a pair of keys signs what its public half proves', () => {
  const { text, public_key } = generateSecret('hmac')
  expect(text).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(public_key).toBeNull()
  const pair = generateSecret('ed25519')
  expect(pair.text).toMatch(/^whsk_[A-Za-z0-9+/]{86}==$/)
  const headers = signatureHeaders({
    scheme: 'standard_ed25519',
    secrets: [signingSecret(pair.text)],
    id: ID,
    at: now,
    body: '{}',
  })
  const x = Buffer.from(String(pair.public_key).slice('whpk_'.length), 'base64').toString('base64url')
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' })
  const [version, signature = ''] = String(headers['webhook-signature']).split(',')
  const content = Buffer.from(`${ID}.${headers['webhook-timestamp']}.{}`)
  expect([version, verify(null, content, key, Buffer.from(signature, 'base64'))]).toEqual(['v1a', true])
})

describe.each([1, 2, 3])('with %i secrets that are valid at once', count => {
  const texts = Array.from({ length: count }, () => generateSecret('hmac').text)
  const secrets = texts.map(signingSecret)

  test("Stripe's library accepts every body under each of them, and under no other", () => {
    for (const body of BODIES_AND_THIN) {
      const signed = signatureHeaders({ scheme: 'bursar', secrets, id: ID, at: now, body })
      const header = signed['bursar-signature'] as string
      expect(header).toMatch(new RegExp(`^t=\\d{10}(,v1=[0-9a-f]{64}){${count}}$`))
      for (const text of texts) {
        const event: unknown = stripe.webhooks.constructEvent(Buffer.from(body), header, text)
        expect(event).toEqual(JSON.parse(body))
      }
      expect(() => stripe.webhooks.constructEvent(body, header, generateSecret('hmac').text)).toThrow(
        'No signatures found',
      )
      expect(() => stripe.webhooks.constructEvent(`${body} `, header, texts[0] as string)).toThrow()
    }
  })

  test('the library of Standard Webhooks accepts every body under each of them, and under no other', () => {
    for (const body of BODIES_AND_THIN) {
      const headers = signatureHeaders({ scheme: 'standard', secrets, id: ID, at: now, body })
      for (const text of texts) expect(new Webhook(text).verify(body, headers)).toEqual(JSON.parse(body))
      expect(() => new Webhook(generateSecret('hmac').text).verify(body, headers)).toThrow()
      expect(() => new Webhook(texts[0] as string).verify(`${body} `, headers)).toThrow()
    }
  })

  test('our own verifier accepts every body under each of them, whichever form they are signed in', () => {
    for (const body of BODIES_AND_THIN) {
      for (const scheme of ['bursar', 'standard'] as const) {
        const headers = signatureHeaders({ scheme, secrets, id: ID, at: now, body })
        const disbelief = (text: string, bytes = Buffer.from(body)) =>
          disbeliefOf({ headers, body: bytes, secrets: [verifyingSecret(text)], received_at: now })
        for (const text of texts) expect(disbelief(text)).toBeNull()
        expect(disbelief(generateSecret('hmac').text)).toBe('signature_invalid')
        expect(disbelief(texts[0] as string, Buffer.from(`${body} `))).toBe('signature_invalid')
      }
    }
  })

  test('our own verifier accepts every body that as many pairs of keys signed', () => {
    const pairs = texts.map(() => generateSecret('ed25519'))
    for (const body of BODIES_AND_THIN) {
      const headers = signatureHeaders({
        scheme: 'standard_ed25519',
        secrets: pairs.map(pair => signingSecret(pair.text)),
        id: ID,
        at: now,
        body,
      })
      for (const { public_key } of pairs) {
        assert(public_key !== null, 'a pair has a public half')
        const received = { headers, body: Buffer.from(body), received_at: now }
        expect(disbeliefOf({ ...received, secrets: [verifyingSecret(public_key)] })).toBeNull()
        const changed = Buffer.from(`${body} `)
        expect(disbeliefOf({ ...received, body: changed, secrets: [verifyingSecret(public_key)] })).toBe(
          'signature_invalid',
        )
      }
    }
  })
})

describe('a delivery is not believed', () => {
  const { text } = generateSecret('hmac')
  const secrets = [verifyingSecret(text)]
  const body = Buffer.from('{}')
  const headersOf = (scheme: 'bursar' | 'standard', at: Date) =>
    signatureHeaders({ scheme, secrets: [signingSecret(text)], id: ID, at, body: '{}' })
  const moved = (by_s: number) => new Date(now.getTime() + by_s * 1_000)

  test.each(['bursar', 'standard'] as const)(
    '%s: when it was signed over five minutes before or after',
    scheme => {
      const disbelief = (by_s: number) =>
        disbeliefOf({ headers: headersOf(scheme, moved(by_s)), body, secrets, received_at: now })
      expect([-301, -300, 0, 300, 301].map(disbelief)).toEqual([
        'timestamp_stale',
        null,
        null,
        null,
        'timestamp_stale',
      ])
    },
  )

  test.each<[what: string, headers: Record<string, string>]>([
    ['no header', {}],
    ['a time alone', { 'bursar-signature': 't=1614265330' }],
    ['no time', { 'bursar-signature': `v1=${'0'.repeat(64)}` }],
    ['a time that is none', { 'bursar-signature': `t=now,v1=${'0'.repeat(64)}` }],
    ['garbage', { 'bursar-signature': ',,==,' }],
    ['half of the headers', { 'webhook-id': 'x', 'webhook-timestamp': '1614265330' }],
    ['an empty time', { 'webhook-id': 'x', 'webhook-timestamp': '', 'webhook-signature': 'v1,x' }],
  ])('with %s', (_what, headers) => {
    const disbelief = disbeliefOf({ headers, body, secrets, received_at: new Date(1_614_265_330_000) })
    expect(['signature_missing', 'signature_invalid']).toContain(disbelief)
  })

  test('when its time was changed, or another id was put on it', () => {
    const at = headersOf('standard', now)
    const changes = [
      { 'webhook-timestamp': String(Number(at['webhook-timestamp']) + 1) },
      { 'webhook-id': 'evt_x' },
    ]
    for (const change of changes) {
      expect(disbeliefOf({ headers: { ...at, ...change }, body, secrets, received_at: now })).toBe(
        'signature_invalid',
      )
    }
  })

  test('when its signature is a right one cut short', () => {
    const digest = createHmac('sha256', text).update('1614265330.{}').digest('hex')
    for (const cut of [digest.slice(0, 2), digest.slice(0, 62), '']) {
      const headers = { 'bursar-signature': `t=1614265330,v1=${cut}` }
      expect(disbeliefOf({ headers, body, secrets, received_at: new Date(1_614_265_330_000) })).toBe(
        'signature_invalid',
      )
    }
  })
})

test('a thin body is the event without its data, whatever its texts hold', () => {
  for (const body of [BODIES[0], BODIES[1], BODIES[3]] as string[]) {
    const { data, ...rest } = JSON.parse(body) as { data: object }
    expect(data).toBeDefined()
    const thin = thinBody(body)
    expect(JSON.parse(thin)).toEqual(rest)
    expect(Object.keys(rest)).toEqual([
      'id',
      'object',
      'type',
      'api_version',
      'created_at',
      'livemode',
      'object_id',
      'object_version',
      'request',
    ])
    expect(thinBody(body)).toBe(thin)
  }
  expect(() => thinBody('{}')).toThrow('an event ends in its data')
})
