/** What the caller must fix: an HTTP status, a code, a sentence and the field it is about. */
export class Refused extends Error {
  readonly status: number
  readonly code: string
  readonly param: string | undefined

  constructor(status: number, code: string, message: string, param?: string) {
    super(message)
    this.name = 'Refused'
    this.status = status
    this.code = code
    this.param = param
  }
}
