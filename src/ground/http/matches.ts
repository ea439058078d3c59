/** What an answer must look like, success or error, for tests and for the reference. */
import { z } from 'zod'
import { type ErrorCode, errorCodes, type ErrorType } from '#kernel'
import type { Answer, Endpoint } from './types.ts'

const codes = Object.keys(errorCodes) as [ErrorCode, ...ErrorCode[]]
const types = [...new Set(codes.map(code => errorCodes[code].type))] as [ErrorType, ...ErrorType[]]

/** The one shape of an error. Some codes add details, so what is not named here may be there too. */
export const ErrorAnswer = z
  .strictObject({
    error: z.looseObject({
      type: z.enum(types),
      code: z.enum(codes).describe('What went wrong, from one table: programs branch on this.'),
      message: z.string().describe('What to do about it, for people.'),
      param: z.nullable(z.string()).describe('Path of the parameter at fault: `items[0].price_id`.'),
      request_id: z.nullable(z.string()).describe('Quote it when you ask for help.'),
      doc_url: z.string(),
      decline_code: z.string().optional().describe("The bank's reason for declining the card."),
    }),
  })
  .meta({ id: 'error' })

/**
 * Throws unless the answer is exactly what the endpoint says it returns, or an error of the one shape. Names what
 * does not fit by its path, never by its value.
 */
export function assertMatches(endpoint: Endpoint, answer: Answer): void {
  const schema = answer.status < 400 ? endpoint.returns : ErrorAnswer
  const problems: string[] = []
  if (answer.status < 400 && answer.status !== (endpoint.status ?? 200)) {
    problems.push(`status ${answer.status} instead of ${endpoint.status ?? 200}`)
  }
  const is_page = endpoint.shows === 'page' && answer.status < 400
  if (is_page && !answer.body.startsWith('<!doctype html>')) problems.push('no page')
  const body: unknown = is_page ? answer.body : JSON.parse(answer.body)
  const result = schema.safeParse(body)
  for (const issue of result.error?.issues ?? []) {
    const names = issue.code === 'unrecognized_keys' ? ` ${issue.keys.join(', ')}` : ''
    problems.push(`${issue.path.join('.')}: ${issue.code}${names}`)
  }
  if (problems.length > 0) {
    throw new Error(`${endpoint.route} answered other than it declares: ${problems.join('; ')}`)
  }
}
