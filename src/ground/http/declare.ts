/** How rooms declare their endpoints: types checked here, erased for the server, the reference and the completer. */
import { z } from 'zod'
import type {
  Endpoint,
  EndpointDefinition,
  FileEndpointDefinition,
  PageEndpointDefinition,
  RawEndpointDefinition,
} from './types.ts'

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

/** Declares an endpoint that answers with a page. */
export function pageEndpoint<Path extends z.ZodType, Params extends z.ZodType>(
  definition: PageEndpointDefinition<Path, Params>,
): Endpoint {
  const page: EndpointDefinition<Path, Params> = {
    ...definition,
    returns: z.string(),
    async run(context, params, path) {
      const body = await definition.run(context, params, path)
      return { status: 200, body, content_type: 'text/html; charset=utf-8' }
    },
  }
  return { ...(page as Endpoint), shows: 'page' }
}
