/**
 * A program that writes Scalar's browser bundle, taken out of its package, to its standard output. The package is a
 * server plugin with the bundle as a string inside: loaded into the server, even into a worker thread, it would keep
 * 40 to 50 MB for good; here they go with the process.
 */
import scalar from '@scalar/fastify-api-reference'
import { fastify } from 'fastify'
import { assert } from '#kernel'

const server = fastify()
await server.register(scalar, { routePrefix: '/docs', configuration: { url: '/openapi.json' } })
// The plugin's route is the only door to the bundle, so a server that never listens is asked for it.
const { statusCode, rawPayload } = await server.inject('/docs/js/scalar.js')
assert(statusCode === 200, 'the plugin serves its bundle')
process.stdout.write(rawPayload)
