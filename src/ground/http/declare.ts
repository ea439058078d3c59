/** How rooms declare their endpoints: types checked here, erased for the server, the reference and the completer. */
import { z } from 'zod'
import type { Endpoint, EndpointDefinition, FileEndpointDefinition, RawEndpointDefinition } from './types.ts'

/** Declares an endpoint; the types of its parameters flow into `run`. */
export function endpoint<Path extends z.ZodType, Params extends z.ZodType>(
  definition: EndpointDefinition<Path, Params>,
): Endpoint {
  return definition as Endpoint
}

/** Declares an endpoint that is handed the body as the bytes that came. */
export function rawEndpoint<Path extends z.ZodType>(definition: RawEndpointDefinition<Path>): Endpoint {
  return { ...definition, auth: 'none', takes: 'bytes', params: z.unknown() } as Endpoint
}

/** Declares an endpoint that is sent a file. */
export function fileEndpoint<Path extends z.ZodType, Params extends z.ZodType>(
  definition: FileEndpointDefinition<Path, Params>,
): Endpoint {
  return { ...definition, takes: 'file' } as Endpoint
}
